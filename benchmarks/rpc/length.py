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
        cold: procedures that are called for the first time.
        callers: nodes that make several calls at once.
        providers: nodes that they call.
    """

    rounds: int
    warm_up: float
    measured: float
    cold: int
    callers: int
    providers: int


FULL: Final = Length(rounds=3, warm_up=0.3, measured=1.0, cold=100, callers=20, providers=10)
QUICK: Final = Length(rounds=1, warm_up=0.05, measured=0.2, cold=4, callers=4, providers=2)
