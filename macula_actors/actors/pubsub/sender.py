"""Gets events to nodes: straight there, through one of their gateways, or from node to node.

Erlang: route_to_subscribers (D-43).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from loguru import logger

from macula_actors.actors.pubsub.router import Router
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.pubsub.batching import batches
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.outbox_decisions import Send
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import (
    MAX_EVENTS,
    Message,
    Puback,
    PubackBatch,
    Publish,
    PublishBatch,
    PubsubRoute,
)
from macula_actors.errors import CallTimeoutError, LocalProtocolError, MaculaError, OverloadedError
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import Exchange, Request
from supervisors import RequestId, SupervisorsError, System, current, send_after, send_request

__all__ = ["Attempt", "Flush", "Sender"]

MAX_HOPS: Final = 10  # macula.hrl
MAX_BATCH_BYTES: Final = 65_536  # of events in one message: others want to use the connection, too
EVENT_BYTES: Final = 128  # that an event takes in a message besides its topic and payload, about

_Way: TypeAlias = Contact | Path  # a contact is a gateway


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt to get an event to a node, over one way after the other. ``is_relayed``: not straight there.

    ``ways``: that are left; None: all, none was tried yet.
    """

    send: Send[EncodedEvent]
    deadline: float
    ways: deque[_Way] | None = None
    is_relayed: bool = False

    @property
    def message_id(self) -> bytes:
        """The event's."""
        return self.send.message.message_id

    @property
    def wants_answer(self) -> bool:
        """Whether it has only succeeded when the node says so; of a batch, each has."""
        return self.is_relayed or self.send.message.qos > 0


@dataclass(frozen=True, slots=True)
class Flush:
    """Time for `Sender.flush`."""


