"""Where a connection's events become messages to the process that owns it."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from macula_actors.errors import MaculaError
from macula_actors.transport.interface import ConnectionOwner, StreamFrame
from supervisors import Ref

__all__ = ["Doubted", "FramesReceived", "LinkEstablished", "Lost", "OwnerMailbox", "Ponged", "StreamFailed", "Writable"]


@dataclass(frozen=True, slots=True)
class LinkEstablished:
    """The QUIC handshake is done."""


@dataclass(frozen=True, slots=True)
class FramesReceived:
    """What one wake-up brought."""

    frames: Sequence[StreamFrame]


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """A stream carries no more."""

    stream_id: int
    error: MaculaError


@dataclass(frozen=True, slots=True)
class Writable:
    """There is a stream again, or room in the send buffer."""


@dataclass(frozen=True, slots=True)
class Ponged:
    """The peer got a ping."""

    uid: int


@dataclass(frozen=True, slots=True)
class Doubted:
    """Somebody says that the peer is gone."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection has ended."""

    error: MaculaError


class OwnerMailbox(ConnectionOwner):
    """Sends ``process`` what happens; flow control bounds how much that is."""

    def __init__(self, process: Ref) -> None:
        self._send = process.send

    @override
    def established(self) -> None:
        self._send(LinkEstablished())

    @override
    def frames_received(self, frames: Sequence[StreamFrame]) -> None:
        self._send(FramesReceived(frames))

    @override
    def stream_failed(self, stream_id: int, error: MaculaError) -> None:
        self._send(StreamFailed(stream_id, error))

    @override
    def writable(self) -> None:
        self._send(Writable())

    @override
    def ponged(self, uid: int) -> None:
        self._send(Ponged(uid))

    @override
    def doubted(self) -> None:
        self._send(Doubted())

    @override
    def lost(self, error: MaculaError) -> None:
        self._send(Lost(error))
