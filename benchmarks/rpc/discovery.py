"""The first call of a procedure: nothing of it is cached, so that its provider is looked up in the DHT."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import quantiles
from typing import Final

from benchmarks.rows import Row
from benchmarks.rpc.far import Far
from benchmarks.rpc.length import Length
from benchmarks.rpc.mesh import Nodes

__all__ = ["discovery"]

ENGINES: Final = ("aioquic", "qh3")
NODES: Final = 5
MILLISECONDS: Final = 1e3


def discovery(length: Length) -> Iterator[Row]:
    """Measure the first calls of a node that has just joined, and of the same node later."""
    for engine in ENGINES:
        print(f"first calls on {engine}", file=sys.stderr, flush=True)
        fresh: list[float] = []
        cold: list[float] = []
        warm: list[float] = []
        for _ in range(length.rounds):
            times = _measure(engine, [f"benchmark.cold{number}" for number in range(length.cold)])
            fresh.append(times[0][0])
            cold += times[0][1:]
            warm += times[1]
        yield _row(engine, "the first call of a node: lookup, dial, call", fresh)
        yield _row(engine, "the first call of a procedure: lookup, call", cold)
        yield _row(engine, "the second call of it: cached", warm)


def _measure(engine: str, procedures: list[str]) -> tuple[list[float], list[float]]:
    with ExitStack() as stack:
        fars = [stack.enter_context(Far(Nodes)) for _ in range(NODES)]
        bootstrap: list[str] = []
        for far in fars[:-1]:
            endpoint, _ = far.ask("start", {"engine": engine, "bootstrap": bootstrap})
            bootstrap = bootstrap or [endpoint]
        fars[1].ask("provide", *procedures)
        fars[2].ask("find", procedures[-1])  # by now all of them are stored
        fars[-1].ask("start", {"engine": engine, "bootstrap": bootstrap})
        return fars[-1].ask("first_calls", procedures), fars[-1].ask("first_calls", procedures)


def _row(engine: str, what: str, times: list[float]) -> Row:
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return {
        "engine": engine,
        "call": what,
        "median": f"{cuts[49] * MILLISECONDS:.2f} ms",
        "99 %": f"{cuts[98] * MILLISECONDS:.2f} ms",
        "most": f"{max(times) * MILLISECONDS:.2f} ms",
        "calls": str(len(times)),
    }
