"""Gets a message to a node over the right connection, making one if there is none.

Erlang: macula_peer_connector (a connection, a pause and no answer for each message: D-21), macula_gateway_mesh's pool.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.peer.connection import DialTo, PeerConnection
from macula_actors.actors.peer.gateways import Gateways, Kept
from macula_actors.config import MeshConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact, Key
from macula_actors.core.peer.pool import ConnectionPool
from macula_actors.core.peer.pool_decisions import (
    Close,
    CloseReason,
    Decision,
    Fail,
    Live,
    Refusal,
    Serve,
    StartDial,
    Use,
    Wait,
)
from macula_actors.core.peer.pool_decisions import Refuse as PoolRefuse
from macula_actors.core.peer.v08 import is_client_of_v08
from macula_actors.errors import (
    BadProofError,
    CallTimeoutError,
    ConnectionLostError,
    DeniedError,
    IdentityMismatchError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RealmMismatchError,
    SelfDialError,
)
from macula_actors.messages.asking import told_now
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, PEERS_SUP, PUBSUB_HANDLER
from macula_actors.messages.peer import (
    Announce,
    Busy,
    CloseConnection,
    CloseWhenDone,
    ConnectorStats,
    Established,
    GatewaysChanged,
    GetGateways,
    GetPeers,
    GetStats,
    PeerDown,
    PeerUp,
    Request,
)
from supervisors import (
    Continue,
    Down,
    ExitReason,
    From,
    GenServer,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    Restart,
    Shutdown,
    SupervisorsError,
    System,
    UnexpectedRequestError,
    cast,
    forward,
    monitor,
    send_request,
    which_children,
)
from supervisors.requests import StartChild

__all__ = ["PeerConnector"]

# Dialling again soon does not help against these.
LASTING: Final = (BadProofError, DeniedError, IdentityMismatchError, RealmMismatchError, SelfDialError)

CLOSE_CODES: Final = {
    CloseReason.DUPLICATE: CloseCode.REPLACED,
    CloseReason.EVICTED: CloseCode.EVICTED,
    CloseReason.IDLE: CloseCode.IDLE,
    CloseReason.OVERLOADED: CloseCode.OVERLOADED,
    CloseReason.OWN_NODE: CloseCode.SELF_DIAL,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    from_: From
    request: Request
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Due:
    """Time for what the pool has waited for."""


_LATER: Final = NoReply()  # the answer

_Decision: TypeAlias = Decision[Ref, _Waiter | Kept]


class PeerConnector(GenServer):
    """Keeps the pool of connections. It never waits: a dial is a process of its own, and answers come later.

    A crash of it closes nothing: the next one asks the connections that there are to announce themselves.
    """

    @override
    def init(self, config: MeshConfig) -> Continue:
        self.config = config
        self._system = System.current()
        self.pool: ConnectionPool[Ref, _Waiter | Kept] = ConnectionPool(
            config.peer.handshake.identity.node_id, limits=config.pool, backoff=config.backoff
        )
        self._starting: dict[RequestId, StartDial] = {}
        self._dials: dict[Ref, Key] = {}
        self._known: dict[Ref, PeerUp] = {}
        self._gateways = Gateways(config.keep, config.backoff)
        self._due = Alarm(_Due())
        return Continue(None)

    @override
    async def handle_continue(self, term: object) -> NoReply:
        for child in await which_children(PEERS_SUP):
            if isinstance(child.ref, Ref):
                child.ref.cast(Announce())
        self._schedule()
        return NoReply()

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case Request():
                return self._carry(request, from_)
            case CloseConnection(contact):
                return Reply(self._close_connection(contact))
            case GetStats():
                return Reply(self.statistics())
            case GetPeers():
                return Reply(self.peers())
            case GetGateways():
                return Reply(self._gateways.contacts())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        now = self._system.now()
        match request:
            case Established():
                self._established(request, now)
            case Busy(connection, in_flight):
                self.pool.busy(connection, in_flight + self._gateways.is_kept(connection), now)
            case _:
                raise UnexpectedRequestError(request)
        self._schedule()

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Down(_, ref, reason) if isinstance(ref, Ref):
                self._ended(ref, reason)
            case Response(request):
                self._started(self._starting.pop(request), request)
            case _Due():
                self._due.rang()
                self._carry_out(self.pool.due(self._system.now()))
                self._keep(self._system.now())
            case _:
                raise UnexpectedRequestError(info)
        self._schedule()

    # What it knows

    def peers(self) -> tuple[PeerUp, ...]:
        """Return the connections that there are, oldest first."""
        return tuple(self._known.values())

    def round_trip_now(self, node_id: NodeId) -> float | None:
        """Return the round trip to ``node_id`` in seconds, where there is a connection, and it is known."""
        state = self.pool.state(Contact(None, node_id))
        seconds: float | None = told_now(state.connection, "round_trip_now") if isinstance(state, Live) else None
        return seconds

    def statistics(self) -> ConnectorStats:
        """Return its counts."""
        named = tuple((str(up.peer.node_id or up.peer.endpoint), ref) for ref, up in self._known.items())
        return ConnectorStats(self.pool.stats(), named)

    # Messages

    def _carry(self, request: Request, from_: From) -> NoReply | Refuse:
        contact, exchange, connect_by = request
        now = self._system.now()
        connection = self.pool.use(contact, now)
        while connection is not None:
            if connection.is_alive():
                forward(from_, connection, exchange)
                return _LATER
            self._ended(connection, connection.exit_reason)  # its Down is on the way
            connection = self.pool.use(contact, now)
        deadline = exchange.deadline if connect_by is None else connect_by
        match self.pool.want(contact, _Waiter(from_, request, now), deadline, now):
            case Use(connection):
                forward(from_, connection, exchange)
            case StartDial() as dial:
                self._carry_out([dial])
            case Wait():
                pass
            case PoolRefuse(Refusal.TOO_MANY_WAITERS) if self._withdraw_gone():
                return self._carry(request, from_)
            case PoolRefuse(reason, error):
                return Refuse(_error_of(contact, reason, error, deadline - now))
        self._schedule()
        return _LATER

    def _withdraw_gone(self) -> bool:
        """Forget those who have given up what they wait for; tell whether there were any."""
        gone = [each for each in self.pool.waiters if isinstance(each, _Waiter) and not each.from_.is_waiting]
        for waiter in gone:
            self.pool.withdraw(waiter)
        return bool(gone)

    def _carry_out(self, decisions: Iterable[_Decision]) -> None:
        for decision in decisions:
            match decision:
                case Serve(Kept() as kept, connection):
                    self._kept(kept, connection)
                case Fail(Kept() as kept, _, _):
                    self._gateways.failed(kept, self._system.now(), self._system.random)
                case Serve(_Waiter() as waiter, connection):
                    forward(waiter.from_, connection, waiter.request.exchange)
                case Fail(_Waiter() as waiter, reason, error):
                    _, exchange, connect_by = waiter.request
                    deadline = exchange.deadline if connect_by is None else connect_by
                    timeout = deadline - waiter.asked_at
                    waiter.from_.refuse(_error_of(waiter.request.contact, reason, error, timeout))
                case Close(connection, reason):
                    connection.cast(CloseWhenDone(CLOSE_CODES[reason]))
                case StartDial(key, contact):
                    spec = PeerConnection.child_spec(DialTo(key, contact), self.config, restart=Restart.TEMPORARY)
                    self._starting[send_request(PEERS_SUP, StartChild(spec))] = decision

    def _close_connection(self, contact: Contact) -> bool:
        is_known = False
        while isinstance(state := self.pool.state(contact), Live):  # two dials at once have made two
            is_known = True
            connection = state.connection
            up = self._known.get(connection)
            if up is not None and up.peer.node_id is not None:
                contact = Contact(None, up.peer.node_id)
            self.pool.discard(connection, self._system.now())
            connection.cast(CloseWhenDone(CloseCode.NORMAL))
        return is_known

    # Connections

    def _started(self, dial: StartDial, request: RequestId) -> None:
        try:
            ref: Ref = request.result()
        except SupervisorsError as error:
            self._failed(dial.key, OverloadedError(f"connections: {error}"))
        else:
            self._dials[ref] = dial.key
            monitor(ref)

    def _established(self, established: Established, now: float) -> None:
        key, connection, node_id = established.key, established.connection, established.peer.node_id
        if connection in self._known:
            return
        if connection not in self._dials:
            monitor(connection)
        self._known[connection] = up = PeerUp(established.peer, connection, key is not None)
        self._tell(up)
        self._dials.pop(connection, None)
        if key is not None:  # dialled, perhaps for the connector before this one
            self._carry_out(self.pool.established(key, connection, node_id, now))
        elif node_id is not None and not is_client_of_v08(established.peer):
            self._carry_out(self.pool.accepted(connection, node_id, now))

    def _ended(self, ref: Ref, reason: ExitReason) -> None:
        error = _error_in(reason)
        up = self._known.pop(ref, None)
        if up is not None:
            self.pool.closed(ref, error, self._system.now(), self._system.random)
            self._tell(PeerDown(up.peer.node_id, ref))
            if self._gateways.ended(ref, self._system.now()):
                self._tell_gateways()
        key = self._dials.pop(ref, None)
        if key is not None:
            self._failed(key, error)

    def _failed(self, key: Key, error: MaculaError) -> None:
        lasting = isinstance(error, LASTING)
        self._carry_out(self.pool.failed(key, error, self._system.now(), self._system.random, lasting=lasting))

    def _tell(self, news: PeerUp | PeerDown) -> None:
        for watcher in self.config.watchers:
            cast(watcher, news)

    # Gateways

    @staticmethod
    def _tell_gateways() -> None:
        for name in (ADVERTISEMENT_MANAGER, PUBSUB_HANDLER):
            cast(name, GatewaysChanged())

    def _keep(self, now: float) -> None:
        """Dial the gateways that are due."""
        for kept in self._gateways.due(now):
            match self.pool.want(Contact(kept.endpoint), kept, now + self.config.peer.handshake_timeout, now):
                case Use(connection):
                    self._kept(kept, connection)
                case StartDial() as dial:
                    self._carry_out([dial])
                case Wait():
                    pass
                case PoolRefuse():
                    self._gateways.failed(kept, now, self._system.random)

    def _kept(self, kept: Kept, connection: Ref) -> None:
        up = self._known.get(connection)
        kept.connected(connection, None if up is None else up.peer)
        self.pool.busy(connection, 1, self._system.now())
        self._tell_gateways()

    def _schedule(self) -> None:
        """Have what is due done when it is."""
        self._due.set(min(self.pool.next_due(), self._gateways.next_due()), self._system.now())


def _error_in(reason: ExitReason) -> MaculaError:
    match reason:
        case Shutdown(MaculaError() as error):
            return error
        case _:
            return ConnectionLostError("local", CloseCode.INTERNAL, f"its process ended: {reason!r}")


def _error_of(contact: Contact, reason: Refusal, error: Exception | None, timeout: float) -> MaculaError:
    """Return what who asked for ``contact`` is told."""
    match reason:
        case Refusal.OWN_NODE:
            return SelfDialError()
        case Refusal.TOO_MANY_CONNECTIONS | Refusal.TOO_MANY_DIALS | Refusal.TOO_MANY_WAITERS:
            return OverloadedError(reason.replace("_", " "))
        case _ if isinstance(error, LASTING):
            return error
        case Refusal.EXPIRED if error is None:
            return CallTimeoutError(str(contact), timeout)
        case _:
            return NoRouteError(str(contact), () if error is None else (("direct", error),))
