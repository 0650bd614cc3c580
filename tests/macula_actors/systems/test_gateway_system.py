import asyncio

import pytest

from macula_actors.actors.gateway.diagnostics import ECHO
from macula_actors.actors.rpc.handler import RpcHandler
from macula_actors.actors.services.registry import ServiceRegistry
from macula_actors.config import RpcConfig, ServiceConfig
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.wire.messages import Call, Reply, RpcRoute
from macula_actors.errors import NoRouteError
from macula_actors.messages import gateway, peer, rpc
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY,
    GATEWAY_CLIENTS,
    GATEWAY_DIAGNOSTICS,
    GATEWAY_HEALTH,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    GATEWAY_QUIC_SERVER,
    GATEWAY_RPC,
    GATEWAY_SYSTEM,
    GATEWAY_WORKERS_SUP,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    RPC_WORKERS,
    SERVICE_REGISTRY,
)
from macula_actors.systems import gateway_system
from macula_actors.systems.gateway_system import GatewaySystem
from supervisors import INFINITY, ChildType, DynamicSupervisor, Restart, Shutdown, Strategy, stop
from supervisors.testing import assert_tree
from tests.macula_actors.actors.gateway.stand_ins import REALM, Rest, RestServer, config, until
from tests.macula_actors.actors.routing.mesh import wall_clock_ms
from tests.macula_actors.peers import simulated
from tests.support import kill, supervise

WORKERS = (GATEWAY_CLIENTS, GATEWAY_PUBSUB, GATEWAY_RPC, GATEWAY_MESH)
PARTS = (GATEWAY_HEALTH, GATEWAY_DIAGNOSTICS, GATEWAY_QUIC_SERVER, GATEWAY, *WORKERS)
REMOTE = "com.example.remote"


async def ready():
    return await gateway.is_ready(GATEWAY)


class Gateway:
    """A node of a simulated mesh that is a gateway; only its routing server is a stand-in."""

    def __init__(self, node, rest):
        self.node = node
        self.rest = rest

    def at(self, name):
        return (name, self.node.system)

    async def is_ready(self):
        return await gateway.is_ready(self.at(GATEWAY))

    async def until_clients(self, *nodes):
        """Wait until its clients, and its sessions, are exactly those with ``nodes``."""
        await until(lambda: self._has(nodes))

    async def _has(self, nodes):
        clients = await gateway.get_all_clients(self.at(GATEWAY_CLIENTS))
        sessions = await gateway.get_sessions(self.at(GATEWAY_MESH))
        expected = {node.identity.node_id for node in nodes}
        return {who.node_id for _, who in clients} == expected == set(sessions)


async def start_gateway(mesh, **fields):
    """Start a node that accepts connections only because it is a gateway."""
    node = await mesh.node(
        mesh={"accept_peers": False, "watchers": (GATEWAY, RPC_HANDLER)},
        peer={"routes": rpc.ROUTES},
        capabilities=(gateway.GATEWAY_CAPABILITY,),
    )
    rest = Rest()
    identity = node.identity
    services = ServiceConfig(identity=identity, realm=REALM, wall_clock_ms=wall_clock_ms)
    for start in (
        RestServer.child_spec(rest, id=ROUTING_SERVER, name=ROUTING_SERVER),
        ServiceRegistry.child_spec(services, id=SERVICE_REGISTRY, name=SERVICE_REGISTRY),
        DynamicSupervisor.child_spec(id=RPC_WORKERS, name=RPC_WORKERS),
        RpcHandler.child_spec(RpcConfig(identity=identity), id=RPC_HANDLER, name=RPC_HANDLER),
    ):
        await supervise(node.system, [start])
    await node.system.start(GatewaySystem, config(identity=identity, **fields), name=GATEWAY_SYSTEM)
    made = Gateway(node, rest)
    await until(made.is_ready)
    return made


def a_call(procedure, args="x"):
    return Call(procedure=procedure, args=encode(args, json=False), call_id=bytes(16), timeout=2000)


async def result_of(client, server, procedure):
    """Have ``client`` send a plain call to the gateway; return what comes of it."""
    reply = await client.request(server.node, a_call(procedure))
    return reply.error or decode(reply.result, json=False)


def test_the_tree_is_the_originals():
    flags = gateway_system.FLAGS
    specs, workers = gateway_system.children(config()), gateway_system.worker_children(config())

    assert (flags.strategy, flags.intensity, flags.period) == (Strategy.REST_FOR_ONE, 10, 60.0)
    assert [spec.id for spec in specs] == [*PARTS[:4], GATEWAY_WORKERS_SUP]
    assert [spec.id for spec in workers] == list(WORKERS)
    assert {spec.restart for spec in (*specs, *workers)} == {Restart.PERMANENT}
    assert {spec.shutdown for spec in (*specs[:4], *workers)} == {5.0}
    assert (specs[4].shutdown, specs[4].type) == (INFINITY, ChildType.SUPERVISOR)