class Sender:
    """Carries out `Send` decisions. It never waits.

    What goes straight to a node that takes batches is sent at the end of the loop's turn, with all else that was to be
    sent there by then. Nothing waits for more to come.

    Args:
        config: who this node is.
        is_connected: whether there is a connection to a node.
        takes_batches: whether there is, and the node knows messages with several events.
        router: what finds the way where there is no other.
        ended: called with an attempt that was routed, and whether it succeeded.
    """

    def __init__(
        self,
        config: PubsubConfig,
        is_connected: Callable[[NodeId], bool],
        takes_batches: Callable[[NodeId], bool],
        router: Router,
        ended: Callable[[Attempt, bool], None],
    ) -> None:
        self._config: Final = config
        self._is_connected: Final = is_connected
        self._takes_batches: Final = takes_batches
        self._router: Final = router
        self._ended: Final = ended
        self._system: Final = System.current()
        self._own_id: Final = config.identity.node_id
        self._subscribers: Final[dict[NodeId, Subscriber]] = {}  # the latest that is known of each
        self._relayed_until: Final[dict[NodeId, float]] = {}  # those that could not be dialled, until when
        self._attempts: Final[dict[RequestId, tuple[Attempt, ...]]] = {}
        self._unsent: Final[dict[NodeId, list[Attempt]]] = {}

    @property
    def relayed(self) -> int:
        """How many nodes events are relayed to at present."""
        now = self._system.now()
        return sum(until > now for until in self._relayed_until.values())

    def learn(self, subscriber: Subscriber) -> None:
        """Take note of where a node is."""
        self._subscribers.pop(subscriber.node_id, None)
        self._subscribers[subscriber.node_id] = subscriber
        while len(self._subscribers) > self._config.outbox.max_nodes:
            forgotten = next(iter(self._subscribers))
            del self._subscribers[forgotten]
            self._relayed_until.pop(forgotten, None)

    def send(self, send: Send[EncodedEvent]) -> bool:
        """Begin, at the next `flush` if need be; return False if there is no way."""
        patience = self._config.outbox.ack_timeout
        attempt = Attempt(send, min(send.message.deadline, self._system.now() + patience))
        if not self._takes_batches(send.node_id):
            return self._go_on(attempt)
        if not self._unsent:
            send_after(0.0, current(), Flush())
        self._unsent.setdefault(send.node_id, []).append(attempt)
        return True

    def flush(self) -> list[Attempt]:
        """Send what waits for that; return those attempts for which there is no way any more."""
        failed: list[Attempt] = []
        for attempts in self._unsent.values():
            for batch in batches(attempts, _length, max_items=MAX_EVENTS, max_bytes=MAX_BATCH_BYTES):
                if len(batch) == 1 or not self._send_batch(batch):
                    failed += [each for each in batch if not self._go_on(each)]
        self._unsent.clear()
        return failed

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._attempts

    def ended(self, request: RequestId) -> list[tuple[Attempt, bool]]:
        """Take an answer; return the attempts that end, each with whether it succeeded; others go on another way."""
        attempts = self._attempts.pop(request)
        try:
            answer = request.result()
        except (MaculaError, SupervisorsError) as error:
            is_over = isinstance(error, CallTimeoutError | OverloadedError)
            return [(each, False) for each in attempts if is_over or not self._go_on(each)]
        arrived = _arrived(answer)
        for attempt in attempts:
            self._note_way(attempt)
        is_alone = len(attempts) == 1
        return [(each, (is_alone and not each.wants_answer) or each.message_id in arrived) for each in attempts]

    def _note_way(self, attempt: Attempt) -> None:
        if attempt.is_relayed:
            self._relayed_until[attempt.send.node_id] = self._system.now() + self._config.relay_for
        else:
            self._relayed_until.pop(attempt.send.node_id, None)

    def _ways(self, node_id: NodeId) -> deque[_Way]:
        subscriber = self._subscribers.get(node_id)
        is_connected = self._is_connected(node_id)
        known = () if subscriber is None else subscriber.gateways
        gateways = [each for each in known if each.node_id not in {self._own_id, node_id}]
        can_dial = is_connected or (subscriber is not None and subscriber.endpoint is not None)
        straight = [Path.DIRECT] if can_dial else []
        if self._relayed_until.get(node_id, 0.0) > self._system.now() and not is_connected:
            return deque([*gateways, *straight, Path.ROUTED])
        return deque([*straight, *gateways, Path.ROUTED])

    def _go_on(self, attempt: Attempt) -> bool:
        """Try the next way; return False if there is none, or the event is one that no message carries."""
        try:
            return self._try(attempt)
        except LocalProtocolError as error:
            logger.warning("an event on {} can't be sent: {}", attempt.send.message.event.topic, error)
            return False

    def _try(self, attempt: Attempt) -> bool:
        send = attempt.send
        if attempt.ways is None:
            attempt.ways = self._ways(send.node_id)
        if not attempt.ways:
            return False
        way = attempt.ways.popleft()
        attempt.is_relayed = way is not Path.DIRECT
        if way is Path.ROUTED:
            return self._route_out(attempt)
        now = self._system.now()
        connect_by = now + (attempt.deadline - now) / 2 if attempt.ways else None
        message = self._route(send) if attempt.is_relayed else self._message(send)
        exchange = Exchange(encode(message), attempt.deadline, attempt.wants_answer)
        contact = way if isinstance(way, Contact) else self._contact(send.node_id)
        self._attempts[send_request(PEER_CONNECTOR, Request(contact, exchange, connect_by))] = (attempt,)
        return True

    def _send_batch(self, attempts: tuple[Attempt, ...]) -> bool:
        """Send them straight to their node. Should that fail, each tries all ways by itself; if it is False, now."""
        first = attempts[0].send
        events = tuple(self._event(each.send) for each in attempts)
        try:
            frame = encode(PublishBatch(publisher=self._own_id, epoch=first.stamp.epoch, events=events))
        except LocalProtocolError:
            return False
        exchange = Exchange(frame, max(each.deadline for each in attempts), wants_reply=True)
        self._attempts[send_request(PEER_CONNECTOR, Request(self._contact(first.node_id), exchange))] = attempts
        return True

    def _route_out(self, attempt: Attempt) -> bool:
        def done(answer: Message | None, error: Exception | None) -> None:
            self._ended(attempt, error is None and attempt.message_id in _arrived(answer))

        try:
            self._router.route(self._route(attempt.send), None, attempt.deadline, done)
        except OverloadedError:
            return False
        return True

    def _contact(self, node_id: NodeId) -> Contact:
        subscriber = self._subscribers.get(node_id)
        return Contact(None if subscriber is None else subscriber.endpoint, node_id)

    def _message(self, send: Send[EncodedEvent]) -> Publish:
        return replace(self._event(send), publisher=self._own_id, epoch=send.stamp.epoch)

    def _event(self, send: Send[EncodedEvent]) -> Publish:
        event, stamp = send.message.event, send.stamp
        return Publish(
            topic=event.topic,
            payload=event.payload,
            message_id=event.message_id,
            qos=event.qos,
            retain=event.retain,
            sequence=stamp.sequence,
            pending_from=stamp.pending_from,
            retained=event.retained or None,
            published_at=event.published_at if event.retain else None,
            origin=None if event.publisher == self._own_id else event.publisher,
        )

    def _route(self, send: Send[EncodedEvent]) -> PubsubRoute:
        return PubsubRoute(
            destination_node_id=send.node_id,
            source_node_id=self._own_id,
            topic=send.message.event.topic,
            payload=self._message(send),
            max_hops=MAX_HOPS,
        )


def _length(attempt: Attempt) -> int:
    event = attempt.send.message.event
    return EVENT_BYTES + len(event.topic) + len(event.payload)


def _arrived(answer: object) -> frozenset[bytes]:
    """Return the ids of the events that ``answer`` acknowledges."""
    match answer:
        case Puback(message_id=message_id):
            return frozenset((message_id,))
        case PubackBatch(message_ids=message_ids):
            return frozenset(message_ids)
        case _:
            return frozenset()
