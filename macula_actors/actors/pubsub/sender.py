"""Gets events to nodes: straight there, through one of their gateways, or from node to node.

Erlang: route_to_subscribers (D-43).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from macula_actors.actors.pubsub.router import Router
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.outbox_decisions import Send
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message, Puback, Publish, PubsubRoute
from macula_actors.errors import CallTimeoutError, MaculaError, OverloadedError
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import Exchange, Request
from supervisors import RequestId, SupervisorsError, System, send_request

__all__ = ["Attempt", "Sender"]

MAX_HOPS: Final = 10  # macula.hrl

_Way: TypeAlias = Contact | Path  # a contact is a gateway


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt to get an event to a node, over one way after the other. ``is_relayed``: not straight there."""

    send: Send[EncodedEvent]
    deadline: float
    ways: deque[_Way] = field(default_factory=deque)
    is_relayed: bool = False


class Sender:
    """Carries out `Send` decisions. It never waits.

    Args:
        config: who this node is.
        is_connected: whether there is a connection to a node.
        router: what finds the way where there is no other.
        ended: called with an attempt that was routed, and whether it succeeded.
    """

    def __init__(
        self,
        config: PubsubConfig,
        is_connected: Callable[[NodeId], bool],
        router: Router,
        ended: Callable[[Attempt, bool], None],
    ) -> None:
        self._config: Final = config
        self._is_connected: Final = is_connected
        self._router: Final = router
        self._ended: Final = ended
        self._system: Final = System.current()
        self._own_id: Final = config.identity.node_id
        self._subscribers: Final[dict[NodeId, Subscriber]] = {}  # the latest that is known of each
        self._relayed_until: Final[dict[NodeId, float]] = {}  # those that could not be dialled, until when
        self._attempts: Final[dict[RequestId, Attempt]] = {}

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
        """Begin; return False if there is no way."""
        patience = self._config.outbox.ack_timeout
        deadline = min(send.message.deadline, self._system.now() + patience)
        attempt = Attempt(send, deadline, self._ways(send.node_id))
        return self._go_on(attempt)

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._attempts

    def ended(self, request: RequestId) -> tuple[Attempt, bool] | None:
        """Take an answer; return the attempt that it ends and whether it succeeded, None if it goes on another way."""
        attempt = self._attempts.pop(request)
        try:
            answer = request.result()
        except (MaculaError, SupervisorsError) as error:
            if not isinstance(error, CallTimeoutError | OverloadedError) and self._go_on(attempt):
                return None
            return attempt, False
        if attempt.is_relayed:
            self._relayed_until[attempt.send.node_id] = self._system.now() + self._config.relay_for
        else:
            self._relayed_until.pop(attempt.send.node_id, None)
        wanted = attempt.is_relayed or attempt.send.message.qos > 0
        return attempt, not wanted or _acknowledges(answer, attempt.send)

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
        """Try the next way; return False if there is none."""
        if not attempt.ways:
            return False
        way, send = attempt.ways.popleft(), attempt.send
        attempt.is_relayed = way is not Path.DIRECT
        if way is Path.ROUTED:
            return self._route_out(attempt)
        now = self._system.now()
        connect_by = now + (attempt.deadline - now) / 2 if attempt.ways else None
        message = self._route(send) if attempt.is_relayed else self._message(send)
        exchange = Exchange(encode(message), attempt.deadline, attempt.is_relayed or send.message.qos > 0)
        contact = way if isinstance(way, Contact) else self._contact(send.node_id)
        self._attempts[send_request(PEER_CONNECTOR, Request(contact, exchange, connect_by))] = attempt
        return True

    def _route_out(self, attempt: Attempt) -> bool:
        def done(answer: Message | None, error: Exception | None) -> None:
            self._ended(attempt, error is None and _acknowledges(answer, attempt.send))

        try:
            self._router.route(self._route(attempt.send), None, attempt.deadline, done)
        except OverloadedError:
            return False
        return True

    def _contact(self, node_id: NodeId) -> Contact:
        subscriber = self._subscribers.get(node_id)
        return Contact(None if subscriber is None else subscriber.endpoint, node_id)

    def _message(self, send: Send[EncodedEvent]) -> Publish:
        event, stamp = send.message.event, send.stamp
        return Publish(
            topic=event.topic,
            payload=event.payload,
            message_id=event.message_id,
            qos=event.qos,
            retain=event.retain,
            publisher=self._own_id,
            epoch=stamp.epoch,
            sequence=stamp.sequence,
            pending_from=stamp.pending_from,
            retained=event.retained or None,
        )

    def _route(self, send: Send[EncodedEvent]) -> PubsubRoute:
        return PubsubRoute(
            destination_node_id=send.node_id,
            source_node_id=self._own_id,
            topic=send.message.event.topic,
            payload=self._message(send),
            max_hops=MAX_HOPS,
        )


def _acknowledges(answer: object, send: Send[EncodedEvent]) -> bool:
    return isinstance(answer, Puback) and answer.message_id == send.message.message_id
