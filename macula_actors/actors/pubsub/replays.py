"""Gives nodes that have subscribed the last values that they lack, and looks for such nodes."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.kept import KeptValues
from macula_actors.core.pubsub.prefixes import by_prefix
from macula_actors.core.pubsub.subscribers_cache import Known, SubscribersCache
from macula_actors.core.pubsub.subscription import Subscriber
from supervisors import System

__all__ = ["MAX_OWNERS", "Replays"]

MAX_OWNERS: Final = 3  # subscribers' nodes that give a new one another's last value, besides that node itself
SLACK: Final = 6_000  # milliseconds before a value was published in which its publisher may have missed a subscriber
LOOKED_AT: Final = 64  # kept topics, of all, whose new subscribers are looked for at a time
MAX_LOOKED_UP: Final = 16  # prefixes of them


class Replays:
    """What is given to whom: with few messages, all that each lacks. What comes twice is dropped there.

    Args:
        config: who this node is.
        kept: the last values.
        cache: who has subscribed.
        want: has a prefix looked up; `replay` is called with whom that finds.
        is_on_its_way: tells whether an event of this node is still to be published to its subscribers.
        send: sends a value to a node; returns False if there is no room for it now.
    """

    def __init__(
        self,
        config: PubsubConfig,
        kept: KeptValues,
        cache: SubscribersCache,
        want: Callable[[str], None],
        is_on_its_way: Callable[[EncodedEvent], bool],
        send: Callable[[EncodedEvent, NodeId], bool],
    ) -> None:
        self._config: Final = config
        self._own_id: Final = config.identity.node_id
        self._system: Final = System.current()
        self._kept: Final = kept
        self._cache: Final = cache
        self._want: Final = want
        self._is_on_its_way: Final = is_on_its_way
        self._send: Final = send
        self._looks = 0

    def changed(self, node_ids: Collection[NodeId], patterns: Iterable[str]) -> None:
        """Take note that nodes have subscribed to ``patterns`` anew; a restarted one has nothing that it was given."""
        for prefix, its_patterns in by_prefix(patterns, self._config.dialect).items() if len(self._kept) else ():
            if self._kept.has_match(its_patterns):
                for node_id in node_ids:
                    self._kept.forget_all_given(node_id, its_patterns)
                self._want(prefix)

    def replay(self, subscriber: Subscriber) -> None:
        """Give a node that has subscribed what is kept of it."""
        if subscriber.node_id == self._own_id:
            return
        for event in self._kept.missing_at(subscriber):
            if self._is_given_by_this(event, subscriber):
                self.give(event, subscriber.node_id)

    def give(self, event: EncodedEvent, node_id: NodeId) -> None:
        """Give a node a last value that is kept here; if there is no room for it now, the next lookup does."""
        self._kept.note_given(event, (node_id,))
        if not self._send(replace(event, retained=True, qos=1), node_id):
            self._kept.forget_given(node_id, event.message_id)

    def look(self) -> None:
        """Look for new subscribers of what is kept whom nobody tells of: of some topics, of the next ones next time."""
        topics = self._kept.topics
        now, now_ms = self._system.now(), self._config.wall_clock_ms()
        wanted: dict[str, None] = {}
        for _ in topics[:LOOKED_AT]:
            self._looks += 1
            plan = self._cache.plan(topics[self._looks % len(topics)], now, now_ms, is_strict=True)
            found = plan.refresh if isinstance(plan, Known) else plan.prefixes + plan.known.refresh
            wanted.update(dict.fromkeys(found))
            if len(wanted) >= MAX_LOOKED_UP:
                break
        for prefix in wanted:
            self._want(prefix)

    def _is_given_by_this(self, event: EncodedEvent, subscriber: Subscriber) -> bool:
        """Tell whether this node is to give it: what it has published itself, and to new subscribers others' values.

        Of those that have such a value, which are the other subscribers, the nearest ones do.
        """
        if event.publisher == self._own_id:
            return not self._is_on_its_way(event)
        if subscriber.since + SLACK < event.published_at:
            return False  # it was there when that was published
        plan = self._cache.plan(event.topic, self._system.now(), self._config.wall_clock_ms())
        known = plan if isinstance(plan, Known) else plan.known
        owners = {*known.subscribers, self._own_id} - {subscriber.node_id, event.publisher}
        return self._own_id in sorted(owners, key=subscriber.node_id.distance)[:MAX_OWNERS]
