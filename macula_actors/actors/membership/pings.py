"""The pings that Membership has sent, and what for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.detector import Detector
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.deadlines import Deadlines
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message, SwimPing, SwimPingReq
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import Exchange, Request
from supervisors import From, RequestId, System, send_request

__all__ = ["Asked", "Pings", "Relayed"]

MS: Final = 1000  # milliseconds in a second
SEQUENCE_NUMBERS: Final = 2**32


@dataclass(frozen=True, slots=True)
class Asked:
    """What this node wants to know itself: whether ``target`` answers; ``is_indirect``: another member."""

    target: NodeId
    is_indirect: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Relayed:
    """A ping of ``target`` for the member ``asker``, who is answered by ``from_`` with the number ``seq``."""

    target: NodeId
    asker: NodeId
    seq: int
    from_: From


class Pings:
    """Those under way, with what `Detector.gossip_for` gives them to carry.

    They go to members by their ids alone: over a connection that is there.
    """

    def __init__(self, node_id: NodeId, detector: Detector, system: System) -> None:
        self._node_id: Final = node_id
        self._detector: Final = detector
        self._system: Final = system
        self._asked: Final[dict[RequestId, Asked | Relayed]] = {}
        self._deadlines: Final = Deadlines[RequestId]()
        self._sequence = 0
        self.sent = 0
        self.relayed = 0  # that are under way

    def ping(self, asked: Asked | Relayed, timeout: float) -> None:
        """Ask the target itself."""
        self.sent += 1
        self.relayed += isinstance(asked, Relayed)
        gossip = self._detector.gossip_for(asked.target, asked.target)
        ping = SwimPing(seq=self._next_sequence(), node_id=self._node_id, gossip=gossip)
        self._send(asked.target, ping, asked, timeout)

    def ask(self, helper: NodeId, target: NodeId, timeout: float) -> None:
        """Ask another member to ping the target."""
        request = SwimPingReq(
            seq=self._next_sequence(),
            target=target,
            source=self._node_id,
            timeout=round(timeout * MS),
            gossip=self._detector.gossip_for(helper, target),
        )
        self._send(helper, request, Asked(target, is_indirect=True), timeout)

    def take(self, reqid: RequestId) -> Asked | Relayed | None:
        """Return what an answer is to; None if it comes too late."""
        self._deadlines.discard(reqid)
        asked = self._asked.pop(reqid, None)
        self.relayed -= isinstance(asked, Relayed)
        return asked

    def expire(self, now: float) -> Iterator[Asked | Relayed]:
        """Yield those that were not answered in time, and forget them."""
        for reqid in self._deadlines.pop_due(now):
            asked = self.take(reqid)
            if asked is not None:
                yield asked

    def next_due(self) -> float:
        """Return when `expire` has something to yield; infinity if nothing is under way."""
        return self._deadlines.next()

    def _send(self, to: NodeId, message: Message, asked: Asked | Relayed, timeout: float) -> None:
        deadline = self._system.now() + timeout
        exchange = Exchange(encode(message), deadline, wants_reply=True)
        reqid = send_request(PEER_CONNECTOR, Request(Contact(None, to), exchange))
        self._asked[reqid] = asked
        self._deadlines.set(reqid, deadline)

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) % SEQUENCE_NUMBERS
        return self._sequence
