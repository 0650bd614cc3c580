"""The values that a node has published to be kept, each with the nodes that it has been given to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.retained import RetainedStore
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import Dialect

__all__ = ["KeptValues"]


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
        """Return how many topics have a value."""
        return len(self._store)

    @property
    def topics(self) -> tuple[str, ...]:
        """Those that have a value."""
        return tuple(value.topic for value in self._store.matching(self._dialect.many, self._dialect))

    def put(self, event: EncodedEvent) -> None:
        """Keep ``event`` in place of the one before; of one with no value, nothing is kept."""
        self._store.put(event.topic, _Kept(event), event.kept_payload)

    def delete(self, topic: str) -> None:
        """Forget the value of ``topic``."""
        self._store.delete(topic)

    def matching(self, pattern: str) -> tuple[EncodedEvent, ...]:
        """Return the values of the topics that ``pattern`` matches, in the order in which they were set."""
        return tuple(value.event.event for value in self._store.matching(pattern, self._dialect))

    def missing_at(self, subscriber: Subscriber) -> tuple[EncodedEvent, ...]:
        """Return what the subscriber wants and has not been given, each once."""
        wanted = (
            value.event for each in subscriber.patterns for value in self._store.matching(each, subscriber.dialect)
        )
        found = {kept.event.message_id: kept.event for kept in wanted if subscriber.node_id not in kept.given}
        return tuple(found.values())

    def note_given(self, event: EncodedEvent, node_ids: Iterable[NodeId]) -> None:
        """Take note that the nodes are given ``event``; what is not kept does not matter."""
        kept = self._store.get(event.topic)
        if kept is not None and kept.event.message_id == event.message_id:
            kept.given.update(node_ids)

    def forget_given(self, node_id: NodeId, message_id: bytes) -> None:
        """Take note that the node has not got a value after all."""
        for kept in self._all():
            if kept.event.message_id == message_id:
                kept.given.discard(node_id)

    def forget_all_given(self, node_id: NodeId, patterns: Iterable[str]) -> None:
        """Take note that the node is to be given all values that ``patterns`` match again."""
        for pattern in patterns:
            for value in self._store.matching(pattern, self._dialect):
                value.event.given.discard(node_id)

    def _all(self) -> tuple[_Kept, ...]:
        if not len(self._store):
            return ()
        return tuple(value.event for value in self._store.matching(self._dialect.many, self._dialect))
