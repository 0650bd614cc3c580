"""The nodes that a lookup knows of, nearest to its target first, and how far it has got with each.

Erlang: macula_routing_dht:update_closest/4. Paper: Kademlia, section 2.3; S/Kademlia (Baumgart and Mies, 2007), for why
what one peer says must not decide a lookup. The states are those of rust-libp2p's ClosestPeersIter.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator
from enum import Enum, auto
from math import inf
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
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
        place = _Place(contact, [] if source is None else [source])
        self._places = [place]
        self._unasked = [place]

    @property
    def is_untouched(self) -> bool:
        """Whether it was never asked."""
        return len(self._unasked) == len(self._places)

    def confirmed(self, contact: Contact, source: "Candidate[V]") -> bool:
        """Note that ``source`` says, too, that it is at the place ``contact``; False: nobody has said so before."""
        for place in self._places:
            if place.contact is contact or place.contact == contact:
                place.told_by(source)
                return True
        return False

    def told(self, contact: Contact, source: "Candidate[V]") -> None:
        """Note that ``source`` says it is at the place ``contact``."""
        if self.progress is Progress.ANSWERED or self.confirmed(contact, source):
            return
        if len(self._places) < _MAX_PLACES:
            place = _Place(contact, [source])
            self._places.append(place)
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
        self._place(self.contact).blame()
        if self._unasked:
            self.progress = Progress.UNASKED
        else:
            self.progress = Progress.SLOW if self.pending else Progress.FAILED

    def answered(self, contact: Contact, values: tuple[V, ...]) -> None:
        """Note that it answered at ``contact``."""
        self._place(contact).credit()
        self.progress, self.contact, self.values = Progress.ANSWERED, contact, values
        self.pending.clear()

    def is_doubtful(self, max_bad: int) -> bool:
        """Tell whether all who told of it, unasked, told of ``max_bad`` more silent contacts than of others."""
        return not any(place.is_trusted(max_bad) for place in self._unasked)

    def _place(self, contact: Contact) -> "_Place[V]":
        return next(each for each in self._places if each.contact == contact)


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

    def is_trusted(self, max_bad: int) -> bool:
        """Tell whether `trust` is above ``-max_bad``."""
        return not self._sources or any(each.balance > -max_bad for each in self._sources)

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
        self._nearest: list[Candidate[V]] = []
        self._distances: list[int] = []  # of the nearest; never equal

    def __len__(self) -> int:
        return len(self._nearest)

    def __iter__(self) -> Iterator[Candidate[V]]:
        return iter(self._nearest)

    def get(self, node_id: NodeId | None) -> Candidate[V] | None:
        """Return the candidate with this id."""
        return None if node_id is None else self._by_id.get(node_id)

    def add(self, node_id: NodeId, contact: Contact, source: Candidate[V] | None) -> None:
        """Take in a node that is not a candidate yet, if there is room."""
        distance = int.from_bytes(node_id) ^ self._target
        rank = bisect_left(self._distances, distance)
        if len(self._nearest) >= self._max_candidates and not self._make_room(rank):
            return
        candidate: Candidate[V] = Candidate(contact, distance, source)
        self._by_id[node_id] = candidate
        self._nearest.insert(rank, candidate)
        self._distances.insert(rank, distance)

    def _make_room(self, rank: int) -> bool:
        for place in range(len(self._nearest) - 1, rank - 1, -1):
            if self._nearest[place].is_untouched:
                distance = self._distances.pop(place)
                del self._nearest[place], self._by_id[NodeId((distance ^ self._target).to_bytes(ID_BYTES))]
                return True
        return False
