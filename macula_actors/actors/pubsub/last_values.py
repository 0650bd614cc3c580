"""The last value of each topic, for who subscribes at this node after it was published."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from macula_actors.actors.pubsub.subscriptions import Subscriptions
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.gathering import Gathering
from macula_actors.core.pubsub.kept import KeptValues
from supervisors import System

__all__ = ["LastValues"]

_MS: Final = 1000  # in a second


class LastValues:
    """What this node has published to be kept, and what others have that somebody here has subscribed to.

    Args:
        config: who this node is, and how long what is kept.
        kept: the values; they outlive this.
        gathering: those that are not delivered yet; they do, too.
        subscriptions: of this node.
        deliver: gives a value to all of them.
        correct: gives a node that has an older value the last one.
    """

    def __init__(
        self,
        config: PubsubConfig,
        kept: KeptValues,
        gathering: Gathering,
        subscriptions: Subscriptions,
        deliver: Callable[[EncodedEvent], None],
        correct: Callable[[EncodedEvent, NodeId], None],
    ) -> None:
        self._config: Final = config
        self._own_id: Final = config.identity.node_id
        self._kept: Final = kept
        self._gathering: Final = gathering
        self._subscriptions: Final = subscriptions
        self._deliver: Final = deliver
        self._correct: Final = correct
        self._system: Final = System.current()

    def heard(self, event: EncodedEvent) -> None:
        """Take note of an event that is to be kept, and is being delivered."""
        if (event.publisher == self._own_id or self._is_kept(event.topic)) and self._kept.put(event):
            self._gathering.delete(event.topic)

    def offered(self, event: EncodedEvent, sender: NodeId) -> None:
        """Take a last value that a node has kept: it is delivered, unless others have a later one."""
        last = self._kept.get(event.topic)
        if last is not None and not last.is_same(event) and last.version > event.version:
            self._correct(last, sender)
            return
        if not self._is_kept(event.topic) or not self._kept.put(event):
            return
        if event.has_value and self._subscriptions.has_match(event.topic):
            self._gathering.put(event, self._system.now())
        else:
            self._gathering.delete(event.topic)

    def give(self, id_: str, pattern: str) -> None:
        """Give a new subscription here what its pattern matches, but what is to be delivered to all soon."""
        for event in self._kept.matching(pattern):
            if event.topic not in self._gathering:
                self._subscriptions.give(id_, replace(event, retained=True))

    def forget(self, patterns: Iterable[str]) -> None:
        """Forget others' values that nobody here has subscribed to any more: they are not kept up to date."""
        for pattern in patterns:
            for event in self._kept.matching(pattern):
                if event.publisher != self._own_id and not self._subscriptions.has_match(event.topic):
                    self._kept.delete(event.topic)
                    self._gathering.delete(event.topic)

    def next_due(self) -> float:
        """Return when to call `due`, at the latest."""
        return self._gathering.next_due()

    def due(self) -> None:
        """Deliver what has waited for later values long enough."""
        for event in self._gathering.due(self._system.now()):
            self._deliver(replace(event, retained=True))

    def sweep(self) -> None:
        """Forget what is too old."""
        self._kept.prune(self._config.wall_clock_ms() - int(self._config.forget_cleared_after * _MS))

    def _is_kept(self, topic: str) -> bool:
        return self._subscriptions.has_match(topic) or self._kept.get(topic) is not None
