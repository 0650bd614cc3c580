from macula_actors.actors.gateway.quic_server import GatewayQuicServer
from macula_actors.messages.gateway import IsReady
from macula_actors.messages.names import ENDPOINT, GATEWAY_QUIC_SERVER
from supervisors import call
from tests.macula_actors.actors.gateway.stand_ins import start_rest, until
from tests.support import kill


async def accepts():
    return await call(GATEWAY_QUIC_SERVER, IsReady())


async def test_while_it_lives_the_endpoint_is_to_let_clients_in(system):
    rest = await start_rest(system)

    server = await system.start(GatewayQuicServer, name=GATEWAY_QUIC_SERVER)
    await until(accepts)

    assert rest.holders == [server]


async def test_an_endpoint_that_was_restarted_is_asked_again(system):
    rest = await start_rest(system)
    server = await system.start(GatewayQuicServer, name=GATEWAY_QUIC_SERVER)
    await until(accepts)

    await kill(system.whereis(ENDPOINT))
    assert not await accepts()
    await until(accepts)

    assert rest.holders == [server, server]


async def test_an_endpoint_that_comes_later_is_asked_then(system):
    await system.start(GatewayQuicServer, name=GATEWAY_QUIC_SERVER)
    assert not await accepts()

    rest = await start_rest(system)
    await until(accepts)

    assert len(rest.holders) == 1
