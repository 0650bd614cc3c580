"""Numbers and settings, each with its unit and where it comes from. Durations are seconds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.liveness import LivenessConfig
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.core.wire.messages import Message
from macula_actors.transport.engines import EngineName
from macula_actors.transport.interface import Network
from macula_actors.transport.udp import UdpNetwork

__all__ = ["MeshConfig", "PeerConfig", "wall_clock_ms"]

_NS_PER_MS: Final = 1_000_000
_ANYWHERE: Final = Endpoint("0.0.0.0", 0)  # noqa: S104 -- a mesh node is there for others


def wall_clock_ms() -> int:
    """Return this machine's time in milliseconds since 1970, as messages carry it."""
    return time.time_ns() // _NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """How each connection is kept."""

    handshake: HandshakeSettings
    handshake_timeout: float = 10.0  # from the first packet to CONNECTED, name look-up included
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    max_queued: int = 1024  # exchanges that wait for a stream; one more is refused
    max_queued_bytes: int = 8 * 1_048_576
    max_handling: int = 128  # messages of the peer that are being handled; one more is refused
    max_handling_bytes: int = 16 * 1_048_576
    handling_timeout: float = 60.0  # that a server may take to answer a message of the peer
    partial_timeout: float = 10.0  # that the rest of a frame may take
    stall_timeout: float = 30.0  # in which a peer must take all, or 64 KiB, of what is sent to it
    drain_timeout: float = 5.0  # that exchanges in flight may take when the connection is to be closed
    max_violations: int = 16  # broken messages of one peer, then its connection is closed
    routes: Mapping[type[Message], str] = field(default_factory=dict)  # which server handles which message
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """A node's socket and connections."""

    listen: Endpoint = _ANYWHERE
    accept_peers: bool = True
    network: Callable[[], Network] = UdpNetwork
    engine: EngineName = "aioquic"
    idle_timeout: float = 60.0  # of QUIC, without any packet
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    pool: PoolLimits = field(default_factory=PoolLimits)
    backoff: Backoff = field(default_factory=Backoff)
    peer: PeerConfig
