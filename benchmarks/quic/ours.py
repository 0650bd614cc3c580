"""Our own nodes: a CALL through PeerConnector, answered with a REPLY by a GenServer; all that a node has is on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from typing_extensions import override

from benchmarks.quic.systems import Request
from macula_actors.config import MeshConfig, PeerConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.ids import message_id
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire import messages as wire
from macula_actors.messages.names import ENDPOINT, MESH_SYSTEM, PEER_CONNECTOR, TABLES
from macula_actors.messages.peer import GetAddress, Inbound, close_connection, request, stats
from macula_actors.systems.mesh_system import MeshSystem
from macula_actors.transport.engines import EngineName
from supervisors import From, GenServer, Ref, Reply, System, TableOwner

__all__ = ["connect", "dialling", "find", "make_config", "node", "serve"]

ECHO = "echo"
REPLY_BYTES = 100
DIALS = (1, 8)


class Echo(GenServer):
    """Answers with the first bytes of what it gets."""

    @override
    def handle_call(self, inbound: Inbound, from_: From) -> Reply:
        call = inbound.message
        assert isinstance(call, wire.Call)
        return Reply(wire.Reply(call_id=call.call_id, result=call.args[:REPLY_BYTES]))


def make_config(engine: EngineName) -> MeshConfig:
    """Return the settings of a new node on loopback."""
    handshake = HandshakeSettings(identity=Identity.generate(), realm="com.example.benchmark")
    peer = PeerConfig(handshake=handshake, routes={wire.Call: ECHO})
    return MeshConfig(listen=Endpoint("127.0.0.1", 0), engine=engine, peer=peer)


@asynccontextmanager
async def node(config: MeshConfig) -> AsyncGenerator[System]:
    """Run a node that echoes."""
    async with System("node") as system:
        await system.start(TableOwner, name=TABLES)
        await system.start(Echo, name=ECHO)
        await system.start(MeshSystem, config, name=MESH_SYSTEM)
        yield system


def find(system: System, name: str) -> Ref:
    """Return the process of ``system`` that is registered as ``name``."""
    ref = system.whereis(name)
    assert ref is not None
    return ref


async def serve(engine: EngineName, announce: Callable[[str], None]) -> None:
    """Answer until cancelled."""
    async with node(make_config(engine)) as system:
        announce(str(await find(system, ENDPOINT).call(GetAddress())))
        await asyncio.Event().wait()


@asynccontextmanager
async def connect(engine: EngineName, where: str) -> AsyncGenerator[Request]:
    """Start a node and connect it."""
    async with node(make_config(engine)) as system:
        connector, contact, rng = find(system, PEER_CONNECTOR), Contact(Endpoint.parse(where)), Random()

        async def ask(data: bytes) -> bytes:
            call = wire.Call(procedure=ECHO, args=data, call_id=message_id(rng))
            reply = await request(connector, contact, call, 60.0)
            assert isinstance(reply, wire.Reply)
            return reply.result or b""

        yield ask


@asynccontextmanager
async def dialling(engine: EngineName, where: str) -> AsyncGenerator[Callable[[], Awaitable[object]]]:
    """Start nodes, each of which dials, asks one thing and closes, over and over."""
    contact = Contact(Endpoint.parse(where))
    idle: list[Ref] = []
    async with AsyncExitStack() as stack:
        for _ in range(max(DIALS)):
            system = await stack.enter_async_context(node(make_config(engine)))
            idle.append(find(system, PEER_CONNECTOR))

        async def dial() -> None:
            connector = idle.pop()
            await request(connector, contact, wire.Ping(timestamp=0), 60.0)
            await close_connection(connector, contact)
            while (await stats(connector)).connections:  # noqa: ASYNC110 -- there is no event
                await asyncio.sleep(0)
            idle.append(connector)

        yield dial
