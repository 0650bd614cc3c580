"""The engine over qh3, whose packets, streams and recovery are compiled Rust: the fast one.

RFC: 9000, 9002. Written for qh3 2.1; what is used of it beyond its documentation is all in `_Quic`.
"""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from qh3._hazmat import pull_quic_header  # noqa: PLC2701 -- qh3 has it nowhere else
from qh3.quic import events as qh3_events
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection, QuicConnectionError, QuicConnectionState
from qh3.quic.packet import (
    SMALLEST_MAX_DATAGRAM_SIZE,
    QuicErrorCode,
    QuicFrameType,
    QuicPacketType,
    QuicProtocolVersion,
)
from qh3.tls import SignatureAlgorithm
from typing_extensions import override

from macula_actors.transport.credentials import Credentials
from macula_actors.transport.engine_connection import (
    ACK_PATIENCE,
    LibraryEngine,
    QuicEngineConnection,
    event_table,
    silence,
)
from macula_actors.transport.interface import Address, EngineEvents, QuicSettings

__all__ = ["Qh3Engine"]

# Its PingAcknowledged is not told: see `_Quic.acknowledged_pings`.
_EVENTS = {kind: tell for kind, tell in event_table(qh3_events).items() if kind is not qh3_events.PingAcknowledged}

# raised of a stream that is finished, ended or reset; of a connection, by qh3 and by its core
_ENDED: Final = (ValueError, QuicConnectionError, RuntimeError)
_BLOCKED_RETRY: Final = 0.1  # seconds
_LATE_ACK: Final = "ack_application"  # the core's timer for acknowledging 1-RTT packets
_ACCEPTED: Final = 2  # in the core's report: how many packets were new and authentic
_MAX_PATHS: Final = 4  # that the core knows of one connection; it forgets none
_MOVED_AFTER: Final = 0.2  # seconds; longer than an address flaps, shorter than a peer takes to give up

# qh3 offers no Ed25519 unless told so; the other keys are those of the peers that v0.8 runs.
_SIGNATURE_ALGORITHMS = [
    SignatureAlgorithm.ED25519,
    SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
    SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
    SignatureAlgorithm.RSA_PSS_RSAE_SHA512,
]


class Qh3Engine(LibraryEngine):
    """Makes connections over qh3.

    Raises:
        ValueError: ``credentials`` hold no certificate, or not its key.
    """

    def __init__(self, credentials: Credentials, settings: QuicSettings) -> None:
        silence()
        dialler = _configuration(settings, is_client=True)
        dialler.server_name = "macula"
        dialler.verify_mode = ssl.CERT_NONE
        dialler.signature_algorithms = [int(algorithm) for algorithm in _SIGNATURE_ALGORITHMS]
        acceptor = _configuration(settings, is_client=False)
        acceptor.load_cert_chain(credentials.certificate, credentials.private_key)
        super().__init__("qh3", _Quic, _Connection, dialler=dialler, acceptor=acceptor)


