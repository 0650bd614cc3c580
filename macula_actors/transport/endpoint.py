"""A node's one UDP socket with all its QUIC connections, dialled and accepted.

Datagrams find their connection by the destination connection id in their header. What begins no connection is
refused, counted, and forgotten. RFC: 9000, sections 5.1, 5.2, 8.1, 21.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from operator import itemgetter
from typing import Final, ParamSpec, TypeVar

from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from loguru import logger
from typing_extensions import override

from macula_actors.core.peer.admission import Accept, Admission, AdmissionLimits, AskRetry, Refuse, RefuseReason
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.wire.datagram import FIXED_BIT, Reset, decode_datagram, encode_reset
from macula_actors.errors import ConnectionLostError, DeniedError, RemoteProtocolError
from macula_actors.transport.connection import Connection
from macula_actors.transport.interface import Address, ConnectionOwner, DatagramReceiver, Engine, Network
from macula_actors.transport.stateless import CONNECTION_ID_BYTES, Initial, RetryTokens, pull_initial, refuse_initial

__all__ = ["STRAYS", "QuicEndpoint"]

T = TypeVar("T")
P = ParamSpec("P")

VERSIONS: Final = (QuicProtocolVersion.VERSION_1,)
MAX_RESETS: Final = 100  # a second; RFC 9000, 10.3.3: a flood of strangers' packets is not answered one by one
ANSWER_ROUNDS: Final = 2  # of the loop, in which what came is answered as a rule; measured
ACK_DELAY: Final = 0.01  # seconds that a lone datagram's acknowledgement waits for something to go with

STRAYS: Final = frozenset({
    "begun",
    "retry",
    "version_negotiation",
    "not_an_initial",
    "invalid_token",
    "not_accepting",
    "denied",
    *(reason.value for reason in RefuseReason),
    "reset_received",
    "reset_sent",
    "reset_not_sent",
    "unknown_datagram",
    "broken",
})  # what becomes of a datagram of no connection

_ADDRESS: Final = itemgetter(1)
_LONG_HEADER: Final = 0x80
_CID_AT: Final = 6  # RFC 8999, 5.1: the destination connection id in a long header, after its length
_MIN_SHORT_BYTES: Final = 21  # RFC 9000, 10.3: the shortest packet that is answered


class QuicEndpoint(DatagramReceiver):
    """One socket, many connections. Lives on the running loop.

    Args:
        network: where the socket is opened.
        engine: makes the connections.
        address: to bind; port 0 is one that is free.
        accept: given each accepted connection once its QUIC handshake is done, must call its `Connection.own`; None
            refuses all.
        limits: how many connections, and from whom.
        is_denied: whether an address is neither dialled nor let in.
        socket_lost: told when somebody else has closed the socket: it is time to close the endpoint, and open another.
        turn: the context that each batch of datagrams is handed over in; at its end those may act who were told of it,
            so that what they send goes out with the acknowledgements.

    Attributes:
        counters: what came, by name: ``datagrams`` are all, ``delivered`` those of a connection; each other one is
            under one of `STRAYS`. Beside them, events: ``accepted``, ``unreachable``, ``engine_error`` and more.
        is_accepting: whether new connections are let in; those that there are stay.
        partial_bytes: of frames that have not come whole, over all connections.
        now: the clock of the connections, in seconds.

    Raises:
        OSError: the address is in use, or not this host's.
    """

    def __init__(
        self,
        network: Network,
        engine: Engine,
        address: Address,
        *,
        accept: Callable[[Connection], None] | None = None,
        limits: AdmissionLimits | None = None,
        is_denied: Callable[[Address], bool] = lambda _: False,
        socket_lost: Callable[[OSError], None] = lambda _: None,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.counters: Counter[str] = Counter()
        self.partial_bytes = 0
        self.now = network.now
        self._engine = engine
        self._accept = accept
        self.is_accepting = accept is not None
        self._is_denied = is_denied
        self._socket_lost = socket_lost
        self._turn = turn
        self._admission = Admission(limits or AdmissionLimits())
        self._retry_tokens: RetryTokens | None = None
        self._routes: dict[bytes, Connection] = {}
        self._connections: dict[Connection, dict[bytes, None]] = {}  # each with its ids
        self._peers: dict[Address, dict[Connection, None]] = {}
        self._touched: dict[Connection, None] = {}
        self._lone: dict[Connection, float] = {}  # one packet came, nothing was sent since: until when, in order
        self._is_flushing = False  # soon
        self._is_answered = False  # something else than acknowledgements is to be sent
        self._is_urgent = False  # acknowledgements must not wait
        self._ack_timer: asyncio.TimerHandle | None = None
        self._reset_second = 0.0
        self._resets = 0
        self._is_closed = False
        self._socket = network.open(address, self)

    @property
    def address(self) -> Address:
        """Where it is bound."""
        return self._socket.address

    @property
    def connections(self) -> Sequence[Connection]:
        """All connections, also half open and closing ones, oldest first."""
        return list(self._connections)

    def dial(self, address: Address, owner: ConnectionOwner) -> Connection:
        """Begin a connection to ``address``; ``owner`` hears how it goes. Nobody gives up but the idle time-out.

        Raises:
            ConnectionLostError: the endpoint is closed.
            DeniedError: ``address`` is denied.
        """
        if self._is_denied(address):
            raise DeniedError("local", CloseCode.NORMAL, "this node denies the address")
        if self._is_closed:
            raise ConnectionLostError("local", CloseCode.SHUTDOWN, "the endpoint is closed")
        now = self.now()
        quic = self._engine.dial(address, now)
        connection = Connection(self, quic, address, now, dialled=True)
        self._admit(connection, quic.connection_id)
        connection.own(owner)
        self.touch(connection)
        return connection

    def deny(self, is_denied: Callable[[Address], bool]) -> int:
        """Neither dial nor let in whom ``is_denied`` names; end such connections without a word; return how many."""
        self._is_denied = is_denied
        ended = [connection for connection in self.connections if is_denied(connection.address)]
        for connection in ended:
            connection.fail(DeniedError("local", CloseCode.NORMAL, "its address is denied from now on"))
        return len(ended)

    def close(self, code: CloseCode = CloseCode.SHUTDOWN, reason: str = "") -> None:
        """Close every connection, telling the peers, and the socket. Twice is once."""
        if self._is_closed:
            return
        self._is_closed = True
        for connection in self.connections:
            self.attempt(connection, connection.close, code, reason)
        self._flush()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        self._socket.close()
        for connection in self.connections:
            connection.fail(ConnectionLostError("local", code, reason))

    # Datagrams in

    @override
    def datagrams_received(self, batch: Sequence[tuple[bytes, Address]]) -> None:
        self.counters["datagrams"] += len(batch)
        self._is_flushing = True  # at the end of this
        self._is_answered = self._is_urgent = False
        now = self.now()
        with self._turn():
            heard = self._hand_over(batch, now)
        for connection in heard:
            if connection not in self._touched and not connection.is_quiet():
                self._touched[connection] = None
                self._is_urgent = True
        self._is_flushing = False
        if self._is_answered:
            self._flush()
        elif self._is_urgent:
            self.loop.call_soon(self._flush_after, ANSWER_ROUNDS)
        if self._lone and self._ack_timer is None:
            self._ack_timer = self.loop.call_later(ACK_DELAY, self._flush_late)

    def _hand_over(self, batch: Sequence[tuple[bytes, Address]], now: float) -> Sequence[Connection]:
        """Give each connection its datagrams; return those that got some, perhaps twice."""
        heard: list[Connection] = []
        routes = self._routes
        pending: list[bytes] = []
        receiver: Connection | None = None
        sender: Address = ("", 0)
        for data, address in batch:
            if data and data[0] & _LONG_HEADER:
                end = _CID_AT + data[_CID_AT - 1] if len(data) >= _CID_AT else 0
                connection = routes.get(data[_CID_AT:end])
            else:
                connection = routes.get(data[1 : 1 + CONNECTION_ID_BYTES])
            if connection is not receiver or address != sender:
                if receiver is not None:
                    self._deliver(receiver, pending, sender, now)
                if connection is not None:
                    heard.append(connection)
                pending, receiver, sender = [], connection, address
            if connection is None:
                self._stray(data, address, now)
            else:
                pending.append(data)
        if receiver is not None:
            self._deliver(receiver, pending, sender, now)
        return heard

    @override
    def unreachable(self, address: Address) -> None:
        self.counters["unreachable"] += 1
        for connection in list(self._peers.get(address, ())):
            connection.doubt()

    @override
    def socket_lost(self, error: OSError) -> None:
        self.counters["socket_lost"] += 1
        self._socket_lost(error)

    def _deliver(self, connection: Connection, datagrams: list[bytes], sender: Address, now: float) -> None:
        self.counters["delivered"] += len(datagrams)
        try:
            connection.receive(datagrams, sender, now)
        except Exception as error:
            self._broken(connection, error)
        if connection not in self._connections:
            return
        if len(datagrams) == 1 and not connection.is_owed(2):
            self._lone.setdefault(connection, now + ACK_DELAY)  # with an answer, if one comes: each packet costs time
        else:
            self._touched[connection] = None
            self._is_urgent = True  # RFC 9000, 13.2.2: every second one is acknowledged at once

    def _stray(self, data: bytes, address: Address, now: float) -> None:
        """Handle a datagram of no known connection, and count it."""
        try:
            self.counters[self._handle_stray(data, address, now)] += 1
        except RemoteProtocolError as error:
            self.counters[error.code] += 1
        except Exception as error:  # strangers must not keep the rest of a batch from being read
            self.counters["broken"] += 1
            logger.opt(exception=error).error("a datagram of {} bytes from {} failed", len(data), address)

    def _handle_stray(self, data: bytes, address: Address, now: float) -> str:
        """Do what a datagram of no known connection asks for; return one of `STRAYS`."""
        kind = data[0] if data else 0
        if kind & _LONG_HEADER:
            return self._take_initial(data, address, now)
        if not kind & FIXED_BIT:
            return self._take_reset(decode_datagram(data), address)
        if len(data) < _MIN_SHORT_BYTES:
            return "unknown_datagram"
        return self._send_reset(data[1 : 1 + CONNECTION_ID_BYTES], address, now)

    def _take_reset(self, reset: Reset, address: Address) -> str:
        for connection in list(self._peers.get(address, ())):
            if connection.peer_connection_id == reset.connection_id:
                connection.doubt()
        return "reset_received"

    def _send_reset(self, connection_id: bytes, address: Address, now: float) -> str:
        if now - self._reset_second >= 1.0:
            self._reset_second, self._resets = now, 0
        self._resets += 1
        if self._resets > MAX_RESETS:
            return "reset_not_sent"
        self._socket.send([encode_reset(Reset(connection_id))], address)
        return "reset_sent"

    # Connections

    def _take_initial(self, data: bytes, address: Address, now: float) -> str:
        initial = pull_initial(data, VERSIONS)
        if isinstance(initial, bytes):
            self._socket.send([initial], address)
            return "version_negotiation"
        if not self.is_accepting or self._is_closed:
            return self._refuse(initial, address, "not_accepting")
        original = None
        if initial.token:
            try:
                original = self._tokens.original_destination_cid(initial, address, now)
            except RemoteProtocolError as error:
                return self._refuse(initial, address, error.code, QuicErrorCode.INVALID_TOKEN)
        if self._is_denied(address):
            return self._refuse(initial, address, "denied")
        match self._admission.decide(address[0], validated=original is not None, now=now):
            case Refuse(reason):
                return self._refuse(initial, address, reason)
            case AskRetry():
                self._socket.send([self._tokens.retry(initial, address, now)], address)
                return "retry"
            case Accept():
                return self._begin(initial, original, data, address, now)

    def _begin(self, initial: Initial, original: bytes | None, data: bytes, address: Address, now: float) -> str:
        quic = self._engine.accept(
            original_destination_connection_id=original or initial.destination_cid,
            retry_source_connection_id=initial.destination_cid if original else None,
        )
        connection = Connection(self, quic, address, now, dialled=False)
        self._admission.opened(address[0])
        self._admit(connection, initial.destination_cid, quic.connection_id)
        self.attempt(connection, connection.receive, [data], address, now)
        self.touch(connection)
        return "begun"

    def _refuse(
        self, initial: Initial, address: Address, reason: str, code: QuicErrorCode = QuicErrorCode.CONNECTION_REFUSED
    ) -> str:
        self._socket.send([refuse_initial(initial, code, reason)], address)
        return reason

    @property
    def _tokens(self) -> RetryTokens:
        if self._retry_tokens is None:
            self._retry_tokens = RetryTokens()
        return self._retry_tokens

    def _admit(self, connection: Connection, *connection_ids: bytes) -> None:
        self._connections[connection] = {}
        self._peers.setdefault(connection.address, {})[connection] = None
        for connection_id in connection_ids:
            self.route(connection_id, connection)

    # For the connections

    def route(self, connection_id: bytes, connection: Connection) -> None:
        """Give ``connection``, unless it is forgotten, what is sent to ``connection_id``."""
        connection_ids = self._connections.get(connection)
        if connection_ids is not None:
            self._routes[connection_id] = connection
            connection_ids[connection_id] = None  # perhaps again: aioquic tells of each copy that it sends

    def unroute(self, connection_id: bytes) -> None:
        """Know ``connection_id`` no more."""
        connection = self._routes.pop(connection_id, None)
        if connection is not None:
            del self._connections[connection][connection_id]

    def established(self, connection: Connection) -> None:
        """Count ``connection``'s handshake as done; find an owner for it if it was accepted."""
        if not connection.dialled and self._accept is not None:
            self.counters["accepted"] += 1
            self._admission.established(connection.first_address[0])
            self._accept(connection)

    def forget(self, connection: Connection) -> None:
        """Know ``connection`` no more. Twice is once."""
        connection_ids = self._connections.pop(connection, None)
        if connection_ids is None:
            return
        for connection_id in connection_ids:
            del self._routes[connection_id]
        self._moved(connection, None)
        self._touched.pop(connection, None)
        self._lone.pop(connection, None)
        if not connection.dialled:
            self._admission.closed(connection.first_address[0], established=connection.is_established)

    def touch(self, connection: Connection) -> None:
        """Send what ``connection`` has to send soon, together with what comes until then."""
        if connection in self._connections:
            self._touched[connection] = None
            self._is_answered = True
            if not self._is_flushing:
                self._is_flushing = True
                self.loop.call_soon(self._flush)

    def send_at_once(self, connection: Connection) -> None:
        """Send what ``connection`` has to send: at the end of the batch that is being handed over, or else now."""
        if self._is_flushing:
            self.touch(connection)
        else:
            self.send_now(connection)

    def send_now(self, connection: Connection) -> None:
        """Send what ``connection`` has to send."""
        if connection in self._connections:
            self._touched.pop(connection, None)
            self._lone.pop(connection, None)
            self.attempt(connection, self._send, connection, self.now())

    def attempt(self, connection: Connection, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what ``step`` of ``connection`` does; if its engine fails, it alone ends."""
        try:
            return step(*args, **kwargs)
        except Exception as error:
            self._broken(connection, error)
            return None

    def _broken(self, connection: Connection, error: Exception) -> None:
        self.counters["engine_error"] += 1
        logger.opt(exception=error).error("{}: the engine {} failed", connection, self._engine.name)
        connection.fail(ConnectionLostError("local", CloseCode.INTERNAL, f"engine error: {error!r}"))

    def _flush_after(self, rounds: int) -> None:
        if rounds:
            self.loop.call_soon(self._flush_after, rounds - 1)
        else:
            self._flush()

    def _flush_late(self) -> None:
        self._ack_timer = None  # it is left to run when an answer comes first: that is cheaper than to cancel it
        now = self.now()
        for connection, due in self._lone.items():
            if due > now:
                self._ack_timer = self.loop.call_later(due - now, self._flush_late)
                break
            self._touched[connection] = None
        self._flush()

    def _flush(self) -> None:
        self._is_flushing = False
        touched, self._touched = self._touched, {}
        now = self.now()
        for connection in touched:
            self._lone.pop(connection, None)
            if connection in self._connections:
                try:
                    self._send(connection, now)
                except Exception as error:
                    self._broken(connection, error)

    def _send(self, connection: Connection, now: float) -> None:
        datagrams = connection.transmit(now)
        if len(datagrams) == 1:
            data, target = datagrams[0]
            self._send_to(connection, [data], target)
        elif datagrams:
            for target, group in groupby(datagrams, _ADDRESS):
                self._send_to(connection, [data for data, _ in group], target)
        connection.transmitted()

    def _send_to(self, connection: Connection, batch: list[bytes], target: Address) -> None:
        self._socket.send(batch, target)
        last = batch[-1]
        if not last[0] & _LONG_HEADER:
            connection.peer_connection_id = last[1 : 1 + CONNECTION_ID_BYTES]
        if target != connection.address and connection in self._connections:
            self._moved(connection, target)

    def _moved(self, connection: Connection, target: Address | None) -> None:
        there = self._peers[connection.address]
        del there[connection]
        if not there:
            del self._peers[connection.address]
        if target is not None:
            connection.address = target
            self._peers.setdefault(target, {})[connection] = None
