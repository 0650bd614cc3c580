import asyncio

from macula_actors.actors.gateway.diagnostics import ECHO, HELLO, INFO, VERSION, GatewayDiagnostics
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.messages.gateway import IsReady
from macula_actors.messages.names import GATEWAY_DIAGNOSTICS, SERVICE_REGISTRY
from supervisors import Shutdown, call, stop
from supervisors.testing import wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import OWN, REALM, config, start_rest, until
from tests.macula_actors.actors.routing.mesh import EPOCH_MS
from tests.support import kill

NAMES = {"com.macula.diagnostics.hello", "com.macula.diagnostics.echo", "com.macula.diagnostics.info"}


async def registered():
    return await call(GATEWAY_DIAGNOSTICS, IsReady())


async def start(system):
    rest = await start_rest(system)
    await system.start(GatewayDiagnostics, config(), name=GATEWAY_DIAGNOSTICS)
    await until(registered)
    return rest


async def test_three_procedures_are_registered_at_this_node(system):
    rest = await start(system)

    assert rest.handlers.keys() == NAMES


async def test_hello_says_who_answers(system):
    rest = await start(system)
    await asyncio.sleep(7.5)

    assert rest.handlers[HELLO](None) == {
        "message": "Hello from a Macula gateway",
        "gateway": str(OWN),
        "realm": REALM,
        "uptime_seconds": 7,
        "version": VERSION,
        "timestamp": EPOCH_MS // 1000 + 7,
        "protocol": "QUIC",
    }


async def test_echo_returns_its_arguments(system):
    rest = await start(system)

    assert rest.handlers[ECHO]({"a": [1, b"x"]}) == {"echo": {"a": [1, b"x"]}, "timestamp": EPOCH_MS // 1000}


async def test_info_says_what_runs_here_and_can_be_sent(system):
    rest = await start(system)

    info = rest.handlers[INFO](None)

    assert info["gateway"] == {"node": str(OWN), "realm": REALM, "uptime_seconds": 0, "version": VERSION}
    assert info["system"]["process_count"] == len(system.processes)
    assert info["system"]["memory_bytes"] >= info["system"]["process_memory_bytes"] > 1_000_000
    assert decode(encode(info, json=True), json=True) == info
    assert decode(encode(info, json=False), json=False) == info


async def test_a_registry_that_was_restarted_is_told_again(system):
    rest = await start(system)
    rest.handlers.clear()

    await kill(system.whereis(SERVICE_REGISTRY))
    assert not await registered()
    await until(registered)

    assert rest.handlers.keys() == NAMES


async def test_when_the_gateway_stops_they_are_withdrawn(system):
    rest = await start(system)

    await stop(GATEWAY_DIAGNOSTICS, Shutdown())
    await wait_until_idle(system)

    assert rest.handlers == {}
