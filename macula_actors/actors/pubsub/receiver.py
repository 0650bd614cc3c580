"""Events from other nodes: each once, those of a publisher in its order, then to this node's subscribers.

Erlang: macula_pubsub_handler:handle_incoming_publish/2; later versions: by publisher and sequence.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.pubsub.deduplication import Deduplicator
from macula_actors.core.pubsub.event import EncodedEvent, check_length
from macula_actors.core.pubsub.ordering import Reorderer, ReordererStats, Stamp, Verdict
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import Puback, PubackBatch, Publish, PublishBatch
from macula_actors.errors import MaculaError, OverloadedError, RefusedError
from supervisors import From, NoReply, Refuse, System

__all__ = ["Here", "Memory", "Receiver"]

MAX_AHEAD: Final = 60_000  # milliseconds that a publisher's clock may be ahead of this node's
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
        offered: is given a topic's last value, and the node that has sent it.
        would_hold: tells whether publishers of a topic are to wait for a subscriber.
    """

    deliver: Callable[[EncodedEvent, bool | None], None]
    takes_early: Callable[[str], bool]
    offered: Callable[[EncodedEvent, NodeId], None]
    would_hold: Callable[[str], bool]


class _Sender(Protocol):
    """Who has sent one or several events, and waits to hear that they have arrived."""

    @property
    def is_waiting(self) -> bool:
        """Whether it still does."""

    def arrived(self, message_id: bytes) -> None:
        """Tell it of one."""


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
        self._unanswered: Final[dict[tuple[NodeId, bytes], list[_Sender]]] = {}
        self.counts: Final[Counter[str]] = Counter()

    @property
    def ordering(self) -> ReordererStats:
        """What the order costs."""
        return self._memory.reorderer.stats

    @property
    def duplicates(self) -> int:
        """How many events came that had come before."""
        return self._memory.deduplicator.duplicates + self._memory.reorderer.stats.repeated

    def take(self, message: Publish, peer: PeerInfo, from_: From, source: NodeId | None = None) -> NoReply | Refuse:
        """Take ``message`` in; ``source``: the node that it was relayed for, which always wants an answer."""
        sender = _OfOne(from_, is_answered=source is not None or message.qos > 0)
        try:
            publisher = _publisher(message.publisher, source or peer.node_id, peer)
            self._take(message, _stamp(message, message.epoch), publisher, sender)
        except MaculaError as error:
            return Refuse(error)
        return NoReply()

    def take_batch(self, batch: PublishBatch, peer: PeerInfo, from_: From) -> NoReply | Refuse:
        """Take the events of ``batch`` in, each as if it came alone. The answer names those that have arrived.

        It comes when that is known of all: also of those that wait for events of another message.
        """
        try:
            publisher = _publisher(batch.publisher, peer.node_id, peer)
        except MaculaError as error:
            return Refuse(error)
        sender = _OfBatch(from_, len(batch.events))
        for message in batch.events:
            try:
                self._take(message, _stamp(message, batch.epoch), publisher, sender)
            except MaculaError:
                sender.refused()
        return NoReply()

    def _take(self, message: Publish, stamp: Stamp | None, publisher: NodeId, sender: _Sender) -> None:
        """Take ``message`` in; ``sender`` is told that it has arrived, now or when it is its turn.

        Raises:
            MaculaError: it cannot be taken.
        """
        if self._here.would_hold(message.topic):
            self.counts["refused"] += 1
            raise OverloadedError("events that wait for a slow subscriber")
        check_length(message.payload)
        self.counts["received"] += 1
        event = _event(message, publisher, self._config.wall_clock_ms)
        if stamp is None:
            self._deliver(event)
            sender.arrived(event.message_id)
        else:
            self._in_order(event, stamp, sender)

    def _in_order(self, event: EncodedEvent, stamp: Stamp, sender: _Sender) -> None:
        taken = self._memory.reorderer.take(event.publisher, stamp, event, self._system.now())
        self._release(taken.events)
        if taken.verdict is Verdict.EARLY:
            self._deliver_early(event)
        match taken.verdict:
            case Verdict.EARLY if event.qos:
                self._unanswered.setdefault((event.publisher, event.message_id), []).append(sender)
            case Verdict.IN_ORDER | Verdict.REPEATED | Verdict.EARLY:
                sender.arrived(event.message_id)
            case Verdict.FULL:
                self.counts["refused"] += 1
                raise OverloadedError("events that came too early", self._config.max_early)
            case _ if event.qos:
                raise RefusedError("late", "an event after it has been delivered")
            case _:
                sender.arrived(event.message_id)

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
        for key in [key for key, waiting in self._unanswered.items() if not any(each.is_waiting for each in waiting)]:
            del self._unanswered[key]

    def _release(self, events: tuple[EncodedEvent, ...]) -> None:
        for event in events:
            self._deliver(event)
            for sender in self._unanswered.pop((event.publisher, event.message_id), ()):
                sender.arrived(event.message_id)

    def _deliver(self, event: EncodedEvent) -> None:
        """Give ``event`` to the subscribers, unless it has come before; a last value is looked at by who keeps them."""
        if event.retained:
            published = replace(event, publisher=event.origin or event.publisher, origin=None)
            self.is_new(published)
            self._here.offered(published, event.publisher)
        elif self.is_new(event):
            self._here.deliver(event, True if self._was_early(event) else None)

    def _deliver_early(self, event: EncodedEvent) -> None:
        """Give ``event``, which is still to wait, to those that want it at once."""
        if not event.retained and self._here.takes_early(event.topic) and self._is_first(event, _EARLY):
            self._here.deliver(event, False)  # noqa: FBT003 -- not those that want order

    def _was_early(self, event: EncodedEvent) -> bool:
        return self._here.takes_early(event.topic) and not self._is_first(event, _EARLY)

    def _is_first(self, event: EncodedEvent, mark: bytes = b"") -> bool:
        now = self._system.now()
        return self._memory.deduplicator.is_new(event.publisher, mark + event.message_id, now)


