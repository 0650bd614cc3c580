"""Which subscribers a topic is for, found without trying all patterns: a tree of their segments.

Erlang: macula_pubsub_registry, which tries each pattern. All patterns are followed at once, one segment of the topic
after the other, so that no pattern takes longer than the others, however many wildcards are in it.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.errors import OverloadedError

__all__ = ["PatternIndex"]

Subscriber = TypeVar("Subscriber", bound=Hashable)


class PatternIndex(Generic[Subscriber]):
    """Patterns, of any dialects, and the subscribers of each. A pattern may be any text.

    Args:
        max_entries: pairs of a pattern and a subscriber.
    """

    def __init__(self, *, max_entries: int) -> None:
        self._max_entries: Final = max_entries
        self._roots: Final[dict[Dialect, _Node[Subscriber]]] = {}
        self._entries = 0

    def __len__(self) -> int:
        """Return how many pairs of a pattern and a subscriber there are."""
        return self._entries

    def add(self, pattern: str, subscriber: Subscriber, dialect: Dialect = DOTTED) -> bool:
        """Take the pair in; return whether it is new.

        Raises:
            OverloadedError: there are ``max_entries`` others.
        """
        if self._find(pattern, subscriber, dialect) is not None:
            return False
        if self._entries >= self._max_entries:
            raise OverloadedError("patterns", self._max_entries)
        node = self._roots.setdefault(dialect, _Node())
        for segment in pattern.split(dialect.separator):
            node = node.make_child(segment, dialect)
        node.add(subscriber)
        self._entries += 1
        return True

    def remove(self, pattern: str, subscriber: Subscriber, dialect: Dialect = DOTTED) -> bool:
        """Forget the pair; return whether it was there."""
        path = self._find(pattern, subscriber, dialect)
        if path is None:
            return False
        path[-1].drop(subscriber)
        for node, segment in zip(path[-2::-1], reversed(pattern.split(dialect.separator)), strict=True):
            node.prune(segment, dialect)
        if path[0].is_empty:
            del self._roots[dialect]
        self._entries -= 1
        return True

    def match(self, topic: str) -> tuple[Subscriber, ...]:
        """Return the subscribers with a pattern that matches ``topic``, each once."""
        found: dict[Subscriber, None] = {}
        for dialect, root in self._roots.items():
            for node in _ends(root, topic.split(dialect.separator)):
                if node.subscribers:
                    found.update(node.subscribers)
        return tuple(found)

    def _find(self, pattern: str, subscriber: Subscriber, dialect: Dialect) -> "list[_Node[Subscriber]] | None":
        """Return the nodes from the root to that of ``pattern``; None if ``subscriber`` is not there."""
        node = self._roots.get(dialect)
        path = [] if node is None else [node]
        for segment in pattern.split(dialect.separator):
            node = None if node is None else node.child(segment, dialect)
            if node is None:
                return None
            path.append(node)
        return path if path[-1].subscribers is not None and subscriber in path[-1].subscribers else None


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

    def child(self, segment: str, dialect: Dialect) -> "_Node[Subscriber] | None":
        """Return the node that ``segment`` of a pattern leads to."""
        if segment == dialect.many:
            return self.many
        return self.one if segment == dialect.one else self.children.get(segment)

    def make_child(self, segment: str, dialect: Dialect) -> "_Node[Subscriber]":
        """Return the same, made if need be."""
        found = self.child(segment, dialect)
        if found is None:
            found = _Node()
            self._set_child(segment, dialect, found)
        return found

    def prune(self, segment: str, dialect: Dialect) -> None:
        """Forget the node that ``segment`` leads to if nothing is left there."""
        child = self.child(segment, dialect)
        if child is not None and child.is_empty:
            self._set_child(segment, dialect, None)

    def add(self, subscriber: Subscriber) -> None:
        if self.subscribers is None:
            self.subscribers = {}
        self.subscribers[subscriber] = None

    def drop(self, subscriber: Subscriber) -> None:
        left = self.subscribers or {}
        left.pop(subscriber, None)
        self.subscribers = left or None

    def _set_child(self, segment: str, dialect: Dialect, node: "_Node[Subscriber] | None") -> None:
        if segment == dialect.many:
            self.many = node
        elif segment == dialect.one:
            self.one = node
        elif node is None:
            del self.children[segment]
        else:
            self.children[segment] = node


def _ends(root: _Node[Subscriber], segments: list[str]) -> list[_Node[Subscriber]]:
    """Return the nodes at which patterns that match ``segments`` end, none of them twice.

    A node after ``many`` is reached at once and never left again: any number of segments may follow. Each other node
    is reached from one node only, so it is never reached twice by the same segment.
    """
    reached = [root]
    stayed: list[_Node[Subscriber]] = []
    if root.many is not None:
        _stay(root.many, stayed)
    for segment in segments:
        following: list[_Node[Subscriber]] = []
        for node in reached + stayed:
            child = node.children.get(segment)
            if child is not None:
                following.append(child)
            if node.one is not None:
                following.append(node.one)
        for node in following:
            if node.many is not None:
                _stay(node.many, stayed)
        if not following and not stayed:
            return []
        reached = following
    return reached + stayed


def _stay(node: _Node[Subscriber] | None, stayed: list[_Node[Subscriber]]) -> None:
    """Add to ``stayed`` the node after a ``many``, and those after another one that follows at once."""
    while node is not None and node not in stayed:
        stayed.append(node)
        node = node.many
