import asyncio

import pytest

from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.errors import RefusedError
from macula_actors.messages import gateway
from macula_actors.messages.gateway import ClientStats, GatewayStats
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY,
    GATEWAY_CLIENTS,
    GATEWAY_DIAGNOSTICS,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    GATEWAY_QUIC_SERVER,
    GATEWAY_RPC,
    GATEWAY_SYSTEM,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import PeerDown, PeerUp
from macula_actors.systems.gateway_system import GatewaySystem
from supervisors import CallError, ServerDownError, Shutdown, send_request, stop, suspend
from supervisors.testing import wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import (
    LISTENS,
    REALM,
    config,
    info,
    node_id,
    peers_of,
    start_rest,
    tell,
    until,
)
from tests.support import kill


async def start(system, rest=None, **fields):
    rest = await start_rest(system, rest)
    await system.start(GatewaySystem, config(**fields), name=GATEWAY_SYSTEM)
    await until(ready)
    return rest


async def ready():
    return await gateway.is_ready(GATEWAY)


async def clients():
    return {peer.node_id for _, peer in await gateway.get_all_clients(GATEWAY_CLIENTS)}


async def sessions():
    return set(await gateway.get_sessions(GATEWAY_MESH))


async def both():
    return await clients(), await sessions()


def ids(*numbers):
    return {node_id(number) for number in numbers}


async def wired(*numbers):
    """Wait until clients and sessions are exactly those with the peers ``numbers``."""

    async def are_wired():
        try:
            return await both() == (ids(*numbers), ids(*numbers))
        except CallError:
            return False

    await until(are_wired)


async def test_a_peer_that_comes_is_a_client_with_a_session_until_it_goes(system):
    await start(system)
    accepted, dialled = *await peers_of(system, 2), *await peers_of(system, 3, is_dialled=True)

    tell(system, accepted, dialled)
    await wired(2, 3)

    await kill(accepted.connection)
    await wired(3)


async def test_a_peer_that_is_said_to_have_gone_is_forgotten_before_its_connection_has_ended(system):
    await start(system)
    (up,) = await peers_of(system, 2)
    tell(system, up)
    await wired(2)

    tell(system, PeerDown(up.peer.node_id, up.connection), PeerDown(up.peer.node_id, up.connection))

    await wired()
    assert not up.connection._process._monitors


async def test_a_peer_that_is_told_of_again_is_one(system):
    await start(system)
    (up,) = await peers_of(system, 2)

    tell(system, up, up)
    await wired(2)

    assert len(up.connection._process._monitors) == 3  # the gateway's, the clients' and the mesh's


async def test_peers_that_were_there_before_the_gateway_are_asked_for(system):
    rest = await start_rest(system)
    rest.peers = await peers_of(system, 2, 3)

    await start_gateway(system)

    await wired(2, 3)


async def start_gateway(system):
    await system.start(GatewaySystem, config(), name=GATEWAY_SYSTEM)


async def test_a_peer_that_does_not_say_who_it_is_is_no_client(system):
    await start(system)
    (known,) = await peers_of(system, 2)

    tell(system, PeerUp(info(None), known.connection, is_dialled=True))
    await wait_until_idle(system)

    assert await both() == (set(), set())


async def test_a_client_too_many_is_sent_away_as_overload(system):
    await start(system, max_clients=1)
    first, second = await peers_of(system, 2, 3)

    tell(system, first, second)

    assert await second.connection.wait_exit() == Shutdown(CloseCode.OVERLOADED)
    await wired(2)
    assert (await gateway.get_stats(GATEWAY)).clients == ClientStats(clients=1, max_clients=1, registered=1, refused=1)


async def test_a_peer_that_this_node_has_dialled_stays_even_if_there_is_no_room_for_clients(system):
    await start(system, max_clients=1)
    first, second = *await peers_of(system, 2), *await peers_of(system, 3, is_dialled=True)

    tell(system, first, second)
    await wait_until_idle(system)

    assert second.connection.is_alive()
    assert await both() == (ids(2), ids(2, 3))


@pytest.mark.parametrize(
    "victim", [GATEWAY, GATEWAY_CLIENTS, GATEWAY_PUBSUB, GATEWAY_RPC, GATEWAY_MESH, PEER_CONNECTOR]
)
async def test_who_is_restarted_is_told_of_all_peers_again(system, victim):
    rest = await start(system)
    rest.peers = await peers_of(system, 2, 3)
    tell(system, *rest.peers)
    await wired(2, 3)

    await kill(system.whereis(victim))

    await wired(2, 3)
    await until(ready)


async def test_a_peer_that_came_while_the_clients_were_being_restarted_is_a_client_then(system):
    await start(system)
    (up,) = await peers_of(system, 2)
    await suspend(GATEWAY_CLIENTS)
    tell(system, up)
    await wait_until_idle(system)

    await kill(system.whereis(GATEWAY_CLIENTS))

    await wired(2)


