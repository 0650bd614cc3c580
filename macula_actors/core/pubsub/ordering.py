"""Events of one publisher in the order in which it published them, whatever ways they came.

Later versions of the original: a sequence for each publisher; a gap is waited for 250 ms, with at most 1024 events.

A publisher numbers what it sends to one receiver, from 0. An event that is missing is waited for: shortly if it was of
qos 0 or given up, which may never come; for long if its publisher still repeats it. Each event says where those begin.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["Reorderer", "ReordererStats", "Stamp", "Taken", "Verdict"]

Event = TypeVar("Event")

_MAX_GAPS: Final = 64  # remembered of a publisher, to tell what comes too late from what comes twice


@dataclass(frozen=True, slots=True)
class Stamp:
    """The place of an event among those that its publisher sends to one receiver.

    Args:
        epoch: a greater one when the publisher begins at 0 again: it was restarted, or has forgotten the receiver.
        sequence: 0 for the first event, and one more for each.
        pending_from: the first event of qos 1 up to this one that is neither acknowledged nor given up; else this one.
    """

    epoch: int
    sequence: int
    pending_from: int


class Verdict(StrEnum):
    """What becomes of an event."""

    IN_ORDER = "in_order"  # it is among those to be delivered now
    EARLY = "early"  # it waits for one before it; not to be acknowledged until it is delivered
    REPEATED = "repeated"  # it has been delivered: to be acknowledged again
    LATE = "late"  # one after it has been delivered: it can't be any more, and is not to be acknowledged
    STALE = "stale"  # as late, from before its publisher was restarted
    FULL = "full"  # there is no room to have it wait: not to be acknowledged, so that it comes again


@dataclass(frozen=True, slots=True)
class Taken(Generic[Event]):
    """What became of an event, and which are to be delivered now, in order; they may be of other publishers too."""

    verdict: Verdict
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReordererStats:
    """Counts: of what is there now, and of what happened since the start."""

    publishers: int
    waiting: int
    skipped: int  # events that were not waited for any longer
    late: int  # stale ones too
    repeated: int
    full: int


class Reorderer(Generic[Event]):
    """The events of all publishers to this receiver. ``now`` is monotonic seconds.

    Args:
        gap_timeout: seconds that a missing event is waited for if its publisher does not repeat it.
        hold_timeout: seconds if it does: longer than the publisher goes on, since it then says so.
        max_waiting: events of a publisher that wait for one before them: more than it sends before acknowledgement.
        max_total: those of all publishers together.
        max_publishers: that are remembered; the one that was heard longest ago, with nothing waiting, makes room.
    """

    def __init__(
        self, *, gap_timeout: float, hold_timeout: float, max_waiting: int, max_total: int, max_publishers: int
    ) -> None:
        self._gap_timeout: Final = gap_timeout
        self._hold_timeout: Final = hold_timeout
        self._max_waiting: Final = max_waiting
        self._max_total: Final = max_total
        self._max_publishers: Final = max_publishers
        self._streams: Final[OrderedDict[NodeId, _Stream[Event]]] = OrderedDict()
        self._gapped: Final[dict[NodeId, _Stream[Event]]] = {}  # those with events that wait
        self._waiting = 0
        self._skipped = 0
        self._counts: Final = dict.fromkeys(Verdict, 0)

    @property
    def stats(self) -> ReordererStats:
        """Counts."""
        return ReordererStats(
            publishers=len(self._streams),
            waiting=self._waiting,
            skipped=self._skipped,
            late=self._counts[Verdict.LATE] + self._counts[Verdict.STALE],
            repeated=self._counts[Verdict.REPEATED],
            full=self._counts[Verdict.FULL],
        )

    def take(self, publisher: NodeId, stamp: Stamp, event: Event, now: float) -> Taken[Event]:
        """Take an event in; return those that can be delivered now, in order."""
        stream, flushed = self._stream(publisher, stamp.epoch)
        verdict, events = self._place(stream, stamp, event, now)
        self._counts[verdict] += 1
        self._note(publisher, stream)
        return Taken(verdict, flushed + events)

    def due(self, now: float) -> tuple[Event, ...]:
        """Return the events that have waited long enough for others, in order for each publisher."""
        found: list[Event] = []
        for publisher, stream in list(self._gapped.items()):
            if self._due_at(stream) <= now:
                found += self._skip(stream, stream.resume_at, now)
                self._note(publisher, stream)
        return tuple(found)

    def next_due(self) -> float:
        """Return when `due` next has something to do; never: infinity."""
        return min(map(self._due_at, self._gapped.values()), default=inf)

    def forget(self, publisher: NodeId) -> tuple[Event, ...]:
        """Forget ``publisher``; return its events that wait, in order."""
        stream = self._streams.pop(publisher, None)
        self._gapped.pop(publisher, None)
        return () if stream is None else self._flush(stream)

    def _stream(self, publisher: NodeId, epoch: int) -> "tuple[_Stream[Event], tuple[Event, ...]]":
        """Return the events of ``publisher`` in ``epoch``, or later; and those that have to be delivered before."""
        stream = self._streams.get(publisher)
        if stream is not None and epoch <= stream.epoch:
            self._streams.move_to_end(publisher)
            return stream, ()
        # of the time before a restart nothing more will come
        flushed = self.forget(publisher) + self._make_room()
        stream = self._streams[publisher] = _Stream(epoch)
        return stream, flushed

    def _make_room(self) -> tuple[Event, ...]:
        if len(self._streams) < self._max_publishers:
            return ()
        idle = (publisher for publisher, stream in self._streams.items() if not stream.waiting)
        return self.forget(next(idle, next(iter(self._streams))))

    def _place(
        self, stream: "_Stream[Event]", stamp: Stamp, event: Event, now: float
    ) -> tuple[Verdict, tuple[Event, ...]]:
        if stamp.epoch < stream.epoch:
            return Verdict.STALE, ()
        stream.pending_from = max(stream.pending_from, stamp.pending_from)
        if stamp.sequence < stream.next:
            return (Verdict.LATE if stream.was_skipped(stamp.sequence) else Verdict.REPEATED), ()
        if stamp.sequence in stream.waiting:
            return Verdict.EARLY, ()
        return self._place_new(stream, stamp.sequence, event, now)

    def _place_new(
        self, stream: "_Stream[Event]", sequence: int, event: Event, now: float
    ) -> tuple[Verdict, tuple[Event, ...]]:
        events: tuple[Event, ...] = ()
        if sequence != stream.next and self._is_full(stream):
            first = min((sequence, *stream.waiting))
            if stream.pending_from < first:
                return Verdict.FULL, ()  # what is missing still comes
            events = self._skip(stream, first, now)
        stream.waiting[sequence] = event
        self._waiting += 1
        if sequence != stream.next:
            stream.gap_at = min(stream.gap_at, now)
            return Verdict.EARLY, events
        return Verdict.IN_ORDER, events + self._run(stream, now)

    def _is_full(self, stream: "_Stream[Event]") -> bool:
        return len(stream.waiting) >= self._max_waiting or self._waiting >= self._max_total

    def _skip(self, stream: "_Stream[Event]", sequence: int, now: float) -> tuple[Event, ...]:
        """Wait for nothing before ``sequence`` any more; return what can be delivered then."""
        self._skipped += sequence - stream.next
        stream.skip_to(sequence)
        return self._run(stream, now)

    def _run(self, stream: "_Stream[Event]", now: float) -> tuple[Event, ...]:
        """Return the events up to the next one that is missing, for which the wait begins."""
        events = []
        while stream.next in stream.waiting:
            events.append(stream.waiting.pop(stream.next))
            stream.next += 1
        self._waiting -= len(events)
        stream.gap_at = now if stream.waiting else inf
        return tuple(events)

    def _flush(self, stream: "_Stream[Event]") -> tuple[Event, ...]:
        self._waiting -= len(stream.waiting)
        return tuple(stream.waiting[sequence] for sequence in sorted(stream.waiting))

    def _due_at(self, stream: "_Stream[Event]") -> float:
        is_pending = stream.pending_from <= stream.next
        return stream.gap_at + (self._hold_timeout if is_pending else self._gap_timeout)

    def _note(self, publisher: NodeId, stream: "_Stream[Event]") -> None:
        if stream.waiting:
            self._gapped[publisher] = stream
        else:
            self._gapped.pop(publisher, None)


@dataclass(slots=True)
class _Stream(Generic[Event]):
    """What is known of one publisher in one epoch."""

    epoch: int
    next: int = 0  # the sequence to be delivered next
    pending_from: int = 0
    gap_at: float = inf  # since when ``next`` is missing
    waiting: dict[int, Event] = field(default_factory=dict)
    gaps: deque[range] = field(default_factory=deque)  # skipped
    forgotten: int = 0  # of what is before, it is not known whether it was skipped

    @property
    def resume_at(self) -> int:
        """Where to go on after the wait: at what is there, but not after what its publisher still repeats."""
        first = min(self.waiting)
        return first if self.pending_from <= self.next else min(first, self.pending_from)

    def skip_to(self, sequence: int) -> None:
        self.gaps.append(range(self.next, sequence))
        self.next = sequence
        if len(self.gaps) > _MAX_GAPS:
            self.forgotten = self.gaps.popleft().stop

    def was_skipped(self, sequence: int) -> bool:
        """Tell whether the event was skipped, or may have been: better reported as lost than acknowledged for ever."""
        return sequence < self.forgotten or any(sequence in gap for gap in self.gaps)
