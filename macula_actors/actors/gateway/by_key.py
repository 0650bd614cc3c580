"""Which processes there are for a key, the newest first in line. Ours: a node may have two connections for a while."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from supervisors import Ref

__all__ = ["ByKey"]

Key = TypeVar("Key")


class ByKey(Generic[Key]):
    """Several processes a key, in the order in which they came; a key without any is forgotten."""

    def __init__(self) -> None:
        self._refs: dict[Key, dict[Ref, None]] = {}

    def __len__(self) -> int:
        return len(self._refs)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._refs)

    def __contains__(self, key: Key) -> bool:
        return key in self._refs

    def count(self, key: Key) -> int:
        """Return how many processes there are for ``key``."""
        return len(self._refs.get(key, ()))

    def add(self, key: Key, ref: Ref) -> None:
        """Add ``ref``; one that is there already keeps its place."""
        self._refs.setdefault(key, {}).setdefault(ref)

    def remove(self, key: Key, ref: Ref) -> None:
        """Take ``ref`` out; nothing happens if it is not in."""
        refs = self._refs.get(key, {})
        refs.pop(ref, None)
        if not refs:
            self._refs.pop(key, None)

    def newest(self, key: Key) -> Ref | None:
        """Return the process that came last of those alive, None if there is none."""
        return next((ref for ref in reversed(self._refs.get(key, {})) if ref.is_alive()), None)
