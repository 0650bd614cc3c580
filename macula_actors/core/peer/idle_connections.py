"""Connections without work in flight, the least recently used first: what an idle time-out and an eviction look at."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from enum import Enum, auto
from math import inf
from typing import Generic, TypeVar

__all__ = ["IdleConnections", "Standing"]

C = TypeVar("C", bound=Hashable)


class Standing(Enum):
    """How dear an idle connection is; the first is evicted first."""

    SURPLUS = auto()  # dialled, to a node that has a better one
    DIALLED = auto()  # can be dialled again
    ACCEPTED = auto()  # perhaps not: the peer may be behind a NAT


class IdleConnections(Generic[C]):
    """One queue for each standing, so that each has its own time-out, in seconds; none for those not named."""

    def __init__(self, timeouts: Mapping[Standing, float]) -> None:
        self._queues = {standing: _Queue[C](timeouts.get(standing, inf)) for standing in Standing}
        self._queue_of: dict[C, _Queue[C]] = {}

    def __len__(self) -> int:
        return len(self._queue_of)

    def put(self, connection: C, standing: Standing, now: float) -> None:
        """Note that ``connection`` was used ``now`` and is idle since."""
        before, queue = self._queue_of.get(connection), self._queues[standing]
        if before is queue:
            queue.since.move_to_end(connection)
        else:
            self.discard(connection)
            self._queue_of[connection] = queue
        queue.since[connection] = now

    def discard(self, connection: C) -> None:
        """Take ``connection`` out: it is busy or closed."""
        queue = self._queue_of.pop(connection, None)
        if queue is not None:
            del queue.since[connection]

    def least_dear(self) -> C | None:
        """Return the connection to evict; None if all are busy."""
        for queue in self._queues.values():
            for connection in queue.since:
                return connection
        return None

    def pop_due(self, now: float) -> Iterator[C]:
        """Take out those that were idle for their time-out."""
        for queue in self._queues.values():
            while queue.next() <= now:
                connection, _ = queue.since.popitem(last=False)
                del self._queue_of[connection]
                yield connection

    def next(self) -> float:
        """Return when the next one is due; infinity if none is."""
        return min(queue.next() for queue in self._queues.values())


class _Queue(Generic[C]):
    __slots__ = ("since", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.since: OrderedDict[C, float] = OrderedDict()

    def next(self) -> float:
        return next(iter(self.since.values()), inf) + self.timeout
