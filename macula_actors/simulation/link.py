"""What a path does to datagrams: latency, jitter, loss, duplication, reordering, a rate with a queue.

Pure: told the time, with chance of its own. Model: tc-netem(8), but jitter alone never reorders.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from macula_actors.simulation.counters import Counters

__all__ = ["LAN", "LOOPBACK", "Link", "Path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How good a path is, in one direction. Durations are seconds, chances 0.0 to 1.0.

    Raises:
        ValueError: a number is out of its range.
    """

    latency: float = 0.025
    jitter: float = 0.0  # up to so much is added, uniformly; order is kept
    loss: float = 0.0  # chance of each datagram
    duplication: float = 0.0  # chance that a second copy arrives, with a jitter of its own
    reordering: float = 0.0  # chance to be held back by up to another latency, so that later ones overtake
    rate: float | None = None  # bytes per second; None: no limit
    max_queue_bytes: int = 65536  # that wait for the rate; one more is dropped
    max_in_flight: int = 10_000  # datagrams; one more is dropped
    mtu: int = 1472  # bytes of UDP payload in an Ethernet frame; larger ones are dropped: RFC 9000, 14

    def __post_init__(self) -> None:
        for chance in (self.loss, self.duplication, self.reordering):
            if not 0.0 <= chance <= 1.0:
                raise ValueError(f"chance {chance}; allowed are 0.0 to 1.0")
        if min(self.latency, self.jitter, self.max_queue_bytes, self.max_in_flight, self.mtu) < 0:
            raise ValueError(f"{self}; nothing in it may be negative")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate {self.rate}; it must be above 0 bytes/s, or None")

    @property
    def has_chance(self) -> bool:
        """Whether anything in it is left to chance."""
        return bool(self.jitter or self.loss or self.duplication or self.reordering)


LAN: Final = Link(latency=0.0005)  # between hosts behind one NAT box
LOOPBACK: Final = Link(latency=0.00002, mtu=65507)  # from a host to itself


class Path:
    """The way from ``source`` to ``target`` (names), with the state of its link.

    Its chance depends on ``seed`` and the two names alone, so that another host changes nothing here.
    """

    __slots__ = ("_counters", "_free_at", "_last_due", "_rng", "_seed", "in_flight", "link", "source", "target")

    def __init__(self, source: str, target: str, link: Link, *, seed: int, counters: Counters) -> None:
        self.source = source
        self.target = target
        self.link = link
        self.in_flight = 0
        self._counters = counters
        self._seed = f"{seed}/{source}/{target}"
        self._rng: random.Random | None = None  # 2.5 KB; most paths need none
        self._free_at = 0.0
        self._last_due = 0.0

    def change(self, link: Link) -> None:
        """Have ``link`` from now on; what is sent on it may overtake what is in flight."""
        self.link = link
        self._free_at = self._last_due = 0.0

    def transit(self, length: int, now: float) -> Sequence[float]:
        """Return when a datagram of ``length`` bytes that is sent ``now`` arrives: no, one or two instants."""
        link = self.link
        if length > link.mtu:
            self._counters.too_large += 1
            return ()
        if self.in_flight >= link.max_in_flight:
            self._counters.overflowed += 1
            return ()
        if link.rate is not None:
            if (self._free_at - now) * link.rate + length > link.max_queue_bytes:
                self._counters.overflowed += 1
                return ()
            now = self._free_at = max(self._free_at, now) + length / link.rate
        if link.has_chance:
            return self._by_chance(link, now)
        due = self._last_due = max(now + link.latency, self._last_due)
        self.in_flight += 1
        return (due,)

    def _by_chance(self, link: Link, now: float) -> Sequence[float]:
        if self._rng is None:
            self._rng = random.Random(self._seed)
        chance = self._rng.random
        if link.loss and chance() < link.loss:
            self._counters.lost += 1
            return ()
        dues = [self._due(link, now)]
        # a second copy beyond the bound is not made at all
        if link.duplication and chance() < link.duplication and self.in_flight + 1 < link.max_in_flight:
            self._counters.duplicated += 1
            dues.append(self._due(link, now))
        self.in_flight += len(dues)
        return dues

    def _due(self, link: Link, now: float) -> float:
        chance = self._rng.random  # type: ignore[union-attr]  # made by the only caller
        due = now + link.latency + (link.jitter * chance() if link.jitter else 0.0)
        if link.reordering and chance() < link.reordering:
            return due + link.latency * chance()
        due = self._last_due = max(due, self._last_due)
        return due
