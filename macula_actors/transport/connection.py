"""One QUIC connection of an endpoint, dialled or accepted: streams that carry frames.

Both ends may open streams. Whoever holds the connection is its owner, hears what happens, and must not wait in that.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from macula_actors.core.peer.close_codes import CloseCode, closed_by_peer, stream_refused
from macula_actors.core.wire.frame import Frame, FrameReader, whole_frame
from macula_actors.errors import ConnectionLostError, MaculaError, OverloadedError, RemoteProtocolError
from macula_actors.transport.interface import Address, ConnectionOwner, EngineConnection, EngineEvents, StreamFrame

if TYPE_CHECKING:
    from macula_actors.transport.endpoint import QuicEndpoint

__all__ = ["Connection"]

MAX_STREAMS: Final = 64  # that this side has open at once; more make aioquic slow, which visits each for every packet
MAX_UNSENT_BYTES: Final = 4 * 1_048_576  # queued in the engine: the peer's window is shut, or the path is slow
MAX_PARTIAL_BYTES: Final = 8 * 1_048_576  # of frames that have not come whole, over all streams

_TIMER_GRAIN: Final = 0.001  # seconds; the finest an event loop waits
_UNIDIRECTIONAL: Final = 0x02  # RFC 9000, 2.1
_ACCEPTOR: Final = 0x01


class Connection(EngineEvents):
    """One connection. Made by its endpoint only.

    Attributes:
        address: where the peer is; it may move (RFC 9000, section 9).
        dialled: whether this side dialled.
        is_established: whether the QUIC handshake is done.
        is_closed: whether it has ended, for whatever reason.
        peer_connection_id: the id that was sent to last.
    """

    def __init__(
        self, endpoint: "QuicEndpoint", quic: EngineConnection, address: Address, now: float, *, dialled: bool
    ) -> None:
        self.address = address
        self.dialled = dialled
        self.is_established = False
        self.is_closed = False
        self.peer_connection_id = b""
        self._endpoint = endpoint
        self._quic = quic
        self._owner: ConnectionOwner | None = None
        self._untold: list[Callable[[ConnectionOwner], None]] = []
        self._readers: dict[int, FrameReader] = {}
        self._partial_since: dict[int, float] = {}
        self._partial_bytes = 0
        self._arrived: list[StreamFrame] = []
        self._own_streams: set[int] = set()
        self._starved = False
        self._unsent_bytes = 0
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._now = now  # when the last datagrams came

    @override
    def __repr__(self) -> str:
        return f"<Connection {'to' if self.dialled else 'from'} {self.address[0]}:{self.address[1]}>"

    # For the owner

    def own(self, owner: ConnectionOwner) -> None:
        """Tell ``owner`` what happens from now on, and first what has happened since the beginning."""
        self._owner = owner
        untold, self._untold = self._untold, []
        for tell in untold:
            tell(owner)

    def peer_certificate(self) -> bytes | None:
        """Return the certificate, DER, that the acceptor showed; None at the acceptor itself."""
        return self._quic.peer_certificate()

    def open_stream(self) -> int | None:
        """Open a stream; None when too many are open. `ConnectionOwner.writable` then tells when to try again."""
        stream_id = None
        if len(self._own_streams) < MAX_STREAMS and not self.is_closed:
            stream_id = self._quic.open_stream()
        if stream_id is None:
            self._starved = True
        else:
            self._own_streams.add(stream_id)
        return stream_id

    def send(self, stream_id: int, data: bytes, *, end_stream: bool = True) -> None:
        """Send ``data`` on a stream; on one that is no more, nothing happens. Look at `has_room` before."""
        if not self.is_closed:
            self._unsent_bytes += len(data)
            self._quic.send_stream_data(stream_id, data, end_stream=end_stream)
            self._endpoint.touch(self)

    def has_room(self) -> bool:
        """Tell whether more can be sent; `ConnectionOwner.writable` tells when it can again."""
        if self._unsent_bytes >= MAX_UNSENT_BYTES and not self.is_closed:
            self._unsent_bytes = self._quic.unsent_bytes()
            self._full = self._unsent_bytes >= MAX_UNSENT_BYTES
            return not self._full
        return True

    def unsent_bytes(self) -> int:
        """Return how many bytes wait for the peer to take them."""
        return 0 if self.is_closed else self._quic.unsent_bytes()

    def abandon_stream(self, stream_id: int, code: CloseCode) -> None:
        """Neither send nor read on a stream any more, and have the peer stop too."""
        if not self.is_closed:
            self._stop_reading(stream_id, code)
            self._quic.reset_stream(stream_id, code)
            self._endpoint.touch(self)

    def finish_stream(self, stream_id: int) -> None:
        """End a stream on this side; what the peer still sends on it is not waited for."""
        if not self.is_closed:
            self._quic.send_stream_data(stream_id, b"", end_stream=True)
            self._own_streams.discard(stream_id)
            self._endpoint.touch(self)

    def overdue_streams(self, timeout: float) -> list[int]:
        """Return the streams on which the rest of a frame is awaited for ``timeout`` seconds or longer."""
        before = self._endpoint.now() - timeout
        return [stream_id for stream_id, since in self._partial_since.items() if since <= before]

    def count(self, name: str) -> None:
        """Count one ``name`` among what the endpoint counts."""
        self._endpoint.counters[name] += 1

    def ping(self, uid: int) -> None:
        """Ask the peer for a sign of life: `ConnectionOwner.ponged`."""
        if not self.is_closed:
            self._quic.ping(uid)
            self._endpoint.touch(self)

    def close(self, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection and tell the peer why. Twice is once. Its owner hears `ConnectionOwner.lost`."""
        if not self.is_closed:
            self._quic.close(code, reason)
            self._endpoint.touch(self)
            self._end(ConnectionLostError("local", code, reason))

    # For the endpoint

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """Take what came for this connection at one wake-up."""
        self._now = now
        self._quic.receive(datagrams, address, now)
        self._drain()

    def transmit(self, now: float) -> Sequence[tuple[bytes, Address]]:
        """Return the datagrams to send now, and arm the timer."""
        datagrams = self._quic.datagrams_to_send(now)
        self._arm(now)
        if self._full and self._quic.unsent_bytes() < MAX_UNSENT_BYTES // 2:
            self._unsent_bytes = self._quic.unsent_bytes()
            self._full = False
            self._tell(lambda owner: owner.writable())
        return datagrams

    def doubt(self) -> None:
        """Pass on that somebody says the peer is gone."""
        self._tell(lambda owner: owner.doubted())

    def fail(self, error: MaculaError) -> None:
        """End at once, without a word to the peer."""
        self._disarm()
        self._end(error)

    # What the engine tells

    @override
    def connection_id_issued(self, connection_id: bytes) -> None:
        self._endpoint.route(connection_id, self)

    @override
    def connection_id_retired(self, connection_id: bytes) -> None:
        self._endpoint.unroute(connection_id)

    @override
    def handshake_completed(self) -> None:
        self.is_established = True
        self._endpoint.established(self)
        self._tell(lambda owner: owner.established())

    @override
    def stream_data_received(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        reader = self._readers.get(stream_id)
        if reader is None:
            frame = whole_frame(data)
            if frame is not None:
                self._arrived.append(StreamFrame(stream_id, frame, end_stream))
                if end_stream:
                    self._own_streams.discard(stream_id)
                return
            reader = self._readers[stream_id] = FrameReader()
        before = reader.unread_bytes
        reader.receive(data)
        self._take_frames(stream_id, reader, end_stream=end_stream)
        self._count_partial(stream_id, before, reader.unread_bytes)
        if end_stream:
            self._finish_reading(stream_id)

    @override
    def stream_reset(self, stream_id: int, error_code: int) -> None:
        self._finish_reading(stream_id)
        self._fail_stream(stream_id, stream_refused(error_code))

    @override
    def stop_sending_received(self, stream_id: int, error_code: int) -> None:
        self._fail_stream(stream_id, stream_refused(error_code))

    @override
    def ping_acknowledged(self, uid: int) -> None:
        self._tell(lambda owner: owner.ponged(uid))

    @override
    def connection_closed(self, error_code: int, reason_phrase: str, *, application: bool) -> None:
        self._end(closed_by_peer(error_code, reason_phrase, application=application))

    @override
    def connection_terminated(self) -> None:
        self._disarm()
        self._end(ConnectionLostError("network", CloseCode.NORMAL, "terminated"))
        self._endpoint.forget(self)

    # Helpers

    def _drain(self) -> None:
        self._quic.drain(self)
        self._tell_frames()
        if self._starved and len(self._own_streams) < MAX_STREAMS:
            self._starved = False
            self._tell(lambda owner: owner.writable())

    def _take_frames(self, stream_id: int, reader: FrameReader, *, end_stream: bool) -> None:
        """Put what ``reader`` has into the list for the owner, the stream's end with the last."""
        arrived = self._arrived
        while True:
            try:
                frame = reader.next_frame()
            except RemoteProtocolError as error:
                arrived.append(StreamFrame(stream_id, error, end_stream and not reader.unread_bytes))
                if error.code == "frame_too_large":
                    self._stop_reading(stream_id, CloseCode.PROTOCOL_VIOLATION)
                    return
                continue
            if frame is None:
                break
            arrived.append(StreamFrame(stream_id, frame, end_stream and not reader.unread_bytes))
        if end_stream and not (arrived and arrived[-1].stream_id == stream_id and arrived[-1].end_stream):
            arrived.append(StreamFrame(stream_id, _cut_off(reader), end_stream=True))

    def _count_partial(self, stream_id: int, before: int, after: int) -> None:
        self._partial_bytes += after - before
        if not after:
            self._partial_since.pop(stream_id, None)
        elif stream_id not in self._partial_since:
            self._partial_since[stream_id] = self._now
        if self._partial_bytes > MAX_PARTIAL_BYTES:
            self._stop_reading(stream_id, CloseCode.OVERLOADED)
            self._fail_stream(stream_id, OverloadedError("bytes of unfinished frames", MAX_PARTIAL_BYTES))

    def _stop_reading(self, stream_id: int, code: CloseCode) -> None:
        self._quic.stop_stream(stream_id, code)
        self._finish_reading(stream_id)

    def _finish_reading(self, stream_id: int) -> None:
        reader = self._readers.pop(stream_id, None)
        if reader is not None:
            self._partial_bytes -= reader.unread_bytes
        self._partial_since.pop(stream_id, None)
        self._own_streams.discard(stream_id)

    def _tell_frames(self) -> None:
        if self._arrived:
            frames, self._arrived = self._arrived, []
            self._tell(lambda owner: owner.frames_received(frames))

    def _fail_stream(self, stream_id: int, error: MaculaError) -> None:
        self._tell_frames()
        self._tell(lambda owner: owner.stream_failed(stream_id, error))

    def _tell(self, tell: Callable[[ConnectionOwner], None]) -> None:
        if self._owner is None:
            self._untold.append(tell)
        elif not self.is_closed:
            tell(self._owner)

    def _end(self, error: MaculaError) -> None:
        if not self.is_closed:
            self._tell_frames()
            self._tell(lambda owner: owner.lost(error))
            self.is_closed = True
            self._readers.clear()
            self._own_streams.clear()

    def _arm(self, now: float) -> None:
        """Have `_time` called when the engine wants it. A timer that is early enough is left: it looks again."""
        at = self._quic.timer()
        if at is None:
            self._disarm()
        elif self._timer is None or at < self._timer_at:
            self._disarm()
            self._timer_at = at
            self._timer = self._endpoint.loop.call_later(max(at - now, _TIMER_GRAIN), self._time)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time(self) -> None:
        self._timer = None
        now = self._endpoint.now()
        at = self._quic.timer()
        if at is not None and at <= now:
            self._quic.handle_timer(now)
            self._drain()
        self._endpoint.touch(self)


def _cut_off(reader: FrameReader) -> Frame | RemoteProtocolError | None:
    if reader.unread_bytes:
        return RemoteProtocolError("incomplete_payload", f"the stream ended {reader.unread_bytes} bytes into a frame")
    return None
