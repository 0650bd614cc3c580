"""Events from other nodes: each once, those of a publisher in its order, then to this node's subscribers.

Erlang: macula_pubsub_handler:handle_incoming_publish/2; later versions: by publisher and sequence.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.pubsub.deduplication import Deduplicator
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.ordering import Reorderer, ReordererStats, Stamp, Verdict
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import Puback, Publish
from macula_actors.errors import OverloadedError, RefusedError
from supervisors import From, NoReply, Refuse, Reply, System

__all__ = ["Here", "Memory", "Receiver"]

_EARLY: Final = b"early"  # before the id of an event that some have got before its turn


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What has come, of whom: it outlives the process, so that nothing comes twice."""

    reorderer: Reorderer[EncodedEvent]
    deduplicator: Deduplicator

    @classmethod
    def empty(cls, config: PubsubConfig) -> "Memory":
        """Return one of a node that has got nothing yet."""
        return cls(
            Reorderer(
                gap_timeout=config.gap_timeout,
                hold_timeout=config.hold_timeout,
                max_waiting=max(config.max_early // 4, 1),
                max_total=config.max_early,
                max_publishers=config.max_publishers,
            ),
            Deduplicator(
                window=config.remember_for,
                max_publishers=config.max_publishers,
                max_ids=config.max_remembered,
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Here:
    """What a `Receiver` uses of its process.

    Args:
        deliver: gives an event, which has not come before, to own subscribers: those that want order, those that do
            not, or with None all.
        takes_early: tells whether there are some on a topic that do not.
        has_kept: tells whether an event that is kept is the one of this topic and message id.
        would_hold: tells whether publishers of a topic are to wait for a subscriber.
    """

    deliver: Callable[[EncodedEvent, bool | None], None]
    takes_early: Callable[[str], bool]
    has_kept: Callable[[str, bytes], bool]
    would_hold: Callable[[str], bool]


class Receiver:
    """Takes events in. Its answer to an event of qos 1 is the acknowledgement; without one it comes again.

    Args:
        config: bounds.
        memory: what has come, before this too.
        here: see there.
    """

    def __init__(self, config: PubsubConfig, memory: Memory, here: Here) -> None:
        self._config: Final = config
        self._own_id: Final = config.identity.node_id
        self._system: Final = System.current()
        self._memory: Final = memory
        self._here: Final = here
        self._unanswered: Final[dict[tuple[NodeId, bytes], list[tuple[From, bool]]]] = {}
        self.counts: Final[Counter[str]] = Counter()

    @property
    def ordering(self) -> ReordererStats:
        """What the order costs."""
        return self._memory.reorderer.stats

    @property
    def duplicates(self) -> int:
        """How many events came that had come before."""
        return self._memory.deduplicator.duplicates + self._memory.reorderer.stats.repeated

    def take(
        self, message: Publish, peer: PeerInfo, from_: From, source: NodeId | None = None
    ) -> Reply | NoReply | Refuse:
        """Take ``message`` in; ``source``: the node that it was relayed for, which always wants an answer."""
        publisher = source or peer.node_id
        stated = None if message.publisher is None else NodeId.normalize(message.publisher)
        if publisher is None or (peer.verified and stated is not None and stated != publisher):
            return Refuse(RefusedError(Code.NOT_PERMITTED, "who sends this is not its publisher"))
        if self._here.would_hold(message.topic):
            self.counts["refused"] += 1
            return Refuse(OverloadedError("events that wait for a slow subscriber"))
        self.counts["received"] += 1
        event = _event(message, stated or publisher)
        is_answered = source is not None or message.qos > 0
        stamp = _stamp(message)
        if stamp is None:
            self._deliver(event)
            return Reply(_answer(event, is_answered=is_answered))
        return self._in_order(event, stamp, from_, is_answered=is_answered)

    def _in_order(
        self, event: EncodedEvent, stamp: Stamp, from_: From, *, is_answered: bool
    ) -> Reply | NoReply | Refuse:
        taken = self._memory.reorderer.take(event.publisher, stamp, event, self._system.now())
        self._release(taken.events)
        if taken.verdict is Verdict.EARLY:
            self._deliver_early(event)
        match taken.verdict:
            case Verdict.EARLY if event.qos:
                key = event.publisher, event.message_id
                self._unanswered.setdefault(key, []).append((from_, is_answered))
                return NoReply()
            case Verdict.IN_ORDER | Verdict.REPEATED | Verdict.EARLY:
                return Reply(_answer(event, is_answered=is_answered))
            case Verdict.FULL:
                self.counts["refused"] += 1
                return Refuse(OverloadedError("events that came too early", self._config.max_early))
            case _ if event.qos:
                return Refuse(RefusedError("late", "an event after it has been delivered"))
            case _:
                return Reply(_answer(event, is_answered=is_answered))

    def is_new(self, event: EncodedEvent) -> bool:
        """Take note of ``event``; return whether it has not come before."""
        return self._is_first(event)

    def next_due(self) -> float:
        """Return when to call `due`, at the latest."""
        return self._memory.reorderer.next_due()

    def due(self) -> None:
        """Deliver what has waited long enough for what was to come before it."""
        self._release(self._memory.reorderer.due(self._system.now()))

    def sweep(self) -> None:
        """Forget what is too old."""
        self._memory.deduplicator.prune(self._system.now())
        for key in [key for key, waiting in self._unanswered.items() if not any(f.is_waiting for f, _ in waiting)]:
            del self._unanswered[key]

    def _release(self, events: tuple[EncodedEvent, ...]) -> None:
        for event in events:
            self._deliver(event)
            for from_, is_answered in self._unanswered.pop((event.publisher, event.message_id), ()):
                from_.reply(_answer(event, is_answered=is_answered))

    def _deliver(self, event: EncodedEvent) -> None:
        """Give ``event`` to the subscribers, unless it has come before; a kept one only if it is not kept already."""
        is_new = self.is_new(event)
        if event.retained:
            is_new = not self._here.has_kept(event.topic, event.message_id)
        if is_new:
            self._here.deliver(event, True if self._was_early(event) else None)

    def _deliver_early(self, event: EncodedEvent) -> None:
        """Give ``event``, which is still to wait, to those that want it at once."""
        if self._here.takes_early(event.topic) and self._is_first(event, _EARLY):
            self._here.deliver(event, False)  # noqa: FBT003 -- not those that want order

    def _was_early(self, event: EncodedEvent) -> bool:
        return self._here.takes_early(event.topic) and not self._is_first(event, _EARLY)

    def _is_first(self, event: EncodedEvent, mark: bytes = b"") -> bool:
        now = self._system.now()
        return self._memory.deduplicator.is_new(event.publisher, mark + event.message_id, now)


def _event(message: Publish, publisher: NodeId) -> EncodedEvent:
    return EncodedEvent(
        topic=message.topic,
        payload=message.payload,
        publisher=publisher,
        message_id=message.message_id,
        qos=min(message.qos, 1),
        retain=message.retain,
        retained=bool(message.retained),
    )


def _stamp(message: Publish) -> Stamp | None:
    epoch, sequence, pending_from = message.epoch, message.sequence, message.pending_from
    if epoch is None or sequence is None or pending_from is None or pending_from > sequence:
        return None
    return Stamp(epoch, sequence, pending_from)


def _answer(event: EncodedEvent, *, is_answered: bool) -> Puback | None:
    return Puback(message_id=event.message_id) if is_answered else None
