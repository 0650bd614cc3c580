"""How much one peer may bring: STOREs and new records a minute, and records that are kept at a time, whoever owns them.

Ours: the limits of keys and owners do not stop a peer that makes up keys and owners, which costs it a signature each.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final

from macula_actors.core.kademlia.record_store import Slot
from macula_actors.core.peer.admission import group_of
from macula_actors.core.peer.contact import Contact

__all__ = ["Excess", "SenderBook", "SenderLimits", "sender_of"]

_MINUTE: Final = 60.0  # seconds
_SLACK: Final = 64  # slots beyond twice those that are kept, before the others are forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderLimits:
    """What one sender may do. A node that replicates all it has to one that joins stays far below.

    Args:
        stores_per_minute: STOREs; as many may come at once, after a quiet minute. Each takes 0.1 ms.
        records_per_minute: of those that bring a record that is not here, under a key and of an owner.
        max_records: that it has brought and that are still here; below ``RecordLimits.max_records``, or one fills it.
        max_senders: whose counts are kept; who has been quiet for longest is forgotten.
        recount_after: seconds, at least, between two looks at which of them are still here.

    Raises:
        ValueError: a number is not above 0.
    """

    stores_per_minute: int = 60_000
    records_per_minute: int = 10_000
    max_records: int = 25_000
    max_senders: int = 4096
    recount_after: float = 10.0

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise ValueError(f"{self}: all numbers are above 0")


@dataclass(frozen=True, slots=True)
class Excess:
    """The sender is at its ``limit`` of ``what``."""

    what: str
    limit: int


@dataclass(slots=True)
class _Sender:
    """What it may still do this minute, at the instant ``at``, and how many records it has brought."""

    stores: float
    records: float
    at: float
    brought: int = 0


def sender_of(contact: Contact) -> Hashable:
    """Return whose limits apply to ``contact``: its own, or of one that does not say its id, those of its address."""
    if contact.node_id is not None or contact.endpoint is None:
        return contact.node_id
    return group_of(contact.endpoint.host)


class SenderBook:
    """The senders, each known by `sender_of`. All instants are of one monotonic clock, in seconds.

    A record counts for who brought it when it was not here, until it is gone: which is noticed with some delay.

    Args:
        limits: of each.
        kept: the records that are here.
    """

    def __init__(self, limits: SenderLimits, kept: Collection[Slot]) -> None:
        self._limits: Final = limits
        self._kept: Final = kept
        self._senders: Final[dict[Hashable, _Sender]] = {}  # heard of last at the end
        self._bringers: Final[dict[Slot, Hashable]] = {}
        self._recounted_at: float | None = None

    def __len__(self) -> int:
        return len(self._senders)

    def sent(self, sender: Hashable, now: float) -> Excess | None:
        """Count a STORE of ``sender``; return why it is not to be looked at."""
        counts = self._counts(sender, now)
        if counts.stores < 1:
            return Excess("STOREs of one sender a minute", self._limits.stores_per_minute)
        counts.stores -= 1
        return None

    def room(self, sender: Hashable, now: float) -> Excess | None:
        """Return why a record of ``sender`` that is not here is not to be kept; None: it may be."""
        counts = self._counts(sender, now)
        if counts.records < 1:
            return Excess("new records of one sender a minute", self._limits.records_per_minute)
        if counts.brought >= self._limits.max_records:
            self._recount(now)
        if counts.brought >= self._limits.max_records:
            return Excess("records of one sender", self._limits.max_records)
        return None

    def brought(self, sender: Hashable, slot: Slot, now: float) -> None:
        """Take note that a record of ``sender`` that was not here is kept now."""
        counts = self._counts(sender, now)
        counts.records -= 1
        self._forget(slot)
        self._bringers[slot] = sender
        counts.brought += 1
        if len(self._bringers) > 2 * len(self._kept) + _SLACK:
            self._forget_gone()

    def _counts(self, sender: Hashable, now: float) -> _Sender:
        limits = self._limits
        counts = self._senders.pop(sender, None)
        if counts is None:
            counts = _Sender(limits.stores_per_minute, limits.records_per_minute, now)
            self._make_room()
        part = max(now - counts.at, 0.0) / _MINUTE
        counts.stores = min(counts.stores + part * limits.stores_per_minute, limits.stores_per_minute)
        counts.records = min(counts.records + part * limits.records_per_minute, limits.records_per_minute)
        counts.at = now
        self._senders[sender] = counts
        return counts

    def _make_room(self) -> None:
        if len(self._senders) >= self._limits.max_senders:
            del self._senders[next(iter(self._senders))]

    def _recount(self, now: float) -> None:
        if self._recounted_at is None or now - self._recounted_at >= self._limits.recount_after:
            self._recounted_at = now
            self._forget_gone()

    def _forget_gone(self) -> None:
        for slot in [each for each in self._bringers if each not in self._kept]:
            self._forget(slot)

    def _forget(self, slot: Slot) -> None:
        bringer = self._bringers.pop(slot, None)
        counts = None if bringer is None else self._senders.get(bringer)
        if counts is not None:
            counts.brought = max(counts.brought - 1, 0)  # one that was forgotten and is back begins at 0
