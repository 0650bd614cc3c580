"""Who has subscribed, as lookups have found it, so that a publish pays for none. Erlang: macula_pubsub_cache (D-47).

Later versions of the original: topic to subscribers, 5 s, at most one lookup in 2 s. Here by prefix, which all topics
that begin alike share. What a lookup has not found is kept as well: most prefixes of a topic have no subscribers.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.pattern_index import PatternIndex
from macula_actors.core.pubsub.prefixes import prefixes_of
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import DOTTED, Dialect

__all__ = ["Known", "Missing", "Plan", "SubscribersCache"]


@dataclass(frozen=True, slots=True)
class Known:
    """Deliver to ``subscribers``, by node, and look the prefixes ``refresh`` up again meanwhile."""

    subscribers: Mapping[NodeId, Subscriber]
    refresh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """Look the ``prefixes`` up and plan again.

    Do what is ``known`` should that not succeed in time, or something be missing once more: for want of room, it may.
    """

    prefixes: tuple[str, ...]
    known: Known


Plan: TypeAlias = Known | Missing


class SubscribersCache:
    """The subscribers under each prefix that was looked up. ``now`` is monotonic seconds, ``now_ms`` since 1970.

    Args:
        stale_after: seconds after which a prefix is looked up again, while what is known is used; by a strict plan it
            is not, which has it looked up from half of that on.
        expire_after: seconds after which it is not used any more.
        max_prefixes: the one that was used longest ago makes room.
        max_patterns: of all subscribers; as well. Of a prefix with more, the last subscribers are left out.
        dialect: how topics are divided.
    """

    def __init__(
        self,
        *,
        stale_after: float,
        expire_after: float,
        max_prefixes: int,
        max_patterns: int,
        dialect: Dialect = DOTTED,
    ) -> None:
        self._stale_after: Final = stale_after
        self._expire_after: Final = expire_after
        self._max_prefixes: Final = max_prefixes
        self._max_patterns: Final = max_patterns
        self._dialect: Final = dialect
        self._entries: Final[OrderedDict[str, _Entry]] = OrderedDict()  # the last one used is the last
        self._patterns = 0
        self._left_out = 0

    def __len__(self) -> int:
        """Return how many prefixes are cached."""
        return len(self._entries)

    @property
    def patterns(self) -> int:
        """How many patterns are cached."""
        return self._patterns

    @property
    def left_out(self) -> int:
        """How many subscribers were not cached for want of room, since the start."""
        return self._left_out

    def store(self, prefix: str, subscribers: Iterable[Subscriber], now: float) -> None:
        """Keep what a lookup has found, none too, in place of what was there; of one node, what expires last."""
        self.invalidate(prefix)
        entry = self._entry(subscribers, now)
        self._entries[prefix] = entry
        self._patterns += len(entry.index)
        while len(self._entries) > self._max_prefixes or self._patterns > self._max_patterns:
            self.invalidate(next(iter(self._entries)))

    def plan(self, topic: str, now: float, now_ms: int, *, is_strict: bool = False) -> Plan:
        """Return what to do to publish to ``topic``.

        ``is_strict``: what is stale is missing. It is among what is known all the same.
        """
        refresh_after = self._stale_after / 2 if is_strict else self._stale_after
        missing: list[str] = []
        refresh: list[str] = []
        found: dict[NodeId, Subscriber] = {}
        for prefix in prefixes_of(topic, self._dialect):
            entry = self._held(prefix, now)
            if entry is None:
                missing.append(prefix)
                continue
            age = now - entry.fetched_at
            if is_strict and age >= self._stale_after:
                missing.append(prefix)
            elif age >= refresh_after:
                refresh.append(prefix)
            _collect(found, entry, topic, now_ms)
        known = Known(found, tuple(refresh))
        return Missing(tuple(missing), known) if missing else known

    def has(self, prefix: str, node_id: NodeId, patterns: Collection[str]) -> bool:
        """Tell whether a node is cached under ``prefix``, with at least these patterns."""
        entry = self._entries.get(prefix)
        subscriber = None if entry is None else entry.subscribers.get(node_id)
        return subscriber is not None and set(patterns) <= set(subscriber.patterns)

    def invalidate(self, prefix: str) -> bool:
        """Forget a prefix; return whether it was cached."""
        entry = self._entries.pop(prefix, None)
        if entry is None:
            return False
        self._patterns -= len(entry.index)
        return True

    def unsubscribed(self, prefix: str, node_id: NodeId, patterns: Collection[str]) -> None:
        """Take note that a node has ``patterns`` under ``prefix`` no more."""
        entry = self._entries.get(prefix)
        subscriber = None if entry is None else entry.subscribers.get(node_id)
        if entry is None or subscriber is None:
            return
        if not set(patterns) <= set(subscriber.patterns):
            self.invalidate(prefix)  # its record has wider ones: nobody knows here what is left of those
            return
        self._discard(entry, node_id)
        left = tuple(each for each in subscriber.patterns if each not in patterns)
        if left:
            self._patterns -= len(entry.index)
            entry.add(replace(subscriber, patterns=left), self._max_patterns)
            self._patterns += len(entry.index)

    def forget_node(self, node_id: NodeId) -> int:
        """Forget a node under all prefixes; return under how many it was."""
        return sum(self._discard(entry, node_id) for entry in self._entries.values())

    def prune(self, now: float) -> int:
        """Forget what has expired; return how many prefixes."""
        expired = [prefix for prefix, entry in self._entries.items() if self._has_expired(entry, now)]
        return sum(map(self.invalidate, expired))

    def _entry(self, subscribers: Iterable[Subscriber], now: float) -> "_Entry":
        """Return an entry of those of ``subscribers`` that there is room for."""
        latest: dict[NodeId, Subscriber] = {}
        for each in subscribers:
            before = latest.setdefault(each.node_id, each)
            latest[each.node_id] = max(before, each, key=_expires_at)
        entry = _Entry({}, PatternIndex(max_entries=self._max_patterns), now)
        for each in latest.values():
            self._left_out += not entry.add(each, self._max_patterns)
        return entry

    def _held(self, prefix: str, now: float) -> "_Entry | None":
        """Return what is cached and has not expired."""
        entry = self._entries.get(prefix)
        if entry is None:
            return None
        if self._has_expired(entry, now):
            self.invalidate(prefix)
            return None
        self._entries.move_to_end(prefix)
        return entry

    def _has_expired(self, entry: "_Entry", now: float) -> bool:
        return now - entry.fetched_at >= self._expire_after

    def _discard(self, entry: "_Entry", node_id: NodeId) -> bool:
        before = len(entry.index)
        has_it = entry.discard(node_id)
        self._patterns -= before - len(entry.index)
        return has_it


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was found under one prefix."""

    subscribers: dict[NodeId, Subscriber]
    index: PatternIndex[NodeId]
    fetched_at: float

    def add(self, subscriber: Subscriber, max_patterns: int) -> bool:
        """Take ``subscriber`` in with all its patterns, or not at all; return which."""
        if len(self.index) + len(set(subscriber.patterns)) > max_patterns:
            return False
        for pattern in subscriber.patterns:
            self.index.add(pattern, subscriber.node_id, subscriber.dialect)
        self.subscribers[subscriber.node_id] = subscriber
        return True

    def discard(self, node_id: NodeId) -> bool:
        """Forget a node; return whether it was there."""
        subscriber = self.subscribers.pop(node_id, None)
        if subscriber is None:
            return False
        for pattern in subscriber.patterns:
            self.index.remove(pattern, node_id, subscriber.dialect)
        return True


def _collect(found: dict[NodeId, Subscriber], entry: _Entry, topic: str, now_ms: int) -> None:
    """Add to ``found`` the subscribers of ``topic`` whose records hold; of one node, what expires last."""
    if not entry.subscribers:
        return
    for node_id in entry.index.match(topic):
        subscriber = entry.subscribers[node_id]
        if subscriber.expires_at > now_ms:
            before = found.setdefault(node_id, subscriber)
            if before is not subscriber:
                found[node_id] = max(before, subscriber, key=_expires_at)


def _expires_at(subscriber: Subscriber) -> int:
    return subscriber.expires_at
