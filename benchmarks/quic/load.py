"""The load, the same for all: workers, each of which does an operation, waits for its end, and does it again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from statistics import quantiles
from time import perf_counter
from typing import Any, TypeAlias

__all__ = ["Load", "Together", "gather", "measure_load", "measure_load_in_threads"]

MICROSECONDS = 1e6

Together: TypeAlias = Callable[[Sequence[Coroutine[Any, Any, None]]], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was borne.

    Attributes:
        rate: operations a second, of all workers together.
        p50: the median of an operation's latency, in microseconds.
        p99: its 99th percentile, in microseconds.
    """

    rate: float
    p50: float
    p99: float


async def gather(workers: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run the workers at once on asyncio's loop."""
    await asyncio.gather(*workers)


async def measure_load(
    operation: Callable[[], Awaitable[object]],
    *,
    in_flight: int,
    seconds: float = inf,
    count: int | None = None,
    together: Together = gather,
) -> Load:
    """Keep ``in_flight`` operations going, for ``seconds`` or until about ``count`` are done, whichever is first.

    Args:
        operation: one round trip; its awaitable ends when the reply is there. What it raises ends the measurement.
        in_flight: number of workers; at least 1.
        seconds: how long; each worker finishes the operation that it has begun.
        count: of all workers together, rounded up to a multiple of ``in_flight``.
        together: runs the workers at once and waits for all; `gather`, if not given.
    """
    each = _each(count, in_flight)
    latencies: list[float] = []
    began = perf_counter()

    async def work() -> None:
        now = perf_counter()
        for _ in range(each):
            started = now
            await operation()
            now = perf_counter()
            latencies.append(now - started)
            if now - began >= seconds:
                return

    await together([work() for _ in range(in_flight)])
    return _load(latencies, perf_counter() - began)


def measure_load_in_threads(
    operation: Callable[[], object], *, in_flight: int, seconds: float = inf, count: int | None = None
) -> Load:
    """Do the same with ``in_flight`` threads and an operation that blocks."""
    each = _each(count, in_flight)
    latencies: list[float] = []

    def work(_: int) -> None:
        now = perf_counter()
        for _ in range(each):
            started = now
            operation()
            now = perf_counter()
            latencies.append(now - started)
            if now - began >= seconds:
                return

    with ThreadPoolExecutor(in_flight) as pool:
        began = perf_counter()
        list(pool.map(work, range(in_flight)))
        return _load(latencies, perf_counter() - began)


def _each(count: int | None, in_flight: int) -> int:
    return sys.maxsize if count is None else -(-count // in_flight)


def _load(latencies: Sequence[float], took: float) -> Load:
    cuts = quantiles(latencies, n=100, method="inclusive") if len(latencies) > 1 else [latencies[0]] * 99
    return Load(rate=len(latencies) / took, p50=cuts[49] * MICROSECONDS, p99=cuts[98] * MICROSECONDS)
