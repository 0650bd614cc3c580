"""A bucket: contacts at about the same distance from this node, those that are known longest first.

Erlang: macula_routing_bucket (drops newcomers when full, keeps the dead for ever). Paper: Kademlia, sections 2.2
(ping before eviction) and 4.1 (replacement cache).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import inf
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket_decisions import (
    Added,
    Cached,
    Evicted,
    Kept,
    PingFirst,
    Refusal,
    Refused,
    Seen,
    Updated,
)
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["BucketLimits", "KBucket", "KnownContact"]

_PREFIX_SHIFT: Final = 64  # bits of an IPv6 address that its holder chooses freely; RFC 4291, 2.5.4


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLimits:
    """Tunables of a bucket. Durations are seconds.

    Raises:
        ValueError: ``max_cached`` or a duration is below 0, or another number below 1.
    """

    k: int = 20  # contacts; paper, 2.2
    max_cached: int = 20  # in the replacement cache
    max_per_address: int = 4  # contacts of one IPv4 address or IPv6 /64, the cached among them; loopback is exempt
    max_failures: int = 2  # in a row; the last one evicts
    same_failure_within: float = (
        1.0  # failures this soon after the last one counted are that one: one cause, many calls
    )
    stale_after: float = 60.0  # an oldest contact that was silent for less keeps its place without a ping
    ping_again_after: float = 30.0  # a ping whose outcome nobody told is asked for again

    def __post_init__(self) -> None:
        durations = (self.same_failure_within, self.stale_after, self.ping_again_after)
        if min(self.k, self.max_per_address, self.max_failures) < 1 or min(self.max_cached, *durations) < 0:
            raise ValueError(f"{self}: a number is too small")


@dataclass(slots=True, eq=False)
class KnownContact:
    """A contact in a bucket, and what is known of it; read it, and leave changes to the bucket."""

    node_id: NodeId
    number: int  # the node id
    contact: Contact
    address: str | int | None  # that the limit counts; None: exempt
    seen_at: float
    failures: int = 0  # in a row
    failed_at: float = -inf
    pinged_at: float = -inf  # to make place; -inf: not since it answered


class KBucket:
    """Up to k contacts, least recently seen first, and a cache of those that take the places of the dead.

    All in it have answered this node: `insert` is for who was just seen alive. All instants are of one monotonic clock,
    in seconds. While a contact is in the cache, the bucket is full.

    A contact without an endpoint counts as of an address, one for all of them: so many could be made up at no cost.
    A DNS name is an address of its own.
    """

    __slots__ = ("_addresses", "_cache", "_contacts", "_limits")

    def __init__(self, limits: BucketLimits) -> None:
        self._limits = limits
        self._contacts: dict[NodeId, KnownContact] = {}
        self._cache: dict[NodeId, KnownContact] = {}  # oldest first
        self._addresses: Counter[str | int] = Counter()

    def __len__(self) -> int:
        return len(self._contacts)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._contacts

    @property
    def is_full(self) -> bool:
        """Whether a newcomer has to wait in the cache."""
        return len(self._contacts) >= self._limits.k

    @property
    def known(self) -> Sequence[KnownContact]:
        """The contacts, least recently seen first."""
        return list(self._contacts.values())

    @property
    def cached(self) -> Sequence[KnownContact]:
        """The contacts in the replacement cache, least recently seen first."""
        return list(self._cache.values())

    def nearest(self, target: int) -> list[KnownContact]:
        """Return the contacts, nearest to the node id whose number is ``target`` first."""
        return sorted(self._contacts.values(), key=lambda each: each.number ^ target)

    def insert(self, contact: Contact, now: float) -> Seen:
        """Note that ``contact`` was seen alive: make it the newest, or say why not and what to do first.

        A contact that comes without an endpoint keeps the one it had.
        """
        node_id = contact.node_id
        if node_id is None:
            return Refused(Refusal.NO_NODE_ID)
        known = self._contacts.get(node_id) or self._cache.get(node_id)
        if known is None:
            return self._add(node_id, contact, now)
        if not self._move(known, contact.endpoint):
            return Refused(Refusal.ADDRESS)
        self.confirmed(node_id, now)
        return Updated() if node_id in self._contacts else self._wait(known, now)

    def is_alive(self, now: float, within: float) -> bool:
        """Tell whether all contacts were seen in the last ``within`` seconds, and none has been silent since."""
        return all(now - each.seen_at < within and not each.failures for each in self._contacts.values())

    def is_fresh(self, contact: Contact, now: float, within: float) -> bool:
        """Tell whether ``contact``, at this place, was seen in the last ``within`` seconds, and nothing happened since.

        To `insert` it once more would only make it a little newer.
        """
        known = None if contact.node_id is None else self._contacts.get(contact.node_id)
        if known is None or now - known.seen_at >= within:
            return False
        is_in_doubt = known.failures > 0 or known.pinged_at > -inf
        return not is_in_doubt and contact.endpoint in {None, known.contact.endpoint}

    def confirmed(self, node_id: NodeId, now: float) -> bool:
        """Note that a contact answered, such as the oldest its ping; candidates wait on. False: it is not known."""
        for contacts in (self._contacts, self._cache):
            known = contacts.pop(node_id, None)
            if known is not None:
                contacts[node_id] = known
                known.seen_at, known.failures, known.failed_at, known.pinged_at = now, 0, -inf, -inf
                return True
        return False

    def failed(self, node_id: NodeId, now: float) -> Kept | Evicted | None:
        """Note that a contact did not answer; return what became of it, None if it is not known.

        One that was pinged to make place for a candidate goes at once, as does one in the cache.
        """
        known = self._contacts.get(node_id)
        if known is None:
            return self.remove(node_id)
        if now - known.failed_at >= self._limits.same_failure_within:
            known.failures += 1
            known.failed_at = now
        gives_place = bool(self._cache) and known.pinged_at > -inf
        if gives_place or known.failures >= self._limits.max_failures:
            return self.remove(node_id)
        return Kept(known.failures)

    def remove(self, node_id: NodeId) -> Evicted | None:
        """Take a contact out of bucket or cache; None if it is in neither. The newest cached one takes its place."""
        known = self._contacts.pop(node_id, None)
        if known is None:
            cached = self._cache.pop(node_id, None)
            return None if cached is None else self._forget(cached)
        promoted = self._cache.popitem()[1] if self._cache else None
        if promoted is not None:
            by_age = sorted([*self._contacts.values(), promoted], key=lambda each: each.seen_at)
            self._contacts = {each.node_id: each for each in by_age}
        return self._forget(known, promoted)

    def _add(self, node_id: NodeId, contact: Contact, now: float) -> Seen:
        address = _address(contact.endpoint)
        if not self._has_room_at(address):
            return Refused(Refusal.ADDRESS)
        known = KnownContact(node_id, int.from_bytes(node_id), contact, address, now)
        if self.is_full:
            return self._wait(known, now)
        self._contacts[node_id] = known
        self._count(address, 1)
        return Added()

    def _wait(self, candidate: KnownContact, now: float) -> PingFirst | Cached | Refused:
        is_cached = self._cache_newest(candidate)
        oldest = next(iter(self._contacts.values()))
        is_silent = now - oldest.seen_at >= self._limits.stale_after or oldest.failures
        if is_silent and now - oldest.pinged_at >= self._limits.ping_again_after:
            oldest.pinged_at = now
            return PingFirst(oldest.contact, candidate.contact)
        return Cached() if is_cached else Refused(Refusal.FULL)

    def _cache_newest(self, candidate: KnownContact) -> bool:
        if not self._limits.max_cached:
            return False
        if candidate.node_id not in self._cache:
            if len(self._cache) >= self._limits.max_cached:
                self._forget(self._cache.pop(next(iter(self._cache))))
            self._count(candidate.address, 1)
            self._cache[candidate.node_id] = candidate
        return True

    def _move(self, known: KnownContact, endpoint: Endpoint | None) -> bool:
        if endpoint is None or endpoint == known.contact.endpoint:
            return True
        address = _address(endpoint)
        if address != known.address and not self._has_room_at(address):
            return False
        self._count(known.address, -1)
        self._count(address, 1)
        known.contact, known.address = Contact(endpoint, known.node_id), address
        return True

    def _has_room_at(self, address: str | int | None) -> bool:
        return address is None or self._addresses[address] < self._limits.max_per_address

    def _count(self, address: str | int | None, change: int) -> None:
        if address is None:
            return
        self._addresses[address] += change
        if not self._addresses[address]:
            del self._addresses[address]

    def _forget(self, known: KnownContact, promoted: KnownContact | None = None) -> Evicted:
        self._count(known.address, -1)
        return Evicted(known.contact, None if promoted is None else promoted.contact)


def _address(endpoint: Endpoint | None) -> str | int | None:
    return "" if endpoint is None else _address_of(endpoint.host)


@lru_cache(4096)  # the same hosts come again and again, and reading an address takes 4 us
def _address_of(host: str) -> str | int | None:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_loopback:
        return None  # only this machine's processes are there
    return int(address) >> _PREFIX_SHIFT if isinstance(address, IPv6Address) else str(address)
