"""What the transport asks of a network and of a QUIC engine, and what it tells the owner of a connection.

`Network` is implemented by `macula_actors.transport.udp` (real sockets) and by `macula_actors.simulation.network`
(the same datagrams in virtual time); `Engine` by `engine_aioquic` and `engine_qh3`. Nothing here waits, but
`Network.resolve`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from macula_actors.core.wire.frame import Frame
from macula_actors.errors import MaculaError, RemoteProtocolError

__all__ = [
    "Address",
    "ConnectionOwner",
    "DatagramReceiver",
    "DatagramSocket",
    "Engine",
    "EngineConnection",
    "EngineEvents",
    "Network",
    "QuicSettings",
    "StreamFrame",
]

Address: TypeAlias = tuple[str, int]  # an IP address as text, in its short form, and a port


class DatagramReceiver(Protocol):
    """Takes what comes in at a socket."""

    def datagrams_received(self, batch: Sequence[tuple[bytes, Address]]) -> None:
        """Take all datagrams that had arrived at one wake-up of the loop, in order, each with its sender."""

    def unreachable(self, address: Address) -> None:
        """Hear that the network gave back what was sent to ``address`` (ICMP). Anybody can forge it: only a hint."""

    def socket_lost(self, error: OSError) -> None:
        """Hear that somebody else has closed the socket: nothing will come or go. The last call."""


class DatagramSocket(Protocol):
    """An open socket."""

    @property
    def address(self) -> Address:
        """Where it is bound, the port as given out."""

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send ``datagrams`` in order. Never waits or fails: what the system does not take is lost, and counted."""

    def close(self) -> None:
        """Free the port; nothing is received any more. Twice is once."""


class Network(Protocol):
    """Opens sockets, knows names and the time."""

    def now(self) -> float:
        """Return the clock that engines are driven by: seconds, monotonic, as fine as the system has it."""

    def open(self, address: Address, receiver: DatagramReceiver) -> DatagramSocket:
        """Bind a socket at ``address`` (port 0: one that is free). ``::`` takes IPv4 too, where the system allows.

        Raises:
            OSError: the address is in use, or not this host's.
        """

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of ``host``, best first; of an address, itself. Safe to cancel.

        Raises:
            OSError: there is no such name.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class QuicSettings:
    """What both engines are told. Durations are seconds."""

    alpn: str = "macula"  # wire.md; another one fails the handshake
    idle_timeout: float = 60.0  # 0: none, as v0.8 has it; liveness is the ping's task
    max_data: int = 8 * 1_048_576  # bytes of all streams that the peer may send ahead
    max_stream_data: int = 2 * 1_048_576  # bytes of one stream; a frame has 1 MiB at most
    max_datagram_size: int = 1200  # bytes; RFC 9000, 14.1: every path carries it
    initial_rtt: float = 0.1  # until the first measurement


