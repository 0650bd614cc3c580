"""Who has subscribed to what, as a node's record in the DHT says. Erlang: macula_pubsub_dht, macula_pubsub_discovery.

A node has one record under each prefix (see `macula_actors.core.pubsub.prefixes`). Its payload is a provider's
(`macula_actors.core.rpc.provider`), of which v0.8 reads the endpoint, and two fields more::

    patterns        those of the node with this prefix, or fewer and wider ones: the node itself looks at what arrives
    dialect         [separator, one, many]; missing if it is the usual one

A record that is not signed and has no patterns is v0.8's, for the topic that its key is the hash of.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.canonical import canonical
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import MAX_PAYLOAD_BYTES, Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.pubsub.prefixes import literal_prefix
from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.core.pubsub.widening import widened
from macula_actors.core.rpc.provider import advertisement, providers_in
from macula_actors.core.wire.values import Value
from macula_actors.errors import ProtocolError

__all__ = ["MAX_PATTERN_LENGTH", "Subscriber", "subscribers_in", "subscription"]

MAX_PATTERN_LENGTH: Final = 1024  # characters, of another node's; `validate_pattern` is stricter with our own

_AROUND_BYTES: Final = 16  # the header of the list of patterns, and their name


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A node that has subscribed.

    Args:
        node_id: the node, which has signed the record.
        patterns: what it has subscribed to, at least one; perhaps wider than what its programs want.
        dialect: how they are written.
        endpoint: where it can be dialled; None: it cannot.
        gateways: nodes that can reach it, for a relay.
        expires_at: until when the record holds, in milliseconds since 1970.
        since: when it said so first, in milliseconds since 1970, of its clock; 0: nobody knows.
    """

    node_id: NodeId
    patterns: tuple[str, ...]
    dialect: Dialect = DOTTED
    endpoint: Endpoint | None = None
    gateways: tuple[Contact, ...] = ()
    expires_at: int = 0
    since: int = 0

    @property
    def contact(self) -> Contact:
        """Whom to dial."""
        return Contact(self.endpoint, self.node_id)


def subscription(
    patterns: Collection[str],
    *,
    endpoint: Endpoint | None,
    gateways: Iterable[Contact],
    now_ms: int,
    dialect: Dialect = DOTTED,
) -> dict[str | bytes, Value]:
    """Return the payload of a subscriber's record.

    Args:
        patterns: all of the node with one literal prefix, at least one. What a record can't carry is made wider.
        endpoint: where the node can be dialled; None: nowhere.
        gateways: nodes that it keeps a session with, as for `advertisement`.
        now_ms: milliseconds since 1970.
        dialect: how the patterns are written.

    Raises:
        ValueError: there is no pattern, the patterns have several prefixes, or one is too long for a record.
    """
    prefixes = {literal_prefix(pattern, dialect) for pattern in patterns}
    if len(prefixes) != 1:
        raise ValueError(f"patterns of {len(prefixes)} prefixes; a record has those of one")
    payload = advertisement(endpoint, gateways, {}, now_ms)
    if dialect != DOTTED:
        payload[b"dialect"] = [part.encode() for part in (dialect.separator, dialect.one, dialect.many)]
    room = MAX_PAYLOAD_BYTES - len(canonical(payload)) - _AROUND_BYTES
    payload[b"patterns"] = [pattern.encode() for pattern in widened(patterns, room, dialect)]
    return payload


def subscribers_in(records: Iterable[Record], prefix: str) -> tuple[Subscriber, ...]:
    """Return the subscribers that ``records``, found under ``prefix``, tell of, in order.

    What cannot be read is left out, and so are patterns with another prefix.
    """
    read_records = (_subscriber_in(record, prefix) for record in records)
    return tuple(each for each in read_records if each is not None)


def _subscriber_in(record: Record, prefix: str) -> Subscriber | None:
    try:
        dialect = _dialect_in(record.field("dialect"))
        patterns = _patterns_in(record, prefix, dialect)
    except (ProtocolError, ValueError):
        return None
    if not patterns:
        return None
    return next(
        (
            Subscriber(
                node_id=found.node_id,
                patterns=patterns,
                dialect=dialect,
                endpoint=found.endpoint,
                gateways=found.gateways,
                expires_at=found.expires_at,
                since=found.advertised_at,
            )
            for found in providers_in((record,), prefix)
        ),
        None,
    )


def _patterns_in(record: Record, prefix: str, dialect: Dialect) -> tuple[str, ...]:
    match record.field("patterns"):
        case None:
            # a signed record without patterns is a provider's: in an open mesh a name has one key for all purposes
            return () if record.is_signed or not prefix else (prefix,)
        case list() as values:
            patterns = dict.fromkeys(_text(value) for value in values)
            return tuple(each for each in patterns if literal_prefix(each, dialect) == prefix)
        case _:
            raise ValueError("patterns are a list")


def _dialect_in(value: Value) -> Dialect:
    match value:
        case None:
            return DOTTED
        case [separator, one, many]:
            return Dialect(_text(separator), _text(one), _text(many))
        case _:
            raise ValueError("a dialect is three texts")


def _text(value: Value) -> str:
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PATTERN_LENGTH:
        raise ValueError(f"a text of 1 to {MAX_PATTERN_LENGTH} characters is needed")
    return text