def _configuration(settings: QuicSettings, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[settings.alpn],
        idle_timeout=settings.idle_timeout,
        initial_rtt=settings.initial_rtt,
        max_data=settings.max_data,
        max_stream_data=settings.max_stream_data,
        max_datagram_size=settings.max_datagram_size,
        probe_datagram_size=False,
        max_datagram_frame_size=0,  # none: flow control would not bound them
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


class _Connection(QuicEngineConnection):
    _quic: "_Quic"

    def __init__(self, quic: "_Quic") -> None:
        super().__init__(quic, _EVENTS)

    @override
    def drain(self, events: EngineEvents) -> None:
        if self._quic.pings:
            for uid in self._quic.acknowledged_pings():
                events.ping_acknowledged(uid)
        super().drain(events)

    @override
    def send_stream_data(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        try:  # noqa: SIM105 -- at a quarter of the cost
            self._quic.write(stream_id, data, end_stream)
        except _ENDED:
            pass

    @override
    def unsent_bytes(self) -> int:
        return self._quic.unsent_bytes()

    @override
    def reset_stream(self, stream_id: int, error_code: int) -> None:
        with suppress(*_ENDED):
            self._quic.reset_stream(stream_id, error_code)

    @override
    def stop_stream(self, stream_id: int, error_code: int) -> None:
        with suppress(*_ENDED):
            self._quic.stop_stream(stream_id, error_code)

    @override
    def pause_reading(self) -> None:
        self._quic.is_reading = False

    @override
    def resume_reading(self) -> None:
        self._quic.resume()


class _Quic(QuicConnection):
    """qh3's connection with reading that can be held, pings that survive loss, and less to do for each packet.

    Its core validates a new address of the peer (RFC 9000, section 9), but is mute while it may send no more there,
    though the peer be back where it was; and it goes back to no address that it has left. So it is not told of a new
    one at once: packets from elsewhere count as if they came from where the connection began, and are answered where
    the peer was last, until for some time none has come from there. Then the core validates the new address, and sends
    there no more than three times what came from there before it has. A peer that comes back after that, or moves too
    often, is told that the connection ends, and dials anew. Only new and authentic packets are considered: nobody else
    can have a connection move or end.
    """

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
        self.unacknowledged = 0
        self._blocked_until = 0.0
        self._closing_until: float | None = None
        self._told: list[Address] = []  # where the peer is, last, and was: what the core knows
        self._elsewhere: tuple[Address, float] | None = None  # where all comes from since then
        self.pings: dict[int, int | None] = {}  # unanswered: their packet's number, or a later one's, once it was sent

    def close_event(self) -> qh3_events.ConnectionTerminated | None:
        """Return how it was closed, as soon as that is known."""
        closed = self._close_event
        if closed is not None and closed.frame_type is None and self._core is not None and self._core.local_error:
            closed.frame_type = (
                QuicFrameType.PADDING
            )  # what the core found wrong, and in no frame: not the application's
        return closed

    def has_terminated(self) -> bool:
        """Return whether the closing or draining period is over."""
        return self._state is QuicConnectionState.TERMINATED

    def max_streams(self) -> int:
        """Return how many streams the peer allows; for one more qh3 itself would raise, and lose count."""
        return self.max_concurrent_bidi_streams if self._handshake_complete else 0

    def peer_certificate(self) -> bytes | None:
        """Return it, DER, once the peer has proven that it has the key."""
        certificate = self.get_peercert() if self._is_client and self._handshake_complete else None
        return None if certificate is None else certificate.public_bytes()

    def acknowledged_pings(self) -> list[int]:
        """Return the pings that are answered since the last time.

        qh3's own event is not enough: it does not come for a PING whose packet got lost (which RFC 9000, 13.3, allows),
        nor while reading is paused. A packet is forgotten when it, or one sent after it, was acknowledged: either
        way the peer was there after the ping.
        """
        oldest = min(self._outstanding(), default=None)
        answered = [uid for uid, sent in self.pings.items() if sent is not None and (oldest is None or sent < oldest)]
        for uid in answered:
            del self.pings[uid]
        return answered

    def _outstanding(self) -> list[int]:
        packets = [] if self._core is None else self._core.outstanding_application_packets
        return [number for number, *_ in packets]

    def resume(self) -> None:
        """Read again, first what came meanwhile."""
        self.is_reading = True
        if self._core is not None:
            self._drain_core()

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """Take them all at once, once the handshake is done without qh3's checks and its log."""
        core = self._core
        if core is not None and self._handshake_complete:
            if address == self._told[-1]:
                if core.receive_many_datagrams([*datagrams], address, now)[_ACCEPTED]:
                    self._elsewhere = None
            else:
                self._receive_from_elsewhere([*datagrams], address, now)
            self._drain_core()
            if (timer := core.get_timer()) is not None and timer[0] == _LATE_ACK:
                self.unacknowledged += len(datagrams)
        elif core is not None or self._close_event is None:  # else it was closed before it began
            self._told = self._told or [self._remote_addr or address]
            self.receive_many_datagrams([*datagrams], self._told[0], now)

    def _receive_from_elsewhere(self, datagrams: list[bytes], address: Address, now: float) -> None:
        """Take what came from another address than the peer's last one; have the core follow it, if it is time."""
        since = now
        if self._elsewhere is not None and self._elsewhere[0] == address:
            since = self._elsewhere[1]
        has_moved = now - since >= _MOVED_AFTER
        can_follow = address not in self._told and len(self._told) < _MAX_PATHS
        source = address if has_moved and can_follow else self._told[0]
        if not self._require_core().receive_many_datagrams(datagrams, source, now)[_ACCEPTED]:
            return
        if address in self._told or (has_moved and not can_follow):
            self.close(QuicErrorCode.INTERNAL_ERROR, QuicFrameType.PADDING, "no way back to where the peer was")
        elif has_moved:
            self._told.append(address)
            self._elsewhere = None
        else:
            self._elsewhere = address, since

    def unsent_bytes(self) -> int:
        """Return what `get_send_buffer_size` does, once the handshake is done straight from the core."""
        core = self._core
        if core is None or self._close_event is not None or not self._handshake_complete:
            return self.get_send_buffer_size()
        return core.get_send_buffer_size()

    def write(self, stream_id: int, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 -- as `send_stream_data`
        """Do what `send_stream_data` does, once the handshake is done without its book-keeping."""
        if self._handshake_complete and self._core is not None:
            self._core.send_stream(stream_id, data, end_stream)
        else:
            self.send_stream_data(stream_id, data, end_stream)

    @override
    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        if self._is_client or self._handshake_complete or not self._has_trailer(data):
            super().receive_datagram(data, addr, now)
            return
        # qh3 cuts the datagram and counts the packet only. RFC 9000, 8.1: all bytes of a datagram count for how much
        # may be sent to an address that is not validated; with too little of that, qh3 raises instead of waiting.
        if self._core is None:
            self._begin(data, addr, now)
        report = self._call_core(self._require_core().receive_datagram, data, addr, now, len(data))
        if report[_ACCEPTED]:
            self._learn_remote_source_cid(data)
        self._drain_core()

    def _has_trailer(self, data: bytes) -> bool:
        """Return whether bytes that are no packet follow a first Initial, as aioquic's do: it pads so, with zeros."""
        if len(data) < SMALLEST_MAX_DATAGRAM_SIZE:
            return False
        length = self._configuration.connection_id_length
        try:
            version, kind, *_, end = pull_quic_header(data, 0, length)
        except ValueError:
            return False
        if kind != QuicPacketType.INITIAL or version != QuicProtocolVersion.VERSION_1 or not 0 < end < len(data):
            return False
        try:
            pull_quic_header(data, end, length)
        except ValueError:
            return True
        return False

    def _begin(self, data: bytes, addr: Address, now: float) -> None:
        """Do what qh3 does at an acceptor's first Initial."""
        version, _, _, destination_cid, *_ = pull_quic_header(data, 0, self._configuration.connection_id_length)
        self._remote_addr = addr
        self._version = version
        self._create_core(addr, destination_cid, now)
        self._create_tls(remote_source_cid=None)

    @override
    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        datagrams: list[tuple[bytes, Address]] = []
        if self._core is None:
            return datagrams
        poll = self._core.poll_transmit
        try:
            while (transmit := poll(now)) is not None:
                datagrams.append((transmit[0], transmit[1][:2]))  # of IPv6 it has four parts
        except RuntimeError:
            # The address is not validated, and what may be sent to it (RFC 9000, 8.1) is too little for the next
            # packet: qh3 raises, now and each time until more comes in. Its timer stays due.
            self._blocked_until = now + _BLOCKED_RETRY
        if datagrams:
            self.unacknowledged = 0
        if self.pings:
            newest = max(self._outstanding(), default=None)
            self.pings = {uid: newest if sent is None else sent for uid, sent in self.pings.items()}
        if self._close_event is not None and self._closing_until is None:
            self._closing_until = now + 3 * (2 * (self._core.smoothed_rtt or 0.1) + 0.025)
        return datagrams

    @override
    def get_timer(self) -> float | None:
        timer = None if self._core is None else self._core.get_timer()
        if timer is None:
            return None
        kind, at = timer
        if kind == _LATE_ACK and self.unacknowledged <= 1 and not self.unsent_bytes():
            at += ACK_PATIENCE
        return max(at, self._blocked_until, self._closing_until or 0.0)

    @override
    def handle_timer(self, now: float) -> None:
        # RFC 9000, 10.2: a connection closes for three probe time-outs. qh3 counts them from when something last came
        # or went, which may be long ago.
        if self._closing_until is None or now >= self._closing_until:
            super().handle_timer(now)

    @override
    def send_ping(self, uid: int) -> None:
        try:
            super().send_ping(uid)
        except (AssertionError, QuicConnectionError):  # it has not begun, or has ended
            return
        self.pings[uid] = None

    @override
    def close(
        self, error_code: int = QuicErrorCode.NO_ERROR, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        if self._core is None and self._close_event is None:  # an acceptor that nothing came to: nobody to tell
            self._close_event = qh3_events.ConnectionTerminated(error_code, frame_type, reason_phrase)
            self._state = QuicConnectionState.TERMINATED
        super().close(error_code, frame_type, reason_phrase)

    @override
    def _drain_core(self) -> None:
        # The core grants credit for what is taken from it. What is not stream data waits there behind it: not so the
        # connection's end; and reading goes on until the handshake is confirmed, which is told in the same way.
        core = self._core
        if core is None or (not self.is_reading and self._handshake_confirmed and core.state == "connected"):
            return
        while core.has_events:
            try:
                super()._drain_core()
            except Exception as error:
                # What a peer can make TLS raise is not bounded (a message that is cut off, a bad certificate). It was
                # authentic, so the connection can't go on: as with an alert, which is what qh3 expects.
                self.close(QuicErrorCode.INTERNAL_ERROR, QuicFrameType.PADDING, type(error).__name__)
            core = self._require_core()  # a Retry makes another

    @override
    def _normalize_address(self, addr: Address) -> Address:
        return addr  # it only checks what `Network` promises, for each batch

    @override
    def _log_datagram(self, event: str, data: bytes) -> None:
        """Do nothing: there is no QUIC log."""
