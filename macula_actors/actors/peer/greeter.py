"""The handshake over one connection: what the machines of `macula_actors.core.peer.handshake` decide, carried out."""

import os
from collections.abc import Callable, Sequence
from typing import Final

from typing_extensions import override

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.handshake import (
    Accepted,
    AcceptorHandshake,
    Action,
    DiallerHandshake,
    HandshakeSettings,
    PeerInfo,
    Postpone,
    Refused,
    Security,
    Send,
    Serve,
)
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.frame import MAX_PAYLOAD_BYTES, Frame
from macula_actors.core.wire.messages import Challenge, Message
from macula_actors.errors import OverloadedError, RemoteProtocolError
from macula_actors.transport.certificate import fingerprint, public_key_of
from macula_actors.transport.connection import Connection
from macula_actors.transport.interface import StreamFrame

__all__ = ["AcceptorGreeter", "DiallerGreeter", "Greeter"]

NONCE_BYTES: Final = 32
MAX_POSTPONED_BYTES: Final = 2 * MAX_PAYLOAD_BYTES


class Greeter:
    """One end of a handshake. `begin` once the connection is established, then `take` what comes until it is over.

    Both return who the peer is when all is well, why it is refused, or None to go on; `take` also that what came is to
    be served all the same.

    Attributes:
        postponed: what came too early, to be handled when all is well.
    """

    def __init__(self, link: Connection, settings: HandshakeSettings, clock_ms: Callable[[], int]) -> None:
        self.postponed: list[StreamFrame] = []
        self._link = link
        self._settings = settings
        self._clock_ms = clock_ms
        self._machine: AcceptorHandshake | DiallerHandshake

    def begin(self) -> PeerInfo | Refused | None:
        """Send what this end begins with, on a stream that it opens."""
        raise NotImplementedError

    def take(self, item: StreamFrame, message: Message) -> PeerInfo | Refused | Serve | None:
        """Take the ``message`` that came in ``item``; answer on its stream."""
        actions = self._machine.received(message, self._clock_ms())
        if Postpone() in actions:
            self.postponed.append(item)
            if self._postponed_bytes() > MAX_POSTPONED_BYTES:
                error = OverloadedError("bytes before the handshake is done", MAX_POSTPONED_BYTES)
                return Refused(error, CloseCode.OVERLOADED)
        return self._act(actions, item.stream_id, end_stream=item.end_stream)

    def _postponed_bytes(self) -> int:
        return sum(len(each.frame.payload) for each in self.postponed if isinstance(each.frame, Frame))

    def _begin(self, actions: Sequence[Action]) -> PeerInfo | Refused | None:
        sends = any(isinstance(action, Send) for action in actions)
        outcome = self._act(actions, self._link.open_stream() if sends else None)
        return None if isinstance(outcome, Serve) else outcome

    def _act(
        self, actions: Sequence[Action], stream_id: int | None, *, end_stream: bool = False
    ) -> PeerInfo | Refused | Serve | None:
        for action in actions:
            match action:
                case Send(message) if stream_id is not None:
                    # v0.8 goes on with the stream of its CONNECT, until it ends it; ours is answered once
                    is_last = self._settings.security is Security.VERIFIED and not isinstance(message, Challenge)
                    self._link.send(stream_id, encode(message), end_stream=is_last or end_stream)
                case Accepted(peer):
                    return peer
                case Refused() | Serve():
                    return action
                case Send() | Postpone():
                    pass
        return None


class DiallerGreeter(Greeter):
    """The end that dialled ``expected``, or whoever is there."""

    def __init__(
        self, link: Connection, settings: HandshakeSettings, clock_ms: Callable[[], int], *, expected: NodeId | None
    ) -> None:
        super().__init__(link, settings, clock_ms)
        self._machine: DiallerHandshake = DiallerHandshake(settings, expected=expected)

    @override
    def begin(self) -> PeerInfo | Refused | None:
        certificate = self._link.peer_certificate() or b""
        try:
            public_key = public_key_of(certificate)
        except RemoteProtocolError:
            public_key = None  # whether that will do is for the machine to say
        return self._begin(self._machine.established(fingerprint=fingerprint(certificate), public_key=public_key))


class AcceptorGreeter(Greeter):
    """The end that was dialled. ``own_fingerprint``: of its certificate."""

    def __init__(
        self, link: Connection, settings: HandshakeSettings, clock_ms: Callable[[], int], *, own_fingerprint: bytes
    ) -> None:
        super().__init__(link, settings, clock_ms)
        nonce = os.urandom(NONCE_BYTES)
        self._machine: AcceptorHandshake = AcceptorHandshake(settings, fingerprint=own_fingerprint, nonce=nonce)

    @override
    def begin(self) -> PeerInfo | Refused | None:
        return self._begin(self._machine.established())
