"""One QUIC connection of an endpoint, dialled or accepted: streams that carry frames.

Both ends may open streams. Whoever holds the connection is its owner, hears what happens, and must not wait in that.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from typing_extensions import override

from macula_actors.core.peer.close_codes import CloseCode, closed_by_peer, stream_refused
from macula_actors.core.wire.frame import Frame, FrameReader, whole_frame
from macula_actors.errors import ConnectionLostError, MaculaError, OverloadedError, RemoteProtocolError
from macula_actors.transport.interface import Address, ConnectionOwner, EngineConnection, EngineEvents, StreamFrame

if TYPE_CHECKING:
    from macula_actors.transport.endpoint import QuicEndpoint

__all__ = ["Connection"]

MAX_STREAMS: Final = 64  # that this side has open at once; more make aioquic slow, which visits each for every packet
PACKET_BYTES: Final = 1100  # of stream data; more is not waited for
ENOUGH_BYTES: Final = 3 * PACKET_BYTES  # the same, when the peer has something to do already
MAX_UNSENT_BYTES: Final = 4 * 1_048_576  # queued in the engine: the peer's window is shut, or the path is slow
MAX_PARTIAL_BYTES: Final = 8 * 1_048_576  # of frames that have not come whole, over all streams
MAX_ALL_PARTIAL_BYTES: Final = 256 * 1_048_576  # over all connections of the endpoint
MAX_UNTOLD_BYTES: Final = 1_048_576  # kept for an owner who is still to come
MIN_PROGRESS_BYTES: Final = 16_384  # of a frame under way: fewer in `PeerConfig.partial_timeout` are too few
HANDSHAKE_TIMEOUT: Final = 10.0  # seconds; of one that was accepted: its Initial may have been forged
DOUBT_INTERVAL: Final = 0.1  # seconds; hints that the peer is gone cost their sender nothing

_TIMER_GRAIN: Final = 0.001  # seconds; the finest an event loop waits
_UNIDIRECTIONAL: Final = 0x02  # RFC 9000, 2.1
_UNTOLD_BYTES: Final = 1000  # about what one event or frame takes, beside its payload


class _Progress(NamedTuple):
    """At an instant, so much of a frame was there."""

    at: float
    unread_bytes: int


class Connection(EngineEvents):
    """One connection. Made by its endpoint only.

    What a peer can have kept here is bounded: `MAX_PARTIAL_BYTES` of frames that are not whole, `MAX_UNTOLD_BYTES`
    until there is an owner, and in the engine its receive windows and the streams that it grants. Whole frames are the
    owner's at once, who holds the peer back with `pause_reading`, and itself with `has_room`.

    Attributes:
        address: where the peer is; it may move (RFC 9000, section 9).
        first_address: where it was at first.
        dialled: whether this side dialled.
        is_established: whether the QUIC handshake is done.
        is_closed: whether it has ended, for whatever reason.
        peer_connection_id: the id that was sent to last.
        queued_bytes: that were ever given to `send`.
    """

    def __init__(
        self, endpoint: "QuicEndpoint", quic: EngineConnection, address: Address, now: float, *, dialled: bool
    ) -> None:
        self.address = address
        self.first_address = address
        self.dialled = dialled
        self.is_established = False
        self.is_closed = False
        self.peer_connection_id = b""
        self.queued_bytes = 0
        self._endpoint = endpoint
        self._quic = quic
        self._owner: ConnectionOwner | None = None
        self._untold: deque[Callable[[ConnectionOwner], None]] = deque()
        self._untold_bytes = 0
        self._arrived: list[StreamFrame] = []
        self._own_streams: set[int] = set()  # that the peer has not ended
        self._stopped: set[int] = set()  # not read any more; the peer has not ended them
        self._failed: set[int] = set()  # told at this drain: who gives a stream up both resets and stops it
        self._readers: dict[int, FrameReader] = {}  # of streams that the peer has not ended with their first bytes
        self._partial: dict[int, _Progress] = {}
        self._partial_bytes = 0
        self._starved = False
        self._unsent_bytes = 0  # or more
        self._untransmitted = 0  # bytes given to the engine since it was last asked for datagrams
        self._enough = PACKET_BYTES  # of them, not to wait for more
        self._full = False
        self._doubted_at = -inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._give_up_at = inf if dialled else now + HANDSHAKE_TIMEOUT  # the owner of a dialled one has its own
        self._now = now  # when the last datagrams came

    @override
    def __repr__(self) -> str:
        return f"<Connection {'to' if self.dialled else 'from'} {self.address[0]}:{self.address[1]}>"

    # For the owner

    def own(self, owner: ConnectionOwner) -> None:
        """Tell ``owner`` what happens from now on, and first what has happened since the beginning."""
        self._owner = owner
        while self._untold:
            self._untold.popleft()(owner)

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

    def send(self, stream_id: int, data: bytes, *, end_stream: bool = True, at_once: bool = False) -> None:
        """Send ``data`` on a stream; on one that is no more, nothing happens. Look at `has_room` before.

        It waits for what else is sent in this turn of the loop, to share a packet, unless that is full or ``at_once``.
        """
        if not self.is_closed:
            self.queued_bytes += len(data)
            self._unsent_bytes += len(data)
            self._untransmitted += len(data)
            self._quic.send_stream_data(stream_id, data, end_stream=end_stream)
            if self._untransmitted < self._enough:
                if at_once:
                    self._endpoint.send_at_once(self)
                else:
                    self._endpoint.touch(self)
            else:
                self._enough = ENOUGH_BYTES  # the first packet goes at once: the peer works while this side goes on
                self._endpoint.send_now(self)

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
        """End a stream on this side; what the peer still sends on one that was opened here is ignored."""
        if not self.is_closed:
            self._quic.send_stream_data(stream_id, b"", end_stream=True)
            if stream_id in self._own_streams:
                self._own_streams.discard(stream_id)
                self._ignore(stream_id)
            self._endpoint.touch(self)

    def pause_reading(self) -> None:
        """Let the peer send no more than it may already (`QuicSettings.max_data` bytes); pings and answers go on."""
        if not self.is_closed:
            self._quic.pause_reading()

    def resume_reading(self) -> None:
        """Let the peer send again."""
        if not self.is_closed:
            self._quic.resume_reading()
            self._drain()
            self._endpoint.touch(self)

    def overdue_streams(self, timeout: float) -> list[int]:
        """Return the streams on which the rest of a frame is awaited and too little came for ``timeout`` seconds."""
        before = self._endpoint.now() - timeout
        return [stream_id for stream_id, progress in self._partial.items() if progress.at <= before]

    def count(self, name: str) -> None:
        """Count one ``name`` among what the endpoint counts."""
        self._endpoint.counters[name] += 1

    def ping(self, uid: int) -> None:
        """Ask the peer for a sign of life: `ConnectionOwner.ponged`."""
        if not self.is_closed:
            self._quic.ping(uid)
            self._endpoint.touch(self)

    def close(self, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection and tell the peer why, after what was sent before and can go out at once.

        Twice is once. Its owner hears `ConnectionOwner.lost`.
        """
        if not self.is_closed:
            self._endpoint.send_now(self)  # an engine drops what it has not sent when it is closed
            self._quic.close(code, reason)
            self._endpoint.touch(self)
            self._end(ConnectionLostError("local", code, reason))

    # For the endpoint

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """Take what came for this connection at one wake-up."""
        self._now = now
        self._enough = PACKET_BYTES
        self._quic.receive(datagrams, address, now)
        self._drain()

    def is_owed(self, packets: int) -> bool:
        """Tell whether the peer has sent so many ``packets`` that want to be acknowledged, since something was sent."""
        return self._quic.unacknowledged() >= packets

    def is_quiet(self) -> bool:
        """Tell whether there is nothing to send but acknowledgements, as far as is known without asking much."""
        return self.is_established and not self.is_closed and not self._quic.unsent_bytes()

    def transmit(self, now: float) -> Sequence[tuple[bytes, Address]]:
        """Return the datagrams to send now, and then to be told of as `transmitted`."""
        self._untransmitted = 0
        return self._quic.datagrams_to_send(now)

    def transmitted(self) -> None:
        """Arm the timer, and go on with what waited. The peer is at work meanwhile."""
        self._arm()
        if self.is_closed:
            self._quic.drain(self)  # with nobody to tell, a close is over at once
        elif self._starved or self._full:
            self._tell_writable()

    def doubt(self) -> None:
        """Pass on that somebody says the peer is gone, unless that was just said."""
        now = self._endpoint.now()
        if now - self._doubted_at >= DOUBT_INTERVAL:
            self._doubted_at = now
            self._tell(lambda owner: owner.doubted())

    def fail(self, error: MaculaError) -> None:
        """End at once, without a word to the peer."""
        self._end(error)
        self._disarm()
        self._endpoint.forget(self)

    # What the engine tells

    @override
    def connection_id_issued(self, connection_id: bytes) -> None:
        self._endpoint.route(connection_id, self)

    @override
    def connection_id_retired(self, connection_id: bytes) -> None:
        self._endpoint.unroute(connection_id)

    @override
    def handshake_completed(self) -> None:
        if not self.is_closed:
            self.is_established = True
            self._endpoint.established(self)
            self._endpoint.touch(self)  # the end of the handshake is still to be sent
            self._tell(lambda owner: owner.established())

    @override
    def stream_data_received(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        reader = self._readers.get(stream_id)
        if reader is None:
            if stream_id in self._stopped or stream_id & _UNIDIRECTIONAL or self.is_closed:
                self._unwanted(stream_id, end_stream=end_stream)
                return
            if end_stream and (frame := whole_frame(data)) is not None:
                self._arrived.append(StreamFrame(stream_id, frame, end_stream=True))
                self._own_streams.discard(stream_id)
                return
            reader = self._readers[stream_id] = FrameReader()
        before, frames = reader.unread_bytes, len(self._arrived)
        reader.receive(data)
        is_readable = self._take_frames(stream_id, reader, end_stream=end_stream)
        self._count_partial(stream_id, reader, reader.unread_bytes - before, is_next=len(self._arrived) > frames)
        if end_stream:
            self._stream_ended(stream_id)
        elif not is_readable:
            self._stop_reading(stream_id, CloseCode.PROTOCOL_VIOLATION)

    @override
    def stream_reset(self, stream_id: int, error_code: int) -> None:
        is_wanted = stream_id not in self._stopped and not stream_id & _UNIDIRECTIONAL
        self._stream_ended(stream_id)
        if is_wanted and not self.is_closed:
            self._quic.send_stream_data(stream_id, b"", end_stream=True)  # no more than an answer under way
            self._fail_stream(stream_id, stream_refused(error_code))

    @override
    def stop_sending_received(self, stream_id: int, error_code: int) -> None:
        self.count("stream_stopped")
        # of its own request the peer says that nobody waits; of ours it says nothing: an answer may be under way
        if stream_id not in self._own_streams and not self.is_closed:
            self._fail_stream(stream_id, stream_refused(error_code))

    @override
    def ping_acknowledged(self, uid: int) -> None:
        self._tell(lambda owner: owner.ponged(uid))

    @override
    def connection_closed(self, error_code: int, reason_phrase: str, *, application: bool) -> None:
        self._end(closed_by_peer(error_code, reason_phrase, application=application))

    @override
    def connection_terminated(self) -> None:
        self.fail(ConnectionLostError("network", CloseCode.NORMAL, "terminated"))

    # Helpers

    def _drain(self) -> None:
        self._quic.drain(self)
        self._failed.clear()
        self._tell_frames()
        if self._starved or self._full:
            self._tell_writable()

    def _take_frames(self, stream_id: int, reader: FrameReader, *, end_stream: bool) -> bool:
        """Put what ``reader`` has into the list for the owner, the stream's end with the last; False: it is stuck."""
        arrived = self._arrived
        is_told = False
        while True:
            frame: Frame | RemoteProtocolError | None
            try:
                frame = reader.next_frame()
            except RemoteProtocolError as error:
                frame = error
            if frame is None:
                break
            is_told = end_stream and not reader.unread_bytes
            arrived.append(StreamFrame(stream_id, frame, is_told))
            if isinstance(frame, RemoteProtocolError) and frame.code == "frame_too_large":
                return False
        if end_stream and not is_told:
            arrived.append(StreamFrame(stream_id, _cut_off(reader), end_stream=True))
        return True

    def _count_partial(self, stream_id: int, reader: FrameReader, more: int, *, is_next: bool) -> None:
        """Count the bytes of the frame that is under way on a stream; too many in all, and the stream is cut.

        ``is_next``: it is another one than before.
        """
        self._partial_bytes += more
        self._endpoint.partial_bytes += more
        unread, last = reader.unread_bytes, self._partial.get(stream_id)
        if not unread:
            self._partial.pop(stream_id, None)
        elif is_next or last is None or unread >= last.unread_bytes + MIN_PROGRESS_BYTES:
            self._partial[stream_id] = _Progress(self._now, unread)
        if self._partial_bytes > MAX_PARTIAL_BYTES or self._endpoint.partial_bytes > MAX_ALL_PARTIAL_BYTES:
            self.abandon_stream(stream_id, CloseCode.OVERLOADED)
            self._fail_stream(stream_id, OverloadedError("bytes of unfinished frames", MAX_PARTIAL_BYTES))

    def _unwanted(self, stream_id: int, *, end_stream: bool) -> None:
        """Drop what came on a stream that is not read. Those of one direction are none of the mesh's."""
        if end_stream:
            self._stream_ended(stream_id)
        elif stream_id not in self._stopped and not self.is_closed:
            self.count("unidirectional_stream")
            self._quic.stop_stream(stream_id, CloseCode.PROTOCOL_VIOLATION)
            self._stopped.add(stream_id)

    def _stop_reading(self, stream_id: int, code: CloseCode) -> None:
        if stream_id in self._readers or stream_id in self._own_streams:
            self._quic.stop_stream(stream_id, code)
            self._ignore(stream_id)

    def _ignore(self, stream_id: int) -> None:
        """Read nothing more of a stream that the peer has not ended."""
        self._forget_reader(stream_id)
        self._stopped.add(stream_id)

    def _stream_ended(self, stream_id: int) -> None:
        self._forget_reader(stream_id)
        self._stopped.discard(stream_id)
        self._own_streams.discard(stream_id)

    def _forget_reader(self, stream_id: int) -> None:
        reader = self._readers.pop(stream_id, None)
        if reader is not None:
            self._partial_bytes -= reader.unread_bytes
            self._endpoint.partial_bytes -= reader.unread_bytes
            self._partial.pop(stream_id, None)

    def _tell_frames(self) -> None:
        if not self._arrived:
            return
        frames, self._arrived = self._arrived, []
        if self._owner is not None and not self._untold and not self.is_closed:
            self._owner.frames_received(frames)  # as `_tell` does
            return
        if self._owner is None:
            self._untold_bytes += sum(_UNTOLD_BYTES + _payload_bytes(item) for item in frames)
        self._tell(lambda owner: owner.frames_received(frames))

    def _fail_stream(self, stream_id: int, error: MaculaError) -> None:
        if stream_id not in self._failed:
            self._failed.add(stream_id)
            self._tell_frames()
            self._tell(lambda owner: owner.stream_failed(stream_id, error))

    def _tell_writable(self) -> None:
        if self._starved and len(self._own_streams) < MAX_STREAMS:
            self._starved = False
            self._tell(lambda owner: owner.writable())
        if self._full and self._quic.unsent_bytes() < MAX_UNSENT_BYTES // 2:
            self._unsent_bytes = self._quic.unsent_bytes()
            self._full = False
            self._tell(lambda owner: owner.writable())

    def _tell(self, tell: Callable[[ConnectionOwner], None]) -> None:
        if self.is_closed:
            return
        if self._owner is not None and not self._untold:
            tell(self._owner)
            return
        self._untold.append(tell)
        self._untold_bytes += _UNTOLD_BYTES
        if self._untold_bytes > MAX_UNTOLD_BYTES and self._owner is None:
            self.close(CloseCode.OVERLOADED, "more than is kept until somebody takes the connection")

    def _end(self, error: MaculaError) -> None:
        """Tell the owner that the connection has ended, as the last thing."""
        if self.is_closed:
            return
        self._tell_frames()
        if self.is_closed:  # the owner closed it, or had not come and it was too much
            return
        self.is_closed = True
        if self._owner is None:
            self._untold.append(lambda owner: owner.lost(error))
        else:
            self._untold.clear()
            self._owner.lost(error)
        self._readers.clear()
        self._partial.clear()
        self._endpoint.partial_bytes -= self._partial_bytes
        self._partial_bytes = 0
        self._own_streams.clear()
        self._stopped.clear()

    def _due_at(self) -> float | None:
        at = self._quic.timer()
        if self.is_established or self.dialled or self.is_closed:
            return at
        return self._give_up_at if at is None else min(at, self._give_up_at)

    def _arm(self) -> None:
        """Have `_time` called when something is due. A timer that is early enough is left: it looks again."""
        at = self._due_at()
        if at is None:
            self._disarm()
        elif self._timer is None or at < self._timer_at:
            self._disarm()
            self._timer_at = at
            delay = at - self._endpoint.now()  # pacing may be over by the time that its packets were made
            self._timer = self._endpoint.loop.call_later(max(delay, _TIMER_GRAIN) if delay > 0 else 0.0, self._time)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time(self) -> None:
        self._timer = None
        now, at = self._endpoint.now(), self._due_at()
        if at is not None and at > now:
            self._arm()
        else:
            self._endpoint.attempt(self, self._handle_timer, now)

    def _handle_timer(self, now: float) -> None:
        if now >= self._give_up_at and not self.is_established and not self.is_closed:
            self.count("handshake_timeout")
            self.fail(ConnectionLostError("local", CloseCode.HANDSHAKE_TIMEOUT, "no QUIC handshake in time"))
            return
        self._quic.handle_timer(now)
        self._drain()
        self._endpoint.touch(self)


def _cut_off(reader: FrameReader) -> RemoteProtocolError | None:
    if reader.unread_bytes:
        return RemoteProtocolError("incomplete_payload", f"the stream ended {reader.unread_bytes} bytes into a frame")
    return None


def _payload_bytes(item: StreamFrame) -> int:
    return len(item.frame.payload) if isinstance(item.frame, Frame) else 0
