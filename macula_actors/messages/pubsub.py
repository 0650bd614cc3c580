"""What PubsubHandler is asked: to subscribe, to publish. Erlang: macula_pubsub_handler.

All functions ask again while the server is being restarted, as long as there is time; nothing is done twice for that.
Each raises `CallTimeoutError` when that is over.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from macula_actors.core.durations import patience
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.event import encode_payload
from macula_actors.core.pubsub.outbox_decisions import OutboxStats
from macula_actors.core.pubsub.topic import DOTTED, Dialect, validate_pattern, validate_topic
from macula_actors.core.wire.messages import (
    Message,
    Publish,
    PublishBatch,
    PubsubRoute,
    Subscribe,
    SubscriptionsChanged,
    Unsubscribe,
)
from macula_actors.core.wire.values import Value
from macula_actors.messages.asking import ask
from macula_actors.messages.names import GATEWAY_PUBSUB, PUBSUB_HANDLER
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import Ref, Server, ServerDownError, System, call

__all__ = [
    "BATCH_CAPABILITY",
    "CHANGES_CAPABILITY",
    "GATEWAY_ROUTES",
    "ROUTES",
    "AddSubscription",
    "ForClients",
    "GetStats",
    "PublishEvent",
    "PubsubStats",
    "RemoveSubscription",
    "Subscriber",
    "Withdraw",
    "new_id",
    "publish",
    "stats",
    "subscribe",
    "unsubscribe",
    "validate",
    "withdraw",
]

DEFAULT_TIMEOUT: Final = 5.0  # seconds; macula_pubsub_qos
MAX_QUEUED: Final = 1024
WITHDRAW_TIMEOUT: Final = 1.5  # seconds; the handler itself takes the config's ``withdraw_timeout``
GRACE: Final = 0.5  # seconds after the deadline, in which the handler still says who did not acknowledge

Subscriber: TypeAlias = Callable[[Any], Any] | Ref
"""Who gets the events: a function, ``def`` or ``async def``, or a process, which is called with each `Event`."""

BATCH_CAPABILITY: Final = "pubsub_batch"
"""Of a node that takes several events in one message, for `HandshakeSettings.capabilities`. Others are sent none."""

CHANGES_CAPABILITY: Final = "pubsub_changes"
"""Of a node that takes `SubscriptionsChanged`, likewise."""

# For PeerConfig.routes. At a gateway the second ones come first: it may be a client that subscribes.
ROUTES: Final[dict[type[Message], str]] = dict.fromkeys(
    (Publish, PublishBatch, PubsubRoute, Subscribe, Unsubscribe, SubscriptionsChanged), PUBSUB_HANDLER
)
GATEWAY_ROUTES: Final[dict[type[Message], str]] = dict.fromkeys((Subscribe, Unsubscribe), GATEWAY_PUBSUB)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AddSubscription:
    """Give ``target`` the events of ``patterns``, in place of those before if ``id`` is known. Answered with None.

    Args:
        id: of the subscription.
        patterns: validated.
        target: who gets them, one after the other.
        policy: what is done with an event when ``max_queued`` wait for ``target``.
        max_queued: at least 1.
        is_ordered: whether each publisher's events are to come in its order; else as they arrive.
        is_encoded: whether ``target`` is given each as an `EncodedEvent`.
        ended: called, by PubsubHandler, when it gets no more, for whatever reason but the node's end. Must return at
            once, and raise nothing.
    """

    id: str
    patterns: tuple[str, ...]
    target: Subscriber
    policy: FullPolicy
    max_queued: int
    is_ordered: bool = True
    is_encoded: bool = False
    ended: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class RemoveSubscription:
    """Undo `AddSubscription`. A cast, or a call that is answered with whether there was one.

    The answer comes when others know, or after the config's ``withdraw_timeout``.
    """

    id: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Have others know that this node has no subscriptions any more. Answered with None, as `RemoveSubscription` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishEvent:
    """Publish ``payload``, encoded already. Answered with None, or refused; see `publish`."""

    topic: str
    payload: bytes
    message_id: bytes
    qos: int
    retain: bool
    timeout: float  # seconds


class ForClients(NamedTuple):
    """To GatewayPubsub: send ``route`` on to its destination over a session; see `messages.gateway.Relay`."""

    route: PubsubRoute
    sender: NodeId
    deadline: float


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `PubsubStats`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PubsubStats:
    """What PubsubHandler counts. Numbers of the past are since it started last."""

    subscriptions: int
    queued: int  # events that wait for local subscribers
    delivered: int  # to local subscribers
    dropped: int  # for want of room in their queues
    disconnected: int  # subscribers that were given up, for they were too slow
    failed: int  # that a subscriber's function raised on, or that could not be decoded
    published: int  # by this node
    waiting: int  # publications that wait: for a lookup, for room
    received: int  # from other nodes
    duplicates: int  # of those
    late: int  # of those; they could not be put in order any more
    skipped: int  # that were not waited for any longer
    refused: int  # for want of room
    retained: int  # topics
    prefixes: int  # that are cached
    lookups: int  # under way
    records: int  # of own subscriptions that others can find
    relayed: int  # nodes that are reached through a gateway
    outbox: OutboxStats


async def subscribe(
    server: Server,
    patterns: str | Collection[str],
    target: Subscriber,
    *,
    policy: FullPolicy = FullPolicy.DROP_OLDEST,
    max_queued: int = MAX_QUEUED,
    is_ordered: bool = True,
    subscription_id: str | None = None,
    ended: Callable[[], None] | None = None,
    dialect: Dialect = DOTTED,
) -> str:
    """Have ``target`` get each event that is published to a topic that ``patterns`` match, once; return an id.

    It is done once others can find it: whoever looks for subscribers from then on finds this node, and those that are
    connected to it know already. It stays until `unsubscribe`, or until ``target`` ends, if it is a process.

    Args:
        server: the PubsubHandler.
        patterns: one or several, of a node that others can dial or reach through a gateway.
        target: what it raises hurts only itself, and so does being slow.
        policy: what is done with an event when ``max_queued`` wait.
        max_queued: events, at least 1.
        is_ordered: whether an event waits for those that its publisher published before; else it comes as it arrives.
        subscription_id: of `new_id`, or of a subscription whose patterns are to be changed; None: a new one.
        ended: called when it gets no more, for whatever reason but the node's end; see `AddSubscription`.
        dialect: how patterns are written, as of the server.

    Raises:
        ValueError: a pattern can't match a valid topic, ``policy`` is none, or ``max_queued`` is below 1.
        TypeError: ``target`` is neither a function nor a process.
        OverloadedError: there are too many subscriptions here.
    """
    found = (patterns,) if isinstance(patterns, str) else tuple(dict.fromkeys(patterns))
    validate(found, policy, max_queued, dialect)
    if not callable(target) and not isinstance(target, Ref):
        raise TypeError(f"a subscriber {target!r}; allowed are a function and a process")
    id_ = subscription_id or new_id(server)
    request = AddSubscription(
        id=id_,
        patterns=found,
        target=target,
        policy=FullPolicy(policy),
        max_queued=max_queued,
        is_ordered=is_ordered,
        ended=ended,
    )
    await ask(server, request)
    return id_


def new_id(server: Server) -> str:
    """Return an id for a subscription that is to be."""
    return _system(server).random.randbytes(8).hex()


def validate(patterns: Collection[str], policy: FullPolicy, max_queued: int, dialect: Dialect = DOTTED) -> None:
    """Check what `subscribe` is given.

    Raises:
        ValueError: as `subscribe`.
    """
    for pattern in patterns:
        validate_pattern(pattern, dialect)
    if not patterns or not _is_whole(max_queued) or max_queued < 1:
        raise ValueError(f"max_queued {max_queued!r}; a subscription has a pattern at least, and room for one event")
    if policy not in tuple(FullPolicy):
        raise ValueError(f"policy {policy!r}; allowed are {', '.join(FullPolicy)}")


async def unsubscribe(server: Server, subscription_id: str) -> bool:
    """End a subscription, with what waits in its queue; return whether there was one.

    That others know is waited for, but not for long.
    """
    return bool(await ask(server, RemoveSubscription(subscription_id)))


async def withdraw(server: Server) -> None:
    """Have others know, before this node ends, that it is no subscriber any more; what comes meanwhile is delivered.

    If that is not to be, since it takes too long or the server is not there, they find out by themselves.
    """
    with suppress(ServerDownError, NoAnswerError):
        await call(server, Withdraw(), WITHDRAW_TIMEOUT)


async def publish(
    server: Server,
    topic: str,
    payload: Value,
    *,
    qos: int = 0,
    retain: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    json: bool = False,
    dialect: Dialect = DOTTED,
) -> None:
    """Publish ``payload`` to the subscribers of ``topic``: those of this node first, then those of all others.

    Args:
        server: the PubsubHandler.
        topic: its name.
        payload: any value that messages carry. With ``retain``, None has the value before it forgotten. In v0.8's mesh
            what JSON has; and bytes, which go as they are.
        qos: 0: it returns when the event is on the way to all nodes that are known to have subscribers. 1: when each
            of them has acknowledged it; it is sent again until then.
        retain: whether to keep it for who subscribes later, in place of the one before.
        timeout: seconds for all of it.
        json: whether the mesh is v0.8's.
        dialect: how topics are written, as of the server.

    Raises:
        ValueError: ``topic`` is none that can be published to, ``qos`` neither 0 nor 1, ``retain`` no bool, or
            ``timeout`` no finite number.
        LocalProtocolError: ``payload`` can't be sent.
        UnacknowledgedError: of qos 1: nodes that have not acknowledged it; the others have.
        OverloadedError: too much is being published.
        QuorumError: of qos 1: nobody could be asked who the subscribers are.
    """
    validate_topic(topic, dialect)
    if not _is_whole(qos) or qos not in {0, 1}:
        raise ValueError(f"qos {qos!r}; allowed are 0 and 1")
    if not isinstance(retain, bool):
        raise ValueError(f"retain {retain!r}; allowed are True and False")  # noqa: TRY004 -- as of qos
    seconds = patience(timeout)
    request = PublishEvent(
        topic=topic,
        payload=encode_payload(payload, json=json),
        message_id=_system(server).random.randbytes(16),
        qos=qos,
        retain=retain,
        timeout=seconds,
    )
    await ask(server, request, seconds + GRACE)


async def stats(server: Server) -> PubsubStats:
    """Return the server's counts."""
    counts: PubsubStats = await ask(server, GetStats())
    return counts


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # True == 1, but no message carries it as 1


def _system(server: Server) -> System:
    match server:
        case (_, System() as system):
            return system
        case _:
            return System.current()