class EngineEvents(Protocol):
    """Told what happened on an engine's connection, in order, while `EngineConnection.drain` runs."""

    def connection_id_issued(self, connection_id: bytes) -> None:
        """The peer may send to ``connection_id`` from now on."""

    def connection_id_retired(self, connection_id: bytes) -> None:
        """The peer sends to ``connection_id`` no more."""

    def handshake_completed(self) -> None:
        """The TLS handshake is done: the peer's certificate is known (to a dialler), streams may be opened."""

    def stream_data_received(self, stream_id: int, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 -- QUIC's FIN bit
        """The next bytes of a stream, perhaps none; ``end_stream`` with the last."""

    def stream_reset(self, stream_id: int, error_code: int) -> None:
        """The peer sends no more on the stream (RESET_STREAM)."""

    def stop_sending_received(self, stream_id: int, error_code: int) -> None:
        """The peer reads no more of the stream (STOP_SENDING); the engine has reset it."""

    def ping_acknowledged(self, uid: int) -> None:
        """A packet with `EngineConnection.ping` ``uid`` arrived at the peer."""

    def connection_closed(self, error_code: int, reason_phrase: str, *, application: bool) -> None:
        """The peer closed the connection, or it timed out, or an error ended it. Told as soon as it is known, once.

        ``application``: the code is the application's, not QUIC's own. Not told of what `EngineConnection.close` did.
        """

    def connection_terminated(self) -> None:
        """The last event, after the closing or draining period: nothing more will come or go. RFC 9000, 10.2."""


class EngineConnection(Protocol):
    """One QUIC connection without a socket or a clock. Instants are those of `Network.now`.

    After any call that changes something: `drain`, then send `datagrams_to_send`, then look at `timer`.
    """

    @property
    def connection_id(self) -> bytes:
        """The first id, 8 bytes, that the peer sends to."""

    def receive(self, datagrams: Sequence[bytes], address: Address, now: float) -> None:
        """Take datagrams from ``address``. Whatever they hold, nothing is raised."""

    def drain(self, events: EngineEvents) -> None:
        """Report everything that happened since the last time."""

    def datagrams_to_send(self, now: float) -> Sequence[tuple[bytes, Address]]:
        """Return what is to be sent, in order; flow control, congestion control and pacing are obeyed."""

    def timer(self) -> float | None:
        """Return when to call `handle_timer`."""

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""

    def peer_certificate(self) -> bytes | None:
        """Return the peer's certificate, DER; None at the acceptor, or before the handshake is done."""

    def open_stream(self) -> int | None:
        """Open a bidirectional stream; None when the peer allows no more at present, or the handshake is not done."""

    def send_stream_data(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        """Queue ``data`` on the stream. A stream that can't be sent on any more: nothing happens."""

    def unsent_bytes(self) -> int:
        """Return how many bytes of all streams are queued and were not sent for the first time yet."""

    def unacknowledged(self) -> int:
        """Return how many of the packets, about, that came since something was sent want an acknowledgement."""

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Send no more on the stream (RESET_STREAM), if it can still be sent on."""

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to send no more on the stream (STOP_SENDING), if it still may."""

    def pause_reading(self) -> None:
        """Grant the peer no more flow-control credit: it can send `QuicSettings.max_data` bytes ahead, then waits.

        All but stream data goes on. What comes in meanwhile may be told at once, or after `resume_reading`.
        """

    def resume_reading(self) -> None:
        """Grant credit again. `drain` and `datagrams_to_send` come next, as after any call."""

    def ping(self, uid: int) -> None:
        """Send a PING; `EngineEvents.ping_acknowledged` tells when it arrived."""

    def close(self, error_code: int, reason_phrase: str) -> None:
        """Close the connection with an application error code. Twice is once."""


class Engine(Protocol):
    """Makes connections, all with the same certificate and settings."""

    @property
    def name(self) -> str:
        """``aioquic`` or ``qh3``."""

    def dial(self, address: Address, now: float) -> EngineConnection:
        """Begin a connection to ``address``. The peer's certificate is not verified: the caller looks at its key."""

    def accept(
        self, *, original_destination_connection_id: bytes, retry_source_connection_id: bytes | None = None
    ) -> EngineConnection:
        """Begin the connection whose first Initial packet came; give that to `EngineConnection.receive` next.

        Args:
            original_destination_connection_id: of the very first Initial; a retry token carries it.
            retry_source_connection_id: that of our Retry packet, when one was sent.
        """


class StreamFrame(NamedTuple):
    """Something that came in on a stream: a frame, or what was wrong with one; None: only the stream's end."""

    stream_id: int
    frame: Frame | RemoteProtocolError | None
    end_stream: bool


class ConnectionOwner(Protocol):
    """Told what happens on a `macula_actors.transport.connection.Connection`, on the loop. Must return at once."""

    def established(self) -> None:
        """The QUIC handshake is done: streams may be opened."""

    def frames_received(self, frames: Sequence[StreamFrame]) -> None:
        """Take what one wake-up brought, in order."""

    def stream_failed(self, stream_id: int, error: MaculaError) -> None:
        """Hear that a stream carries no more: reset by the peer, its answer unwanted, or cut for what it carried."""

    def writable(self) -> None:
        """Hear that a stream can be opened again after it was refused, or that the send buffer has room again."""

    def ponged(self, uid: int) -> None:
        """Hear that the peer got the ping ``uid``."""

    def doubted(self) -> None:
        """Hear that somebody says the peer is gone. Anybody may say so: ask the peer."""

    def lost(self, error: MaculaError) -> None:
        """Hear that the connection has ended and why; the last call."""
