import asyncio
import json
import socket
from functools import partial

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from macula_actors import Mode, Node, NodeConfig
from macula_actors.actors.gateway import health, http_server
from macula_actors.actors.gateway.health import GatewayHealth
from macula_actors.errors import ConfigError
from macula_actors.messages import gateway
from macula_actors.messages.names import (
    GATEWAY,
    GATEWAY_CLIENTS,
    GATEWAY_DIAGNOSTICS,
    GATEWAY_HEALTH,
    GATEWAY_MESH,
    GATEWAY_QUIC_SERVER,
    GATEWAY_RPC,
    GATEWAY_SYSTEM,
    GATEWAY_WORKERS_SUP,
    RPC_HANDLER,
)
from macula_actors.systems.gateway_system import GatewaySystem
from supervisors import Shutdown, StartError, restart_child, resume, stop, suspend, terminate_child
from tests.macula_actors.actors.gateway.stand_ins import config, peers_of, start_rest, tell, until
from tests.support import kill, supervise

pytestmark = pytest.mark.real_clock
HOST = "127.0.0.1"


async def start(system, **fields):
    """Start a gateway with health and wait until it is ready."""
    rest = await start_rest(system)
    await system.start(GatewaySystem, config(health_port=0, **fields), name=GATEWAY_SYSTEM)
    await until(lambda: gateway.is_ready(GATEWAY))
    return rest


async def start_alone(system, port=0, **fields):
    """Start the health server without a gateway; return its port."""
    await system.start(GatewayHealth, config(health_port=port, **fields), name=GATEWAY_HEALTH)
    return await gateway.get_health_port(GATEWAY_HEALTH)


async def get(path, method="GET", port=None):
    """Return status, content type and text."""
    port = port or await gateway.get_health_port(GATEWAY_HEALTH)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{HOST}:{port}{path}", data=b"x" if method == "POST" else None) as response,
    ):
        assert response.headers["Connection"] == "close"
        return response.status, response.headers["Content-Type"], await response.text()


async def sample(name, **labels):
    """Return the value of a metric, None if it is not there."""
    _, _, text = await get("/metrics")
    found = {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }
    return found.get((name, tuple(sorted(labels.items()))))


def a_listener():
    taken = socket.create_server((HOST, 0))
    return taken, taken.getsockname()[1]


async def test_a_gateway_that_serves_is_healthy_ready_and_live(system):
    await start(system)

    status, content_type, text = await get("/health?x=1")
    assert (status, content_type, json.loads(text)) == (
        200,
        "application/json",
        {"status": "healthy", "ready": True, "uptime": 0},
    )
    assert await get("/ready") == (200, "text/plain", "Ready")
    assert await get("/live") == (200, "text/plain", "Live")
    assert await gateway.is_healthy(GATEWAY_HEALTH)


async def test_a_node_that_has_not_joined_is_healthy_and_live_but_not_ready(system):
    rest = await start(system)
    rest.is_joined = False

    status, _, text = await get("/health")
    assert (status, json.loads(text)["ready"]) == (200, False)
    assert await get("/ready") == (503, "text/plain", "Not ready")
    assert (await get("/live"))[0] == 200
    assert await sample("macula_gateway_ready") == 0
    assert not await gateway.is_healthy(GATEWAY_HEALTH)


async def test_without_its_gateway_it_is_live_but_neither_healthy_nor_ready(system):
    await start_alone(system)

    assert await get("/health") == (503, "text/plain", "Service unavailable")
    assert await get("/ready") == (503, "text/plain", "Not ready")
    assert await get("/metrics") == (503, "text/plain", "Service unavailable")
    assert await get("/live") == (200, "text/plain", "Live")
    assert not await gateway.is_healthy(GATEWAY_HEALTH)


@pytest.mark.slow
async def test_a_gateway_that_hangs_is_not_ready_within_two_seconds_and_other_requests_do_not_wait_for_it(system):
    await start(system)
    await suspend(GATEWAY)
    began = system.now()

    waiting = [asyncio.create_task(get("/ready")) for _ in range(3)]
    await asyncio.sleep(0)
    assert (await get("/live"))[0] == 200
    assert system.now() - began < 0.9

    assert {status for status, _, _ in await asyncio.gather(*waiting)} == {503}
    assert system.now() - began < 2.0


