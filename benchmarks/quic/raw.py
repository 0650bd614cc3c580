"""A bare QUIC engine on a socket: what our transport can come near to, but not pass.

One socket a process, drained at each wake-up; an engine is asked for what it has to send once for each batch of
datagrams or of requests. A request is a bidirectional stream of its own, with FIN both ways; the answer is its first
100 bytes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from types import ModuleType
from typing import Any, Protocol

from benchmarks.quic.udp import Address, UdpSocket

__all__ = ["IDLE_TIMEOUT", "MAX_DATA", "MAX_STREAMS", "MAX_STREAM_DATA", "Engine", "connect", "dialling", "serve"]

LOOPBACK = ("127.0.0.1", 0)
REPLY_BYTES = 100
MAX_STREAMS = 64  # in flight on a connection; more wait here

# What both engines are told; the same as `macula_actors.transport.interface.QuicSettings`.
IDLE_TIMEOUT = 60.0
MAX_DATA = 8 * 1_048_576
MAX_STREAM_DATA = 2 * 1_048_576

CONNECTION_ID_BYTES = 8
LONG_HEADER = 0x80  # RFC 9000, 17.2
PACKET_TYPE = 0x30  # of a long header; 0 is Initial


class Quic(Protocol):
    """What both engines' `QuicConnection` have."""

    host_cid: bytes

    def connect(self, addr: Address, now: float) -> None: ...
    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]: ...
    def next_event(self) -> object: ...
    def get_timer(self) -> float | None: ...
    def handle_timer(self, now: float) -> None: ...
    def get_next_available_stream_id(self) -> int: ...
    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine.

    Attributes:
        open_socket: for both sides.
        dial: makes a dialler's connection.
        accept: makes the connection whose first Initial was sent to the given id.
        receive: gives a connection a batch of datagrams, from an address, at an instant.
        can_open_stream: whether the peer allows one more.
        events: the engine's module of events.
    """

    open_socket: Callable[[Address], UdpSocket]
    dial: Callable[[], Quic]
    accept: Callable[[bytes], Quic]
    receive: Callable[[Any, list[bytes], Address, float], None]
    can_open_stream: Callable[[Any], bool]
    events: ModuleType


class Side(Protocol):
    """One side of a connection: hears of its events."""

    def established(self) -> None: ...
    def received(self, stream_id: int, data: bytes, end_stream: bool) -> None: ...
    def drained(self) -> None: ...
    def lost(self, reason: str) -> None: ...


class Connection:
    """An engine's connection, its timer and who hears of its events."""

    def __init__(
        self, endpoint: "Endpoint", quic: Quic, address: Address, side: Callable[["Connection"], Side]
    ) -> None:
        self.endpoint = endpoint
        self.quic = quic
        self.address = address
        self.side = side(self)
        self._ids: set[bytes] = set()
        self.reach_by(quic.host_cid)
        self._forgotten = False
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def reach_by(self, connection_id: bytes) -> None:
        """Be given what is sent to ``connection_id``."""
        self._ids.add(connection_id)
        self.endpoint.connections[connection_id] = self

    def drain(self) -> None:
        """Tell everything that happened."""
        events = self.endpoint.engine.events
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                self.side.received(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, events.HandshakeCompleted):
                self.side.established()
            elif isinstance(event, events.ConnectionIdIssued):
                self.reach_by(event.connection_id)
            elif isinstance(event, events.ConnectionIdRetired):
                self._ids.discard(event.connection_id)
                self.endpoint.connections.pop(event.connection_id, None)
            elif isinstance(event, events.ConnectionTerminated):
                self.forget()
                self.side.lost(event.reason_phrase)
        self.side.drained()

    def flush(self) -> None:
        """Send what there is to send, and see to the timer."""
        self._flushing = False
        if self._forgotten:
            return
        datagrams = self.quic.datagrams_to_send(monotonic())
        if datagrams:
            self.endpoint.socket.send([datagram for datagram, _ in datagrams], self.address)
        self._arm()

    def flush_soon(self) -> None:
        """Flush once, after all that is ready to run now has run."""
        if not self._flushing:
            self._flushing = True
            self.endpoint.loop.call_soon(self.flush)

    def _arm(self) -> None:
        """Watch the timer. One that has moved to later is left to fire early: that is rarer than moves are."""
        at = self.quic.get_timer()
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.endpoint.loop.call_later(max(0.0, at - monotonic()), self._due)

    def _due(self) -> None:
        self._timer = None
        now = monotonic()
        at = self.quic.get_timer()
        if at is not None and at <= now:
            self.quic.handle_timer(now)
            self.drain()
        self.flush()

    def close(self) -> None:
        """Close, tell the peer once, and forget: what still comes in is dropped."""
        self.quic.close()
        self.flush()
        self.forget()

    def forget(self) -> None:
        """Be reached no more, and do nothing more."""
        self._forgotten = True
        for connection_id in self._ids:
            self.endpoint.connections.pop(connection_id, None)
        if self._timer is not None:
            self._timer.cancel()


