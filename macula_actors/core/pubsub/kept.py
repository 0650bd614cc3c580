"""The last value of each topic that a node keeps, of whoever published it, with the nodes that it has been given to.

By their versions all nodes agree on which value is the last one, in whatever order they hear of them. That a topic has
none any more is a value, too, without a payload: else a node that has not heard of it would bring the old one back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.retained import RetainedStore
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import Dialect

__all__ = ["KeptValues"]

MAX_GIVEN: Final = 4096  # nodes that are remembered for a value; the others may be given it once more
_NO_PAYLOAD: Final = b"\0"  # what a value without one counts


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    event: EncodedEvent
    given: set[NodeId] = field(default_factory=set)


class KeptValues:
    """The last value of each topic.

    Args:
        max_topics: that have a value.
        max_bytes: of all values together.
        dialect: how the node writes topics and patterns.
    """

    def __init__(self, *, max_topics: int, max_bytes: int, dialect: Dialect) -> None:
        self._dialect: Final = dialect
        self._store: Final[RetainedStore[_Kept]] = RetainedStore(max_topics=max_topics, max_bytes=max_bytes)

    def __len__(self) -> int:
        """Return how many topics have a value, or are known to have none any more."""
        return len(self._store)

    @property
    def topics(self) -> tuple[str, ...]:
        """Those, in the order in which they were set."""
        return self._store.topics

    def get(self, topic: str) -> EncodedEvent | None:
        """Return the last value of ``topic``, perhaps one without a payload."""
        kept = self._store.get(topic)
        return None if kept is None else kept.event

    def put(self, event: EncodedEvent) -> bool:
        """Keep ``event``, unless a later one is; return whether it is the last one that is known, and was not before.

        It may not be kept all the same, for want of room.
        """
        last = self.get(event.topic)
        if last is not None and (event.is_same(last) or event.version < last.version):
            return False
        self._store.put(event.topic, _Kept(event), event.payload or _NO_PAYLOAD)
        return True

    def delete(self, topic: str) -> None:
        """Forget the value of ``topic``."""
        self._store.delete(topic)

    def prune(self, before: int) -> None:
        """Forget the topics that have had no value since ``before``, in milliseconds since 1970."""
        for topic in self.topics:
            event = self.get(topic)
            if event is not None and not event.has_value and event.published_at < before:
                self.delete(topic)

    def matching(self, pattern: str) -> tuple[EncodedEvent, ...]:
        """Return the values of the topics that ``pattern`` matches, in the order in which they were set."""
        events = (value.event.event for value in self._store.matching(pattern, self._dialect))
        return tuple(event for event in events if event.has_value)

    def has_match(self, patterns: Iterable[str]) -> bool:
        """Tell whether there is anything that a new subscriber of one of ``patterns`` is to be given."""
        return any(self._store.matching(pattern, self._dialect) for pattern in patterns)

    def missing_at(self, subscriber: Subscriber) -> tuple[EncodedEvent, ...]:
        """Return what the subscriber wants and has not been given, each once; of topics without a value that, too."""
        wanted = (
            value.event for each in subscriber.patterns for value in self._store.matching(each, subscriber.dialect)
        )
        found = {kept.event.topic: kept.event for kept in wanted if subscriber.node_id not in kept.given}
        return tuple(found.values())

    def note_given(self, event: EncodedEvent, node_ids: Iterable[NodeId]) -> None:
        """Take note that the nodes are given ``event``; what is not kept does not matter."""
        kept = self._store.get(event.topic)
        if kept is not None and kept.event.message_id == event.message_id:
            kept.given.update(node_ids)
            while len(kept.given) > MAX_GIVEN:
                kept.given.pop()

    def forget_given(self, node_id: NodeId, message_id: bytes) -> None:
        """Take note that the node has not got a value after all."""
        for kept in map(self._store.get, self.topics):
            if kept is not None and kept.event.message_id == message_id:
                kept.given.discard(node_id)

    def forget_all_given(self, node_id: NodeId, patterns: Iterable[str]) -> None:
        """Take note that the node is to be given all values that ``patterns`` match again."""
        for pattern in patterns:
            for value in self._store.matching(pattern, self._dialect):
                value.event.given.discard(node_id)
