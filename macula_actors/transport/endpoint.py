"""A node's one UDP socket with all its QUIC connections, dialled and accepted.

Datagrams find their connection by the destination connection id in their header. What begins no connection is
refused, counted, and forgotten. RFC: 9000, sections 5.1, 5.2, 8.1, 21.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from loguru import logger
from typing_extensions import override

from macula_actors.core.peer.admission import Accept, Admission, AdmissionLimits, AskRetry, Refuse
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.wire.datagram import FIXED_BIT, Reset, decode_datagram, encode_reset
from macula_actors.errors import ConnectionLostError, RemoteProtocolError
from macula_actors.transport.connection import Connection
from macula_actors.transport.interface import Address, ConnectionOwner, DatagramReceiver, Engine, Network
from macula_actors.transport.stateless import CONNECTION_ID_BYTES, Initial, RetryTokens, pull_initial, refuse_initial

__all__ = ["QuicEndpoint"]

VERSIONS: Final = (QuicProtocolVersion.VERSION_1,)
MAX_RESETS: Final = 100  # a second; RFC 9000, 10.3.3: a flood of strangers' packets is not answered one by one

_LONG_HEADER: Final = 0x80
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

    Attributes:
        counters: what was accepted, refused, ignored, by name.

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
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.counters: Counter[str] = Counter()
        self._network = network
        self._engine = engine
        self._accept = accept
        self._admission = Admission(limits or AdmissionLimits())
        self._retry_tokens: RetryTokens | None = None
        self._routes: dict[bytes, Connection] = {}
        self._connections: dict[Connection, list[bytes]] = {}  # each with its ids
        self._peers: dict[Address, dict[Connection, None]] = {}
        self._touched: dict[Connection, None] = {}
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

    def now(self) -> float:
        """Return the clock of the connections, in seconds."""
        return self._network.now()

    def dial(self, address: Address, owner: ConnectionOwner) -> Connection:
        """Begin a connection to ``address``; ``owner`` hears how it goes. Nobody gives up but the idle time-out."""
        now = self.now()
        quic = self._engine.dial(address, now)
        connection = Connection(self, quic, address, now, dialled=True)
        self._admit(connection, quic.connection_id)
        connection.own(owner)
        self.touch(connection)
        return connection

    def close(self, code: CloseCode = CloseCode.SHUTDOWN, reason: str = "") -> None:
        """Close every connection, telling the peers, and the socket. Twice is once."""
        if self._is_closed:
            return
        for connection in self.connections:
            connection.close(code, reason)
        self._transmit()
        self._is_closed = True
        self._socket.close()
        for connection in self.connections:
            connection.fail(ConnectionLostError("local", code, reason))
            self.forget(connection)

    # Datagrams in

    @override
    def datagrams_received(self, batch: Sequence[tuple[bytes, Address]]) -> None:
        now = self.now()
        routes = self._routes
        pending: list[bytes] = []
        receiver: Connection | None = None
        sender: Address | None = None
        for data, address in batch:
            if not data:
                continue
            if data[0] & _LONG_HEADER:
                end = 6 + data[5] if len(data) > 5 else 0  # RFC 8999, 5.1
                connection = routes.get(data[6:end])
            else:
                connection = routes.get(data[1 : 1 + CONNECTION_ID_BYTES])
            if connection is not receiver or address != sender:
                self._give(receiver, pending, sender, now)
                pending, receiver, sender = [], connection, address
            if connection is None:
                self._stray(data, address, now)
            else:
                pending.append(data)
        self._give(receiver, pending, sender, now)

    @override
    def unreachable(self, address: Address) -> None:
        self.counters["unreachable"] += 1
        for connection in list(self._peers.get(address, ())):
            connection.doubt()

    def _give(self, connection: Connection | None, datagrams: list[bytes], sender: Address | None, now: float) -> None:
        if connection is None or sender is None:
            return
        try:
            connection.receive(datagrams, sender, now)
        except Exception as error:
            self._broken(connection, error)
        self.touch(connection)

    def _stray(self, data: bytes, address: Address, now: float) -> None:
        """Handle a datagram of no known connection."""
        try:
            if not data[0] & (FIXED_BIT | _LONG_HEADER):
                self._take_reset(decode_datagram(data), address)
            elif data[0] & _LONG_HEADER:
                self._take_initial(data, address, now)
            elif len(data) >= _MIN_SHORT_BYTES:
                self._send_reset(data[1 : 1 + CONNECTION_ID_BYTES], address, now)
        except RemoteProtocolError as error:
            self.counters[error.code] += 1

    def _take_reset(self, reset: Reset, address: Address) -> None:
        self.counters["reset_received"] += 1
        for connection in list(self._peers.get(address, ())):
            if connection.peer_connection_id == reset.connection_id:
                connection.doubt()

    def _send_reset(self, connection_id: bytes, address: Address, now: float) -> None:
        if now - self._reset_second >= 1.0:
            self._reset_second, self._resets = now, 0
        self._resets += 1
        if self._resets <= MAX_RESETS:
            self.counters["reset_sent"] += 1
            self._socket.send([encode_reset(Reset(connection_id))], address)

    # Connections

    def _take_initial(self, data: bytes, address: Address, now: float) -> None:
        initial = pull_initial(data, VERSIONS)
        if isinstance(initial, bytes):
            self.counters["version_negotiation"] += 1
            self._socket.send([initial], address)
        elif self._accept is None:
            self._refuse(initial, address, "not_accepting")
        else:
            self._decide(initial, data, address, now)

    def _decide(self, initial: Initial, data: bytes, address: Address, now: float) -> None:
        original = None
        if initial.token:
            try:
                original = self._tokens.original_destination_cid(initial, address, now)
            except RemoteProtocolError as error:
                self._socket.send([refuse_initial(initial, QuicErrorCode.INVALID_TOKEN, error.code)], address)
                raise
        match self._admission.decide(address[0], validated=original is not None, now=now):
            case Refuse(reason):
                self._refuse(initial, address, reason)
            case AskRetry():
                self.counters["retry"] += 1
                self._socket.send([self._tokens.retry(initial, address, now)], address)
            case Accept():
                self._begin(initial, original, data, address, now)

    def _begin(self, initial: Initial, original: bytes | None, data: bytes, address: Address, now: float) -> None:
        quic = self._engine.accept(
            original_destination_connection_id=original or initial.destination_cid,
            retry_source_connection_id=initial.destination_cid if original else None,
        )
        connection = Connection(self, quic, address, now, dialled=False)
        self._admission.opened(address[0])
        self._admit(connection, initial.destination_cid, quic.connection_id)
        self._give(connection, [data], address, now)

    def _refuse(self, initial: Initial, address: Address, reason: str) -> None:
        self.counters[reason] += 1
        self._socket.send([refuse_initial(initial, QuicErrorCode.CONNECTION_REFUSED, reason)], address)

    @property
    def _tokens(self) -> RetryTokens:
        if self._retry_tokens is None:
            self._retry_tokens = RetryTokens()
        return self._retry_tokens

    def _admit(self, connection: Connection, *connection_ids: bytes) -> None:
        self._connections[connection] = []
        self._peers.setdefault(connection.address, {})[connection] = None
        for connection_id in connection_ids:
            self.route(connection_id, connection)

    # For the connections

    def route(self, connection_id: bytes, connection: Connection) -> None:
        """Give ``connection`` what is sent to ``connection_id``."""
        self._routes[connection_id] = connection
        self._connections[connection].append(connection_id)

    def unroute(self, connection_id: bytes) -> None:
        """Know ``connection_id`` no more."""
        connection = self._routes.pop(connection_id, None)
        if connection is not None:
            self._connections[connection].remove(connection_id)

    def established(self, connection: Connection) -> None:
        """Count ``connection``'s handshake as done; find an owner for it if it was accepted."""
        if not connection.dialled and self._accept is not None:
            self.counters["accepted"] += 1
            self._admission.established(connection.address[0])
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
        if not connection.dialled:
            self._admission.closed(connection.address[0], established=connection.is_established)

    def touch(self, connection: Connection) -> None:
        """Send what ``connection`` has to send, soon, together with what comes until then."""
        if not self._touched:
            self.loop.call_soon(self._transmit)
        self._touched[connection] = None

    def _transmit(self) -> None:
        touched, self._touched = self._touched, {}
        now = self.now()
        for connection in touched:
            if connection in self._connections:
                try:
                    self._send(connection, connection.transmit(now))
                except Exception as error:
                    self._broken(connection, error)

    def _send(self, connection: Connection, datagrams: Sequence[tuple[bytes, Address]]) -> None:
        batch: list[bytes] = []
        target = connection.address
        for data, address in datagrams:
            if address != target:
                if batch:
                    self._socket.send(batch, target)
                batch, target = [], address
            batch.append(data)
        if batch:
            self._socket.send(batch, target)
            if not batch[-1][0] & _LONG_HEADER:
                connection.peer_connection_id = batch[-1][1 : 1 + CONNECTION_ID_BYTES]
            if target != connection.address:
                self._moved(connection, target)

    def _moved(self, connection: Connection, target: Address | None) -> None:
        there = self._peers[connection.address]
        del there[connection]
        if not there:
            del self._peers[connection.address]
        if target is not None:
            connection.address = target
            self._peers.setdefault(target, {})[connection] = None

    def _broken(self, connection: Connection, error: Exception) -> None:
        self.counters["engine_error"] += 1
        logger.opt(exception=error).error("{}: the engine {} failed", connection, self._engine.name)
        connection.fail(ConnectionLostError("local", CloseCode.INTERNAL, f"engine error: {error!r}"))
        self.forget(connection)
