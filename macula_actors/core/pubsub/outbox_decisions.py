"""What a `macula_actors.core.pubsub.outbox.Outbox` decides: values that its owner carries out, in order."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.ordering import Stamp

__all__ = ["Decision", "Disconnect", "Hold", "OutboxStats", "Outgoing", "Reason", "Resume", "Send", "Unacknowledged"]

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing(Generic[Event]):
    """A message for subscribers.

    Args:
        message_id: no two messages have the same.
        event: what is sent.
        qos: 0: once. 1: until it is acknowledged, or its deadline.
        deadline: the monotonic instant after which it is not sent any more.
        length: bytes that it takes.
    """

    message_id: bytes
    event: Event
    qos: int
    deadline: float
    length: int = 0


class Reason(StrEnum):
    """Why a message was given up."""

    DEADLINE = "deadline"
    DISCONNECTED = "disconnected"  # the subscriber was too slow
    DROPPED = "dropped"  # for want of room in the queue of the node
    FORGOTTEN = "forgotten"  # the node is no subscriber any more
    OVERLOADED = "overloaded"  # there are messages for as many nodes as there may be


@dataclass(frozen=True, slots=True)
class Send(Generic[Event]):
    """Send ``message`` to the node, then tell ``acknowledged`` or ``failed``, with ``attempt``, of the outbox.

    A message of qos 0 counts as acknowledged when the transport has taken it.
    """

    node_id: NodeId
    message: Outgoing[Event]
    stamp: Stamp
    attempt: int  # 1 for the first


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """Tell the publisher that the node may not have got its message, which was of qos 1."""

    node_id: NodeId
    message_id: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Take the node for no subscriber any more: it was too slow."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class Hold:
    """The message was taken for no node: have the publisher wait for a Resume of these, and publish it again."""

    node_ids: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """There is room again for the node, at which a publisher was held."""

    node_id: NodeId


Decision: TypeAlias = Send[Event] | Unacknowledged | Disconnect | Hold | Resume


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """Counts: of what is there now, and of what happened since the start."""

    nodes: int
    queued: int
    in_flight: int
    sent: int  # attempts
    retries: int  # of them
    acknowledged: int
    unacknowledged: int
    lost: int  # of qos 0: not sent, for whatever reason
    holds: int
