"""The routing table: the contacts of this node, in a bucket for each number of leading bits they share with it.

Erlang: macula_routing_table (sorts all contacts for each question). Paper: Kademlia, sections 2.2 to 2.4.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from macula_actors.core.kademlia.bucket import BucketLimits, KBucket, KnownContact
from macula_actors.core.kademlia.bucket_decisions import Evicted, Kept, Ping, Refusal, Refused, Seen
from macula_actors.core.kademlia.node_id import ID_BITS, ID_BYTES, NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["RoutingTable", "SavedContact"]

_MAX_INDEX: Final = ID_BITS - 1


@dataclass(frozen=True, slots=True)
class SavedContact:
    """A contact of a snapshot, and for how many seconds it had been silent."""

    contact: Contact
    silent_for: float


class RoutingTable:
    """Contacts that answered this node, in 256 buckets made on demand; this node itself is never among them.

    All instants are of one monotonic clock, in seconds.

    Args:
        node_id: this node's.
        limits: of each bucket.
        refresh_after: seconds; a bucket in whose range nothing was looked up for so long needs a refresh. Paper, 2.3.
        jitter: part of that by which it may be earlier, at random: nodes that start together shall not stay so.
    """

    def __init__(
        self,
        node_id: NodeId,
        limits: BucketLimits | None = None,
        *,
        refresh_after: float = 3600.0,
        jitter: float = 0.5,
    ) -> None:
        self._node_id = node_id
        self._number = int.from_bytes(node_id)
        self._limits = limits or BucketLimits()
        self._refresh_after = refresh_after
        self._jitter = jitter
        self._buckets: dict[int, KBucket] = {}  # none is empty
        self._occupied = 0  # a bit for each of them: the first in which its ids differ from this node's
        self._size = 0
        self._looked_up_at: dict[int, float] = {}
        self._refresh_at: dict[int, float] = {}
        self._next_refresh: float | None = None  # None: it is not known at present

    def __len__(self) -> int:
        return self._size

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, NodeId) and node_id in self.bucket(self._node_id.bucket_index(node_id))

    def __iter__(self) -> Iterator[Contact]:
        return (each.contact for index in sorted(self._buckets) for each in self._buckets[index].known)

    @property
    def node_id(self) -> NodeId:
        """This node's."""
        return self._node_id

    @property
    def k(self) -> int:
        """How many contacts a bucket holds."""
        return self._limits.k

    @property
    def indices(self) -> Sequence[int]:
        """Which buckets have contacts, the farthest first."""
        return sorted(self._buckets)

    def bucket(self, index: int) -> KBucket:
        """Return the bucket of ids that share ``index`` leading bits, 0 to 255, for reading; an empty one is new."""
        return self._buckets.get(index) or KBucket(self._limits)

    def seen(self, contact: Contact, now: float) -> Seen:
        """Note that ``contact`` answered this node, or has proved otherwise that it is alive and who it says."""
        if contact.node_id is None:
            return Refused(Refusal.NO_NODE_ID)
        index = self._node_id.bucket_index(contact.node_id)
        if index == ID_BITS:
            return Refused(Refusal.OWN_NODE)
        bucket = self.bucket(index)
        size = len(bucket)
        decision = bucket.insert(contact, now)
        self._resized(index, bucket, size)
        return decision

    def is_fresh(self, contact: Contact, now: float, within: float) -> bool:
        """Tell whether ``contact`` was seen in the last ``within`` seconds, and `seen` would change nothing else."""
        if contact.node_id is None:
            return False
        bucket = self._buckets.get(self._node_id.bucket_index(contact.node_id))
        return bucket is not None and bucket.is_fresh(contact, now, within)

    def heard_of(self, contact: Contact) -> Ping | Refused:
        """Return whether a contact that another node told of is worth a ping; nothing of it is kept."""
        if contact.node_id is None:
            return Refused(Refusal.NO_NODE_ID)
        index = self._node_id.bucket_index(contact.node_id)
        if index == ID_BITS:
            return Refused(Refusal.OWN_NODE)
        bucket = self.bucket(index)
        if contact.node_id in bucket:
            return Refused(Refusal.KNOWN)
        return Refused(Refusal.FULL) if bucket.is_full else Ping(contact)

    def failed(self, node_id: NodeId, now: float) -> Kept | Evicted | None:
        """Note that a contact did not answer; return what became of it, None if it is not known."""
        index = self._node_id.bucket_index(node_id)
        bucket = self.bucket(index)
        size = len(bucket)
        decision = bucket.failed(node_id, now)
        self._resized(index, bucket, size)
        return decision

    def remove(self, node_id: NodeId) -> Evicted | None:
        """Take a contact out; None if it is not known. A cached one takes its place."""
        index = self._node_id.bucket_index(node_id)
        bucket = self.bucket(index)
        size = len(bucket)
        decision = bucket.remove(node_id)
        self._resized(index, bucket, size)
        return decision

    def closest(self, target: NodeId, count: int, *, without: NodeId | None = None) -> list[Contact]:
        """Return up to ``count`` contacts, nearest to ``target`` first.

        An answer is ``without`` the node that asks: told of itself, it would miss the last one of them.
        """
        number = int.from_bytes(target)
        found: list[Contact] = []
        for _, bucket in self._by_distance(number):
            if len(found) >= count:
                break
            found += [each.contact for each in bucket.nearest(number) if each.node_id != without]
        return found[:count]

    def nearer(self, key: NodeId) -> int:
        """Return how many contacts are nearer to ``key`` than this node is."""
        number = int.from_bytes(key)
        near = self._occupied & (self._number ^ number)  # see `_by_distance`
        return sum(len(bucket) for _, bucket in self._in_order(near, 0))

    def knows_closest(self, target: NodeId, count: int, now: float, within: float) -> bool:
        """Tell whether `closest` is what a lookup of ``target`` would find, as far as can be told without asking.

        It is where no bucket that is looked into is full: who is in its range and has ever met this node is in it. Each
        has been refreshed, and all in it have answered in the last ``within`` seconds, in which a lookup in the range
        of ``target`` has ended, too.
        """
        if now - self._looked_up_at.get(self._node_id.bucket_index(target), -inf) >= within:
            return False
        known = 0
        for index, bucket in self._by_distance(int.from_bytes(target)):
            if known >= count:
                return True
            is_refreshed = now - self._looked_up_at.get(index, -inf) < self._refresh_after
            if bucket.is_full or not is_refreshed or not bucket.is_alive(now, within):
                return False
            known += len(bucket)
        return known >= count

    def looked_up(self, target: NodeId, now: float, rng: Random) -> None:
        """Note that a lookup of ``target`` has ended: it has refreshed the bucket of its range."""
        self._refreshed(self._node_id.bucket_index(target), now, rng)

    def looked_up_self(self, count: int, now: float, rng: Random) -> None:
        """Note that a lookup of this node's own id has found the ``count`` nearest nodes, or all there are.

        That has refreshed the buckets before that of the last one: all nodes of their ranges have answered.
        """
        for index in self._nearest_buckets(count):
            self._refreshed(index, now, rng)

    def to_refresh(self, now: float) -> list[int]:
        """Return the indices of buckets that need a lookup of a `random_id`, the farthest first.

        That is none beyond the nearest contact's: there is nobody.
        """
        nearest = max(self._buckets, default=-1)
        return [index for index in range(nearest + 1) if self._refresh_at.get(index, -inf) <= now]

    def next_refresh(self) -> float:
        """Return when `to_refresh` next returns something; never, since there is no contact: infinity."""
        if self._next_refresh is None:
            nearest = max(self._buckets, default=-1)
            self._next_refresh = min((self._refresh_at.get(index, -inf) for index in range(nearest + 1)), default=inf)
        return self._next_refresh

    def random_id(self, index: int, rng: Random) -> NodeId:
        """Return an id that belongs into the bucket ``index``.

        Raises:
            ValueError: ``index`` is not 0 to 255.
        """
        if not 0 <= index <= _MAX_INDEX:
            raise ValueError(f"bucket {index}; there are 0 to {_MAX_INDEX}")
        bit = _MAX_INDEX - index
        return NodeId((self._number ^ (1 << bit) ^ rng.getrandbits(bit)).to_bytes(ID_BYTES))

    def snapshot(self, now: float) -> tuple[SavedContact, ...]:
        """Return all contacts, those in replacement caches too, for `restore`."""
        return tuple(
            SavedContact(each.contact, now - each.seen_at) for bucket in self._buckets.values() for each in _all(bucket)
        )

    def restore(self, saved: Iterable[SavedContact], now: float) -> None:
        """Take what `snapshot` returned into this table, a new one, as far as the limits allow."""
        for each in saved:
            self.seen(each.contact, now - each.silent_for)

    def _nearest_buckets(self, count: int) -> Iterator[int]:
        """Yield the indices of the buckets, nearest first, that have fewer than ``count`` contacts together."""
        known = 0
        for index in range(max(self._buckets, default=-1), -1, -1):
            known += len(self._buckets.get(index, ()))
            if known >= count:
                return
            yield index

    def _refreshed(self, index: int, now: float, rng: Random) -> None:
        self._looked_up_at[index] = now
        self._refresh_at[index] = now + self._refresh_after * (1 - self._jitter * rng.random())
        self._next_refresh = None

    def _by_distance(self, target: int) -> Iterator[tuple[int, KBucket]]:
        # A bucket's ids equal this node's up to a bit in which they differ. Where this node differs from the target
        # too, they are nearer than all ids of the buckets after; where not, farther. So, nearest first: the bits in
        # which the target differs, from the first on; then the others, from the last on.
        differs = self._number ^ target
        return self._in_order(self._occupied & differs, self._occupied & ~differs)

    def _in_order(self, near: int, far: int) -> Iterator[tuple[int, KBucket]]:
        while near:
            bit = near.bit_length() - 1
            near ^= 1 << bit
            yield _MAX_INDEX - bit, self._buckets[_MAX_INDEX - bit]
        while far:
            lowest = far & -far
            far ^= lowest
            index = ID_BITS - lowest.bit_length()
            yield index, self._buckets[index]

    def _resized(self, index: int, bucket: KBucket, size: int) -> None:
        self._size += len(bucket) - size
        if bool(bucket) == bool(size):
            return
        self._occupied ^= 1 << (_MAX_INDEX - index)
        self._next_refresh = None
        if bucket:
            self._buckets[index] = bucket
        else:
            del self._buckets[index]


def _all(bucket: KBucket) -> Sequence[KnownContact]:
    return [*bucket.known, *bucket.cached]
