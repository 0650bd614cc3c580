"""Jobs that wait for their turn: lookups and stores in a queue each, so that many of one hold up none of the other."""

from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["JobQueue"]

J = TypeVar("J")


class JobQueue(Generic[J]):
    """Two queues that take turns, with room for ``most`` jobs together."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._lookups: Final[deque[J]] = deque()
        self._stores: Final[deque[J]] = deque()
        self._is_turn_of_stores = False

    def __len__(self) -> int:
        return len(self._lookups) + len(self._stores)

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        return len(self) >= self._most

    def put(self, job: J, *, is_store: bool) -> None:
        """Add ``job`` at the end."""
        (self._stores if is_store else self._lookups).append(job)

    def pop(self, *, may_store: bool) -> J | None:
        """Take out whose turn it is; None if there is none, or only stores and ``may_store`` is False."""
        is_store = may_store and bool(self._stores) and (self._is_turn_of_stores or not self._lookups)
        queue = self._stores if is_store else self._lookups
        if not queue:
            return None
        self._is_turn_of_stores = not is_store
        return queue.popleft()
