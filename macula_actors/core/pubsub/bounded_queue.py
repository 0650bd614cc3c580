"""A queue with a bound, and what is done at it: of a slow subscriber here, or of a slow node.

Later versions of the original: one queue per subscription, bounded; v0.8 starts a process for each message.
"""

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
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
    DROPPED_OLDEST = "dropped_oldest"  # it is in the queue, another one is not any more
    DROPPED = "dropped"
    HELD = "held"
    DISCONNECTED = "disconnected"  # the queue takes nothing any more


class BoundedQueue(Generic[Item]):
    """Items in the order in which they came.

    Args:
        max_items: at least 1.
        policy: what is done at that bound.

    Raises:
        ValueError: ``max_items`` is below 1.
    """

    def __init__(self, max_items: int, policy: FullPolicy) -> None:
        if max_items < 1:
            raise ValueError(f"a queue of {max_items} items; the least is 1")
        self._items: Final[deque[Item]] = deque()
        self._max_items: Final = max_items
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
        return len(self._items) >= self._max_items

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

    def put(self, item: Item) -> tuple[Put, Item | None]:
        """Put ``item`` at the end; return what became of it, and the item that was dropped, if one was."""
        if self._is_disconnected:
            self._dropped += 1
            return Put.DISCONNECTED, item
        if not self.is_full:
            self._items.append(item)
            return Put.QUEUED, None
        return self._put_when_full(item)

    def get(self) -> Item | None:
        """Take the item that came first; None if there is none."""
        return self._items.popleft() if self._items else None

    def clear(self) -> tuple[Item, ...]:
        """Take all items."""
        items = tuple(self._items)
        self._items.clear()
        return items

    def take_if(self, wanted: Callable[[Item], bool]) -> tuple[Item, ...]:
        """Take those items that are ``wanted``; the others stay, in order."""
        items = self.clear()
        self._items.extend(item for item in items if not wanted(item))
        return tuple(item for item in items if wanted(item))

    def _put_when_full(self, item: Item) -> tuple[Put, Item | None]:
        match self._policy:
            case FullPolicy.HOLD:
                self._held += 1
                return Put.HELD, None
            case FullPolicy.DROP_OLDEST:
                self._dropped += 1
                oldest = self._items.popleft()
                self._items.append(item)
                return Put.DROPPED_OLDEST, oldest
            case FullPolicy.DROP_NEWEST:
                self._dropped += 1
                return Put.DROPPED, item
            case _:  # DISCONNECT
                self._dropped += 1
                self._is_disconnected = True
                return Put.DISCONNECTED, item
