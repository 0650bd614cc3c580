"""What is published: as subscribers get it, and as it is carried. Erlang: the arguments of a subscriber's callback."""

from dataclasses import dataclass
from typing import Any, Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.topic import Dialect, validate_topic
from macula_actors.core.rpc.arguments import MAX_BYTES, decode, encode
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import Publish
from macula_actors.core.wire.values import Value, pack
from macula_actors.errors import LocalProtocolError, RefusedError, RemoteProtocolError

__all__ = ["EncodedEvent", "Event", "check_length", "encode_payload", "event_of_client"]

_NOTHING: Final = (b"", pack(None), b"null")  # payloads that keep nothing; no value of MessagePack is b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a subscriber gets.

    Args:
        topic: what it was published to.
        payload: any value that messages carry. In an open mesh bytes, if it is no JSON.
        publisher: the node that published it; of what a v0.8 client published, its gateway. Of a retained one that
            another subscriber's node has handed on, as that one says.
        qos: 0: sent once. 1: acknowledged.
        retained: whether it was published before the subscriber came.
        pattern: the subscriber's, that ``topic`` matches.
    """

    topic: str
    payload: Any
    publisher: NodeId
    qos: int = 0
    retained: bool = False
    pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedEvent:
    """The same with its payload as bytes.

    Args:
        topic: see `Event`, as for the others that are not named.
        message_id: the event's alone.
        retain: whether it is to be kept.
        published_at: milliseconds since 1970, of the publisher's clock; of two values of a topic the later one counts.
        origin: who has published it, if ``publisher`` hands it on; None: ``publisher`` itself.
    """

    topic: str
    payload: bytes
    publisher: NodeId
    message_id: bytes
    qos: int = 0
    retain: bool = False
    retained: bool = False
    published_at: int = 0
    origin: NodeId | None = None

    @property
    def has_value(self) -> bool:
        """Whether there is anything to be kept; if not, the value before is forgotten."""
        return self.payload not in _NOTHING

    @property
    def version(self) -> tuple[int, NodeId, bytes]:
        """What orders the values of one topic, alike at every node: the highest is the last."""
        return self.published_at, self.publisher, self.message_id

    def is_same(self, other: "EncodedEvent") -> bool:
        """Tell whether it is the same event as ``other``, whoever they came from, and by whatever clock."""
        return self.message_id == other.message_id and self.publisher == other.publisher

    def decoded(self, pattern: str, *, json: bool) -> Event:
        """Return it for the subscriber of ``pattern``; with ``json`` a payload that is none stays bytes, as in v0.8.

        Raises:
            RemoteProtocolError: without ``json``: the payload is no value.
        """
        return Event(
            topic=self.topic,
            payload=_json_or_bytes(self.payload) if json else decode(self.payload, json=False),
            publisher=self.publisher,
            qos=self.qos,
            retained=self.retained,
            pattern=pattern,
        )


def encode_payload(value: Value, *, json: bool) -> bytes:
    """Return ``value`` as an event carries it; with ``json`` bytes stay as they are, as in v0.8.

    Raises:
        LocalProtocolError: ``bad_value``, which names the type that can't be encoded, or ``too_large``.
    """
    if not json or not isinstance(value, bytes):
        return encode(value, json=json)
    if len(value) > MAX_BYTES:
        raise LocalProtocolError("too_large", f"{len(value)} bytes; allowed are {MAX_BYTES}")
    return value


def event_of_client(message: Publish, gateway: NodeId, dialect: Dialect) -> EncodedEvent:
    """Return what a client of v0.8 wants published, by its ``gateway``.

    Raises:
        RefusedError: its topic is none that can be published to, or its payload is too long to be passed on.
    """
    check_length(message.payload)
    try:
        validate_topic(message.topic, dialect)
    except ValueError as error:
        raise RefusedError(Code.BAD_ARGS, str(error)) from error
    return EncodedEvent(
        topic=message.topic,
        payload=message.payload,
        publisher=gateway,
        message_id=message.message_id,
        qos=min(message.qos, 1),
        retain=message.retain,
    )


def check_length(payload: bytes) -> None:
    """Check that a peer's ``payload`` can be passed on: a message may hold more on its way than when it came.

    Raises:
        RefusedError: it is too long.
    """
    if len(payload) > MAX_BYTES:
        raise RefusedError("too_large", f"a payload of {len(payload)} bytes; allowed are {MAX_BYTES}")


def _json_or_bytes(payload: bytes) -> Value:
    try:
        return decode(payload, json=True)
    except RemoteProtocolError:
        return payload
