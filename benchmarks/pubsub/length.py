"""How long it takes."""

from dataclasses import dataclass
from typing import Final

__all__ = ["FULL", "QUICK", "Length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How much is measured.

    Attributes:
        rounds: how often each; medians are taken.
        warm_up: seconds before anything is counted.
        measured: seconds of each load.
        alone: events that are published one by one, for their latency.
        crowd: subscribers, and publishers, where there are many; of four nodes together.
        patterns: in the index, one measurement each.
        topics: that are looked up there.
    """

    rounds: int
    warm_up: float
    measured: float
    alone: int
    crowd: int
    patterns: tuple[int, ...]
    topics: int


FULL: Final = Length(
    rounds=2, warm_up=0.15, measured=0.6, alone=60, crowd=100, patterns=(10_000, 100_000), topics=20_000
)
QUICK: Final = Length(rounds=1, warm_up=0.02, measured=0.05, alone=3, crowd=8, patterns=(1000,), topics=500)
