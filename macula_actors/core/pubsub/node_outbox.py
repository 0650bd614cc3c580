"""What is still to be delivered to one subscriber node, and in which order. Erlang: macula_pubsub_qos (D-44).

A number of messages is in flight at once; a message that fails stays where it is among them, and while the node is
waited for nothing is sent to it. So each message is sent after all that were published before it.
"""

from collections import Counter
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any, Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.pubsub.bounded_queue import BoundedQueue, FullPolicy, Put
from macula_actors.core.pubsub.ordering import Stamp
from macula_actors.core.pubsub.outbox_decisions import (
    Decision,
    Disconnect,
    Outgoing,
    Reason,
    Resume,
    Send,
    Unacknowledged,
)

__all__ = ["NodeOutbox", "OutboxSettings"]

Event = TypeVar("Event")

_BACKOFF: Final = Backoff(initial=0.1, maximum=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """How much is sent at once, how much waits, and for how long.

    Args:
        window: messages in flight to a node.
        window_bytes: of them together, but for the last one. Less than a connection can carry at once, else what is
            sent is refused there and, of qos 0, lost.
        max_queued: messages that wait for it.
        max_queued_bytes: of them together, but for the last one.
        max_nodes: that are remembered.
        policy: what is done when so much waits.
        ack_timeout: seconds after which a message that was sent and not acknowledged has failed.
        backoff: how long a node is left alone after a failure.

    Raises:
        ValueError: a number is not above 0.
    """

    window: int = 32
    window_bytes: int = 2 * 1_048_576
    max_queued: int = 1024
    max_queued_bytes: int = 8 * 1_048_576
    max_nodes: int = 4096
    policy: FullPolicy = FullPolicy.DROP_OLDEST
    ack_timeout: float = 1.0
    backoff: Backoff = _BACKOFF

    def __post_init__(self) -> None:
        bounds = (self.window, self.window_bytes, self.max_queued, self.max_queued_bytes, self.max_nodes)
        if min(*bounds, self.ack_timeout) <= 0:
            raise ValueError("windows, queues, max_nodes and ack_timeout are above 0")


class NodeOutbox(Generic[Event]):
    """The messages for one node. ``now`` is monotonic seconds.

    Args:
        node_id: the node.
        epoch: that its messages are stamped with.
        settings: the bounds.
        rng: chance, for the back-off.
        counts: where it counts, by the names of `OutboxStats`, what happens.
    """

    def __init__(
        self, node_id: NodeId, epoch: int, *, settings: OutboxSettings, rng: Random, counts: Counter[str]
    ) -> None:
        self._node_id: Final = node_id
        self._epoch: Final = epoch
        self._settings: Final = settings
        self._rng: Final = rng
        self._counts: Final = counts
        self._queue: Final[BoundedQueue[Outgoing[Event]]] = BoundedQueue(
            settings.max_queued, settings.policy, max_bytes=settings.max_queued_bytes, length_of=_length
        )
        self._flights: Final[dict[bytes, _Flight[Event]]] = {}  # in order of their sequence
        self._flying_bytes = 0
        self._owed: Final[dict[bytes, int]] = {}  # sequences of those of qos 1, in order as well
        self._ids: Final[set[bytes]] = set()  # of all messages that are here
        self._next_sequence = 0
        self._has_unsent = False  # there may be flights to be sent again
        self._failures = 0  # since the last acknowledgement
        self._retry_at: float | None = None  # nothing is sent before
        self._next_due = inf
        self._has_held = False

    @property
    def queued(self) -> int:
        """How many messages wait to be sent for the first time."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """How many were sent, and are neither acknowledged nor given up."""
        return len(self._flights)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to deliver."""
        return not self._ids

    @property
    def next_due(self) -> float:
        """When to call `due`, at the latest; there may be nothing to do then. Never: infinity."""
        return self._next_due

    def would_hold(self, message_id: bytes) -> bool:
        """Tell whether a new message would have to wait outside."""
        is_hold = self._settings.policy is FullPolicy.HOLD
        return is_hold and self._queue.is_full and message_id not in self._ids

    def hold(self) -> None:
        """Say when there is room again."""
        self._has_held = True

    def put(self, message: Outgoing[Event], now: float) -> list[Decision[Event]]:
        """Take ``message`` in; one that is here already is not taken twice.

        After a Disconnect this is of no use any more.
        """
        if message.message_id in self._ids:
            return []
        self._ids.add(message.message_id)
        put, dropped = self._queue.put(message)
        if put is Put.DISCONNECTED:
            return [
                *self.give_up(Reason.DISCONNECTED),
                *self._abandon(message, Reason.DISCONNECTED),
                Disconnect(self._node_id),
            ]
        self._note(message.deadline)
        given_up = [decision for each in dropped for decision in self._abandon(each, Reason.DROPPED)]
        return given_up + self._pump(now)

    def acknowledged(self, message_id: bytes, now: float) -> list[Decision[Event]]:
        """Take note that the node has a message; what is not in flight does not matter."""
        if message_id not in self._flights:
            return []
        self._land(message_id)
        self._ids.discard(message_id)
        self._owed.pop(message_id, None)
        self._failures = 0
        self._counts["acknowledged"] += 1
        return self._pump(now)

    def failed(self, message_id: bytes, attempt: int, now: float) -> list[Decision[Event]]:
        """Take note that an attempt failed; only the last one of a message matters."""
        flight = self._flights.get(message_id)
        if flight is None or not flight.is_sent or flight.attempt != attempt:
            return []
        return self._fail(flight, now)

    def due(self, now: float) -> list[Decision[Event]]:
        """Give up what has reached its deadline, and send again what was not acknowledged in time."""
        decisions = self._expire(now)
        for flight in [each for each in self._flights.values() if each.is_sent and each.ack_due_at <= now]:
            decisions += self._fail(flight, now)
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
        decisions += self._pump(now)
        self._next_due = self._earliest()
        return decisions

    def give_up(self, reason: Reason) -> list[Decision[Event]]:
        """Give up all messages."""
        messages = [*(flight.message for flight in self._flights.values()), *self._queue.clear()]
        self._flights.clear()
        self._flying_bytes = 0
        self._next_due = inf
        return [decision for message in messages for decision in self._abandon(message, reason)] + self._resumed()

    def _pump(self, now: float) -> list[Decision[Event]]:
        """Send what may be sent, in order. After each change: what is in the queue may not be sent yet."""
        if self._retry_at is not None:
            return []
        again = [each for each in self._flights.values() if not each.is_sent] if self._has_unsent else []
        decisions: list[Decision[Event]] = [self._send(flight, now) for flight in again]
        self._has_unsent = False
        while self._has_window() and (message := self._queue.get()) is not None:
            flight = self._flights[message.message_id] = _Flight(message, self._next_sequence)
            self._flying_bytes += message.length
            if message.qos:
                self._owed[message.message_id] = flight.sequence
            self._next_sequence += 1
            decisions.append(self._send(flight, now))
        return decisions + self._resumed()

    def _has_window(self) -> bool:
        return len(self._flights) < self._settings.window and self._flying_bytes < self._settings.window_bytes

    def _land(self, message_id: bytes) -> None:
        self._flying_bytes -= self._flights.pop(message_id).message.length

    def _send(self, flight: "_Flight[Event]", now: float) -> Send[Event]:
        flight.attempt += 1
        flight.is_sent = True
        flight.ack_due_at = now + self._settings.ack_timeout
        self._note(flight.ack_due_at)
        self._counts["sent"] += 1
        self._counts["retries"] += flight.attempt > 1
        pending = next(iter(self._owed.values()), flight.sequence)
        stamp = Stamp(self._epoch, flight.sequence, min(pending, flight.sequence))
        return Send(self._node_id, flight.message, stamp, flight.attempt)

    def _fail(self, flight: "_Flight[Event]", now: float) -> list[Decision[Event]]:
        if self._retry_at is None:
            # what was sent together fails together: it counts once
            self._failures += 1
            self._retry_at = now + self._settings.backoff.delay(self._failures, self._rng)
            self._note(self._retry_at)
        if flight.message.qos == 0:
            self._land(flight.message.message_id)
            return self._abandon(flight.message, Reason.DROPPED)
        flight.is_sent = False
        self._has_unsent = True
        return []

    def _expire(self, now: float) -> list[Decision[Event]]:
        expired = [each.message for each in self._flights.values() if each.message.deadline <= now]
        for message in expired:
            self._land(message.message_id)
        if any(message.deadline <= now for message in self._queue):
            expired += self._queue.take_if(lambda message: message.deadline <= now)
        decisions = [decision for message in expired for decision in self._abandon(message, Reason.DEADLINE)]
        return decisions + self._resumed()

    def _abandon(self, message: Outgoing[Event], reason: Reason) -> list[Decision[Event]]:
        self._ids.discard(message.message_id)
        self._owed.pop(message.message_id, None)
        if message.qos == 0:
            self._counts["lost"] += 1
            return []
        self._counts["unacknowledged"] += 1
        return [Unacknowledged(self._node_id, message.message_id, reason)]

    def _resumed(self) -> list[Decision[Event]]:
        if not self._has_held or self._queue.is_full:
            return []
        self._has_held = False
        return [Resume(self._node_id)]

    def _note(self, instant: float) -> None:
        self._next_due = min(self._next_due, instant)

    def _earliest(self) -> float:
        instants = [flight.message.deadline for flight in self._flights.values()]
        instants += [flight.ack_due_at for flight in self._flights.values() if flight.is_sent]
        instants += [message.deadline for message in self._queue]
        return min(instants, default=inf) if self._retry_at is None else min([*instants, self._retry_at])


def _length(message: Outgoing[Any]) -> int:
    return message.length


@dataclass(slots=True)
class _Flight(Generic[Event]):
    """A message that was sent at least once."""

    message: Outgoing[Event]
    sequence: int
    attempt: int = 0
    is_sent: bool = False  # not: it is to be sent again
    ack_due_at: float = inf
