"""The records that a node keeps for the DHT: of each owner one per key, within limits, until they expire.

Erlang: the storage of macula_routing_server, without bound, expiry or owner (D-50). Paper: section 2.5 (caching: who is
farther from a key keeps its values less).

What is kept is in one mapping, ``(key, owner) -> Held``, that may be given from outside and outlive the store: each
change is one assignment or removal there, and a new store over it is as the old one was.

Instants are milliseconds since 1970, as records have them; the caller sees to it that they do not run backwards.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import CLOCK_SKEW_MS, MAX_TTL, RECORD_OVERHEAD_BYTES, Record, Row
from macula_actors.core.kademlia.record_decisions import Ignored, Put, RecordRefusal, Refreshed, Refused, Stored
from macula_actors.core.peer.handshake import Security
from macula_actors.errors import RemoteProtocolError

__all__ = ["Held", "RecordLimits", "RecordStats", "RecordStore", "Slot"]

Slot: TypeAlias = tuple[NodeId, NodeId]

_MS: Final = 1000  # in a second
_SLACK: Final = 64  # heap items beyond twice those in use, before the others are thrown out


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLimits:
    """How much is kept. A node's own records count, but only ``max_records`` and ``max_bytes`` bound them.

    Args:
        max_per_key: records under one key.
        max_per_owner: records of one node; and as many tombstones, of which the oldest goes for the next.
        max_records: in all; a mapping from outside must have room for as many.
        max_bytes: in all, as long as the records are on the wire. In memory one takes about 1 KiB more.
        max_bytes_per_key: so that all of them fit into one FIND_VALUE_REPLY.
        max_bytes_per_owner: of one node, without its tombstones.
        max_record_bytes: of one record.
        max_ttl: seconds that a record is kept after it was last heard of, however late it expires.
        clock_skew_ms: by which a record may have been made in the future.

    Raises:
        ValueError: a limit is not above 0, or the skew below.
    """

    max_per_key: int = 64
    max_per_owner: int = 16_384  # all services and subscriptions of a node, were it alone with this one
    max_records: int = 100_000
    max_bytes: int = 64 * 1_048_576
    max_bytes_per_key: int = 524_288
    max_bytes_per_owner: int = 16 * 1_048_576
    max_record_bytes: int = 8192
    max_ttl: int = MAX_TTL
    clock_skew_ms: int = CLOCK_SKEW_MS

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in self.__slots__ if name.startswith("max_")}
        for name, limit in limits.items():
            if limit <= 0:
                raise ValueError(f"{name} is {limit}; it is above 0")
        if self.clock_skew_ms < 0:
            raise ValueError(f"clock_skew_ms is {self.clock_skew_ms}; it is 0 or more")


@dataclass(frozen=True, slots=True)
class Held:
    """A record and what the store knows of it.

    Args:
        record: the owner's latest under the key.
        arrival: the how-manieth its owner was that came to any key, or came back.
        live_until: when the record expires here.
        until: when it is forgotten: not before all that it replaced has expired, or a copy could come back.
    """

    record: Record
    arrival: int
    live_until: int
    until: int

    def is_live(self, now_ms: int) -> bool:
        """Tell whether it says anything but that there is nothing."""
        return now_ms < self.live_until and not self.record.is_tombstone


@dataclass(frozen=True, slots=True)
class RecordStats:
    """How much there is; ``length`` is bytes."""

    keys: int
    owners: int
    records: int
    length: int


@dataclass(slots=True)
class _Usage:
    records: int = 0
    length: int = 0

    def add(self, records: int, length: int) -> None:
        self.records += records
        self.length += length


@dataclass(slots=True)
class _Room:
    """What would be where there may be this much at most."""

    most: int
    most_bytes: int
    records: int
    length: int

    @property
    def is_enough(self) -> bool:
        return self.records <= self.most and self.length <= self.most_bytes

    def free(self, length: int) -> None:
        self.records -= 1
        self.length -= length


@dataclass(slots=True)
class _Owned:
    """What is of one owner: its records, and the keys of its tombstones, the oldest first."""

    usage: _Usage = field(default_factory=_Usage)
    tombstones: dict[NodeId, None] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        if record.is_tombstone:
            self.tombstones[record.key] = None
        else:
            self.usage.add(1, record.length)

    def remove(self, record: Record) -> None:
        if record.is_tombstone:
            del self.tombstones[record.key]
        else:
            self.usage.add(-1, -record.length)


@dataclass(slots=True)
class _Shelf:
    """What is under one key: the owners, who came last at the end."""

    usage: _Usage = field(default_factory=_Usage)
    owners: dict[NodeId, None] = field(default_factory=dict)


class RecordStore:
    """The records of the node ``own_id``. A put, an expiry, an eviction take O(log n), a get O(what is under the key).

    As the place where a lookup merges what several holders answered, a store of its own serves as well.

    Args:
        own_id: the node's. Its own signed records are never evicted; those under keys far from it are first.
        limits: how much it keeps.
        security: OPEN takes unsigned records, which never replace a signed one.
        table: where it keeps them, and what is in there already; None: in itself.
    """

    def __init__(
        self,
        own_id: NodeId,
        limits: RecordLimits | None = None,
        *,
        security: Security = Security.VERIFIED,
        table: MutableMapping[Slot, Held] | None = None,
    ) -> None:
        self._own_id: Final = own_id
        self._limits: Final = limits or RecordLimits()
        self._security: Final = security
        self._table: Final[MutableMapping[Slot, Held]] = {} if table is None else table
        self._shelves: Final[dict[NodeId, _Shelf]] = {}
        self._owners: Final[dict[NodeId, _Owned]] = {}
        self._all: Final = _Usage()
        # One item a slot, at or before the instant it is forgotten; items of evicted slots are stale.
        self._expiries: list[tuple[int, NodeId, NodeId]] = []
        # One item, with the distance below zero, a key that has others' records; items of keys that had are stale.
        self._farthest: list[tuple[int, NodeId]] = []
        self._ranked: Final[set[NodeId]] = set()
        self._arrivals = 0
        for slot, held in sorted(self._table.items(), key=lambda item: item[1].arrival):
            self._index(slot, None, held)
            self._arrivals = held.arrival

    def put(self, record: Record, now_ms: int, *, is_verified: bool = False) -> Put:
        """Keep ``record`` if it is its owner's, the latest of it, and there is room.

        The signature is checked last: of what is there already, older, or has no room, it is not. A tombstone, and a
        record that has expired, give way where a key has no room.

        Args:
            record: what is to be kept.
            now_ms: the present.
            is_verified: its signature need not be checked, since who puts it has just made or checked it.
        """
        slot = record.key, record.owner
        held = self._table.get(slot)
        unfit = self._unfitness(record, now_ms)
        if unfit is not None:
            return Refused(unfit)
        if held is not None and record == held.record:
            self._refresh(slot, held, now_ms)
            return Refreshed()
        if held is not None and record.version < held.record.version:
            return Ignored(held.record)
        victims = self._make_room(record, held, now_ms)
        if isinstance(victims, RecordRefusal):
            return Refused(victims)
        forgery = None if is_verified else _forgery(record)
        if forgery is not None:
            return Refused(forgery)
        evicted = tuple(self._remove(victim).record for victim in victims)
        self._write(slot, held, record, now_ms)
        return Stored(None if held is None else held.record, evicted)

    def get(self, key: NodeId, now_ms: int) -> tuple[Record, ...]:
        """Return what is under ``key`` and neither deleted nor expired, of the owner that came last first."""
        return tuple(held.record for held in self._under(key) if held.is_live(now_ms))

    def get_all(self, key: NodeId, now_ms: int) -> tuple[Record, ...]:
        """Return as `get`, and the tombstones: for other nodes, that else would take their older copies for live."""
        return tuple(held.record for held in self._under(key) if now_ms < held.live_until)

    def find(self, key: NodeId, owner: NodeId, now_ms: int) -> Record | None:
        """Return the owner's latest record under ``key``, be it a tombstone; None if there is none, or it expired."""
        held = self._table.get((key, owner))
        return None if held is None or held.live_until <= now_ms else held.record

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, slot: object) -> bool:
        return slot in self._table

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._table)

    def keys(self) -> tuple[NodeId, ...]:
        """Return the keys under which there is anything."""
        return tuple(self._shelves)

    def slots(self) -> tuple[Slot, ...]:
        """Return the keys and owners of all records."""
        return tuple(self._table)

    def forget(self, key: NodeId, owner: NodeId) -> bool:
        """Remove the owner's record under ``key`` from this store only, and tell whether there was one.

        A copy from elsewhere may come in again. What is to be gone everywhere needs a tombstone.
        """
        if (key, owner) not in self._table:
            return False
        self._remove((key, owner))
        return True

    def expire(self, now_ms: int, limit: int = 1000) -> int:
        """Remove up to ``limit`` records that are to be forgotten by now, and return how many."""
        count = 0
        while count < limit and self._settle() and self._expiries[0][0] <= now_ms:
            _until, key, owner = heappop(self._expiries)
            self._remove((key, owner))
            count += 1
        return count

    def next_expiry(self) -> int | None:
        """Return when `expire` next has something to do; None: never."""
        return self._expiries[0][0] if self._settle() else None

    def stats(self) -> RecordStats:
        """Return how much there is in all."""
        return RecordStats(len(self._shelves), len(self._owners), self._all.records, self._all.length)

    def stats_of_key(self, key: NodeId) -> RecordStats:
        """Return how much there is under ``key``, tombstones counted."""
        shelf = self._shelves.get(key, _Shelf())
        return RecordStats(int(bool(shelf.owners)), len(shelf.owners), shelf.usage.records, shelf.usage.length)

    def stats_of_owner(self, owner: NodeId) -> RecordStats:
        """Return how much there is of ``owner``, under as many keys as records, tombstones counted."""
        owned = self._owners.get(owner, _Owned())
        records = owned.usage.records + len(owned.tombstones)
        length = owned.usage.length + len(owned.tombstones) * RECORD_OVERHEAD_BYTES
        return RecordStats(records, int(bool(records)), records, length)

    def snapshot(self, owner: NodeId | None = None) -> list[Row]:
        """Return the records, of ``owner`` or all, as rows that a database can hold, in the order they came."""
        slots = [slot for slot in self._table if owner is None or slot[1] == owner]
        slots.sort(key=lambda slot: self._table[slot].arrival)
        return [self._table[slot].record.to_row() for slot in slots]

    def restore(self, rows: Iterable[Row], now_ms: int) -> int:
        """Put what `snapshot` returned, and return how many records were kept. Each is checked as any other.

        Raises:
            ValueError: a row is none of `snapshot`'s.
        """
        puts = [self.put(Record.from_row(row), now_ms) for row in rows]
        return sum(isinstance(each, Stored) for each in puts)

    def _unfitness(self, record: Record, now_ms: int) -> RecordRefusal | None:
        """Return what is wrong with ``record`` by itself, as far as that is cheap to see."""
        if not record.is_signed and self._security is Security.VERIFIED:
            return RecordRefusal.UNSIGNED
        if record.length > self._limits.max_record_bytes:
            return RecordRefusal.TOO_LARGE
        if record.expires_at <= now_ms:
            return RecordRefusal.EXPIRED
        if record.issued_at > now_ms + self._limits.clock_skew_ms:
            return RecordRefusal.FROM_THE_FUTURE
        return None

    def _is_own(self, record: Record) -> bool:
        return record.owner == self._own_id and record.is_signed

    def _under(self, key: NodeId) -> Iterator[Held]:
        shelf = self._shelves.get(key)
        if shelf is not None:
            yield from (self._table[key, owner] for owner in reversed(shelf.owners))

    def _refresh(self, slot: Slot, held: Held, now_ms: int) -> None:
        live_until = self._deadline(held.record, now_ms)
        if live_until > held.live_until:
            self._table[slot] = Held(held.record, held.arrival, live_until, max(live_until, held.until))

    def _deadline(self, record: Record, now_ms: int) -> int:
        return min(record.expires_at, now_ms + self._limits.max_ttl * _MS)

    def _make_room(self, record: Record, held: Held | None, now_ms: int) -> list[Slot] | RecordRefusal:
        """Return what has to go for ``record``, which is to replace ``held``; or the limit that stands against it."""
        count, length = (1, record.length) if held is None else (0, record.length - held.record.length)
        if self._is_own(record):
            return self._evict(record, count, length, [])
        going = self._clear_owner(record, held)
        if going is None:
            return RecordRefusal.TOO_MANY_OF_OWNER
        dead = self._clear_key(record, count, length, now_ms)
        if dead is None:
            return RecordRefusal.TOO_MANY_FOR_KEY
        return self._evict(record, count, length, going + dead)

    def _clear_owner(self, record: Record, held: Held | None) -> list[Slot] | None:
        """Return the tombstone of the owner that has to go for another one; None if there is no room for a record."""
        limits, owned = self._limits, self._owners.get(record.owner, _Owned())
        if record.is_tombstone:
            is_full = record.key not in owned.tombstones and len(owned.tombstones) >= limits.max_per_owner
            return [(next(iter(owned.tombstones)), record.owner)] if is_full else []
        is_new = held is None or held.record.is_tombstone
        records = owned.usage.records + is_new
        length = owned.usage.length + record.length - (0 if held is None or is_new else held.record.length)
        return [] if _Room(limits.max_per_owner, limits.max_bytes_per_owner, records, length).is_enough else None

    def _clear_key(self, record: Record, count: int, length: int, now_ms: int) -> list[Slot] | None:
        """Return the dead records that have to go from under the key; None if there is no room even so."""
        limits, usage = self._limits, self._shelves.get(record.key, _Shelf()).usage
        room = _Room(limits.max_per_key, limits.max_bytes_per_key, usage.records + count, usage.length + length)
        going: list[Slot] = []
        if not room.is_enough and not record.is_tombstone:
            dead = (slot for slot in self._foreign(record.key) if not self._table[slot].is_live(now_ms))
            self._take(room, going, (slot for slot in dead if slot[1] != record.owner))
        return going if room.is_enough else None

    def _evict(self, record: Record, count: int, length: int, going: list[Slot]) -> list[Slot] | RecordRefusal:
        """Return ``going`` and what else has to go from under keys farther than the record's, the farthest first."""
        limits, is_own = self._limits, self._is_own(record)
        room = _Room(limits.max_records, limits.max_bytes, self._all.records + count, self._all.length + length)
        victims = list(going)
        for slot in going:
            room.free(self._table[slot].record.length)
        distance = self._own_id.distance(record.key)
        seen = []
        while not room.is_enough and self._farthest and (is_own or -self._farthest[0][0] > distance):
            item = heappop(self._farthest)
            foreign = self._foreign(item[1])
            if foreign:
                seen.append(item)
                kept = {(record.key, record.owner), *going}
                self._take(room, victims, (slot for slot in foreign if slot not in kept))
            else:
                self._ranked.discard(item[1])
        for item in seen:
            heappush(self._farthest, item)
        return victims if room.is_enough else RecordRefusal.FULL

    def _take(self, room: "_Room", victims: list[Slot], slots: Iterable[Slot]) -> None:
        """Move ``slots`` to ``victims`` until there is room enough."""
        for slot in slots:
            if room.is_enough:
                return
            room.free(self._table[slot].record.length)
            victims.append(slot)

    def _foreign(self, key: NodeId) -> list[Slot]:
        """Return what may go from under ``key``, what expires soonest first: all but the node's own."""
        shelf = self._shelves.get(key, _Shelf())
        slots = ((key, owner) for owner in shelf.owners if not self._is_own(self._table[key, owner].record))
        return sorted(slots, key=lambda slot: self._table[slot].live_until)

    def _write(self, slot: Slot, held: Held | None, record: Record, now_ms: int) -> None:
        live_until = self._deadline(record, now_ms)
        if held is None:
            kept = Held(record, self._next_arrival(), live_until, live_until)
        else:
            # Who was gone and is back has come last.
            is_back = not held.is_live(now_ms) and not record.is_tombstone
            arrival = self._next_arrival() if is_back else held.arrival
            kept = Held(record, arrival, live_until, max(live_until, held.until))
        self._table[slot] = kept
        self._index(slot, held, kept)

    def _next_arrival(self) -> int:
        self._arrivals += 1
        return self._arrivals

    def _index(self, slot: Slot, before: Held | None, held: Held) -> None:
        key, owner = slot
        shelf = self._shelves.setdefault(key, _Shelf())
        if before is None:
            self._push_expiry(held.until, key, owner)
        elif before.arrival != held.arrival:
            del shelf.owners[owner]
        shelf.owners[owner] = None
        growth = held.record.length - (0 if before is None else before.record.length)
        for usage in (shelf.usage, self._all):
            usage.add(int(before is None), growth)
        owned = self._owners.setdefault(owner, _Owned())
        if before is not None:
            owned.remove(before.record)
        owned.add(held.record)
        if key not in self._ranked and not self._is_own(held.record):
            self._push_key(key)

    def _remove(self, slot: Slot) -> Held:
        key, owner = slot
        held = self._table.pop(slot)
        shelf = self._shelves[key]
        del shelf.owners[owner]
        for usage in (shelf.usage, self._all):
            usage.add(-1, -held.record.length)
        if not shelf.owners:
            del self._shelves[key]
        owned = self._owners[owner]
        owned.remove(held.record)
        if not owned.usage.records and not owned.tombstones:
            del self._owners[owner]
        return held

    def _settle(self) -> bool:
        """Bring a record that is there to the front of the expiries, at the right instant; False if there is none."""
        while self._expiries:
            until, key, owner = self._expiries[0]
            held = self._table.get((key, owner))
            if held is None:
                heappop(self._expiries)
            elif held.until > until:
                heapreplace(self._expiries, (held.until, key, owner))
            else:
                return True
        return False

    def _push_expiry(self, until: int, key: NodeId, owner: NodeId) -> None:
        if len(self._expiries) > 2 * len(self._table) + _SLACK:
            self._expiries = [(held.until, *slot) for slot, held in self._table.items() if slot != (key, owner)]
            heapify(self._expiries)
        heappush(self._expiries, (until, key, owner))

    def _push_key(self, key: NodeId) -> None:
        if len(self._farthest) > 2 * len(self._shelves) + _SLACK:
            self._farthest = [item for item in self._farthest if item[1] in self._shelves]
            heapify(self._farthest)
            self._ranked.intersection_update(self._shelves)
        self._ranked.add(key)
        heappush(self._farthest, (-self._own_id.distance(key), key))


def _forgery(record: Record) -> RecordRefusal | None:
    """Return what is wrong with the signature, if there is one."""
    if not record.is_signed:
        return None
    try:
        record.verify()
    except RemoteProtocolError as error:
        return RecordRefusal(error.code)
    return None