class Endpoint:
    """A socket, and the connections on it by the ids that peers send to."""

    def __init__(self, engine: Engine, accept: Callable[[Connection], Side] | None = None) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.socket = engine.open_socket(LOOPBACK)
        self.connections: dict[bytes, Connection] = {}
        self._accept = accept
        self.loop.add_reader(self.socket.fileno(), self._readable)

    def dial(self, address: Address, side: Callable[[Connection], Side]) -> Connection:
        """Begin a connection."""
        connection = Connection(self, self.engine.dial(), address, side)
        connection.quic.connect(address, monotonic())
        connection.flush()
        return connection

    def close(self) -> None:
        """Free the port."""
        self.loop.remove_reader(self.socket.fileno())
        self.socket.close()

    def _readable(self) -> None:
        batches: dict[Connection, list[bytes]] = {}
        for datagram, address in self.socket.receive():
            connection = self._route(datagram, address)
            if connection is not None:
                batches.setdefault(connection, []).append(datagram)
        now = monotonic()
        for connection, datagrams in batches.items():
            self.engine.receive(connection.quic, datagrams, connection.address, now)
            connection.drain()
            connection.flush_soon()

    def _route(self, datagram: bytes, address: Address) -> Connection | None:
        if not datagram[0] & LONG_HEADER:
            return self.connections.get(datagram[1 : 1 + CONNECTION_ID_BYTES])
        connection_id = datagram[6 : 6 + datagram[5]]
        connection = self.connections.get(connection_id)
        if connection is None and self._accept is not None and not datagram[0] & PACKET_TYPE:
            connection = Connection(self, self.engine.accept(connection_id), address, self._accept)
            connection.reach_by(connection_id)
        return connection


class Echo:
    """The acceptor's side: answers each stream with its first bytes."""

    def __init__(self, connection: Connection) -> None:
        self._quic = connection.quic
        self._heads: dict[int, bytes] = {}  # of streams that go on

    def established(self) -> None:
        pass

    def received(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        head = (self._heads.pop(stream_id, b"") + data[:REPLY_BYTES])[:REPLY_BYTES]
        if end_stream:
            self._quic.send_stream_data(stream_id, head, end_stream=True)
        else:
            self._heads[stream_id] = head

    def drained(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        pass


class Client:
    """The dialler's side: sends requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._quic = connection.quic
        self.ready: asyncio.Future[None] = connection.endpoint.loop.create_future()
        self._replies: dict[int, asyncio.Future[bytes]] = {}
        self._partial: dict[int, bytes] = {}
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()

    def request(self, message: bytes) -> Awaitable[bytes]:
        """Send ``message``, at once or when a stream may be opened, and return its answer."""
        reply: asyncio.Future[bytes] = self._connection.endpoint.loop.create_future()
        if self._can_send():
            self._send(message, reply)
        else:
            self._waiting.append((message, reply))
        return reply

    def _can_send(self) -> bool:
        return len(self._replies) < MAX_STREAMS and self._connection.endpoint.engine.can_open_stream(self._quic)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, message: bytes, reply: asyncio.Future[bytes]) -> None:
        stream_id = self._quic.get_next_available_stream_id()
        self._replies[stream_id] = reply
        self._quic.send_stream_data(stream_id, message, end_stream=True)
        self._connection.flush_soon()

    def established(self) -> None:
        self.ready.set_result(None)

    def received(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        whole = self._partial.pop(stream_id, b"") + data
        if not end_stream:
            self._partial[stream_id] = whole
            return
        self._replies.pop(stream_id).set_result(whole)

    def drained(self) -> None:
        while self._waiting and self._can_send():
            self._send(*self._waiting.popleft())

    def lost(self, reason: str) -> None:
        futures: list[asyncio.Future[Any]] = [
            self.ready,
            *self._replies.values(),
            *(reply for _, reply in self._waiting),
        ]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(ConnectionError(reason))


async def serve(engine: Engine, announce: Callable[[str], None]) -> None:
    """Answer requests until cancelled; ``announce`` the port."""
    endpoint = Endpoint(engine, Echo)
    announce(str(endpoint.socket.address()[1]))
    try:
        await asyncio.Event().wait()
    finally:
        endpoint.close()


@asynccontextmanager
async def connect(engine: Engine, port: str) -> AsyncGenerator[Callable[[bytes], Awaitable[bytes]]]:
    """Give the function that sends a request to the server at ``port``."""
    endpoint = Endpoint(engine)
    try:
        client = await _dial(endpoint, port)
        yield client.request
        client.close()
    finally:
        endpoint.close()


@asynccontextmanager
async def dialling(engine: Engine, port: str) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Give the function that dials the server at ``port``, waits for the whole handshake, and closes."""
    endpoint = Endpoint(engine)

    async def dial() -> None:
        (await _dial(endpoint, port)).close()

    try:
        yield dial
    finally:
        endpoint.close()


async def _dial(endpoint: Endpoint, port: str) -> Client:
    client = endpoint.dial((LOOPBACK[0], int(port)), Client).side
    assert isinstance(client, Client)
    await client.ready
    return client
