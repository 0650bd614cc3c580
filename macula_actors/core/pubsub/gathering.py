"""Last values that several nodes give a new subscriber: it waits a moment for them, and takes the last one alone."""

from math import inf
from typing import Final

from macula_actors.core.pubsub.event import EncodedEvent

__all__ = ["Gathering"]


class Gathering:
    """The values that wait, one a topic. ``now`` is monotonic seconds.

    Args:
        patience: seconds that the first one of a topic waits for others.
        max_topics: that have one; the one that has waited longest makes room.
    """

    def __init__(self, *, patience: float, max_topics: int) -> None:
        self._patience: Final = patience
        self._max_topics: Final = max_topics
        self._waiting: Final[dict[str, tuple[float, EncodedEvent]]] = {}  # what is due first is the first

    def __contains__(self, topic: str) -> bool:
        """Tell whether a value of ``topic`` waits."""
        return topic in self._waiting

    def put(self, event: EncodedEvent, now: float) -> None:
        """Have ``event`` wait in place of the one before, which is older, and no longer than that one."""
        due_at, _ = self._waiting.get(event.topic, (now + self._patience, event))
        self._waiting[event.topic] = due_at, event

    def delete(self, topic: str) -> None:
        """Forget what waits of ``topic``."""
        self._waiting.pop(topic, None)

    def due(self, now: float) -> tuple[EncodedEvent, ...]:
        """Return what has waited long enough, and what there is no room for."""
        too_many = len(self._waiting) - self._max_topics
        found = tuple(
            event for number, (due_at, event) in enumerate(self._waiting.values()) if due_at <= now or number < too_many
        )
        for event in found:
            del self._waiting[event.topic]
        return found

    def next_due(self) -> float:
        """Return when to call `due`, at the latest; never: infinity."""
        if len(self._waiting) > self._max_topics:
            return 0.0
        return next((due_at for due_at, _ in self._waiting.values()), inf)
