"""What a `macula_actors.core.peer.pool.ConnectionPool` decides: values that its owner carries out."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from macula_actors.core.peer.contact import Contact, Key

__all__ = [
    "Answer",
    "BackingOff",
    "Close",
    "CloseReason",
    "Decision",
    "Dialling",
    "Fail",
    "Live",
    "PoolStats",
    "Refusal",
    "Refuse",
    "Serve",
    "StartDial",
    "State",
    "Use",
    "Wait",
]

Connection = TypeVar("Connection", bound=Hashable)
Waiter = TypeVar("Waiter", bound=Hashable)


class Refusal(StrEnum):
    """Why somebody does not get a connection."""

    DIAL_FAILED = "dial_failed"  # and the next attempt comes too late
    EXPIRED = "expired"  # the deadline
    OWN_NODE = "own_node"  # the peer is this node itself
    TOO_MANY_CONNECTIONS = "too_many_connections"  # and all are busy
    TOO_MANY_DIALS = "too_many_dials"
    TOO_MANY_WAITERS = "too_many_waiters"


class CloseReason(StrEnum):
    """Why a connection is closed."""

    DUPLICATE = "duplicate"  # there is another one to the same node
    EVICTED = "evicted"  # for room
    IDLE = "idle"
    OVERLOADED = "overloaded"  # there is no room for it
    OWN_NODE = "own_node"  # it leads to this node itself


@dataclass(frozen=True, slots=True)
class Use(Generic[Connection]):
    """Send over this connection at once."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class StartDial:
    """Dial, and tell ``established`` or ``failed`` of the pool, once, with ``key``."""

    key: Key
    contact: Contact
    attempt: int  # 1 for the first, and after a connection that lasted


@dataclass(frozen=True, slots=True)
class Wait:
    """A Serve or a Fail for the waiter comes later."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No connection; ``error`` is what the last dial failed with, if one did."""

    reason: Refusal
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Serve(Generic[Connection, Waiter]):
    """Give the waiter this connection."""

    waiter: Waiter
    connection: Connection


@dataclass(frozen=True, slots=True)
class Fail(Generic[Waiter]):
    """Tell the waiter that there is no connection; ``error`` is what the last dial failed with, if one did."""

    waiter: Waiter
    reason: Refusal
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Close(Generic[Connection]):
    """Close the connection, which the pool has forgotten."""

    connection: Connection
    reason: CloseReason


Answer: TypeAlias = Use[Connection] | StartDial | Wait | Refuse
Decision: TypeAlias = Serve[Connection, Waiter] | Fail[Waiter] | Close[Connection] | StartDial


@dataclass(frozen=True, slots=True)
class Live(Generic[Connection]):
    """There is a connection."""

    connection: Connection
    in_flight: int


@dataclass(frozen=True, slots=True)
class Dialling:
    """A dial is in progress, and no connection is there."""

    attempt: int
    waiters: int


@dataclass(frozen=True, slots=True)
class BackingOff:
    """The last dial failed; the next one is not before ``until``, and only if somebody wants it."""

    until: float
    failures: int
    last_error: Exception | None


State: TypeAlias = Live[Connection] | Dialling | BackingOff


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """Counts: of what is there now, and of what happened since the start."""

    live: int
    dialling: int
    backing_off: int
    waiters: int
    dials: int
    dial_failures: int
    hits: int  # wants answered with a live connection
    refusals: int
    accepted: int
    duplicates: int  # connections to a node that had one
    evictions: int
    idle_closes: int
