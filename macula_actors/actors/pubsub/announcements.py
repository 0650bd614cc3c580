"""Has others know what this node has subscribed to, and what no more: first its records, then who is connected.

Who has subscribed waits until that is done, but not for ever; it is done all the same.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from macula_actors.actors.pubsub.neighbours import Neighbours
from macula_actors.actors.pubsub.records import Records
from supervisors import From, RequestId, System

__all__ = ["Announcements"]

MAX_ROUNDS: Final = 8  # in which peers are told, at once; what else is to be told goes together in the next one


@dataclass(slots=True, eq=False)
class _Waiting:
    """Who is answered when there is nothing left of ``prefixes`` and ``rounds``, and at ``until`` in any case."""

    from_: From
    answer: object
    until: float
    prefixes: set[str]
    rounds: int = 0


@dataclass(slots=True, eq=False)
class _Round:
    requests: set[RequestId]
    waiting: list[_Waiting] = field(default_factory=list)


class Announcements:
    """What is to be told, by the prefix of the record that has to be there before.

    Args:
        records: of this node.
        neighbours: of this node.
    """

    def __init__(self, records: Records, neighbours: Neighbours) -> None:
        self._records: Final = records
        self._neighbours: Final = neighbours
        self._system: Final = System.current()
        self._untold: Final[dict[str, dict[str, None]]] = {}  # patterns by prefix
        self._ready: Final[dict[str, None]] = {}  # prefixes of those that can be told
        self._by_prefix: Final[dict[str, list[_Waiting]]] = {}
        self._waiting: Final[dict[_Waiting, None]] = {}
        self._asked: Final[dict[RequestId, _Round]] = {}
        self._rounds = 0
        self.next_due = inf
        """When to call `due`, at the latest; never: infinity."""

    def add(self, changed: Collection[str], patience: float) -> None:
        """Have it told that this node has ``changed`` patterns, or has them no more; their records are on the way."""
        self.add_for(None, None, changed, changed, patience)

    def add_for(
        self, from_: From | None, answer: object, changed: Iterable[str], patterns: Iterable[str], patience: float
    ) -> None:
        """Do what `add` does; when others know of all ``patterns``, or after ``patience`` seconds, answer ``from_``."""
        for pattern in changed:
            self._untold.setdefault(self._records.prefix_of(pattern), {})[pattern] = None
        prefixes = {self._records.prefix_of(pattern) for pattern in patterns}
        if from_ is not None:
            waiting = _Waiting(from_, answer, self._system.now() + patience, prefixes)
            self._waiting[waiting] = None
            self.next_due = min(self.next_due, waiting.until)
            for prefix in prefixes:
                self._by_prefix.setdefault(prefix, []).append(waiting)
            self._answer((waiting,))
        self._settled(prefixes)

    def settled(self, prefix: str) -> None:
        """Take note that something has come of a record of ``prefix``."""
        self._settled((prefix,))

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._asked

    def answered(self, request: RequestId) -> None:
        """Take note that a peer was told, or could not be."""
        found = self._asked.pop(request)
        found.requests.discard(request)
        if not found.requests:
            self._rounds -= 1
            self._end(found)
            self._tell()

    def due(self) -> None:
        """Answer those who have waited long enough."""
        now = self._system.now()
        if now < self.next_due:
            return
        for waiting in [each for each in self._waiting if each.until <= now]:
            self._reply(waiting)
        self.next_due = min((each.until for each in self._waiting), default=inf)

    def _settled(self, prefixes: Iterable[str]) -> None:
        ready = (each for each in prefixes if each in self._untold or each in self._by_prefix)
        self._ready.update((each, None) for each in ready if self._records.is_settled(each))
        self._tell()

    def _tell(self) -> None:
        """Tell all that is ready in one round, if there is room for one."""
        if not self._ready or self._rounds >= MAX_ROUNDS:
            return
        patterns = [pattern for prefix in self._ready for pattern in self._untold.pop(prefix, ())]
        waiting = [each for prefix in self._ready for each in self._by_prefix.pop(prefix, ())]
        for each in waiting:
            each.prefixes.difference_update(self._ready)
            each.rounds += 1
        self._ready.clear()
        new = [each for each in patterns if self._records.has(each)]
        gone = [each for each in patterns if not self._records.has(each)]
        begun = _Round(set(self._neighbours.tell_all(new, gone)), waiting)
        self._asked.update(dict.fromkeys(begun.requests, begun))
        if begun.requests:
            self._rounds += 1
        else:
            self._end(begun)

    def _end(self, ended: _Round) -> None:
        for each in ended.waiting:
            each.rounds -= 1
        self._answer(ended.waiting)

    def _answer(self, waiting: Iterable[_Waiting]) -> None:
        for each in waiting:
            if not each.prefixes and not each.rounds:
                self._reply(each)

    def _reply(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            del self._waiting[waiting]
            waiting.from_.reply(waiting.answer)
