"""Our nodes: RoutingServer over real QUIC with verified identities and signed records, all in this process."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from macula_actors.actors.routing.server import RoutingServer
from macula_actors.config import DhtConfig, MeshConfig, PeerConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import MaculaError
from macula_actors.messages import routing_server
from macula_actors.messages.gateway_dht import ROUTES
from macula_actors.messages.names import MESH_SYSTEM, ROUTING_SERVER, TABLES, TASKS
from macula_actors.systems.mesh_system import MeshSystem
from macula_actors.systems.tasks_system import TasksSystem
from macula_actors.transport.engines import EngineName
from supervisors import ChildSpec, Kill, Supervisor, SupFlags, System, TableOwner, exit_signal

__all__ = ["HOST", "OurNode", "free_ports", "start", "start_node"]

HOST = "127.0.0.1"
REALM = "benchmark"
DHT = "dht"
SEEDS = 3  # nodes that each newcomer is told of
SETTLING = 0.25  # seconds a node, for the lookups and handshakes of joining: one core does all of them
PATIENCE = 30.0  # seconds, until a node has joined


class DhtSystem(Supervisor):
    """Restarts a RoutingServer, as a node's root does."""

    @override
    def init(self, config: DhtConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return SupFlags(), [RoutingServer.child_spec(config, id=ROUTING_SERVER, name=ROUTING_SERVER)]


@dataclass(frozen=True, slots=True)
class OurNode:
    """One of our nodes."""

    system: System

    async def store(self, key: str, value: str) -> None:
        """Store at the k closest."""
        await self.spread(key, value)

    async def spread(self, key: str, value: str) -> int:
        """Store at the k closest, and return how many nodes have it then."""
        return await routing_server.store(
            (ROUTING_SERVER, self.system), NodeId.of(key.encode()), {b"value": value.encode()}
        )

    async def find(self, key: str) -> str | None:
        """Find."""
        try:
            records = await routing_server.find_value((ROUTING_SERVER, self.system), NodeId.of(key.encode()))
        except MaculaError:
            return None
        values = [record.field("value") for record in records]
        return next((value.decode() for value in values if isinstance(value, bytes)), None)

    async def holds(self, key: str) -> bool:
        """Tell whether the node itself keeps something under ``key``."""
        return bool(await routing_server.get_local((ROUTING_SERVER, self.system), NodeId.of(key.encode())))

    async def size(self) -> int:
        """Return how many others it knows."""
        return await routing_server.size((ROUTING_SERVER, self.system))

    async def stop(self) -> None:
        """End the processes, without a word to the peers where that can be had."""
        mesh = self.system.whereis(MESH_SYSTEM)
        if mesh is not None:
            exit_signal(mesh, Kill())
        await self.system.stop()


async def start(count: int) -> Sequence[OurNode]:
    """Start ``count`` nodes, each of which joins through the first ones."""
    nodes: list[OurNode] = []
    endpoints: list[Endpoint] = []
    for port in free_ports(count):
        endpoint = Endpoint(HOST, port)
        nodes.append(await start_node(endpoint, tuple(endpoints[:SEEDS])))
        endpoints.append(endpoint)
    await asyncio.sleep(SETTLING * count)
    return nodes


async def start_node(
    endpoint: Endpoint, bootstrap: tuple[Endpoint, ...], *, engine: EngineName = "aioquic", **dht: Any
) -> OurNode:
    """Return a node that has joined by ``bootstrap``; ``dht`` are fields of its `DhtConfig`."""
    identity = Identity.generate()
    handshake = HandshakeSettings(identity=identity, realm=REALM, endpoint=endpoint)
    peer = PeerConfig(handshake=handshake, routes=ROUTES)
    config = DhtConfig(identity=identity, bootstrap=bootstrap, **dht)
    system = System(str(endpoint))
    await AsyncExitStack().enter_async_context(system)  # until `stop`
    await system.start(TableOwner, name=TABLES)
    await system.start(MeshSystem, MeshConfig(listen=endpoint, engine=engine, peer=peer), name=MESH_SYSTEM)
    await system.start(TasksSystem, config, name=TASKS)
    await system.start(DhtSystem, config, name=DHT)
    node = OurNode(system)
    async with asyncio.timeout(PATIENCE):
        while bootstrap and not await node.size():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    return node


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody has at present, no two alike."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
