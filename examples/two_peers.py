"""Two nodes connect over QUIC, prove who they are, ask each other, and refuse a stranger.

Run: ``python -m examples.two_peers``.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from typing_extensions import override

from macula_actors.config import MeshConfig, PeerConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.messages import Call
from macula_actors.core.wire.messages import Reply as WireReply
from macula_actors.errors import MaculaError
from macula_actors.messages.names import ENDPOINT, MESH_SYSTEM, PEER_CONNECTOR, TABLES
from macula_actors.messages.peer import GetAddress, Inbound, request
from macula_actors.systems.mesh_system import MeshSystem
from supervisors import From, GenServer, Reply, System, TableOwner, UnexpectedRequestError, call

CALL = Call(procedure="upper", args=b"hello", call_id=bytes(16))


class Shouter(GenServer):
    """Handles the calls of other nodes."""

    @override
    def handle_call(self, request: object, from_: From) -> Reply:
        match request:
            case Inbound(_, Call() as asked, _):
                return Reply(WireReply(call_id=asked.call_id, result=asked.args.upper()))
            case _:
                raise UnexpectedRequestError(request)


@asynccontextmanager
async def node(realm: str) -> AsyncGenerator[tuple[System, Contact]]:
    """Run a node of ``realm``; give its world, and how others know it."""
    identity = Identity.generate()
    peer = PeerConfig(handshake=HandshakeSettings(identity=identity, realm=realm), routes={Call: "shouter"})
    async with System(realm) as system:
        await system.start(TableOwner, name=TABLES)
        await system.start(Shouter, name="shouter")
        await system.start(MeshSystem, MeshConfig(listen=Endpoint("127.0.0.1", 0), peer=peer), name=MESH_SYSTEM)
        endpoint = await call(ENDPOINT, GetAddress())
        yield system, Contact(endpoint, identity.node_id)


async def main() -> None:
    """Show all three."""
    async with node("com.example") as (_, bob), node("com.example") as (alice, _), node("org.other") as (eve, _):
        print("bob answers:", await request((PEER_CONNECTOR, alice), bob, CALL))

        impostor = Contact(bob.endpoint, Identity.generate().node_id)
        for who, system, contact in (("alice", alice, impostor), ("eve", eve, bob)):
            try:
                await request((PEER_CONNECTOR, system), contact, CALL)
            except MaculaError as error:
                print(f"{who} is told:", type(error).__name__)


if __name__ == "__main__":
    asyncio.run(main())
