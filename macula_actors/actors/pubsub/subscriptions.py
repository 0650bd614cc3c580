"""This node's own subscriptions, each with its queue and the process that empties it.

Erlang: macula_pubsub_registry, macula_pubsub_handler.
"""

from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final

from loguru import logger

from macula_actors.actors.pubsub.worker import Batch, Finish, SubscriptionWorker
from macula_actors.config import PubsubConfig
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.bounded_queue import BoundedQueue, FullPolicy, Put
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.pattern_index import PatternIndex
from macula_actors.core.pubsub.topic import Pattern
from macula_actors.errors import OverloadedError
from macula_actors.messages.names import PUBSUB_SUBSCRIBERS
from macula_actors.messages.pubsub import AddSubscription, Subscriber
from supervisors import (
    MonitorRef,
    Ref,
    RequestId,
    Restart,
    Shutdown,
    SupervisorsError,
    cast,
    demonitor,
    exit_signal,
    monitor,
    send_request,
)
from supervisors.children import Child
from supervisors.requests import StartChild, WhichChildren

__all__ = ["LocalSubscription", "Subscriptions"]

BATCH: Final = 32  # events that a worker is given at once


@dataclass(slots=True, eq=False)
class LocalSubscription:
    """One subscription. It is kept in a table, so that a crash of the handler costs nothing of it."""

    id: str
    patterns: tuple[str, ...]
    target: Subscriber
    max_queued: int
    queue: BoundedQueue[tuple[EncodedEvent, str]]
    is_ordered: bool = True
    is_encoded: bool = False
    ended: Callable[[], None] | None = None
    worker: Ref | None = None
    batch: Batch | None = None  # that the worker has
    is_starting: bool = False

    @property
    def is_held(self) -> bool:
        """Whether publishers are to wait for it."""
        return self.queue.policy is FullPolicy.HOLD and len(self.queue) >= self.max_queued

    def pattern_of(self, topic: str, config: PubsubConfig) -> str:
        """Return which of its patterns matches ``topic``."""
        if len(self.patterns) == 1:
            return self.patterns[0]
        return next((each for each in self.patterns if Pattern(each, config.dialect).matches(topic)), self.patterns[0])


