"""The last value of each topic that was published to be kept, for who subscribes later.

Erlang: macula_pubsub_handler, which passes the flag on and ignores it (D-46). MQTT 3.1.1, section 3.3.1.3.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from macula_actors.core.pubsub.prefixes import literal_prefix
from macula_actors.core.pubsub.topic import DOTTED, Dialect, Pattern

__all__ = ["Retained", "RetainedStore"]

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Retained(Generic[Event]):
    """The last value of ``topic``."""

    topic: str
    event: Event
    length: int  # bytes that it counts


class RetainedStore(Generic[Event]):
    """The values, of which the one that was set longest ago makes room.

    Args:
        max_topics: that have a value.
        max_bytes: of all values together.
    """

    def __init__(self, *, max_topics: int, max_bytes: int) -> None:
        self._max_topics: Final = max_topics
        self._max_bytes: Final = max_bytes
        self._values: Final[OrderedDict[str, Retained[Event]]] = OrderedDict()  # the last one set is the last
        self._bytes = 0
        self._evicted = 0

    def __len__(self) -> int:
        """Return how many topics have a value."""
        return len(self._values)

    @property
    def topics(self) -> tuple[str, ...]:
        """Those that have a value, in the order in which they were set."""
        return tuple(self._values)

    @property
    def total_bytes(self) -> int:
        """How long all values are together."""
        return self._bytes

    @property
    def evicted(self) -> int:
        """How many values had to make room or found none, since the start."""
        return self._evicted

    def put(self, topic: str, event: Event, payload: bytes) -> bool:
        """Keep ``event`` as the value of ``topic``, or none if its ``payload`` is empty; return whether it is kept.

        It counts as long as its topic and payload are. The value before is gone in any case.
        """
        self.delete(topic)
        if not payload:
            return False
        value = Retained(topic, event, len(topic.encode()) + len(payload))
        if value.length > self._max_bytes or self._max_topics < 1:
            self._evicted += 1
            return False
        while len(self._values) >= self._max_topics or self._bytes + value.length > self._max_bytes:
            self.delete(next(iter(self._values)))
            self._evicted += 1
        self._values[topic] = value
        self._bytes += value.length
        return True

    def get(self, topic: str) -> Event | None:
        """Return the value of ``topic``."""
        value = self._values.get(topic)
        return None if value is None else value.event

    def delete(self, topic: str) -> bool:
        """Forget the value of ``topic``; return whether there was one."""
        value = self._values.pop(topic, None)
        if value is None:
            return False
        self._bytes -= value.length
        return True

    def matching(self, pattern: str, dialect: Dialect = DOTTED) -> tuple[Retained[Event], ...]:
        """Return the values of the topics that ``pattern`` matches, in the order in which they were set."""
        if literal_prefix(pattern, dialect) == pattern:
            value = self._values.get(pattern)
            return () if value is None else (value,)
        compiled = Pattern(pattern, dialect)
        start = literal_prefix(pattern, dialect)
        return tuple(
            value for topic, value in self._values.items() if topic.startswith(start) and compiled.matches(topic)
        )
