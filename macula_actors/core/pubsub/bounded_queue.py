"""A queue with a bound, and what is done at it: of a slow subscriber here, or of a slow node.

Later versions of the original: one queue per subscription, bounded; v0.8 starts a process for each message.
"""

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["BoundedQueue", "FullPolicy", "Put"]

Item = TypeVar("Item")


class FullPolicy(StrEnum):
    """What becomes of an item for which there is no room."""

    DROP_OLDEST = "drop_oldest"  # it takes the place of the one that waits longest
    DROP_NEWEST = "drop_newest"  # it is dropped itself
    HOLD = "hold"  # its sender waits and tries again
    DISCONNECT = "disconnect"  # the receiver is given up


class Put(StrEnum):
    """What became of an item that was put."""

    QUEUED = "queued"
    DROPPED_OLDEST = "dropped_oldest"  # it is in the queue, others are not any more
    DROPPED = "dropped"
    HELD = "held"
    DISCONNECTED = "disconnected"  # the queue takes nothing any more


class BoundedQueue(Generic[Item]):
    """Items in the order in which they came.

    Args:
        max_items: at least 1.
        policy: what is done at that bound.
        max_bytes: of all items; one that finds less there than that goes in, however long it is.
        length_of: how many bytes an item takes.

    Raises:
        ValueError: ``max_items`` is below 1.
    """

    def __init__(
        self,
        max_items: int,
        policy: FullPolicy,
        *,
        max_bytes: float = inf,
        length_of: Callable[[Item], int] = lambda _: 0,
    ) -> None:
        if max_items < 1:
            raise ValueError(f"a queue of {max_items} items; the least is 1")
        self._items: Final[deque[Item]] = deque()
        self._max_items: Final = max_items
        self._max_bytes: Final = max_bytes
        self._length_of: Final = length_of
        self._bytes = 0
        self._policy: Final = policy
        self._is_disconnected = False
        self._dropped = 0
        self._held = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._items))

    @property
    def policy(self) -> FullPolicy:
        """What is done at the bound."""
        return self._policy

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        return len(self._items) >= self._max_items or self._bytes >= self._max_bytes

    @property
    def is_disconnected(self) -> bool:
        """Whether it was full once, and the policy is to give the receiver up then."""
        return self._is_disconnected

    @property
    def dropped(self) -> int:
        """How many items were dropped for want of room, since the start."""
        return self._dropped

    @property
    def held(self) -> int:
        """How often an item was held, since the start."""
        return self._held

    def put(self, item: Item) -> tuple[Put, tuple[Item, ...]]:
        """Put ``item`` at the end; return what became of it, and the items that were dropped."""
        if self._is_disconnected:
            self._dropped += 1
            return Put.DISCONNECTED, (item,)
        if not self.is_full:
            self._append(item)
            return Put.QUEUED, ()
        return self._put_when_full(item)

    def get(self) -> Item | None:
        """Take the item that came first; None if there is none."""
        return self._take() if self._items else None

    def clear(self) -> tuple[Item, ...]:
        """Take all items."""
        items = tuple(self._items)
        self._items.clear()
        self._bytes = 0
        return items

    def take_if(self, wanted: Callable[[Item], bool]) -> tuple[Item, ...]:
        """Take those items that are ``wanted``; the others stay, in order."""
        items = self.clear()
        for item in items:
            if not wanted(item):
                self._append(item)
        return tuple(item for item in items if wanted(item))

    def _append(self, item: Item) -> None:
        self._items.append(item)
        self._bytes += self._length_of(item)

    def _take(self) -> Item:
        item = self._items.popleft()
        self._bytes -= self._length_of(item)
        return item

    def _put_when_full(self, item: Item) -> tuple[Put, tuple[Item, ...]]:
        match self._policy:
            case FullPolicy.HOLD:
                self._held += 1
                return Put.HELD, ()
            case FullPolicy.DROP_OLDEST:
                oldest = []
                while self.is_full:
                    oldest.append(self._take())
                self._dropped += len(oldest)
                self._append(item)
                return Put.DROPPED_OLDEST, tuple(oldest)
            case FullPolicy.DROP_NEWEST:
                self._dropped += 1
                return Put.DROPPED, (item,)
            case _:  # DISCONNECT
                self._dropped += 1
                self._is_disconnected = True
                return Put.DISCONNECTED, (item,)
