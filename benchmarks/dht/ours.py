"""Our nodes: RoutingServer over real QUIC with verified identities and signed records, all in this process."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from macula_actors.config import DhtConfig, MeshConfig, PeerConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import MaculaError
from macula_actors.messages import routing_server
from macula_actors.messages.gateway_dht import ROUTES
from macula_actors.messages.names import MESH_SYSTEM, ROUTING_SERVER, ROUTING_SYSTEM, TABLES
from macula_actors.systems.mesh_system import MeshSystem
from macula_actors.systems.routing_system import RoutingSystem
from supervisors import Kill, System, TableOwner, exit_signal

__all__ = ["OurNode", "start"]

HOST = "127.0.0.1"
REALM = "benchmark"
SEEDS = 3  # nodes that each newcomer is told of
SETTLING = 0.25  # seconds a node, for the lookups and handshakes of joining: one core does all of them
PATIENCE = 30.0  # seconds, until a node has joined


@dataclass(frozen=True, slots=True)
class OurNode:
    """One of our nodes."""

    system: System

    async def store(self, key: str, value: str) -> None:
        """Store at the k closest."""
        await routing_server.store((ROUTING_SERVER, self.system), NodeId.of(key.encode()), {b"value": value.encode()})

    async def find(self, key: str) -> str | None:
        """Find."""
        try:
            records = await routing_server.find_value((ROUTING_SERVER, self.system), NodeId.of(key.encode()))
        except MaculaError:
            return None
        values = [record.field("value") for record in records]
        return next((value.decode() for value in values if isinstance(value, bytes)), None)

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
    for _ in range(count):
        endpoint = Endpoint(HOST, _free_port())
        nodes.append(await _start(endpoint, tuple(endpoints[:SEEDS])))
        endpoints.append(endpoint)
    await asyncio.sleep(SETTLING * count)
    return nodes


async def _start(endpoint: Endpoint, bootstrap: tuple[Endpoint, ...]) -> OurNode:
    identity = Identity.generate()
    handshake = HandshakeSettings(identity=identity, realm=REALM, endpoint=endpoint)
    system = System(str(endpoint))
    await AsyncExitStack().enter_async_context(system)  # until `stop`
    await system.start(TableOwner, name=TABLES)
    await system.start(
        MeshSystem, MeshConfig(listen=endpoint, peer=PeerConfig(handshake=handshake, routes=ROUTES)), name=MESH_SYSTEM
    )
    await system.start(RoutingSystem, DhtConfig(identity=identity, bootstrap=bootstrap), name=ROUTING_SYSTEM)
    node = OurNode(system)
    async with asyncio.timeout(PATIENCE):
        while bootstrap and not await routing_server.size((ROUTING_SERVER, system)):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    return node


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