class Subscriptions:
    """All of them. Belongs to the current process.

    Args:
        config: bounds.
        entries: the subscriptions by id, those of a former process too.
    """

    def __init__(self, config: PubsubConfig, entries: MutableMapping[str, LocalSubscription]) -> None:
        self._config: Final = config
        self._entries: Final = entries
        self._index: Final[PatternIndex[str]] = PatternIndex(max_entries=config.max_patterns)
        self._by_worker: Final[dict[Ref, LocalSubscription]] = {}
        self._starting: Final[dict[RequestId, LocalSubscription]] = {}
        self._targets: Final[dict[MonitorRef, str]] = {}
        self._adoption: RequestId | None = None
        # whether there are any, so that most events need not be looked at for them
        self._holding = 0
        self._unordered = 0
        self.counts: Final[Counter[str]] = Counter()
        for entry in entries.values():
            self._take_over(entry)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns, of each subscription each once."""
        return tuple(pattern for entry in self._entries.values() for pattern in entry.patterns)

    @property
    def queued(self) -> int:
        """How many events wait, those that a worker has been given not counted."""
        return sum(len(entry.queue) for entry in self._entries.values())

    @property
    def dropped(self) -> int:
        """How many events were dropped for want of room, also by the queues of those that are gone."""
        return self.counts["dropped"] + sum(entry.queue.dropped for entry in self._entries.values())

    # Coming and going

    def add(self, request: AddSubscription) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take a subscription in, or change it; return its new patterns, and those that it has no more.

        Raises:
            OverloadedError: there are too many subscriptions or patterns. Nothing has changed.
        """
        entry = self._entries.get(request.id)
        before = () if entry is None else entry.patterns
        new = tuple(each for each in request.patterns if each not in before)
        gone = tuple(each for each in before if each not in request.patterns)
        if len(self._index) + len(new) > self._config.max_patterns:
            raise OverloadedError("patterns of this node", self._config.max_patterns)
        if entry is None:
            self._add(request)
        else:
            entry.patterns = request.patterns
        for pattern in new:
            self._index.add(pattern, request.id, self._config.dialect)
        for pattern in gone:
            self._index.remove(pattern, request.id, self._config.dialect)
        return new, gone

    def remove(self, id_: str, asker: Ref | None = None) -> tuple[str, ...] | None:
        """Forget a subscription, and say so; return its patterns, None if there is none. ``asker``: who wants it."""
        entry = self._entries.pop(id_, None)
        if entry is None:
            return None
        self._tally(entry, -1)
        self.counts["dropped"] += entry.queue.dropped
        for pattern in entry.patterns:
            self._index.remove(pattern, id_, self._config.dialect)
        for mref in [mref for mref, each in self._targets.items() if each == id_]:
            del self._targets[mref]
            demonitor(mref, flush=True)
        if entry.worker is not None:
            self._by_worker.pop(entry.worker, None)
            _end(entry.worker, asker)
        if entry.ended is not None:
            entry.ended()
        return entry.patterns

    def target_ended(self, mref: MonitorRef) -> str | None:
        """Return the subscription whose process has ended, if ``mref`` is of one."""
        return self._targets.get(mref)

    def _add(self, request: AddSubscription) -> None:
        if len(self._entries) >= self._config.max_subscriptions:
            raise OverloadedError("subscriptions of this node", self._config.max_subscriptions)
        # who is held may be given what came too early before, and is taken now all the same
        room = self._config.max_early if request.policy is FullPolicy.HOLD else 0
        entry = self._entries[request.id] = LocalSubscription(
            id=request.id,
            patterns=request.patterns,
            target=request.target,
            max_queued=request.max_queued,
            queue=BoundedQueue(request.max_queued + room, request.policy),
            is_ordered=request.is_ordered,
            is_encoded=request.is_encoded,
            ended=request.ended,
        )
        self._tally(entry, 1)
        self._watch(entry)
        self._start(entry)

    def _take_over(self, entry: LocalSubscription) -> None:
        entry.is_starting = False
        self._tally(entry, 1)
        for pattern in entry.patterns:
            self._index.add(pattern, entry.id, self._config.dialect)
        self._watch(entry)
        if entry.worker is not None:
            self._by_worker[entry.worker] = entry
            monitor(entry.worker)

    def _tally(self, entry: LocalSubscription, change: int) -> None:
        self._holding += change * (entry.queue.policy is FullPolicy.HOLD)
        self._unordered += change * (not entry.is_ordered)

    def _watch(self, entry: LocalSubscription) -> None:
        if isinstance(entry.target, Ref):
            self._targets[monitor(entry.target)] = entry.id

    # Events

    def has_match(self, topic: str) -> bool:
        """Tell whether somebody here has subscribed to ``topic``."""
        return bool(self._index.match(topic))

    def would_hold(self, topic: str) -> bool:
        """Tell whether publishers of ``topic`` are to wait, because a subscriber that has chosen so is slow."""
        return self._holding > 0 and any(self._entries[id_].is_held for id_ in self._index.match(topic))

    def takes_early(self, topic: str) -> bool:
        """Tell whether somebody wants events on ``topic`` as they arrive."""
        return self._unordered > 0 and any(not self._entries[id_].is_ordered for id_ in self._index.match(topic))

    def deliver(self, event: EncodedEvent, *, is_ordered: bool | None = None) -> tuple[str, ...]:
        """Put ``event`` into the queue of each subscription that it is for; return those that are to be given up.

        ``is_ordered``: of those alone that want order, or do not.
        """
        ids = self._index.match(event.topic)
        if is_ordered is not None:
            ids = tuple(id_ for id_ in ids if self._entries[id_].is_ordered is is_ordered)
        return tuple(id_ for id_ in ids if not self.give(id_, event))

    def give(self, id_: str, event: EncodedEvent) -> bool:
        """Put ``event`` into the queue of one subscription; return whether that is to be kept."""
        entry = self._entries[id_]
        is_first = not entry.queue.is_disconnected
        put, _ = entry.queue.put((event, entry.pattern_of(event.topic, self._config)))
        if put is Put.DISCONNECTED:
            if is_first:
                self.counts["disconnected"] += 1
                logger.warning("the subscriber of {} is too slow, and is given up", entry.patterns)
            return False
        _feed(entry)
        return True

    def done(self, id_: str, batch: Batch) -> bool:
        """Take note that a worker is through; return whether publishers may have waited for that."""
        entry = self._entries.get(id_)
        if entry is None or entry.batch is not batch:
            return False
        self._count(entry)
        was_held = entry.queue.policy is FullPolicy.HOLD
        _feed(entry)
        return was_held

    def _count(self, entry: LocalSubscription) -> None:
        if entry.batch is not None:
            self.counts["delivered"] += entry.batch.begun - entry.batch.failed
            self.counts["failed"] += entry.batch.failed
            entry.batch = None

    # Workers

    def adopt(self) -> None:
        """Ask which workers there are. Afterwards, and now and then, call `start_missing`."""
        self._adoption = send_request(PUBSUB_SUBSCRIBERS, WhichChildren())

    def takes(self, request: RequestId) -> bool:
        """Take the answer to ``request``, if it is of this one; return whether it was."""
        if request is self._adoption:
            self._adoption = None
            self._adopt(request)
        elif request in self._starting:
            self._started(self._starting.pop(request), request)
        else:
            return False
        return True

    def start_missing(self) -> bool:
        """Have workers started where there is none; return whether there was one missing."""
        if self._adoption is not None:
            return True
        missing = [each for each in self._entries.values() if each.worker is None and not each.is_starting]
        for entry in missing:
            self._start(entry)
        return bool(missing)

    def worker_ended(self, worker: Ref) -> bool:
        """Have another one started in place of ``worker``; what it was given and had not begun, that one gets."""
        entry = self._by_worker.pop(worker, None)
        if entry is None:
            return False
        entry.worker = None
        self._start(entry)
        return True

    def _start(self, entry: LocalSubscription) -> None:
        if self._adoption is not None:
            return
        entry.is_starting = True
        json = self._config.security is Security.OPEN
        spec = SubscriptionWorker.child_spec(entry.id, entry.target, json, entry.is_encoded, restart=Restart.TEMPORARY)
        self._starting[send_request(PUBSUB_SUBSCRIBERS, StartChild(spec))] = entry

    def _started(self, entry: LocalSubscription, request: RequestId) -> None:
        entry.is_starting = False
        try:
            worker: Ref = request.result()
        except SupervisorsError:
            return  # at the next look it is tried again
        if self._entries.get(entry.id) is not entry:
            exit_signal(worker, Shutdown("unsubscribed"))
            return
        monitor(worker)
        entry.worker = worker
        self._by_worker[worker] = entry
        self._go_on(entry)

    def _adopt(self, request: RequestId) -> None:
        """Have those workers end that nobody knows, since they started when the handler before ended."""
        try:
            children: Iterable[Child] = request.result()
        except SupervisorsError:
            children = ()
        for child in children:
            if isinstance(child.ref, Ref) and child.ref not in self._by_worker:
                exit_signal(child.ref, Shutdown("unknown"))
        for entry in self._by_worker.values():
            if entry.batch is not None and entry.batch.is_done:
                self._count(entry)
            _feed(entry)
        self.start_missing()

    def _go_on(self, entry: LocalSubscription) -> None:
        """Give a new worker what the one before has not begun: no event twice."""
        left = () if entry.batch is None else entry.batch.events[entry.batch.begun :]
        self._count(entry)
        if left and entry.worker is not None:
            entry.batch = Batch(left)
            cast(entry.worker, entry.batch)
        else:
            _feed(entry)


def _end(worker: Ref, asker: Ref | None) -> None:
    if worker is asker:
        cast(worker, Finish())
    else:
        exit_signal(worker, Shutdown("unsubscribed"))


def _feed(entry: LocalSubscription) -> None:
    """Give the worker what waits, if it has nothing."""
    if entry.batch is not None or entry.worker is None or not entry.queue:
        return
    items: list[tuple[EncodedEvent, str]] = []
    while len(items) < BATCH and (item := entry.queue.get()) is not None:
        items.append(item)
    entry.batch = Batch(tuple(items))
    cast(entry.worker, entry.batch)
