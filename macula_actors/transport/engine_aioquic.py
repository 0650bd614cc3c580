"""The engine over aioquic, in pure Python but for the ciphers: the default.

RFC: 9000, 9002. Written for aioquic 1.7; what is used of it beyond its documentation is all in `_Quic`.
"""

import math
import ssl
from collections.abc import Sequence
from contextlib import suppress

from aioquic import tls
from aioquic.quic import events as aioquic_events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    RESET_STREAM_FRAME_CAPACITY,
    STOP_SENDING_FRAME_CAPACITY,
    Limit,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream, QuicStreamSender
from cryptography.hazmat.primitives.serialization import Encoding
from typing_extensions import override

from macula_actors.transport.credentials import Credentials
from macula_actors.transport.engine_connection import (
    ACK_PATIENCE,
    LibraryEngine,
    QuicEngineConnection,
    event_table,
    silence,
)
from macula_actors.transport.interface import Address, QuicSettings

__all__ = ["AioquicEngine"]

_EVENTS = event_table(aioquic_events)

# A packet is lost when it is `loss_delay` old, and the timer is for that instant: by rounding, it can be just too young
# then, and the timer is for the same instant again, for ever where time only moves between timers. RFC 9002, 6.1.2.
_CLOCK_GRANULARITY = 1e-6  # seconds


# A dialler makes a key for each that it offers. aioquic offers P-384 and X448 too, which take ten times as long; all
# peers have one of these. RFC 8446, 9.1: P-256 must be there, X25519 should.
_GROUPS = (tls.Group.X25519, tls.Group.SECP256R1)

_MIN_STREAM_FRAME = 16  # bytes; in less, no stream frame is worth beginning


class AioquicEngine(LibraryEngine):
    """Makes connections over aioquic.

    Raises:
        ValueError: ``credentials`` hold no certificate, or not its key.
    """

    def __init__(self, credentials: Credentials, settings: QuicSettings) -> None:
        silence()
        _order_streams_by_id()
        dialler = _configuration(settings, is_client=True)
        dialler.server_name = "macula"
        dialler.verify_mode = ssl.CERT_NONE
        acceptor = _configuration(settings, is_client=False)
        acceptor.certificate, *acceptor.certificate_chain = tls.load_pem_x509_certificates(credentials.certificate)
        acceptor.private_key = tls.load_pem_private_key(credentials.private_key)
        super().__init__("aioquic", _Quic, _Connection, dialler=dialler, acceptor=acceptor)


