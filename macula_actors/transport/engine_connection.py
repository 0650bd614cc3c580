"""What both engine adapters share: an `EngineConnection` over either library's connection, and their log kept quiet.

aioquic and qh3 name their events and most of their methods alike; the rest is each adapter's.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

from typing_extensions import override

from macula_actors.transport.interface import Address, Engine, EngineConnection, EngineEvents

__all__ = ["ACK_PATIENCE", "EventTable", "LibraryEngine", "Quic", "QuicEngineConnection", "event_table", "silence"]

# Both libraries acknowledge after 1 ms, in a datagram of its own if nothing else is to be sent: often one that the next
# request or reply would have carried. So a lone packet waits for that, so many seconds more. With the
# 1 ms that is less than the max_ack_delay of 25 ms that they announce. RFC 9000, 13.2.1 and 13.2.2.
ACK_PATIENCE: Final = 0.01

EventTable: TypeAlias = Mapping[type, Callable[[EngineEvents, Any], None]]

_REASON_BYTES: Final = 256  # of a reason phrase: its frame must fit in one packet, or both libraries raise


class Quic(Protocol):
    """What `QuicEngineConnection` asks of a library's connection, as its adapter has made it fit."""

    host_cid: bytes
    pending: deque[Any]  # what happened and was not told yet, the next first
    unacknowledged: int  # as `EngineConnection.unacknowledged`

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """As in `EngineConnection`."""

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """As in `EngineConnection`."""

    def get_timer(self) -> float | None:
        """As `EngineConnection.timer`."""

    def handle_timer(self, now: float) -> None:
        """As in `EngineConnection`."""

    def peer_certificate(self) -> bytes | None:
        """As in `EngineConnection`."""

    def max_streams(self) -> int:
        """Return how many streams the peer lets this side open, from the beginning; 0 before the handshake is done."""

    def get_next_available_stream_id(self) -> int:
        """Return the id of the bidirectional stream that is opened next, by the first write to it."""

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:  # noqa: FBT001, FBT002 -- theirs
        """As in `EngineConnection`, but it may raise."""

    def send_ping(self, uid: int) -> None:
        """As `EngineConnection.ping`."""

    def close(self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = "") -> None:
        """As in `EngineConnection`; without ``frame_type`` the code is the application's."""

    def close_event(self) -> Any:
        """Return the ConnectionTerminated of whoever closed first, as soon as one did."""

    def has_terminated(self) -> bool:
        """Return whether the closing or draining period is over."""


class LibraryEngine(Engine):
    """An engine over either library.

    Args:
        name: its name.
        quic: makes the library's connection, as its adapter has made it fit.
        connection: makes the `EngineConnection` over that.
        dialler: the library's configuration for connections that are dialled, one for all.
        acceptor: that for connections that are accepted.
    """

    def __init__(
        self,
        name: str,
        quic: Callable[..., Any],
        connection: Callable[[Any], EngineConnection],
        *,
        dialler: object,
        acceptor: object,
    ) -> None:
        self._name = name
        self._quic = quic
        self._connection = connection
        self._dialler = dialler
        self._acceptor = acceptor

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def dial(self, address: Address, now: float) -> EngineConnection:
        quic = self._quic(configuration=self._dialler)
        quic.connect(address, now)
        return self._connection(quic)

    @override
    def accept(
        self, *, original_destination_connection_id: bytes, retry_source_connection_id: bytes | None = None
    ) -> EngineConnection:
        return self._connection(
            self._quic(
                configuration=self._acceptor,
                original_destination_connection_id=original_destination_connection_id,
                retry_source_connection_id=retry_source_connection_id,
            )
        )