def _event(message: Publish, publisher: NodeId, clock_ms: Callable[[], int]) -> EncodedEvent:
    return EncodedEvent(
        topic=message.topic,
        payload=message.payload,
        publisher=publisher,
        message_id=message.message_id,
        qos=min(message.qos, 1),
        retain=message.retain,
        retained=bool(message.retained),
        published_at=_published_at(message, clock_ms) if message.retain or message.retained else 0,
        origin=None if message.origin is None else NodeId.normalize(message.origin),
    )


def _published_at(message: Publish, clock_ms: Callable[[], int]) -> int:
    """Return when it was published; by a clock that is far ahead: at most a bit later than now, lest it lasts for ever.

    Without that it is taken for one of now, or if it was kept, for an old one.
    """
    if message.published_at is None:
        return 0 if message.retained else clock_ms()
    return min(message.published_at, clock_ms() + MAX_AHEAD)


def _publisher(stated: bytes | None, sender: NodeId | None, peer: PeerInfo) -> NodeId:
    """Return who has published what ``sender`` has sent, through ``peer``.

    Raises:
        RefusedError: it is not known, or ``sender`` is another node than it states.
    """
    publisher = sender if stated is None else NodeId.normalize(stated)
    if sender is None or publisher is None or (peer.verified and publisher != sender):
        raise RefusedError(Code.NOT_PERMITTED, "who sends this is not its publisher")
    return publisher


def _stamp(message: Publish, epoch: int | None) -> Stamp | None:
    sequence, pending_from = message.sequence, message.pending_from
    if epoch is None or sequence is None or pending_from is None or pending_from > sequence:
        return None
    return Stamp(epoch, sequence, pending_from)


@dataclass(frozen=True, slots=True, eq=False)
class _OfOne:
    """Who has sent one event; ``is_answered``: by an acknowledgement, else by the end of the stream alone."""

    from_: From
    is_answered: bool

    @property
    def is_waiting(self) -> bool:
        return self.from_.is_waiting

    def arrived(self, message_id: bytes) -> None:
        self.from_.reply(Puback(message_id=message_id) if self.is_answered else None)


class _OfBatch:
    """Who has sent ``count`` events in one message, and gets one answer."""

    def __init__(self, from_: From, count: int) -> None:
        self._from: Final = from_
        self._left = count
        self._arrived: Final[list[bytes]] = []
        if not count:
            self._answer()

    @property
    def is_waiting(self) -> bool:
        return self._from.is_waiting

    def arrived(self, message_id: bytes) -> None:
        self._arrived.append(message_id)
        self.refused()

    def refused(self) -> None:
        """Take note that one of the events is answered without an acknowledgement."""
        self._left -= 1
        if not self._left:
            self._answer()

    def _answer(self) -> None:
        self._from.reply(PubackBatch(message_ids=tuple(self._arrived)))
