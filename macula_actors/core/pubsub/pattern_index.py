"""Which subscribers a topic is for, found without trying all patterns: a tree of their segments.

Erlang: macula_pubsub_registry, which tries each pattern. All patterns are followed at once, one segment of the topic
after the other, so that no pattern takes longer than the others, however many wildcards are in it.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeAlias, TypeVar

from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.errors import OverloadedError

__all__ = ["PatternIndex"]

Subscriber = TypeVar("Subscriber", bound=Hashable)

_Step: TypeAlias = "tuple[_Node[Subscriber], str]"  # a node, and the segment that leads on from it


class PatternIndex(Generic[Subscriber]):
    """Patterns, of any dialects, and the subscribers of each. A pattern may be any text.

    Args:
        max_entries: pairs of a pattern and a subscriber.
    """

    def __init__(self, *, max_entries: int) -> None:
        self._max_entries: Final = max_entries
        self._roots: Final[dict[Dialect, _Node[Subscriber]]] = {}
        self._patterns: Final[dict[Subscriber, dict[tuple[str, Dialect], None]]] = {}
        self._entries = 0

    def __len__(self) -> int:
        """Return how many pairs of a pattern and a subscriber there are."""
        return self._entries

    def patterns_of(self, subscriber: Subscriber) -> tuple[tuple[str, Dialect], ...]:
        """Return the patterns of ``subscriber`` in the order in which they came."""
        return tuple(self._patterns.get(subscriber, ()))

    def add(self, pattern: str, subscriber: Subscriber, dialect: Dialect = DOTTED) -> bool:
        """Take the pair in; return whether it is new.

        Raises:
            OverloadedError: there are ``max_entries`` others.
        """
        if (pattern, dialect) in self._patterns.get(subscriber, ()):
            return False
        if self._entries >= self._max_entries:
            raise OverloadedError("patterns", self._max_entries)
        self._patterns.setdefault(subscriber, {})[pattern, dialect] = None
        self._entries += 1
        self._reach(pattern, dialect).add(subscriber)
        return True

    def remove(self, pattern: str, subscriber: Subscriber, dialect: Dialect = DOTTED) -> bool:
        """Forget the pair; return whether it was there."""
        its_patterns = self._patterns.get(subscriber, {})
        if (pattern, dialect) not in its_patterns:
            return False
        del its_patterns[pattern, dialect]
        if not its_patterns:
            del self._patterns[subscriber]
        self._entries -= 1
        self._detach(pattern, dialect, subscriber)
        return True

    def discard(self, subscriber: Subscriber) -> int:
        """Forget all patterns of ``subscriber``; return how many there were."""
        return sum(self.remove(pattern, subscriber, dialect) for pattern, dialect in self.patterns_of(subscriber))

    def match(self, topic: str) -> tuple[Subscriber, ...]:
        """Return the subscribers with a pattern that matches ``topic``, each once."""
        found: dict[Subscriber, None] = {}
        for dialect, root in self._roots.items():
            for node in _ends(root, topic.split(dialect.separator)):
                if node.subscribers:
                    found.update(node.subscribers)
        return tuple(found)

    def _reach(self, pattern: str, dialect: Dialect) -> "_Node[Subscriber]":
        """Return the node of ``pattern``, with those on the way to it, made if need be."""
        node = self._roots.setdefault(dialect, _Node())
        for segment in pattern.split(dialect.separator):
            node = node.child(segment, dialect)
        return node

    def _detach(self, pattern: str, dialect: Dialect, subscriber: Subscriber) -> None:
        """Remove ``subscriber`` from the node of ``pattern``, and the nodes that led only there."""
        node = self._roots[dialect]
        path: list[_Step[Subscriber]] = []
        for segment in pattern.split(dialect.separator):
            path.append((node, segment))
            node = node.child(segment, dialect)
        node.drop(subscriber)
        while path and node.is_empty:
            node, segment = path.pop()
            node.prune(segment, dialect)
        if self._roots[dialect].is_empty:
            del self._roots[dialect]


class _Node(Generic[Subscriber]):
    """What all patterns with the same first segments share."""

    __slots__ = ("children", "many", "one", "subscribers")

    def __init__(self) -> None:
        self.children: Final[dict[str, _Node[Subscriber]]] = {}
        self.one: _Node[Subscriber] | None = None
        self.many: _Node[Subscriber] | None = None
        self.subscribers: dict[Subscriber, None] | None = None  # of the pattern that ends here; most nodes have none

    @property
    def is_empty(self) -> bool:
        return not self.children and self.one is None and self.many is None and not self.subscribers

    def child(self, segment: str, dialect: Dialect) -> "_Node[Subscriber]":
        """Return the node that ``segment`` of a pattern leads to, made if need be."""
        if segment == dialect.many:
            self.many = self.many or _Node()
            return self.many
        if segment == dialect.one:
            self.one = self.one or _Node()
            return self.one
        found = self.children.get(segment)
        if found is None:
            found = self.children[segment] = _Node()
        return found

    def prune(self, segment: str, dialect: Dialect) -> None:
        if segment == dialect.many:
            self.many = None
        elif segment == dialect.one:
            self.one = None
        else:
            del self.children[segment]

    def add(self, subscriber: Subscriber) -> None:
        if self.subscribers is None:
            self.subscribers = {}
        self.subscribers[subscriber] = None

    def drop(self, subscriber: Subscriber) -> None:
        if self.subscribers is not None:
            self.subscribers.pop(subscriber, None)
        if not self.subscribers:
            self.subscribers = None


def _ends(root: _Node[Subscriber], segments: list[str]) -> list[_Node[Subscriber]]:
    """Return the nodes at which patterns that match ``segments`` end, none of them twice.

    A node after ``many`` is reached at once and never left again: any number of segments may follow. Each other node
    is reached from one node only, so it is never reached twice by the same segment.
    """
    reached = [root]
    stayed: list[_Node[Subscriber]] = []
    _stay(reached, stayed)
    for segment in segments:
        following: list[_Node[Subscriber]] = []
        for node in (*reached, *stayed) if stayed else reached:
            child = node.children.get(segment)
            if child is not None:
                following.append(child)
            if node.one is not None:
                following.append(node.one)
        reached = following
        if not reached and not stayed:
            break
        _stay(reached, stayed)
    return reached + stayed


def _stay(reached: list[_Node[Subscriber]], stayed: list[_Node[Subscriber]]) -> None:
    """Add to ``stayed`` the nodes after a ``many`` that follows one of those ``reached``."""
    for node in reached:
        many = node.many
        while many is not None and many not in stayed:
            stayed.append(many)
            many = many.many
