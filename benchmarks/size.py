"""How much work one measurement does."""

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["FULL", "QUICK", "Figures", "Size"]

Figures: TypeAlias = dict[str, float]  # what one measurement found, by the key of a `Metric`


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many of each.

    Attributes:
        messages: calls, or casts, in a row.
        callers: that call at once.
        starts: processes started and stopped one after the other.
        threads: ThreadingActors alive at once.
        restarts: whose latency is taken.
        window: restarts within one restart window.
        edge: how many of those, first and last, are compared.
        group: children of a one_for_all supervisor.
        population: processes alive at once.
        otpylib_population: the same for otpylib, which needs longer.
    """

    messages: int
    callers: int
    starts: int
    threads: int
    restarts: int
    window: int
    edge: int
    group: int
    population: int
    otpylib_population: int


FULL: Final = Size(
    messages=30_000,
    callers=64,
    starts=5_000,
    threads=1_000,
    restarts=1_000,
    window=5_000,
    edge=100,
    group=10,
    population=100_000,
    otpylib_population=10_000,
)
QUICK: Final = Size(
    messages=640,
    callers=64,
    starts=20,
    threads=20,
    restarts=20,
    window=50,
    edge=10,
    group=10,
    population=200,
    otpylib_population=50,
)
