"""What a publisher still has to deliver, to all subscriber nodes. Erlang: macula_pubsub_delivery, macula_pubsub_qos.

A node gets a message once, however many subscribers it has. Of a message of qos 1 the owner learns for each node that
it was acknowledged, or that it was given up, and why.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.node_outbox import NodeOutbox, OutboxSettings
from macula_actors.core.pubsub.outbox_decisions import (
    Decision,
    Disconnect,
    Hold,
    OutboxStats,
    Outgoing,
    Reason,
    Unacknowledged,
)

__all__ = ["Outbox"]

Event = TypeVar("Event")

_SLACK: Final = 64  # timers beyond twice those that count, before the others are thrown out


class Outbox(Generic[Event]):
    """The messages for all nodes. ``now`` is monotonic seconds.

    Args:
        settings: the bounds.
        epoch: greater than any that this node's former outboxes had: milliseconds since 1970.
        rng: chance, for the back-off.
    """

    def __init__(self, settings: OutboxSettings, *, epoch: int, rng: Random) -> None:
        self._settings: Final = settings
        self._epoch = epoch
        self._rng: Final = rng
        self._nodes: Final[OrderedDict[NodeId, NodeOutbox[Event]]] = OrderedDict()  # the last one used is the last
        self._timers: Final[list[tuple[float, NodeId]]] = []  # a heap
        self._due_at: Final[dict[NodeId, float]] = {}  # which of the timers count
        self._counts: Final[Counter[str]] = Counter()

    @property
    def stats(self) -> OutboxStats:
        """Counts."""
        names = ("sent", "retries", "acknowledged", "unacknowledged", "lost", "holds")
        return OutboxStats(
            nodes=len(self._nodes),
            queued=sum(node.queued for node in self._nodes.values()),
            in_flight=sum(node.in_flight for node in self._nodes.values()),
            **{name: self._counts[name] for name in names},
        )

    def publish(self, message: Outgoing[Event], node_ids: Iterable[NodeId], now: float) -> list[Decision[Event]]:
        """Take ``message`` for each of these nodes, once; or for none, and return a Hold alone."""
        targets = tuple(dict.fromkeys(node_ids))
        full = tuple(node_id for node_id in targets if self._would_hold(node_id, message.message_id))
        if full:
            self._counts["holds"] += 1
            for node_id in full:
                self._nodes[node_id].hold()
            return [Hold(full)]
        return [decision for node_id in targets for decision in self._put(node_id, message, now)]

    def acknowledged(self, node_id: NodeId, message_id: bytes, now: float) -> list[Decision[Event]]:
        """Take note that the node has the message; of qos 0, that the transport has."""
        node = self._nodes.get(node_id)
        return [] if node is None else self._after(node_id, node, node.acknowledged(message_id, now))

    def failed(self, node_id: NodeId, message_id: bytes, attempt: int, now: float) -> list[Decision[Event]]:
        """Take note that the attempt, of the number that its Send has, failed."""
        node = self._nodes.get(node_id)
        return [] if node is None else self._after(node_id, node, node.failed(message_id, attempt, now))

    def forget_node(self, node_id: NodeId) -> list[Decision[Event]]:
        """Give up all that is for the node, which is no subscriber any more."""
        node = self._nodes.get(node_id)
        if node is None:
            return []
        self._drop(node_id)
        return node.give_up(Reason.FORGOTTEN)

    def due(self, now: float) -> list[Decision[Event]]:
        """Give up what has reached its deadline, and send again what was not acknowledged in time."""
        decisions: list[Decision[Event]] = []
        while self._timers and self._timers[0][0] <= now:
            instant, node_id = heappop(self._timers)
            if self._due_at.get(node_id) == instant:
                del self._due_at[node_id]
                node = self._nodes[node_id]
                decisions += self._after(node_id, node, node.due(now))
        return decisions

    def next_due(self) -> float:
        """Return when to call `due`, at the latest; never: infinity."""
        while self._timers and self._due_at.get(self._timers[0][1]) != self._timers[0][0]:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else inf

    def _would_hold(self, node_id: NodeId, message_id: bytes) -> bool:
        node = self._nodes.get(node_id)
        return node is not None and node.would_hold(message_id)

    def _put(self, node_id: NodeId, message: Outgoing[Event], now: float) -> list[Decision[Event]]:
        node = self._nodes.get(node_id) or self._new_node(node_id)
        if node is None:
            return self._refuse(node_id, message)
        self._nodes.move_to_end(node_id)
        return self._after(node_id, node, node.put(message, now))

    def _new_node(self, node_id: NodeId) -> NodeOutbox[Event] | None:
        """Return one for ``node_id``; None if there is no room."""
        if len(self._nodes) >= self._settings.max_nodes:
            idle = next((each for each, node in self._nodes.items() if node.is_idle), None)
            if idle is None:
                return None
            self._drop(idle)
        node: NodeOutbox[Event] = NodeOutbox(
            node_id, self._epoch, settings=self._settings, rng=self._rng, counts=self._counts
        )
        self._nodes[node_id] = node
        return node

    def _refuse(self, node_id: NodeId, message: Outgoing[Event]) -> list[Decision[Event]]:
        if message.qos == 0:
            self._counts["lost"] += 1
            return []
        self._counts["unacknowledged"] += 1
        return [Unacknowledged(node_id, message.message_id, Reason.OVERLOADED)]

    def _drop(self, node_id: NodeId) -> None:
        del self._nodes[node_id]
        self._due_at.pop(node_id, None)
        self._epoch += 1  # should the node come back, its messages are numbered from 0 again

    def _after(
        self, node_id: NodeId, node: NodeOutbox[Event], decisions: list[Decision[Event]]
    ) -> list[Decision[Event]]:
        """Return ``decisions`` of ``node``, and set its timer, or forget it if it is given up."""
        if any(isinstance(decision, Disconnect) for decision in decisions):
            self._drop(node_id)
        elif node.next_due < self._due_at.get(node_id, inf):
            self._set_timer(node_id, node.next_due)
        return decisions

    def _set_timer(self, node_id: NodeId, instant: float) -> None:
        self._due_at[node_id] = instant
        if len(self._timers) > 2 * len(self._due_at) + _SLACK:
            self._timers[:] = [(due_at, each) for each, due_at in self._due_at.items()]
            heapify(self._timers)
        else:
            heappush(self._timers, (instant, node_id))
