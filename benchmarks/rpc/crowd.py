"""Many callers, five a node, and several providers, each a node, in four OS processes; chance takes the provider."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.rows import Row
from benchmarks.rpc.far import Far
from benchmarks.rpc.length import Length
from benchmarks.rpc.mesh import Nodes
from benchmarks.rpc.ours import ECHO

__all__ = ["crowd"]

ENGINES: Final = ("qh3",)  # so many nodes take minutes to meet on the other one
PROCESSES: Final = 2  # of each kind
EACH: Final = 5  # calls in flight of each node that calls
MILLISECONDS: Final = 1e3


def crowd(length: Length) -> Iterator[Row]:
    """Measure once: it is an average of many already."""
    for engine in ENGINES:
        print(f"{EACH * length.callers} callers on {engine}", file=sys.stderr, flush=True)
        yield _measure(engine, length)


def _measure(engine: str, length: Length) -> Row:
    with ExitStack() as stack:
        providing = [stack.enter_context(Far(Nodes)) for _ in range(PROCESSES)]
        calling = [stack.enter_context(Far(Nodes)) for _ in range(PROCESSES)]
        bootstrap = _start(providing, length.providers, engine, [])
        _start(calling, length.callers, engine, bootstrap)
        for far in providing:
            far.ask("provide", ECHO)
        _all(calling, "find", ECHO, length.providers)
        in_flight = EACH * length.callers // PROCESSES
        _all(calling, "load", in_flight, length.measured)  # each dials each
        _all(calling, "load", in_flight, length.measured)
        fars = [*providing, *calling]
        served = _served(providing)
        before = sum(far.cpu() for far in fars)
        loads = _all(calling, "load", in_flight, length.measured)
        cpu = sum(far.cpu() for far in fars) - before
        counts = [now - then for now, then in zip(_served(providing), served, strict=True)]
    return {
        "engine": engine,
        "callers x providers": f"{EACH * length.callers} x {length.providers}",
        "rate": f"{sum(load.rate for load in loads):,.0f} /s",
        "median": f"{max(load.p50 for load in loads) / MILLISECONDS:.1f} ms",
        "99 %": f"{max(load.p99 for load in loads) / MILLISECONDS:.1f} ms",
        "CPU of all, a call": f"{cpu / sum(counts) * MILLISECONDS:.2f} ms",
        "calls of a provider": f"{min(counts):,} to {max(counts):,}",
    }


def _start(fars: Sequence[Far], count: int, engine: str, bootstrap: list[str]) -> list[str]:
    """Start ``count`` nodes, one in each process at a time, and return where to join them."""
    if not bootstrap:
        bootstrap, count = [fars[0].ask("start", {"engine": engine, "bootstrap": []})[0]], count - 1
    for number in range(0, count, len(fars)):
        _all(fars[: count - number], "start", {"engine": engine, "bootstrap": bootstrap})
    return bootstrap


def _served(providing: Sequence[Far]) -> list[int]:
    """Return how many calls each provider has had."""
    return [count for counts in _all(providing, "served") for count in counts]


def _all(fars: Sequence[Far], method: str, *arguments: object) -> list[Any]:
    for far in fars:
        far.begin(method, *arguments)
    return [far.end() for far in fars]