async def test_the_gateway_starts_without_anything_else_and_is_not_ready(system):
    await system.start(GatewaySystem, config(), name=GATEWAY_SYSTEM)

    assert_tree(
        system,
        {
            GATEWAY_SYSTEM: {
                **{part: {} for part in PARTS[:4]},
                GATEWAY_WORKERS_SUP: {worker: {} for worker in WORKERS},
            }
        },
    )
    assert not await ready()


@pytest.mark.parametrize(("victim", "survivors"), [(part, PARTS[:at]) for at, part in enumerate(PARTS)])
async def test_a_crash_restarts_what_comes_after_and_nothing_else(system, victim, survivors):
    await system.start(GatewaySystem, config(), name=GATEWAY_SYSTEM)
    before = {part: system.whereis(part) for part in PARTS}

    await kill(before[victim])
    await until(lambda: are_there(system))

    assert {part for part in PARTS if system.whereis(part) is before[part]} == set(survivors)


async def are_there(system):
    return all(system.whereis(part) is not None for part in PARTS)


async def test_a_connect_registers_the_client_and_its_close_releases_everything():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        first, second = await mesh.nodes(2)
        for client in (first, second):
            await result_of(client, server, ECHO)
        await server.until_clients(first, second)

        await first.stop()
        await server.until_clients(second)
        await peer.close_connection(second.connector, server.node.contact)
        await server.until_clients()

        stats = await gateway.get_stats(server.at(GATEWAY))
        assert (stats.peers, stats.clients.clients, stats.mesh.sessions) == (0, 0, 0)


async def test_a_client_too_many_is_closed_and_the_others_are_served():
    async with simulated() as mesh:
        server = await start_gateway(mesh, max_clients=1)
        first, second = await mesh.nodes(2)
        await result_of(first, server, ECHO)

        await result_of(second, server, ECHO)  # a call that is in flight is answered

        assert (await second.end_of()).code == 8
        await server.until_clients(first)
        assert await result_of(first, server, ECHO)


async def test_a_client_calls_the_diagnostics():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        client = await mesh.node()

        assert (await result_of(client, server, ECHO))["echo"] == "x"


async def test_the_gateway_calls_another_node_for_a_client():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        client, provider = await mesh.nodes(2)
        server.rest.provide(REMOTE, provider.identity, provider.endpoint)

        assert await result_of(client, server, REMOTE) == "x"
        assert [call.procedure for call in provider.handled] == [REMOTE]


async def test_a_client_is_told_that_nobody_provides_what_it_calls():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        client = await mesh.node()

        assert (await result_of(client, server, REMOTE)).code == "no_provider"


async def test_one_client_reaches_another_through_the_relay():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        caller, callee = await mesh.node(), await mesh.node(answers={RpcRoute: routed})
        await callee.request(server.node, a_call(ECHO))
        await server.until_clients(callee)

        route = RpcRoute(
            destination_node_id=callee.identity.node_id,
            source_node_id=caller.identity.node_id,
            payload_type="call",
            payload=a_call("add"),
        )
        answer = await caller.request(server.node, route)

        assert answer.payload.result == route.payload.args
        assert (await gateway.get_mesh_stats(server.at(GATEWAY_MESH))).relayed == 1


def routed(inbound):
    """Answer a routed call with its arguments."""
    route = inbound.message
    return RpcRoute(
        destination_node_id=route.source_node_id,
        source_node_id=route.destination_node_id,
        payload_type="reply",
        payload=Reply(call_id=route.payload.call_id, result=route.payload.args),
    )


async def test_a_node_lets_clients_in_while_it_is_a_gateway_only():
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        first, second = await mesh.nodes(2)
        await result_of(first, server, ECHO)

        await stop(server.at(GATEWAY_SYSTEM), Shutdown())

        assert await first.request(server.node, a_call("unknown"))  # who is in stays
        with pytest.raises(NoRouteError):
            await second.request(server.node, a_call(ECHO), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [*PARTS, PEER_CONNECTOR, SERVICE_REGISTRY, RPC_HANDLER, ENDPOINT])
async def test_whoever_is_killed_clients_are_served_again_and_the_gateway_is_ready_again(victim):
    async with simulated() as mesh:
        server = await start_gateway(mesh)
        client = await mesh.node()
        await result_of(client, server, ECHO)
        await server.until_clients(client)

        await kill(server.node.process(victim))
        await until(server.is_ready)

        async with asyncio.timeout(10.0):
            assert (await result_of(client, server, ECHO))["echo"] == "x"
        await server.until_clients(client)