@pytest.mark.parametrize("path", ["/", "/healthy", "/health/", "/metrics/x"])
async def test_other_paths_are_not_found(system, path):
    await start_alone(system)

    assert await get(path) == (404, "text/plain", "Not found")


async def test_who_asks_for_the_head_has_no_body(system):
    await start_alone(system)

    assert await get("/live", "HEAD") == (200, (await get("/live"))[1], "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_not_found(system, method):
    await start_alone(system)

    assert await get("/live", method) == (404, "text/plain", "Not found")


async def test_metrics_have_the_originals_names_and_what_is_counted(system):
    await start(system)
    tell(system, *await peers_of(system, 2, 3))
    await until(lambda: are_counted(2))

    assert (await get("/metrics"))[1] == "text/plain; version=0.0.4; charset=utf-8"
    assert await sample("macula_gateway_uptime_seconds") > 0
    assert await sample("macula_gateway_ready") == 1
    assert await sample("macula_gateway_process_count") == len(system.processes)
    assert await sample("macula_gateway_memory_bytes") > 1_000_000
    assert await sample("macula_gateway_process_memory_bytes") > 1_000_000
    assert await sample("macula_gateway_diagnostics_available") == 1
    assert await sample("macula_gateway_subscriptions_total") == 0
    assert await sample("macula_gateway_registrations_total") == 3
    assert await sample("macula_peers") == 2
    assert await sample("macula_dht_contacts") == 7
    assert await sample("macula_dht_records") == 5
    assert await sample("macula_rpc_calls_total", path="direct", outcome="carried") == 3
    assert await sample("macula_rpc_calls_total", path="direct", outcome="failed") == 1
    assert await sample("macula_relayed_total") == 0


async def are_counted(count):
    return await sample("macula_gateway_clients_total") == count


@pytest.mark.slow
async def test_a_metric_that_nobody_counts_at_the_moment_is_left_out(system):
    await start(system)
    assert await sample("macula_connections") is None  # the stand-in has no pool
    await suspend(RPC_HANDLER)
    assert await sample("macula_rpc_calls_total", path="direct", outcome="carried") is None
    assert await sample("macula_dht_contacts") == 7


@pytest.mark.parametrize(
    ("supervisor", "part"),
    [
        (GATEWAY_SYSTEM, GATEWAY),
        (GATEWAY_SYSTEM, GATEWAY_DIAGNOSTICS),
        (GATEWAY_SYSTEM, GATEWAY_QUIC_SERVER),
        (GATEWAY_WORKERS_SUP, GATEWAY_CLIENTS),
        (GATEWAY_WORKERS_SUP, GATEWAY_RPC),
        (GATEWAY_WORKERS_SUP, GATEWAY_MESH),
    ],
)
async def test_readiness_follows_each_part(system, supervisor, part):
    await start(system)

    await terminate_child(supervisor, part)
    assert await get("/ready") == (503, "text/plain", "Not ready")

    await restart_child(supervisor, part)
    await until(is_ready)


PERMANENT = [
    *("macula_tables", "macula_routing_server", "macula_mesh_system", "endpoint", "peers_sup", "peer_connector"),
    *("gateway_dht", "service_registry", "rpc_handler", "pubsub_handler", "advertisement_manager", "membership"),
    *("macula_bootstrap_system", "bootstrap_server", "bootstrap_registry", "bootstrap_health"),
    *("gateway_diagnostics", "gateway_quic_server", "gateway_workers_sup", "gateway_clients", "gateway_pubsub"),
    *("gateway_rpc", "gateway_mesh", "routing_jobs", "rpc_workers", "pubsub_subscribers"),
]


def supervisors_of(node):
    """Return the supervisor of each process of ``node``, by names."""

    def below(tree):
        for child in tree.children:
            yield child.id, tree.id
            yield from below(child)

    return dict(below(node.system.tree()))


async def test_readiness_follows_the_whole_tree_of_the_node():
    settings = NodeConfig(mode=Mode.HYBRID, listen="127.0.0.1:0", health_port=0)
    async with Node(settings) as node:
        port = await gateway.get_health_port((GATEWAY_HEALTH, node.system))
        supervisor_of = supervisors_of(node)
        for name in PERMANENT:
            await terminate_child((supervisor_of[name], node.system), name)
            assert (await get("/ready", port=port))[0] == 503, name
            assert (await get("/live", port=port))[0] == 200
            await restart_child((supervisor_of[name], node.system), name)
            await until(partial(has_status, port, "/ready", 200))


@pytest.mark.parametrize(
    "name", ["macula_tables", "endpoint", "service_registry", "gateway_pubsub", "bootstrap_server"]
)
async def test_a_node_with_a_process_that_is_held_still_is_not_ready(name):
    settings = NodeConfig(mode=Mode.HYBRID, listen="127.0.0.1:0", health_port=0)
    async with Node(settings) as node:
        port = await gateway.get_health_port((GATEWAY_HEALTH, node.system))
        await until(partial(has_status, port, "/ready", 200))

        await suspend((name, node.system))
        assert (await get("/ready", port=port))[0] == 503

        await resume((name, node.system))
        await until(partial(has_status, port, "/ready", 200))


async def is_ready():
    return (await get("/ready"))[0] == 200


async def test_a_port_that_is_taken_is_a_typed_error_that_says_what_to_do(system):
    taken, port = a_listener()

    with taken, pytest.raises(StartError) as failed:
        await start_alone(system, port)

    error = failed.value.reason.error
    assert isinstance(error, ConfigError)
    assert (error.key, error.value) == ("health_port", port)
    assert f"{HOST}:{port}" in str(error)
    assert "choose a port that is free" in str(error)


async def test_a_port_that_is_taken_fails_the_start_of_the_gateway(system):
    taken, port = a_listener()

    with taken, pytest.raises(StartError) as failed:
        await system.start(GatewaySystem, config(health_port=port), name=GATEWAY_SYSTEM)

    assert "health_port" in repr(failed.value.reason)


async def test_where_any_port_will_do_a_free_one_is_taken(system):
    taken, port = a_listener()

    with taken:
        chosen = await start_alone(system, port, is_health_port_free=True)

    assert chosen not in {None, port}
    assert (await get("/live"))[0] == 200


async def test_without_a_port_nothing_listens(system):
    assert await start_alone(system, None) is None


@pytest.mark.parametrize("end", [kill, lambda ref: stop(ref, Shutdown())])
async def test_its_port_is_free_when_it_has_ended_however_it_ended(system, end):
    port = await start_alone(system)

    await end(system.whereis(GATEWAY_HEALTH))

    with pytest.raises(aiohttp.ClientConnectionError):
        await get("/live", port=port)
    with socket.create_server((HOST, port)):
        pass


async def test_a_health_server_that_was_killed_is_there_again_at_its_port(system):
    taken, port = a_listener()
    taken.close()
    spec = GatewayHealth.child_spec(config(health_port=port), id=GATEWAY_HEALTH, name=GATEWAY_HEALTH)
    await supervise(system, [spec])

    await kill(system.whereis(GATEWAY_HEALTH))

    await until(lambda: has_status(port, "/live", 200))


async def has_status(port, path, status):
    try:
        return (await get(path, port=port))[0] == status
    except aiohttp.ClientConnectionError:
        return False


async def test_who_sends_no_request_is_cut_off(system, monkeypatch):
    monkeypatch.setattr(health, "MAX_IDLE", 0.05)
    port = await start_alone(system)

    reader, writer = await asyncio.open_connection(HOST, port)

    assert await asyncio.wait_for(reader.read(), 2.0) == b""
    writer.close()
    await writer.wait_closed()


async def test_only_so_many_connections_are_kept_open(system, monkeypatch):
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 1)
    port = await start_alone(system)
    reader, writer = await asyncio.open_connection(HOST, port)

    assert (await get("/live"))[0] == 200
    assert await asyncio.wait_for(reader.read(), 2.0) == b""  # who asks for nothing makes room
    writer.close()
    await writer.wait_closed()
