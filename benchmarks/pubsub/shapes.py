"""So many publishers to so many subscribers, in four OS processes; each subscriber gets each event."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from statistics import median, quantiles
from time import sleep
from typing import Any, Final, TypeAlias

from benchmarks.pubsub.length import Length
from benchmarks.pubsub.side import Published, Side
from benchmarks.rows import Row, verdict
from benchmarks.rpc.far import Far

__all__ = ["SYSTEMS", "shapes"]

NODES: Final = 4
IN_FLIGHT: Final = 32  # publications of one publisher
LENGTHS: Final = (100, 10_000)  # bytes of an event
RATE_BAR: Final = 10_000  # deliveries a second, of 100 bytes on four nodes
LATENCY_BAR: Final = 2.0  # milliseconds
PAUSE: Final = 0.05  # seconds between two looks whether more comes
PATIENCE: Final = 20  # looks without one
MILLISECONDS: Final = 1e3
MICROSECONDS: Final = 1e6

Figures: TypeAlias = dict[str, float]
_Case: TypeAlias = tuple[str, str, int, int]  # system, shape, bytes, qos


@dataclass(frozen=True, slots=True)
class System:
    """One system.

    Attributes:
        label: in the table.
        package: that has to be installed.
        made_of: the arguments of its `Side`.
        qos: that it has.
        program: that has to be installed, too.
    """

    label: str
    package: str
    made_of: tuple[str, ...]
    qos: Sequence[int] = (0,)
    program: str = ""

    @property
    def missing(self) -> str:
        """What has to be installed to measure it."""
        if find_spec(self.package) is None:
            return "not installed: pip install -e .[bench]"
        is_there = not self.program or shutil.which(self.program)
        return "" if is_there else f"not installed: apt-get install {self.program}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Who publishes, and who has subscribed.

    Attributes:
        label: in the table.
        in_flight: publications at once of each process.
        subscribers: of each.
    """

    label: str
    in_flight: tuple[int, ...]
    subscribers: tuple[int, ...]


SYSTEMS: Final = (
    System("our nodes on aioquic", "aioquic", ("benchmarks.pubsub.ours", "aioquic"), (0, 1)),
    System("our nodes on qh3", "qh3", ("benchmarks.pubsub.ours", "qh3"), (0, 1)),
    System("nats-py, over nats-server and TCP", "nats", ("benchmarks.pubsub.nats_peer",), program="nats-server"),
    System("zenoh, over TCP", "zenoh", ("benchmarks.pubsub.zenoh_peer",)),
)


def shapes(length: Length) -> Iterator[Row]:
    """Measure each system in turns, and yield a row for each case."""
    found: dict[_Case, list[Figures]] = defaultdict(list)
    for _ in range(length.rounds):
        for system in SYSTEMS:
            for case, figures in () if system.missing else _measured(system, length):
                found[case].append(figures)
    for system in SYSTEMS:
        if system.missing:
            yield _row((system.label, "", 0, 0), [], system.missing)
    for case, rounds in found.items():
        yield _row(case, rounds)


def _shapes(length: Length) -> tuple[Shape, ...]:
    crowd, each = length.crowd, length.crowd // NODES
    alone, evenly = (IN_FLIGHT, 0, 0, 0), (each,) * NODES
    return (
        Shape("1 to 1", alone, (0, 1, 0, 0)),
        Shape(f"1 to {NODES}, one a node", alone, (1,) * NODES),
        Shape(f"1 to {crowd}", alone, evenly),
        Shape(f"{crowd} to {crowd}", evenly, evenly),
    )


def _measured(system: System, length: Length) -> Iterator[tuple[_Case, Figures]]:
    print(system.label, file=sys.stderr, flush=True)
    with ExitStack() as stack:
        fars = [stack.enter_context(Far(partial(Side, *system.made_of))) for _ in range(NODES)]
        where = fars[0].ask("start", "")
        _all(fars[1:], "start", where)
        for shape in _shapes(length):
            for far, count in zip(fars, shape.subscribers, strict=True):
                far.ask("subscribe", count)
            _warm_up(fars, shape, length)
            for size in LENGTHS:
                for qos in system.qos:
                    yield (system.label, shape.label, size, qos), _measure(fars, shape, size, qos, length)


