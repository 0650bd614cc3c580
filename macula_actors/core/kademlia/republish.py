"""When records are sent out again: by their owner before they expire, by their holders if the owner is not heard.

Erlang: macula_advertisement_manager (every 240 s, of 300); nothing for others' records (D-50). Paper: section 2.5.

Instants named ``now`` are monotonic seconds; those of records are milliseconds since 1970, named ``now_ms``. What is
due is named in batches, and due again after a while without any answer: a lost answer loses no record.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import Final, Generic, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_store import RecordStore, Slot

__all__ = ["Replicate", "ReplicationPlan", "RepublishPlan", "RepublishSettings"]

Item = TypeVar("Item", NodeId, Slot)

_SLACK: Final = 64  # timers beyond twice those in use, before the others are thrown out


@dataclass(frozen=True, slots=True, kw_only=True)
class RepublishSettings:
    """How often, in parts of what a record lives, and seconds.

    Args:
        republish_after: part of its ttl after which the owner sends a record again: two may be lost before it expires.
        replicate_after: part of its ttl after which a holder does, if it has not heard of it again. Above
            ``republish_after``, or holders send what the owner is about to send.
        jitter: part of the time by which it may be earlier, at random.
        retry_after: part of its ttl after which what was due is due again if nothing was heard.
        spread: part of its ttl over which an owner spreads what is due together. With ``republish_after`` below
            ``replicate_after`` less its jitter.
        min_interval: between two times, whatever the ttl.
        max_interval: as well. Paper, section 2.5: an hour.
        min_rate: records a second that an owner sends at least, of those that are due.
        max_batch: how much of others' is due at once.

    Raises:
        ValueError: a part is not above 0 and below 1, or the intervals, the rate or the batch are not above 0.
    """

    republish_after: float = 1 / 3
    replicate_after: float = 1 / 2
    jitter: float = 0.2
    retry_after: float = 1 / 12
    spread: float = 1 / 24
    min_interval: float = 0.25
    max_interval: float = 3600.0
    min_rate: float = 8.0
    max_batch: int = 64

    def __post_init__(self) -> None:
        for part in (self.republish_after, self.replicate_after, self.jitter, self.retry_after, self.spread):
            if not 0 < part < 1:
                raise ValueError(f"a part of {part}; it is above 0 and below 1")
        if not 0 < self.min_interval <= self.max_interval:
            raise ValueError("the intervals are above 0, and the longest is no shorter than the shortest")
        if self.max_batch <= 0 or self.min_rate <= 0:
            raise ValueError(f"a batch of {self.max_batch}, {self.min_rate} a second; both are above 0")

    def interval(self, ttl: float, part: float, rng: Random) -> float:
        """Return the seconds until ``part`` of ``ttl`` has passed, with jitter."""
        return self._bounded(ttl * part) * (1 - self.jitter * rng.random())

    def _bounded(self, seconds: float) -> float:
        return min(max(seconds, self.min_interval), self.max_interval)


@dataclass(frozen=True, slots=True)
class Replicate:
    """Send what these owners have under ``key`` to the nodes closest to it."""

    key: NodeId
    owners: tuple[NodeId, ...]


class RepublishPlan:
    """When the owner of records seals and stores each of them again: those first that expire first."""

    def __init__(self, settings: RepublishSettings | None = None) -> None:
        self._settings: Final = settings or RepublishSettings()
        self._timers: Final[_Timers[NodeId]] = _Timers()
        self._ttls: Final[dict[NodeId, int]] = {}
        self._late: Final[_Late] = _Late(self._settings)

    def add(self, key: NodeId, ttl: int, at: float) -> None:
        """Begin at the instant ``at`` to publish what is under ``key``, for ``ttl`` seconds each time."""
        self._ttls[key] = ttl
        self._late.cancel(key)
        self._timers.set(key, at)

    def published(self, key: NodeId, now: float, rng: Random) -> None:
        """Take note that what is under ``key`` was stored, at least at one node. Nothing if it is withdrawn."""
        self._wait(key, self._settings.republish_after, now, rng)

    def failed(self, key: NodeId, now: float, rng: Random) -> None:
        """Take note that nobody took it: it is due again sooner. Nothing if it is withdrawn."""
        self._wait(key, self._settings.retry_after, now, rng)

    def withdraw(self, key: NodeId) -> None:
        """Let what is under ``key`` expire."""
        self._ttls.pop(key, None)
        self._timers.cancel(key)
        self._late.cancel(key)

    def hurry(self, now: float) -> None:
        """Have all of it due now."""
        for key in self._ttls:
            if key not in self._late:
                self._timers.set(key, now)

    def due(self, now: float, rng: Random, most: int) -> tuple[NodeId, ...]:
        """Return up to ``most`` keys to publish now; tell `published` or `failed` of each.

        What is due together comes spread over calls, to be made often: see `RepublishSettings.spread`.
        """
        for key in self._timers.pop(now, len(self._ttls)):
            ttl = self._ttls[key]
            # It was sent a third of its ttl ago, if all went well.
            self._late.add(key, ttl, now + ttl * (1 - self._settings.republish_after))
        keys = self._late.take(now, most)
        for key in keys:
            self.failed(key, now, rng)
        return keys

    def next_due(self) -> float:
        """Return when `due` next has something to do; minus infinity: as soon as may be; never: infinity."""
        return -inf if len(self._late) else self._timers.next_due()

    def __len__(self) -> int:
        return len(self._ttls)

    def _wait(self, key: NodeId, part: float, now: float, rng: Random) -> None:
        ttl = self._ttls.get(key)
        if ttl is not None:
            self._late.cancel(key)
            self._timers.set(key, now + self._settings.interval(ttl, part, rng))


class ReplicationPlan:
    """When a holder sends the records of others again, because their owner was not heard.

    Args:
        store: what it holds. Its own records are its `RepublishPlan`'s.
        own_id: its node id.
        settings: how often.
    """

    def __init__(self, store: RecordStore, own_id: NodeId, settings: RepublishSettings | None = None) -> None:
        self._store: Final = store
        self._own_id: Final = own_id
        self._settings: Final = settings or RepublishSettings()
        self._timers: Final[_Timers[Slot]] = _Timers()

    def resume(self, now: float, now_ms: int, rng: Random) -> None:
        """Take note of all that is in the store, as if it were heard now: an owner that is there will be, in time."""
        for key, owner in self._store.slots():
            record = self._store.find(key, owner, now_ms)
            if record is not None:
                self.heard(record, now, rng)

    def heard(self, record: Record, now: float, rng: Random) -> None:
        """Take note that ``record`` was stored or refreshed: whoever sent it has sent it to the others as well."""
        if record.owner != self._own_id:
            wait = self._settings.interval(record.ttl, self._settings.replicate_after, rng)
            self._timers.set((record.key, record.owner), now + wait)

    def due(self, now: float, now_ms: int, rng: Random) -> tuple[Replicate, ...]:
        """Return what to send now, by keys. What the store has no more is forgotten.

        It counts as heard: the other holders, who get it, are quiet then, and so is this one.
        """
        owners: dict[NodeId, list[NodeId]] = {}
        for key, owner in self._timers.pop(now, self._settings.max_batch):
            record = self._store.find(key, owner, now_ms)
            if record is not None:
                self.heard(record, now, rng)
                owners.setdefault(key, []).append(owner)
        return tuple(Replicate(key, tuple(each)) for key, each in owners.items())

    def next_due(self) -> float:
        """Return when `due` next has something to do; never: infinity."""
        return self._timers.next_due()

    def __len__(self) -> int:
        return len(self._timers)


class _Timers(Generic[Item]):
    """An instant for each item."""

    def __init__(self) -> None:
        self._instants: dict[Item, float] = {}
        self._heap: list[tuple[float, Item]] = []  # items that were set again or cancelled since are stale

    def __len__(self) -> int:
        return len(self._instants)

    def set(self, item: Item, instant: float) -> None:
        self._instants[item] = instant
        heappush(self._heap, (instant, item))
        if len(self._heap) > 2 * len(self._instants) + _SLACK:
            self._heap = [(at, each) for each, at in self._instants.items()]
            heapify(self._heap)

    def cancel(self, item: Item) -> None:
        self._instants.pop(item, None)

    def next_due(self) -> float:
        while self._heap and self._instants.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def pop(self, now: float, most: int) -> Iterable[Item]:
        items: list[Item] = []
        while len(items) < most and self.next_due() <= now:
            _at, item = heappop(self._heap)
            del self._instants[item]
            items.append(item)
        return items


class _Late:
    """Keys that are due and not sent yet.

    Each adds a part to the rate at which they are sent, so that it is sent within about its spread, and those that
    expire first come first: where there is no room for so many, only what has time waits.
    """

    def __init__(self, settings: RepublishSettings) -> None:
        self._settings: Final = settings
        self._timers: Final[_Timers[NodeId]] = _Timers()  # by the instant at which they expire
        self._rates: Final[dict[NodeId, float]] = {}  # a second
        self._rate = 0.0
        self._credit = 0.0  # how many may be sent
        self._at: float | None = None  # as of when; None: there was nothing to send

    def __len__(self) -> int:
        return len(self._rates)

    def __contains__(self, key: NodeId) -> bool:
        return key in self._rates

    def add(self, key: NodeId, ttl: int, expires_at: float) -> None:
        self.cancel(key)
        self._timers.set(key, expires_at)
        self._rates[key] = 1 / (ttl * self._settings.spread)
        self._rate += self._rates[key]

    def cancel(self, key: NodeId) -> None:
        self._timers.cancel(key)
        self._rate -= self._rates.pop(key, 0.0)

    def take(self, now: float, most: int) -> tuple[NodeId, ...]:
        self._earn(now)
        keys = tuple(self._timers.pop(inf, min(int(self._credit), most)))
        self._credit -= len(keys)
        for key in keys:
            self._rate -= self._rates.pop(key)
        if not self._rates:
            self._rate, self._at = 0.0, None  # else errors of rounding would add up
        return keys

    def _earn(self, now: float) -> None:
        rate = max(self._rate, self._settings.min_rate)
        earned = 1.0 if self._at is None else self._credit + (now - self._at) * rate
        self._credit = min(earned, float(len(self._rates)))
        self._at = now
