"""Where the subscribers of a pattern are found: under the segments before its first wildcard.

The original hashes the whole pattern, which no publisher ever looks up (D-45). Here one who publishes to a topic of n
segments looks up its n + 1 prefixes, the empty one to the whole: whatever pattern matches is under one of them.
"""

from collections.abc import Iterable

from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.topic import DOTTED, Dialect

__all__ = ["by_prefix", "key_of_prefix", "literal_prefix", "prefixes_of"]


def literal_prefix(pattern: str, dialect: Dialect = DOTTED) -> str:
    """Return the segments of ``pattern`` before its first wildcard: all if it is a topic, "" if it begins with one."""
    segments = pattern.split(dialect.separator)
    wild = (number for number, segment in enumerate(segments) if segment in {dialect.one, dialect.many})
    return dialect.separator.join(segments[: next(wild, len(segments))])


def prefixes_of(topic: str, dialect: Dialect = DOTTED) -> tuple[str, ...]:
    """Return the prefixes of ``topic``, shortest first: the empty one, and one for each segment; none of them twice."""
    segments = topic.split(dialect.separator)
    return tuple(dict.fromkeys(dialect.separator.join(segments[:count]) for count in range(len(segments) + 1)))


def by_prefix(patterns: Iterable[str], dialect: Dialect = DOTTED) -> dict[str, tuple[str, ...]]:
    """Return ``patterns``, each once and in their order, by their literal prefix."""
    found: dict[str, dict[str, None]] = {}
    for pattern in patterns:
        found.setdefault(literal_prefix(pattern, dialect), {})[pattern] = None
    return {prefix: tuple(its_patterns) for prefix, its_patterns in found.items()}


def key_of_prefix(prefix: str, *, realm: str, security: Security) -> NodeId:
    """Return under which key the subscribers of patterns with this prefix are.

    In an open mesh, v0.8's subscribers of the topic ``prefix`` are there too.
    """
    return key_of(KeyKind.PATTERN, prefix, realm=realm, security=security)