async def test_peers_that_went_while_the_gateway_was_away_are_not_told_of(system):
    rest = await start(system)
    rest.peers = await peers_of(system, 2, 3)
    tell(system, *rest.peers)
    await wired(2, 3)

    await kill(rest.peers[0].connection)
    await kill(system.whereis(GATEWAY))

    await wired(3)


@pytest.mark.parametrize(
    "victim",
    [
        ENDPOINT,
        PEER_CONNECTOR,
        SERVICE_REGISTRY,
        GATEWAY_DIAGNOSTICS,
        GATEWAY_QUIC_SERVER,
        GATEWAY,
        GATEWAY_CLIENTS,
        GATEWAY_PUBSUB,
        GATEWAY_RPC,
        GATEWAY_MESH,
    ],
)
async def test_readiness_goes_when_a_part_is_killed_and_comes_back(system, victim):
    await start(system)
    killed = asyncio.create_task(kill(system.whereis(victim)))
    asked = asyncio.create_task(ready())

    await killed

    assert not await asked
    await until(ready)


async def test_a_node_that_has_not_joined_is_not_ready(system):
    rest = await start(system)

    rest.is_joined = False

    assert not await ready()


async def test_a_gateway_that_is_not_there_is_not_ready(system):
    assert not await gateway.is_ready((GATEWAY, system))


async def test_a_part_that_does_not_answer_makes_the_gateway_not_ready(system):
    await start(system)
    await suspend(system.whereis(ROUTING_SERVER))

    assert not await ready()
    assert system.now() < 2.0


async def test_a_handler_is_registered_at_this_node_and_unregistered(system):
    rest = await start(system)

    await gateway.register_handler(GATEWAY, "add", sum)
    assert rest.handlers["add"] is sum

    assert await gateway.unregister_handler(GATEWAY, "add")
    assert not await gateway.unregister_handler(GATEWAY, "add")


async def test_a_handler_whose_name_is_none_is_refused_in_the_caller(system):
    await start(system)

    with pytest.raises(ValueError, match="procedure name"):
        await gateway.register_handler(GATEWAY, "a b", sum)


async def test_without_a_registry_a_handler_is_refused_and_the_gateway_lives(system):
    await system.start(GatewaySystem, config(), name=GATEWAY_SYSTEM)

    with pytest.raises(RefusedError) as refused:
        await gateway.register_handler(GATEWAY, "add", sum)
    assert refused.value.code == "unavailable"


async def test_without_a_gateway_to_register_with_says_so(system):
    with pytest.raises(ServerDownError):
        await gateway.register_handler((GATEWAY, system), "add", sum)


async def test_the_statistics_are_of_all_parts(system):
    await start(system)
    tell(system, *await peers_of(system, 2, 3))
    await wired(2, 3)

    stats = await gateway.get_stats(GATEWAY)

    assert stats == GatewayStats(
        realm=REALM,
        endpoint=LISTENS,
        peers=2,
        registrations=3,
        subscriptions=0,
        clients=stats.clients,
        pubsub=stats.pubsub,
        rpc=stats.rpc,
        mesh=stats.mesh,
    )
    assert (stats.clients.clients, stats.rpc.calls, stats.mesh.sessions) == (2, 0, 2)


async def test_statistics_of_what_is_not_there_are_zero(system):
    await system.start(GatewaySystem, config(), name=GATEWAY_SYSTEM)

    stats = await gateway.get_stats(GATEWAY)

    assert (stats.endpoint, stats.registrations) == (None, 0)


async def test_questions_that_nobody_waits_for_do_not_fill_the_gateway_up(system):
    await start(system)
    suspended = system.whereis(GATEWAY_MESH)
    await suspend(suspended)

    for _ in range(200):
        with pytest.raises(CallError):
            await gateway.get_stats(GATEWAY, 0.001)

    assert len(system.whereis(GATEWAY)._process.server._gatherings._of) <= 5


async def test_too_many_questions_at_once_are_refused(system):
    await start(system)
    await suspend(system.whereis(GATEWAY_MESH))

    asked = [send_request(GATEWAY, gateway.GetStats()) for _ in range(70)]
    await wait_until_idle(system)

    assert sum(each.done() for each in asked) == 6


@pytest.mark.slow
async def test_of_ten_thousand_clients_that_come_and_go_nothing_stays(system):
    await start(system)
    numbers = [2 + number % 250 for number in range(10_000)]
    peers = await peers_of(system, *numbers)
    tell(system, *peers)
    await wired(*numbers)
    assert (await gateway.get_stats(GATEWAY)).clients.clients == 10_000

    await asyncio.gather(*(stop(peer.connection) for peer in peers))
    await wired()

    stats = await gateway.get_stats(GATEWAY)
    assert (stats.peers, stats.clients.clients, stats.mesh.sessions) == (0, 0, 0)
    server = system.whereis(GATEWAY)._process.server
    assert [len(each) for each in (server._peers, server._monitors, server._registering)] == [0] * 3
