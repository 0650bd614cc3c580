"""Fewer and wider patterns in place of many, where those would need too much room."""

from collections.abc import Collection

from macula_actors.core.pubsub.topic import DOTTED, Dialect

__all__ = ["packed_length", "widened"]

_HEADER_BYTES = 3  # of a text in MessagePack, at most; a pattern is shorter than 64 KiB


def widened(patterns: Collection[str], room_bytes: int, dialect: Dialect = DOTTED) -> tuple[str, ...]:
    """Return ``patterns`` if they need at most ``room_bytes``, else wider ones, each once.

    What one of ``patterns`` matches, one of those returned matches. The longest are cut first: their ends become
    ``many`` wildcards. None is cut before its first wildcard, so that all keep their literal prefix.

    Raises:
        ValueError: not even the literal prefixes have room.
    """
    found = tuple(dict.fromkeys(patterns))
    depth = max((_depth(pattern, dialect) for pattern in found), default=0)
    while packed_length(found) > room_bytes:
        if depth < 0:
            raise ValueError(f"the literal prefixes need {packed_length(found)} bytes; there is room for {room_bytes}")
        depth -= 1
        found = tuple(dict.fromkeys(_cut(pattern, depth, dialect) for pattern in found))
    return found


def packed_length(patterns: Collection[str]) -> int:
    """Return how many bytes ``patterns`` need, at most."""
    return sum(len(pattern.encode()) + _HEADER_BYTES for pattern in patterns)


def _depth(pattern: str, dialect: Dialect) -> int:
    """Return how many segments ``pattern`` has from its first wildcard on."""
    return len(_parts(pattern, dialect)[1])


def _cut(pattern: str, depth: int, dialect: Dialect) -> str:
    """Return ``pattern`` with what comes ``depth`` segments after its first wildcard, or later, made ``many``."""
    literal, wild = _parts(pattern, dialect)
    if len(wild) <= max(depth, 0) or wild == [dialect.many]:
        return pattern
    kept = literal + wild[: max(depth, 0)]
    ends_wide = kept[-1:] == [dialect.many]
    return dialect.separator.join(kept if ends_wide else [*kept, dialect.many])


def _parts(pattern: str, dialect: Dialect) -> tuple[list[str], list[str]]:
    """Return the segments before the first wildcard, and those from it on."""
    segments = pattern.split(dialect.separator)
    wild = (number for number, segment in enumerate(segments) if segment in {dialect.one, dialect.many})
    first = next(wild, len(segments))
    return segments[:first], segments[first:]
