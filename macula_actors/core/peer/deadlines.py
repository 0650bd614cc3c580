"""Instants by item: which is next, which have passed.

A heap, in which items that were moved or discarded stay until there are more of them than of the others: O(log n) for
each operation, amortised, and memory for the items that are in it.
"""

import heapq
from collections.abc import Hashable, Iterator
from itertools import count
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["Deadlines"]

_ALLOWED_STALE: Final = 64  # before the heap is rebuilt, however few items are in it

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Items, each with one instant."""

    def __init__(self) -> None:
        self._entries: dict[T, tuple[float, int, T]] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._serials = count()  # of two entries with one instant the older is first; items need no order

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: object) -> bool:
        return item in self._entries

    def set(self, item: T, at: float) -> None:
        """Add ``item``, or move it to another instant."""
        entry = (at, next(self._serials), item)
        self._entries[item] = entry
        heapq.heappush(self._heap, entry)
        self._compact()

    def discard(self, item: T) -> None:
        """Take ``item`` out, if it is in."""
        if self._entries.pop(item, None) is not None:
            self._compact()

    def next(self) -> float:
        """Return the earliest instant; infinity if there is none."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def pop_due(self, now: float) -> Iterator[T]:
        """Take out the items whose instant has come, the earliest first, each when it is asked for."""
        while self._entries and self.next() <= now:
            item = heapq.heappop(self._heap)[2]
            del self._entries[item]
            yield item

    def _is_stale(self, entry: tuple[float, int, T]) -> bool:
        return self._entries.get(entry[2]) is not entry

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + _ALLOWED_STALE:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)
