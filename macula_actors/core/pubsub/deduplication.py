"""Which messages have come already. Later versions of the original: by publisher and sequence, for 60 s."""

from collections import OrderedDict
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["Deduplicator"]


class Deduplicator:
    """The ids of the messages that came last, of the publishers heard last. ``now`` is monotonic seconds.

    Args:
        window: seconds that an id is remembered after it came for the last time: longer than its publisher retries.
        max_publishers: the one that was heard longest ago makes room.
        max_ids: of a publisher; as well.
    """

    def __init__(self, *, window: float, max_publishers: int, max_ids: int) -> None:
        self._window: Final = window
        self._max_publishers: Final = max_publishers
        self._max_ids: Final = max_ids
        self._came_at: Final[OrderedDict[NodeId, OrderedDict[bytes, float]]] = OrderedDict()
        self._duplicates = 0

    @property
    def publishers(self) -> int:
        """How many are remembered."""
        return len(self._came_at)

    @property
    def duplicates(self) -> int:
        """How many messages were not new, since the start."""
        return self._duplicates

    def ids(self, publisher: NodeId) -> int:
        """Return how many ids of ``publisher`` are remembered."""
        return len(self._came_at.get(publisher, ()))

    def is_new(self, publisher: NodeId, message_id: bytes, now: float) -> bool:
        """Take note of a message; return whether it has not come before."""
        came_at = self._came_at.setdefault(publisher, OrderedDict())
        self._came_at.move_to_end(publisher)
        while len(self._came_at) > self._max_publishers:
            self._came_at.popitem(last=False)
        _expire(came_at, now - self._window)
        is_new = message_id not in came_at
        self._duplicates += not is_new
        came_at[message_id] = now
        came_at.move_to_end(message_id)
        while len(came_at) > self._max_ids:
            came_at.popitem(last=False)
        return is_new

    def forget(self, publisher: NodeId, message_id: bytes) -> None:
        """Take a message that could not be taken after all for one that has not come: it is to come again."""
        came_at = self._came_at.get(publisher, OrderedDict())
        came_at.pop(message_id, None)
        if not came_at:
            self._came_at.pop(publisher, None)

    def prune(self, now: float) -> None:
        """Forget what is too old, and publishers of which nothing else is remembered."""
        for publisher, came_at in list(self._came_at.items()):
            _expire(came_at, now - self._window)
            if not came_at:
                del self._came_at[publisher]


def _expire(came_at: OrderedDict[bytes, float], until: float) -> None:
    """Forget what came at ``until`` or before; it is in order."""
    while came_at and next(iter(came_at.values())) <= until:
        came_at.popitem(last=False)