class QuicEngineConnection(EngineConnection):
    """The half of an `EngineConnection` that is the same over both libraries.

    Args:
        quic: the library's connection.
        table: how its events are told; all but the end.
    """

    def __init__(self, quic: Quic, table: EventTable) -> None:
        self._quic = quic
        self._table = table
        self._connection_id = quic.host_cid  # later, host_cid is the one of our ids that the peer uses
        self._close_is_known = False  # it was told, or is our own
        self._last_words: Sequence[tuple[bytes, Address]] = ()  # our CONNECTION_CLOSE, once it was sent
        self._unanswered = 0  # datagrams that came since then
        self._answer_at = 1  # so many of them bring it again
        self._is_terminated = False
        self._next_stream_id = quic.get_next_available_stream_id()
        self._max_streams = 0  # as of the last look

    @property
    @override
    def connection_id(self) -> bytes:
        return self._connection_id

    @override
    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        if self._last_words:
            self._unanswered += len(datagrams)
        self._quic.receive(datagrams, address, now)

    @override
    def drain(self, events: EngineEvents) -> None:
        pending, table = self._quic.pending, self._table
        while pending:
            event = pending.popleft()
            if (tell := table.get(event.__class__)) is not None:
                tell(events, event)
        if (closed := self._quic.close_event()) is not None:
            self._tell_end(closed, events)

    def _tell_end(self, closed: Any, events: EngineEvents) -> None:
        if not self._close_is_known:
            self._close_is_known = True
            # RFC 9000, 19.19: only the application's CONNECTION_CLOSE has no frame type.
            events.connection_closed(closed.error_code, closed.reason_phrase, application=closed.frame_type is None)
        if not self._is_terminated and self._quic.has_terminated():
            self._is_terminated = True
            events.connection_terminated()

    @override
    def datagrams_to_send(self, now: float) -> Sequence[tuple[bytes, Address]]:
        datagrams = self._quic.datagrams_to_send(now)
        return datagrams if self._quic.close_event() is None else self._closing_datagrams(datagrams)

    def _closing_datagrams(self, datagrams: list[tuple[bytes, Address]]) -> Sequence[tuple[bytes, Address]]:
        # RFC 9000, 10.2.1: who closes answers what still comes with CONNECTION_CLOSE, which may have got lost; ever
        # less often, so that two do not go on for ever. Neither library does. While draining there is none to send.
        if datagrams:
            self._last_words = datagrams
            return datagrams
        if self._unanswered < self._answer_at or self._quic.has_terminated():
            return ()
        self._answer_at = 2 * self._unanswered
        return self._last_words

    @override
    def unacknowledged(self) -> int:
        return self._quic.unacknowledged

    @override
    def timer(self) -> float | None:
        return self._quic.get_timer()

    @override
    def handle_timer(self, now: float) -> None:
        self._quic.handle_timer(now)

    @override
    def peer_certificate(self) -> bytes | None:
        return self._quic.peer_certificate()

    @override
    def open_stream(self) -> int | None:
        stream_id = self._next_stream_id
        if stream_id // 4 >= self._max_streams:
            self._max_streams = self._quic.max_streams()
            if stream_id // 4 >= self._max_streams:
                return None
        self._next_stream_id = stream_id + 4  # the library takes the id when something is sent
        return stream_id

    @override
    def ping(self, uid: int) -> None:
        self._quic.send_ping(uid)

    @override
    def close(self, error_code: int, reason_phrase: str) -> None:
        if self._quic.close_event() is None:
            self._close_is_known = True
            self._quic.close(error_code, None, _cut(reason_phrase))


def event_table(library: ModuleType) -> EventTable:
    """Return how to tell each type of event of ``library``, the module that defines them.

    A look-up by type costs the same for every type; this runs for each piece of each stream.
    """
    return {
        library.ConnectionIdIssued: lambda events, event: events.connection_id_issued(event.connection_id),
        library.ConnectionIdRetired: lambda events, event: events.connection_id_retired(event.connection_id),
        library.HandshakeCompleted: lambda events, _: events.handshake_completed(),
        library.PingAcknowledged: lambda events, event: events.ping_acknowledged(event.uid),
        library.StreamDataReceived: _tell_stream_data,
        library.StreamReset: lambda events, event: events.stream_reset(event.stream_id, event.error_code),
        library.StopSendingReceived: lambda events, event: events.stop_sending_received(
            event.stream_id, event.error_code
        ),
    }


def silence() -> None:
    """Keep the libraries' log to critical records, unless the program has set a level for it itself.

    Both log to ``quic``, and warn of whatever a peer does: what matters of that is told by `EngineEvents`.
    """
    logger = logging.getLogger("quic")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def _tell_stream_data(events: EngineEvents, event: Any) -> None:
    events.stream_data_received(event.stream_id, event.data, event.end_stream)


def _cut(phrase: str) -> str:
    """Return as much of ``phrase`` as may be sent, cut between characters."""
    return phrase.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
