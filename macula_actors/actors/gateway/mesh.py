"""The sessions with nodes, and the relay over them. Erlang: macula_gateway_mesh.

There it was a pool of connections it made itself, and it waited for each (D-02, D-21); PeerConnector has the pool now.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.gateway.by_key import ByKey
from macula_actors.actors.gateway.relays import Relays
from macula_actors.config import GatewayConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.wire.encoder import encode
from macula_actors.errors import CallTimeoutError, LocalProtocolError, NoRouteError
from macula_actors.messages.gateway import (
    GetSessions,
    GetStats,
    HasSession,
    MeshStats,
    Ready,
    Relay,
    Session,
    SessionDown,
    SessionStats,
    SessionUp,
)
from macula_actors.messages.names import GATEWAY, GATEWAY_MESH
from macula_actors.messages.peer import Exchange
from supervisors import (
    Down,
    From,
    GenServer,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    System,
    UnexpectedRequestError,
    cast,
    demonitor,
    forward,
    monitor,
)

__all__ = ["GatewayMesh"]

SHOWN_SESSIONS: Final = 100  # whose counts are told; those that most was relayed to
SWEEP_INTERVAL: Final = 1.0  # seconds that a message is kept in memory at most after its relay is over


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Time to forget the messages whose relay is over."""


class GatewayMesh(GenServer):
    """Knows the connections to each node and passes messages on to them; it never waits for an answer.

    The connection answers who asked. So a cancellation reaches it, and then the node, without any help from here.
    """

    @override
    def init(self, config: GatewayConfig) -> None:
        self._max_sessions = config.max_sessions
        self._system = System.current()
        self._sessions: ByKey[NodeId] = ByKey()
        self._connections: dict[Ref, tuple[NodeId, MonitorRef]] = {}
        self._relays = Relays(config)
        self._sweep = Alarm(_Sweep())
        self._relayed: Counter[NodeId] = Counter()
        self._bytes: Counter[NodeId] = Counter()
        self._counted: Counter[str] = Counter()
        cast(GATEWAY, Ready(GATEWAY_MESH, self.actor_ref))

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case Relay():
                return self._relay(request, from_)
            case HasSession(node_id):
                return Reply(self._sessions.newest(node_id) is not None)
            case GetSessions():
                return Reply(tuple(self._sessions))
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case SessionUp(session):
                self._up(session)
            case SessionDown(connection):
                self._down(connection)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Down(ref=Ref() as connection):
                self._down(connection)
            case _Sweep():
                self._sweep.rang()
                relaying, _ = self._relays.counts(self._system.now())
                self._schedule(relaying)
            case _:
                raise UnexpectedRequestError(info)

    def _relay(self, request: Relay, from_: From) -> NoReply | Refuse:
        route, sender, deadline = request
        destination = NodeId(route.destination_node_id)
        now = self._system.now()
        connection = self._sessions.newest(destination)
        if connection is None:
            self._counted["no_route"] += 1
            return Refuse(NoRouteError(str(destination)))
        if now >= deadline:
            return Refuse(CallTimeoutError(str(destination), 0.0))
        try:
            frame = encode(route)
        except LocalProtocolError as error:
            return Refuse(error)
        excess = self._relays.check(sender, len(frame), now)
        if excess is not None:
            self._counted["refused"] += 1
            return Refuse(excess)
        self._relays.add(from_, sender, len(frame), deadline)
        self._count(destination, len(frame))
        self._schedule(1)
        forward(from_, connection, Exchange(frame, deadline, wants_reply=True))
        return NoReply()

    def _schedule(self, relaying: int) -> None:
        if relaying:
            now = self._system.now()
            self._sweep.set(now + SWEEP_INTERVAL, now)

    def _count(self, destination: NodeId, length: int) -> None:
        self._relayed[destination] += 1
        self._bytes[destination] += length
        self._counted["relayed"] += 1
        self._counted["bytes"] += length

    def _up(self, session: Session) -> None:
        if session.connection in self._connections:
            return
        if len(self._connections) >= self._max_sessions:
            self._counted["refused"] += 1
            return
        self._connections[session.connection] = session.node_id, monitor(session.connection)
        self._sessions.add(session.node_id, session.connection)

    def _down(self, connection: Ref) -> None:
        node_id, watch = self._connections.pop(connection, (None, None))
        if node_id is None or watch is None:
            return
        demonitor(watch)
        self._sessions.remove(node_id, connection)
        if node_id not in self._sessions:
            self._relayed.pop(node_id, None)
            self._bytes.pop(node_id, None)

    def statistics(self) -> MeshStats:
        """Return its counts."""
        relaying, relaying_bytes = self._relays.counts(self._system.now())
        busiest = [node_id for node_id, _ in self._relayed.most_common(SHOWN_SESSIONS)]
        return MeshStats(
            sessions=len(self._sessions),
            relaying=relaying,
            relaying_bytes=relaying_bytes,
            relayed=self._counted["relayed"],
            bytes=self._counted["bytes"],
            refused=self._counted["refused"],
            no_route=self._counted["no_route"],
            by_session=tuple(self._session(node_id) for node_id in busiest),
        )

    def _session(self, node_id: NodeId) -> SessionStats:
        return SessionStats(
            node_id=node_id,
            connections=self._sessions.count(node_id),
            relayed=self._relayed[node_id],
            bytes=self._bytes[node_id],
        )
