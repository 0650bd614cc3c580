"""What a `macula_actors.core.kademlia.bucket.KBucket` decides: values that its owner carries out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from macula_actors.core.peer.contact import Contact

__all__ = ["Added", "Cached", "Evicted", "Kept", "Ping", "PingFirst", "Refusal", "Refused", "Seen", "Updated"]


class Refusal(StrEnum):
    """Why a contact does not get into a bucket."""

    ADDRESS = "address"  # enough contacts have its address
    FULL = "full"
    KNOWN = "known"  # it is in; only who answers is moved or changed
    NO_NODE_ID = "no_node_id"
    OWN_NODE = "own_node"


@dataclass(frozen=True, slots=True)
class Added:
    """The contact is the bucket's newest."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The contact was in the bucket, and is its newest now."""


@dataclass(frozen=True, slots=True)
class PingFirst:
    """The bucket is full. Ping ``oldest``, and tell ``seen`` or ``failed``; ``candidate`` waits for its place."""

    oldest: Contact
    candidate: Contact


@dataclass(frozen=True, slots=True)
class Cached:
    """The bucket is full; the contact is the newest of the replacement cache."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing has changed."""

    reason: Refusal


@dataclass(frozen=True, slots=True)
class Ping:
    """There is room for the contact: ping it, and tell ``seen`` if it answers."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class Kept:
    """The contact stays, after so many failures in a row."""

    failures: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """The contact is out; ``promoted`` has come from the replacement cache into the bucket."""

    contact: Contact
    promoted: Contact | None = None


Seen: TypeAlias = Added | Updated | PingFirst | Cached | Refused
