"""Calls of a node in another OS process, beside the bare engine under them, and beside what others have for that."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from operator import itemgetter
from statistics import median
from typing import Final, TypeAlias

from benchmarks.quic.systems import BOTH, Loop
from benchmarks.rows import Row, verdict
from benchmarks.rpc.far import Far
from benchmarks.rpc.length import Length
from benchmarks.rpc.sides import Side, ThreadSide

__all__ = ["IN_FLIGHT", "direct"]

IN_FLIGHT: Final = (1, 16, 64, 256)
COMPARED: Final = 64  # in flight
MICROSECONDS: Final = 1e6

Figures: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class System:
    """One system.

    Attributes:
        label: in the table.
        module: with `benchmarks.quic.systems.Module`'s ``serve`` and ``connect``.
        package: that has to be installed.
        loops: on which it is measured.
        raw: the label of the bare engine under it.
        bar: how much of the bare engine's rate it should have with 64 in flight.
        program: that has to be installed, too.
    """

    label: str
    module: str
    package: str
    loops: Sequence[Loop] = BOTH
    raw: str = ""
    bar: float = 0.0
    program: str = ""

    @property
    def missing(self) -> str:
        """What has to be installed to measure it."""
        if find_spec(self.package) is None:
            return "not installed: pip install -e .[bench]"
        return (
            "" if not self.program or shutil.which(self.program) else f"not installed: apt-get install {self.program}"
        )


SYSTEMS: Final = (
    System("aioquic, bare", "benchmarks.quic.raw_aioquic", "aioquic"),
    System("a request, on aioquic", "benchmarks.quic.ours_aioquic", "aioquic", raw="aioquic, bare"),
    System("a call, on aioquic", "benchmarks.rpc.ours_aioquic", "aioquic", raw="aioquic, bare", bar=0.6),
    System("qh3, bare", "benchmarks.quic.raw_qh3", "qh3"),
    System("a request, on qh3", "benchmarks.quic.ours_qh3", "qh3", raw="qh3, bare"),
    System("a call, on qh3", "benchmarks.rpc.ours_qh3", "qh3", raw="qh3, bare", bar=0.25),
    System("nats-py, over nats-server and TCP", "benchmarks.rpc.nats_peer", "nats", program="nats-server"),
    System("zenoh, get of a queryable over TCP", "benchmarks.quic.zenoh_peer", "zenoh", (Loop.THREADS,)),
)


def direct(length: Length) -> Iterator[Row]:
    """Measure each in turns, and yield a row for each."""
    found: dict[tuple[str, Loop], list[Figures]] = defaultdict(list)
    for _ in range(length.rounds):
        for system in SYSTEMS:
            for loop in () if system.missing else system.loops:
                print(f"{system.label} on {loop}", file=sys.stderr, flush=True)
                found[system.label, loop].append(_measure(system, loop, length))
    for system in SYSTEMS:
        for loop in system.loops:
            yield _row(system, loop, found)


def _measure(system: System, loop: Loop, length: Length) -> Figures:
    make = partial(ThreadSide if loop is Loop.THREADS else Side, system.module)
    with Far(make, loop) as server, Far(make, loop) as client:
        assert client.ask("connect", server.ask("serve"))
        figures: dict[str, float] = {}
        for in_flight in IN_FLIGHT:
            client.ask("load", in_flight, length.warm_up)
            before = client.cpu(), server.cpu()
            load = client.ask("load", in_flight, length.measured)
            calls = load.rate * length.measured
            figures |= {f"{in_flight} rate": load.rate, f"{in_flight} p50": load.p50, f"{in_flight} p99": load.p99}
            figures[f"{in_flight} client"] = (client.cpu() - before[0]) / calls * MICROSECONDS
            figures[f"{in_flight} server"] = (server.cpu() - before[1]) / calls * MICROSECONDS
    return figures


def _row(system: System, loop: Loop, found: Mapping[tuple[str, Loop], Sequence[Figures]]) -> Row:
    rounds = found.get((system.label, loop), ())
    raw = found.get((system.raw, loop), ())
    return {
        "system": system.label,
        "loop": loop,
        **{f"{n} in flight": _load(rounds, n) or system.missing for n in IN_FLIGHT},
        f"CPU us, client + server, {COMPARED}": _cpu(rounds),
        "rate, x bare": _ratio(rounds, raw, itemgetter(f"{COMPARED} rate")),
        "bar": f">= {system.bar}" if system.bar else "",
        "ok?": _verdict(system, rounds, raw),
        "CPU, x bare": _ratio(rounds, raw, _per_cpu),
    }


def _load(rounds: Sequence[Figures], in_flight: int) -> str:
    if not rounds:
        return ""
    rate, p50, p99 = (median(each[f"{in_flight} {name}"] for each in rounds) for name in ("rate", "p50", "p99"))
    return f"{rate:,.0f} /s, {p50:,.0f} / {p99:,.0f} us"


def _cpu(rounds: Sequence[Figures]) -> str:
    if not rounds:
        return ""
    return " + ".join(f"{median(each[f'{COMPARED} {side}'] for each in rounds):.0f}" for side in ("client", "server"))


def _per_cpu(figures: Figures) -> float:
    """Return the calls for a second of CPU time of both sides together."""
    return MICROSECONDS / (figures[f"{COMPARED} client"] + figures[f"{COMPARED} server"])


def _ratio(rounds: Sequence[Figures], raw: Sequence[Figures], of: Callable[[Figures], float]) -> str:
    return f"{_middle_ratio(rounds, raw, of):.2f}" if rounds and raw else ""


def _verdict(system: System, rounds: Sequence[Figures], raw: Sequence[Figures]) -> str:
    if not system.bar or not rounds or not raw:
        return ""
    return verdict(_middle_ratio(rounds, raw, itemgetter(f"{COMPARED} rate")) >= system.bar)


def _middle_ratio(rounds: Sequence[Figures], raw: Sequence[Figures], of: Callable[[Figures], float]) -> float:
    """Return the median of the ratios of rounds: both have seen the same weather."""
    return median(of(ours) / of(bare) for ours, bare in zip(rounds, raw, strict=True))