def _configuration(settings: QuicSettings, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[settings.alpn],
        idle_timeout=settings.idle_timeout,
        initial_rtt=settings.initial_rtt,
        max_data=settings.max_data,
        max_stream_data=settings.max_stream_data,
        max_datagram_size=settings.max_datagram_size,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


def _order_streams_by_id() -> None:
    """Let streams hash by their id: by address, the order in which a set of them is sent differs from run to run.

    aioquic makes them by the name of their class, so that no subclass gets in.
    """
    QuicStream.__hash__ = _stream_hash  # type: ignore[assignment, method-assign]


def _stream_hash(stream: QuicStream) -> int:
    return stream.stream_id or 0


class _Connection(QuicEngineConnection):
    _quic: "_Quic"

    def __init__(self, quic: "_Quic") -> None:
        super().__init__(quic, _EVENTS)

    @override
    def send_stream_data(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        self._quic.write(stream_id, data, end_stream=end_stream)

    @override
    def unsent_bytes(self) -> int:
        return self._quic.unsent_bytes

    @override
    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self._quic.reset(stream_id, error_code)

    @override
    def stop_stream(self, stream_id: int, error_code: int) -> None:
        if self._quic.is_receiving(stream_id):
            self._quic.stop_stream(stream_id, error_code)

    @override
    def pause_reading(self) -> None:
        self._quic.is_reading = False

    @override
    def resume_reading(self) -> None:
        self._quic.is_reading = True


class _Quic(QuicConnection):
    """aioquic's connection with windows that slide and can be held, and without what it raises of others' doing."""

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self.pending = self._events
        self.is_reading = True
        self.unsent_bytes = 0  # as of the last count, and all that was written since
        self._writing: dict[int, QuicStreamSender] = {}  # every sender that has unsent bytes
        self.unacknowledged = 0  # of 1-RTT
        self._ack_again_at = 0.0  # when an ACK is worth its place in any packet
        self._max_data = configuration.max_data
        self._max_stream_data = configuration.max_stream_data

    def close_event(self) -> aioquic_events.ConnectionTerminated | None:
        """Return how it was closed, as soon as that is known."""
        return self._close_event

    def has_terminated(self) -> bool:
        """Return whether the closing or draining period is over."""
        return self._state is QuicConnectionState.TERMINATED

    def max_streams(self) -> int:
        """Return how many streams the peer allows; aioquic itself would queue one more."""
        return self._remote_max_streams_bidi if self._handshake_complete else 0

    def peer_certificate(self) -> bytes | None:
        """Return it, DER, once the peer has proven that it has the key."""
        certificate = self.tls._peer_certificate if self._is_client and self._handshake_complete else None  # noqa: SLF001
        return None if certificate is None else certificate.public_bytes(Encoding.DER)

    def is_receiving(self, stream_id: int) -> bool:
        """Return whether more may come on the stream."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.receiver.is_finished

    def write(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        """Queue ``data``, unless the stream is finished, ended or reset."""
        try:
            stream = self._get_or_create_stream_for_send(stream_id)
            stream.sender.write(data, end_stream)
        except (ValueError, RuntimeError):
            return
        if data:
            self._writing[stream_id] = stream.sender
            self.unsent_bytes += len(data)

    def reset(self, stream_id: int, error_code: int) -> None:
        """Reset the stream, if there is one."""
        with suppress(ValueError):
            self.reset_stream(stream_id, error_code)
            self.count_unsent()

    def count_unsent(self) -> None:
        """Count what is queued on the streams that had something unsent."""
        self.unsent_bytes = 0
        for stream_id, sender in list(self._writing.items()):
            unsent = sender._buffer_stop - sender.highest_offset if sender._reset_error_code is None else 0  # noqa: SLF001
            self.unsent_bytes += unsent
            if not unsent:
                del self._writing[stream_id]

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """Take them one by one: aioquic has nothing to gain from a batch."""
        for datagram in datagrams:
            self.receive_datagram(datagram, address, now)

    @override
    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        if not self._network_paths:  # an acceptor that nothing valid came to
            return []
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        # An ACK in each packet takes its time on both sides, one in a packet of its own takes more.
        if self.unacknowledged and space is not None and space.ack_at is not None and now > self._ack_again_at:
            space.ack_at = min(space.ack_at, now - _CLOCK_GRANULARITY)  # what is due just now waits for pacing
        datagrams = super().datagrams_to_send(now)
        if datagrams:
            self.unacknowledged = 0
            if self._spaces[tls.Epoch.ONE_RTT].ack_at is None:
                self._ack_again_at = now + ACK_PATIENCE
        if self._writing:
            self.count_unsent()
        return datagrams

    @override
    def _write_stream_frame(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream, max_offset: int
    ) -> int:
        # aioquic tries all its streams for each packet, though it may be full after a few
        if _is_full(builder, _MIN_STREAM_FRAME):
            return 0
        sent: int = super()._write_stream_frame(builder, space, stream, max_offset)
        sender = stream.sender
        if sent and not sender._pending_eof and not len(sender._pending):  # noqa: SLF001
            sender.buffer_is_empty = True  # as aioquic would find for the next packet
        return sent

    # Where a frame of a stream does not fit any more, aioquic ends not the packet but the whole batch.

    @override
    def _write_reset_stream_frame(self, builder: QuicPacketBuilder, stream: QuicStream) -> None:
        if not _is_full(builder, RESET_STREAM_FRAME_CAPACITY):
            super()._write_reset_stream_frame(builder, stream)

    @override
    def _write_stop_sending_frame(self, builder: QuicPacketBuilder, stream: QuicStream) -> None:
        if not _is_full(builder, STOP_SENDING_FRAME_CAPACITY):
            super()._write_stop_sending_frame(builder, stream)

    @override
    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        if self._is_client:
            self.tls._supported_groups = [*_GROUPS]  # noqa: SLF001

    @override
    def get_timer(self) -> float | None:
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        if space is None or space.ack_at is None or self.unacknowledged > 1:
            timer = super().get_timer()
        else:
            due, space.ack_at = space.ack_at, space.ack_at + ACK_PATIENCE
            timer = super().get_timer()
            space.ack_at = due
        return None if timer == math.inf else timer

    @override
    def handle_timer(self, now: float) -> None:
        if self._close_at is not None:  # it has begun, and has not ended
            super().handle_timer(now + _CLOCK_GRANULARITY)

    @override
    def close(
        self, error_code: int = QuicErrorCode.NO_ERROR, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        is_first = self._close_event is None
        super().close(error_code, frame_type, reason_phrase)
        if is_first and not self._network_paths:  # nobody to tell: aioquic would wait for a first packet
            self._close_end()

    @override
    def _idle_timeout(self) -> float:
        # RFC 9000, 10.1: none where it is 0, the smaller one where both sides have one. aioquic takes 0 for very short.
        timeout = min(self._configuration.idle_timeout or math.inf, self._remote_max_idle_timeout or math.inf)
        return max(timeout, 3 * self._loss.get_probe_timeout())

    @override
    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        # Of what a peer sends, aioquic raises nothing but this (fuzzed, and its TLS too): it then closes with it.
        try:
            is_ack_eliciting, is_probing = super()._payload_received(context, plain, crypto_frame_required)
        except QuicConnectionError as error:
            if error.frame_type is None:  # aioquic would close with it as the application's
                error.frame_type = QuicFrameType.PADDING
            raise
        if is_ack_eliciting and context.epoch is tls.Epoch.ONE_RTT:
            self.unacknowledged += 1
        return is_ack_eliciting, is_probing

    @override
    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        # RFC 9000, 4.1: MAX_DATA is what was read and a window. aioquic doubles it instead, with no end.
        max_data = self._local_max_data
        if self.is_reading and (max_data.value - max_data.used) * 2 < self._max_data:
            max_data.value = max(max_data.value, max_data.used - self._unordered_bytes() + self._max_data)
        if max_data.value != max_data.sent:
            self._write_limit(builder, max_data)
        for limit in (self._local_max_streams_bidi, self._local_max_streams_uni):
            if limit.sent - limit.used < limit.value - limit.sent:  # few are left: one frame grants many
                self._write_limit(builder, limit)

    def _unordered_bytes(self) -> int:
        """Return how many bytes can't be read yet: they, and the gaps before them, take room of the window."""
        return sum(
            stream.receiver.highest_offset - stream.receiver.starting_offset()
            for stream in self._streams.values()
            if not stream.receiver.is_finished
        )

    def _write_limit(self, builder: QuicPacketBuilder, limit: Limit) -> None:
        frame = builder.start_frame(
            limit.frame_type,
            capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        frame.push_uint_var(limit.value)
        limit.sent = limit.value

    @override
    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        # As with MAX_DATA. This runs for each stream and packet.
        receiver = stream.receiver
        if receiver.is_finished:
            return
        limit = stream.max_stream_data_local
        if self.is_reading and (limit - receiver._buffer_start) * 2 < self._max_stream_data:  # noqa: SLF001
            limit = stream.max_stream_data_local = receiver._buffer_start + self._max_stream_data  # noqa: SLF001
        if stream.max_stream_data_local_sent != limit and not _is_full(builder, MAX_STREAM_DATA_FRAME_CAPACITY):
            frame = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            frame.push_uint_var(stream.stream_id or 0)
            frame.push_uint_var(limit)
            stream.max_stream_data_local_sent = limit


def _is_full(builder: QuicPacketBuilder, capacity: int) -> bool:
    """Tell whether a frame of ``capacity`` bytes must wait for the next packet of ``builder``."""
    return builder.remaining_flight_space < capacity
