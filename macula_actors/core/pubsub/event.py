"""What is published: as subscribers get it, and as it is carried. Erlang: the arguments of a subscriber's callback."""

from dataclasses import dataclass
from typing import Any, Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.arguments import decode
from macula_actors.core.wire.values import pack

__all__ = ["EncodedEvent", "Event"]

_NOTHING: Final = (b"", pack(None))  # payloads that keep nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a subscriber gets.

    Args:
        topic: what it was published to.
        payload: any value that messages carry.
        publisher: the node that published it; of what a v0.8 client published, its gateway.
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
    """The same with its payload as bytes. ``message_id`` is the event's alone; ``retain``: it is to be kept."""

    topic: str
    payload: bytes
    publisher: NodeId
    message_id: bytes
    qos: int = 0
    retain: bool = False
    retained: bool = False

    @property
    def kept_payload(self) -> bytes:
        """What counts as its payload where it is kept; empty if it is none: the value before is forgotten then."""
        return b"" if self.payload in _NOTHING else self.payload

    def decoded(self, pattern: str, *, json: bool) -> Event:
        """Return it for the subscriber of ``pattern``; ``json``: whether its payload is JSON, as v0.8's is.

        Raises:
            RemoteProtocolError: the payload is none.
        """
        return Event(
            topic=self.topic,
            payload=decode(self.payload, json=json),
            publisher=self.publisher,
            qos=self.qos,
            retained=self.retained,
            pattern=pattern,
        )
