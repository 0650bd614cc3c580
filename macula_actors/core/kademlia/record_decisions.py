"""What a `macula_actors.core.kademlia.record_store.RecordStore` does with a record it is given."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from macula_actors.core.kademlia.record import Record

__all__ = ["Ignored", "Put", "RecordRefusal", "Refreshed", "Refused", "Stored"]


class RecordRefusal(StrEnum):
    """Why a record is not kept; what goes into an `Error` message as its code."""

    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    FROM_THE_FUTURE = "from_the_future"  # made later than the clocks of two nodes may differ by
    FULL = "full"  # of records under nearer keys
    OWNER_MISMATCH = "owner_mismatch"  # the public key is not the owner's
    TOO_LARGE = "record_too_large"
    TOO_MANY_FOR_KEY = "too_many_for_key"
    TOO_MANY_OF_OWNER = "too_many_of_owner"
    UNSIGNED = "unsigned_record"


@dataclass(frozen=True, slots=True)
class Stored:
    """It is kept. ``replaced`` is the owner's record that it took the place of; ``evicted`` had to go for it."""

    replaced: Record | None = None
    evicted: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Refreshed:
    """It was there already: its owner, or another holder, has sent it again."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """``newer`` is there, of the same owner: who sent the older one should have it."""

    newer: Record


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing has changed."""

    reason: RecordRefusal


Put: TypeAlias = Stored | Refreshed | Ignored | Refused
