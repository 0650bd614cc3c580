"""The nodes that a lookup knows of, nearest to its target first, and how far it has got with each.

Erlang: macula_routing_dht:update_closest/4. Paper: Kademlia, section 2.3; S/Kademlia (Baumgart and Mies, 2007), section
4.4, for why what one peer says must not decide a lookup. After rust-libp2p's ClosestPeersIter.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["Candidate", "Candidates", "Progress"]

V = TypeVar("V", bound=Hashable)

_MAX_OTHERS: Final = 2  # endpoints of one node that wait for the first to fail
_MAX_SOURCES: Final = 8  # peers of which one is enough to vouch for a candidate


class Progress(Enum):
    """How far the lookup has got with a candidate."""

    UNASKED = auto()
    WAITING = auto()  # for its answer
    SLOW = auto()  # it may answer yet, and is not waited for
    FAILED = auto()
    ANSWERED = auto()


@dataclass(slots=True, eq=False)
class Candidate(Generic[V]):
    """A node that may be among the closest."""

    contact: Contact  # to ask, or that was asked last
    distance: int  # from the target
    hops: int  # how many nodes were asked, one after the other, to learn of it
    sources: list["Candidate[V]"]  # who told of it; none: this node's own table did
    progress: Progress = Progress.UNASKED
    pending: list[Contact] = field(default_factory=list)  # asked, and neither answered nor failed
    others: list[Contact] = field(default_factory=list)  # where else it is said to be; not asked yet
    slow_at: float = 0.0
    good: int = 0  # of the contacts it told of: those that answered
    bad: int = 0  # and those that did not
    values: tuple[V, ...] = ()

    def is_doubtful(self, max_bad: int) -> bool:
        """Tell whether nobody speaks for it but peers whose contacts lead nowhere: ``max_bad`` for each that answered."""
        return bool(self.sources) and all(each.bad >= max_bad * (1 + each.good) for each in self.sources)


class Candidates(Generic[V]):
    """Candidates by id and by distance, at most ``max_candidates``.

    When there is no room, the farthest that was not asked gives place to a nearer one. Those that were asked stay, so
    that none is asked again: there are never more queries than candidates.
    """

    def __init__(self, target: NodeId, max_candidates: int) -> None:
        self._target = int.from_bytes(target)
        self._max_candidates = max_candidates
        self._by_id: dict[NodeId, Candidate[V]] = {}
        self._ordered: list[tuple[int, Candidate[V]]] = []  # distances are never equal

    def __len__(self) -> int:
        return len(self._ordered)

    def __iter__(self) -> Iterator[Candidate[V]]:
        return (candidate for _, candidate in self._ordered)

    def get(self, contact: Contact) -> Candidate[V] | None:
        """Return the candidate with the node id of ``contact``."""
        return None if contact.node_id is None else self._by_id.get(contact.node_id)

    def add(self, node_id: NodeId, contact: Contact, source: Candidate[V] | None) -> None:
        """Take in what ``source`` told, None: this node's own table."""
        known = self._by_id.get(node_id)
        if known is not None:
            _learn(known, contact, source)
            return
        distance = int.from_bytes(node_id) ^ self._target
        if len(self._ordered) >= self._max_candidates and not self._make_room(distance):
            return
        hops = 0 if source is None else source.hops + 1
        candidate = Candidate[V](contact, distance, hops, [] if source is None else [source])
        self._by_id[node_id] = candidate
        insort(self._ordered, (distance, candidate))

    def _make_room(self, distance: int) -> bool:
        for place in range(len(self._ordered) - 1, bisect_left(self._ordered, (distance,)) - 1, -1):
            candidate = self._ordered[place][1]
            if candidate.progress is Progress.UNASKED and not candidate.pending:
                del self._ordered[place]
                del self._by_id[NodeId(candidate.contact.node_id or b"")]
                return True
        return False


def _learn(known: Candidate[V], contact: Contact, source: Candidate[V] | None) -> None:
    # who is known from this node's own table needs nobody to vouch for it
    if source is not None and known.sources and source not in known.sources and len(known.sources) < _MAX_SOURCES:
        known.sources.append(source)
