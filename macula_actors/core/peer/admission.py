"""Whether a listener takes a new connection, asks its address to prove itself first, or refuses it.

Erlang: none at v0.8.0; later versions limit connections by address and by rate. RFC: 9000, sections 8.1 (address
validation), 21.3 and 21.5 (floods of handshakes). The numbers are from measurements: a spoofed first packet costs
1 ms and 87 KB when it is taken, 16 us and nothing when Retry is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from math import exp
from typing import Final

__all__ = [
    "Accept",
    "Admission",
    "AdmissionLimits",
    "AdmissionStats",
    "AskRetry",
    "Refuse",
    "RefuseReason",
    "group_of",
]

_PREFIX_SHIFT: Final = 64  # bits of an IPv6 address that its holder chooses freely; RFC 4291, 2.5.4


class RefuseReason(StrEnum):
    """Which limit a new connection would break."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    HANDSHAKES = "handshakes"
    HANDSHAKES_PER_ADDRESS = "handshakes_per_address"


@dataclass(frozen=True, slots=True)
class Accept:
    """Begin the connection, and tell `Admission.opened`."""


@dataclass(frozen=True, slots=True)
class AskRetry:
    """Answer with a Retry packet and keep nothing."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not begin the connection."""

    reason: RefuseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """Limits of one listener. Durations are seconds. An address is an IPv4 address or an IPv6 /64.

    Raises:
        ValueError: a number is not above 0.
    """

    max_connections: int = 10_000
    max_connections_per_address: int = 256
    max_handshakes: int = 512  # in progress
    max_handshakes_per_address: int = 64  # in progress
    retry_above: float = 50.0  # first packets per second; 50 ms of CPU in each
    retry_for: float = 10.0  # at least, once the rate was above
    window: float = 1.0  # over which the rate is measured

    def __post_init__(self) -> None:
        counts = (self.max_connections, self.max_connections_per_address, self.max_handshakes)
        if min(*counts, self.max_handshakes_per_address, self.retry_above, self.retry_for, self.window) <= 0:
            raise ValueError(f"{self}: all numbers are above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionStats:
    """Counts: of what is open now, and of decisions since the start."""

    connections: int  # handshakes in progress among them
    handshakes: int
    addresses: int
    accepted: int
    retried: int
    refused: Mapping[RefuseReason, int]


class Admission:
    """Decides about each first packet (Initial) of a connection that is not known yet.

    The sender address of such a packet may be forged until it came back with a Retry token. So packets that are not
    validated leave nothing here but a rate; and they get no more than the first half of the room for handshakes, so
    that a forger cannot keep out the address that it forges, nor everybody else.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._addresses: dict[int | str, _Address] = {}  # only of open connections
        self._connections = 0
        self._handshakes = 0
        self._rate = _Rate(limits.window)
        self._retry_until = float("-inf")
        self._accepted = 0
        self._retried = 0
        self._refused = dict.fromkeys(RefuseReason, 0)

    def decide(self, host: str, *, validated: bool, now: float) -> Accept | AskRetry | Refuse:
        """Return what to do with a first packet from ``host``, an IP address.

        Args:
            host: as the socket gave it; IPv4 in its only form, IPv6 in any.
            validated: it carries a token that proves the address.
            now: monotonic seconds.

        Raises:
            ValueError: ``host`` has a colon and is no IPv6 address.
        """
        address = self._addresses.get(group_of(host), _NONE_OPEN)
        asks_retry = not validated and self._asks_retry(address, now)
        reason = self._full(address, handshakes=not asks_retry)
        if reason is not None:
            self._refused[reason] += 1
            return _REFUSE[reason]
        if asks_retry:
            self._retried += 1
            return _ASK_RETRY
        self._accepted += 1
        return _ACCEPT

    def opened(self, host: str) -> None:
        """Count a connection from ``host`` that was accepted; its handshake is in progress."""
        address = self._addresses.setdefault(group_of(host), _Address())
        address.connections += 1
        address.handshakes += 1
        self._connections += 1
        self._handshakes += 1

    def established(self, host: str) -> None:
        """Note that the handshake of one of the connections from ``host`` is done.

        Raises:
            KeyError: none is open.
        """
        self._addresses[group_of(host)].handshakes -= 1
        self._handshakes -= 1

    def closed(self, host: str, *, established: bool) -> None:
        """Count out a connection from ``host``, whose handshake was done or not.

        Raises:
            KeyError: none is open.
        """
        if not established:
            self.established(host)
        group = group_of(host)
        address = self._addresses[group]
        address.connections -= 1
        self._connections -= 1
        if not address.connections:
            del self._addresses[group]

    def stats(self) -> AdmissionStats:
        """Return the counts."""
        return AdmissionStats(
            connections=self._connections,
            handshakes=self._handshakes,
            addresses=len(self._addresses),
            accepted=self._accepted,
            retried=self._retried,
            refused=dict(self._refused),
        )

    def _full(self, address: "_Address", *, handshakes: bool) -> RefuseReason | None:
        limits = self._limits
        if self._connections >= limits.max_connections:
            return RefuseReason.CONNECTIONS
        if address.connections >= limits.max_connections_per_address:
            return RefuseReason.CONNECTIONS_PER_ADDRESS
        if handshakes and self._handshakes >= limits.max_handshakes:
            return RefuseReason.HANDSHAKES
        if handshakes and address.handshakes >= limits.max_handshakes_per_address:
            return RefuseReason.HANDSHAKES_PER_ADDRESS
        return None

    def _asks_retry(self, address: "_Address", now: float) -> bool:
        limits = self._limits
        rate = self._rate.count(now)
        # hysteresis: once on, it stays on until the rate is below half for a while
        if rate > limits.retry_above * (0.5 if now < self._retry_until else 1.0):
            self._retry_until = now + limits.retry_for
        return (
            now < self._retry_until
            or 2 * self._handshakes >= limits.max_handshakes
            or 2 * address.handshakes >= limits.max_handshakes_per_address
        )


@dataclass(slots=True)
class _Address:
    connections: int = 0
    handshakes: int = 0


class _Rate:
    """Events per second, the older the less they count: by e in each window."""

    __slots__ = ("_at", "_rate", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._rate = 0.0
        self._at = float("-inf")

    def count(self, now: float) -> float:
        """Count one event, and return the rate with it."""
        self._rate = self._rate * exp((self._at - now) / self._window) + 1 / self._window
        self._at = now
        return self._rate


def group_of(host: str) -> int | str:
    """Return what the limits of an address count ``host``, an IP address, under: itself, or the IPv6 /64 that it is in.

    Raises:
        ValueError: it has a colon and is no IPv6 address.
    """
    if ":" not in host:
        return host
    address = IPv6Address(host)
    # what a socket for both families calls an IPv4 address
    return str(address.ipv4_mapped) if address.ipv4_mapped is not None else int(address) >> _PREFIX_SHIFT


_NONE_OPEN: Final = _Address()
_ACCEPT: Final = Accept()
_ASK_RETRY: Final = AskRetry()
_REFUSE: Final = {reason: Refuse(reason) for reason in RefuseReason}