def _warm_up(fars: Sequence[Far], shape: Shape, length: Length) -> None:
    """Have each process find the subscribers, and dial their nodes."""
    before, _ = _got(fars)
    loads = [far.ask("load", 1, LENGTHS[0], 0, length.warm_up) for far in fars]
    _settled(fars, before + _expected(loads, shape))


def _measure(fars: Sequence[Far], shape: Shape, size: int, qos: int, length: Length) -> Figures:
    before, _ = _got(fars)
    loads = _load(fars, shape, size, qos, length.warm_up)
    before, _ = _settled(fars, before + _expected(loads, shape))
    cpu = sum(far.cpu() for far in fars)
    loads = _load(fars, shape, size, qos, length.measured)
    expected = _expected(loads, shape)
    after, last = _settled(fars, before + expected)
    cpu = sum(far.cpu() for far in fars) - cpu
    delivered = max(after - before, 1)
    return {
        "rate": delivered / (last - min(load.began for load in loads)),
        "lost": max(expected - delivered, 0) / expected,
        "cpu": cpu / delivered * MICROSECONDS,
        **_latencies(fars, shape, size, qos, length),
    }


def _expected(loads: Sequence[Published], shape: Shape) -> int:
    return sum(load.events for load in loads) * sum(shape.subscribers)


def _load(fars: Sequence[Far], shape: Shape, size: int, qos: int, seconds: float) -> list[Published]:
    publishing = [(far, count) for far, count in zip(fars, shape.in_flight, strict=True) if count]
    for far, count in publishing:
        far.begin("load", count, size, qos, seconds)
    return [far.end() for far, _ in publishing]


def _latencies(fars: Sequence[Far], shape: Shape, size: int, qos: int, length: Length) -> Figures:
    """Measure how long it takes to the first subscriber in another process."""
    before, _ = _got(fars)
    fars[0].ask("publish_alone", length.alone, size, qos)
    _settled(fars, before + length.alone * sum(shape.subscribers))
    first: dict[int, float] = {}
    for found in _all(fars[1:], "first"):
        for number, latency in found.items():
            first[number] = min(latency, first.get(number, latency))
    cuts = quantiles(first.values(), n=100, method="inclusive")
    return {"p50": cuts[49] * MILLISECONDS, "p99": cuts[98] * MILLISECONDS}


def _settled(fars: Sequence[Far], expected: int) -> tuple[int, float]:
    """Wait until so many events have come to all, or no more come; return what `_got` does."""
    looks, (count, last) = 0, _got(fars)
    while count < expected and looks < PATIENCE:
        sleep(PAUSE)
        before, (count, last) = count, _got(fars)
        looks = looks + 1 if count == before else 0
    return count, last


def _got(fars: Sequence[Far]) -> tuple[int, float]:
    """Return how many events have come to all subscribers, and when the last one."""
    found = _all(fars, "got")
    return sum(count for count, _ in found), max(last for _, last in found)


def _all(fars: Sequence[Far], method: str, *arguments: object) -> list[Any]:
    for far in fars:
        far.begin(method, *arguments)
    return [far.end() for far in fars]


def _row(case: _Case, rounds: Sequence[Figures], missing: str = "") -> Row:
    system, shape, size, qos = case
    middle = {key: median(figures[key] for figures in rounds) for key in rounds[0]} if rounds else {}
    has_bar = system.startswith("our") and size == LENGTHS[0] and not missing
    is_met = has_bar and middle["p50"] <= LATENCY_BAR and (shape == "1 to 1" or middle["rate"] >= RATE_BAR)
    bar = f"<= {LATENCY_BAR:g} ms" if shape == "1 to 1" else f">= {RATE_BAR:,} /s, <= {LATENCY_BAR:g} ms"
    return {
        "system": system,
        "publishers to subscribers": shape,
        "bytes": f"{size:,}" if rounds else "",
        "qos": f"{qos}" if rounds else "",
        "deliveries": f"{middle['rate']:,.0f} /s" if rounds else missing,
        "lost": f"{middle['lost']:.1%}" if rounds and middle["lost"] else "",
        "to the first, median": f"{middle['p50']:.2f} ms" if rounds else "",
        "99 %": f"{middle['p99']:.2f} ms" if rounds else "",
        "CPU of all, a delivery": f"{middle['cpu']:.1f} us" if rounds else "",
        "bar": bar if has_bar else "",
        "ok?": verdict(is_met) if has_bar else "",
    }
