"""The nodes that a lookup knows of, nearest to its target first, and how far it has got with each.

Erlang: macula_routing_dht:update_closest/4. Paper: Kademlia, section 2.3; S/Kademlia (Baumgart and Mies, 2007), for why
what one peer says must not decide a lookup. The states are those of rust-libp2p's ClosestPeersIter.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from enum import Enum, auto
from math import inf
from operator import itemgetter
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["Candidate", "Candidates", "Progress"]

V = TypeVar("V", bound=Hashable)

_MAX_PLACES: Final = 3  # where a node is said to be; the first that is tried need not be true
_MAX_SOURCES: Final = 8  # one that is not doubted is enough


class Progress(Enum):
    """How far the lookup has got with a candidate."""

    UNASKED = auto()  # at the place that is next
    WAITING = auto()  # for its answer
    SLOW = auto()  # it may answer yet
    FAILED = auto()
    ANSWERED = auto()


class Candidate(Generic[V]):
    """A node that may be among the closest.

    Args:
        contact: where to ask it first.
        distance: from the target.
        source: who told of it; None: this node's own table did.
    """

    __slots__ = (
        "_places",
        "_unasked",
        "asked_at",
        "balance",
        "contact",
        "distance",
        "hops",
        "pending",
        "progress",
        "values",
    )

    def __init__(self, contact: Contact, distance: int, source: "Candidate[V] | None") -> None:
        self.contact = contact  # asked last, or answered
        self.distance = distance
        self.hops: int = 0 if source is None else source.hops + 1  # nodes asked, one after the other, to learn of it
        self.progress = Progress.UNASKED
        self.asked_at = 0.0  # last
        self.pending: list[Contact] = []  # asked, and neither answered nor failed
        self.values: tuple[V, ...] = ()
        self.balance = 0  # of the contacts it told of: how many more answered than were silent
        self._unasked = [_Place(contact, [] if source is None else [source])]
        self._places = {contact: self._unasked[0]}

    @property
    def is_untouched(self) -> bool:
        """Whether it was never asked."""
        return len(self._unasked) == len(self._places)

    def is_said_to_be(self, contact: Contact) -> bool:
        """Tell whether ``contact`` is a known place of it."""
        return contact in self._places

    def told(self, contact: Contact, source: "Candidate[V]") -> None:
        """Note that ``source`` says it is at the place ``contact``."""
        if self.progress is Progress.ANSWERED:
            return
        place = self._places.get(contact)
        if place is not None:
            place.told_by(source)
        elif len(self._places) < _MAX_PLACES:
            self._places[contact] = place = _Place(contact, [source])
            self._unasked.append(place)
            self.progress = self.progress if self.progress is Progress.WAITING else Progress.UNASKED

    def ask(self) -> Contact:
        """Return the contact to ask next: the one that is vouched for best."""
        place = max(self._unasked, key=_Place.trust)
        self._unasked.remove(place)
        self.contact = place.contact
        self.pending.append(place.contact)
        self.progress = Progress.WAITING
        return place.contact

    def given_up(self) -> None:
        """Note that its answer is late or will not come: go on to the next place, if one is known."""
        self._places[self.contact].blame()
        if self._unasked:
            self.progress = Progress.UNASKED
        else:
            self.progress = Progress.SLOW if self.pending else Progress.FAILED

    def answered(self, contact: Contact, values: tuple[V, ...]) -> None:
        """Note that it answered at ``contact``."""
        self._places[contact].credit()
        self.progress, self.contact, self.values = Progress.ANSWERED, contact, values
        self.pending.clear()

    def is_doubtful(self, max_bad: int) -> bool:
        """Tell whether all who told of it, unasked, told of ``max_bad`` more silent contacts than of others."""
        return max(map(_Place.trust, self._unasked)) <= -max_bad


class _Place(Generic[V]):
    """Where a node is said to be, and by whom."""

    __slots__ = ("_is_blamed", "_sources", "contact")

    def __init__(self, contact: Contact, sources: list[Candidate[V]]) -> None:
        self.contact = contact
        self._sources = sources  # none: this node's own table, that needs nobody to vouch for it
        self._is_blamed = False

    def trust(self) -> float:
        """Return the best balance of who told of it."""
        return max((each.balance for each in self._sources), default=inf)

    def told_by(self, source: Candidate[V]) -> None:
        """Note that ``source`` told of it too."""
        if self._sources and len(self._sources) < _MAX_SOURCES and source not in self._sources:
            self._sources.append(source)
            source.balance -= self._is_blamed

    def blame(self) -> None:
        """Note that nobody answers here."""
        if not self._is_blamed:
            self._is_blamed = True
            self._weigh(-1)

    def credit(self) -> None:
        """Note that the node answered here."""
        self._weigh(1 + self._is_blamed)

    def _weigh(self, change: int) -> None:
        for source in self._sources:
            source.balance += change


class Candidates(Generic[V]):
    """Candidates by id and by distance, at most ``max_candidates``.

    When there is no room, the farthest that was never asked gives place to a nearer one. Those that were asked stay, so
    that none is asked again, and the number of queries has a bound.
    """

    def __init__(self, target: NodeId, max_candidates: int) -> None:
        self._target = int.from_bytes(target)
        self._max_candidates = max_candidates
        self._by_id: dict[NodeId, Candidate[V]] = {}
        self._ordered: list[tuple[int, NodeId, Candidate[V]]] = []  # distances are never equal

    def __len__(self) -> int:
        return len(self._ordered)

    def __iter__(self) -> Iterator[Candidate[V]]:
        return (candidate for _, _, candidate in self._ordered)

    def get(self, node_id: NodeId | None) -> Candidate[V] | None:
        """Return the candidate with this id."""
        return None if node_id is None else self._by_id.get(node_id)

    def add(self, node_id: NodeId, contact: Contact, source: Candidate[V] | None) -> None:
        """Take in a node that is not a candidate yet, if there is room."""
        distance = int.from_bytes(node_id) ^ self._target
        if len(self._ordered) >= self._max_candidates and not self._make_room(distance):
            return
        candidate = Candidate[V](contact, distance, source)
        self._by_id[node_id] = candidate
        insort(self._ordered, (distance, node_id, candidate))

    def _make_room(self, distance: int) -> bool:
        nearer = bisect_left(self._ordered, distance, key=itemgetter(0))
        for place in range(len(self._ordered) - 1, nearer - 1, -1):
            _, node_id, candidate = self._ordered[place]
            if candidate.is_untouched:
                del self._ordered[place], self._by_id[node_id]
                return True
        return False
