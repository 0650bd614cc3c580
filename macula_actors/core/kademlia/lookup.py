"""An iterative lookup: the nodes closest to a target, and the values that they have for it.

Erlang: macula_routing_dht (one query after the other, stops too early, takes the first value; D-49). Paper: Kademlia,
section 2.3. After rust-libp2p's ClosestPeersIter: it asks nobody, it says whom to ask.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from itertools import islice
from math import inf
from typing import Generic, TypeVar, assert_never

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.candidates import Candidate, Candidates, Progress
from macula_actors.core.kademlia.lookup_decisions import Finished, Holder, LookupResult, Outcome, Query, Step, Wait
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["Lookup", "LookupLimits"]

V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupLimits:
    """Tunables of a lookup. Durations are seconds.

    Raises:
        ValueError: a number is not above 0.
    """

    k: int = 20  # closest nodes to find; paper, 2.2
    alpha: int = 3  # queries in flight, slow ones not counted; paper, 2.3
    slow_after: float = 0.5  # without an answer another one is asked in its place; while none has come, and at most
    min_slow_after: float = 0.1  # at least; in between, twice what the slowest answer of this lookup took
    min_answers: int = 3  # with fewer, slow ones are waited for when there is nobody else to ask
    timeout: float = 10.0  # of the lookup; macula_routing_server:find_value/3
    stop_after: float = inf  # holders of values; then the lookup ends at once
    max_contacts: int = 20  # taken of an answer, the first ones; macula_routing_server sends so many
    max_values: int = 128  # taken of an answer
    max_candidates: int = 256  # known at a time
    max_bad: int = 3  # more silent than answering contacts of one peer; its others have to wait then

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise ValueError(f"{self}: all numbers are above 0")


class Lookup(Generic[V]):
    """Which nodes to ask for the closest to a target, and when that is done; `V` is a value that nodes may have.

    The owner calls `next` at the start, after each `Query`, `answered` and `failed`, and when a `Wait` is over. It
    tells what became of each query, once; a query that came to nothing within its own time-out is `failed`. All
    instants are of one monotonic clock, in seconds.

    There are always alpha queries in flight, as long as there is somebody to ask among the k closest; once holders have
    answered, at most three more than holders are missing. It ends when the k closest that are neither silent nor failed
    have answered, or all there are. Silent nodes do not stall it: after a moment others are asked in their place, and
    it ends without them, unless hardly any other has answered.

    Answers are hearsay. Only nodes that answer count; a node that is said to be at several places is asked at up to
    three of them; contacts of a peer whose other contacts are silent are asked only when there is nobody else.

    Args:
        target: a node id or a key.
        node_id: this node's; it is not asked.
        contacts: whom to begin with, as `RoutingTable.closest` returns them.
        limits: its tunables.
        now: when it begins.
    """

    def __init__(
        self, target: NodeId, *, node_id: NodeId, contacts: Iterable[Contact], limits: LookupLimits, now: float
    ) -> None:
        self._target = target
        self._node_id = node_id
        self._limits = limits
        self._deadline = now + limits.timeout
        self._candidates = Candidates[V](target, limits.max_candidates)
        self._waiting: dict[Candidate[V], float] = {}  # since when, the earliest first
        self._measured: list[float] = []  # when the queries were sent that were answered since `next`
        self._slowest = inf  # of the answers, in seconds; infinity: none yet
        self._queries = 0
        self._failures = 0
        self._holders = 0
        self._finished: Finished[V] | None = None
        self._learn(contacts, None)

    def next(self, now: float) -> Step[V]:
        """Return whom to ask, how long to wait, or the result."""
        if self._finished is not None:
            return self._finished
        self._measure(now)
        self._note_slow(now)
        if self._holders >= self._limits.stop_after:
            return self._finish(Outcome.ENOUGH)
        if now >= self._deadline:
            return self._finish(Outcome.TIMEOUT)
        candidate, is_done = self._next_candidate()
        if is_done:
            return self._finish(Outcome.CLOSEST)
        if candidate is None or len(self._waiting) >= self._most_waiting:
            return Wait(min(self._deadline, next(iter(self._waiting.values()), inf) + self._patience))
        self._queries += 1
        self._waiting[candidate] = candidate.asked_at = now
        return Query(candidate.ask())

    def answered(self, contact: Contact, closer: Sequence[Contact] = (), values: Sequence[V] = ()) -> bool:
        """Take an answer to a query: contacts closer to the target, values, or both; False: it is not waited for.

        Args:
            contact: as in the `Query`.
            closer: contacts as received, of which only the first and the plausible are used.
            values: valid ones.
        """
        candidate = self._asked(contact)
        if candidate is None:
            return False
        self._waiting.pop(candidate, None)
        if contact == candidate.contact:  # asked last: it is known when
            self._measured.append(candidate.asked_at)
        candidate.answered(contact, tuple(values[: self._limits.max_values]))
        self._holders += bool(values)
        self._learn(islice(closer, self._limits.max_contacts), candidate)
        return True

    def failed(self, contact: Contact) -> bool:
        """Note that a query will not be answered; False: it was not waited for."""
        candidate = self._asked(contact)
        if candidate is None:
            return False
        self._failures += 1
        candidate.pending.remove(contact)
        # an earlier query to it may have failed at another place, while this one goes on
        if contact == candidate.contact:
            self._waiting.pop(candidate, None)
            candidate.given_up()
        return True

    def _asked(self, contact: Contact) -> Candidate[V] | None:
        candidate = self._candidates.get(contact.node_id) if self._finished is None else None
        return candidate if candidate is not None and contact in candidate.pending else None

    def _learn(self, contacts: Iterable[Contact], source: Candidate[V] | None) -> None:
        for contact in contacts:
            node_id = contact.node_id
            if node_id is None or node_id == self._node_id:
                continue
            known = self._candidates.get(node_id)
            if known is None:
                if _is_plausible(contact.endpoint):
                    self._candidates.add(node_id, contact, source)
            elif source is None or known.progress is Progress.ANSWERED:
                continue
            elif not known.confirmed(contact, source) and _is_plausible(contact.endpoint):
                known.told(contact, source)

    @property
    def _most_waiting(self) -> float:
        """How many may be waited for: where holders are, their neighbours are holders, and three more are enough."""
        missing = self._limits.stop_after - self._holders
        return min(self._limits.alpha, missing + 3) if self._holders else self._limits.alpha

    @property
    def _patience(self) -> float:
        """Seconds after which a query is slow."""
        return min(self._limits.slow_after, max(self._limits.min_slow_after, 2 * self._slowest))

    def _measure(self, now: float) -> None:
        for asked_at in self._measured:
            took = now - asked_at
            self._slowest = took if self._slowest == inf else max(self._slowest, took)
        self._measured.clear()

    def _note_slow(self, now: float) -> None:
        patience = self._patience
        for candidate, asked_at in list(self._waiting.items()):
            if asked_at + patience > now:
                return
            del self._waiting[candidate]
            candidate.given_up()

    def _next_candidate(self) -> tuple[Candidate[V] | None, bool]:
        """Return whom to ask, and whether nobody has to be asked or waited for any more."""
        count = 0  # of the closest that answered or may be expected to
        is_done = True
        doubtful: Candidate[V] | None = None
        for candidate in self._candidates:
            match candidate.progress:
                case Progress.ANSWERED:
                    count += 1
                case Progress.UNASKED if not candidate.is_doubtful(self._limits.max_bad):
                    return candidate, False
                case Progress.UNASKED:
                    doubtful = doubtful or candidate
                case Progress.WAITING:
                    is_done = False
                    count += 1
                case Progress.SLOW | Progress.FAILED:
                    pass
                case _:
                    assert_never(candidate.progress)
            if count == self._limits.k:
                return None, is_done
        if doubtful is not None or not is_done or count >= self._limits.min_answers:
            return doubtful, doubtful is None and is_done
        return None, not any(candidate.pending for candidate in self._candidates)

    def _finish(self, outcome: Outcome) -> Finished[V]:
        answered = [each for each in self._candidates if each.progress is Progress.ANSWERED]
        closest = answered[: self._limits.k]
        self._finished = Finished(
            LookupResult(
                target=self._target,
                outcome=outcome,
                contacts=tuple(each.contact for each in closest),
                holders=tuple(Holder(each.contact, each.values) for each in answered if each.values),
                without_value=tuple(each.contact for each in closest if not each.values),
                queries=self._queries,
                failures=self._failures,
                hops=max((each.hops for each in closest), default=0),
            )
        )
        return self._finished


def _is_plausible(endpoint: Endpoint | None) -> bool:
    if endpoint is None:
        return True  # a live connection, a hole punch or a relay may reach it
    if not endpoint.port:
        return False
    return _is_somebodys(endpoint.host)


@lru_cache(4096)  # the same nodes are told of again and again, and reading an address takes 4 us
def _is_somebodys(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return True
    is_for_nobody = isinstance(address, IPv4Address) and address.is_reserved  # 240.0.0.0/4, with the broadcast address
    return not (address.is_unspecified or address.is_multicast or is_for_nobody)
