"""From the end of a child until its next incarnation runs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import Any

from typing_extensions import override

from benchmarks.size import Figures, Size
from benchmarks.starts import MICROSECONDS
from supervisors import GenServer, Kill, Ref, Strategy, Supervisor, SupFlags, System, exit_signal

__all__ = ["Starts", "latencies", "ours"]

HOUR = 3600.0  # seconds; a restart window that no benchmark outlives


class Starts:
    """Hears of each ``init``: when it ran, and of whom."""

    def __init__(self) -> None:
        self.at = 0.0
        self.ref: Ref | None = None
        self._awaited = 0
        self._done = asyncio.Event()

    def expect(self, count: int) -> None:
        """Expect ``count`` starts, from now on."""
        self._awaited = count
        self._done.clear()

    async def wait(self) -> None:
        """Wait until they have happened."""
        await self._done.wait()

    def started(self, ref: Ref | None) -> None:
        """Note a start."""
        self.at = perf_counter()
        self.ref = ref
        self._awaited -= 1
        if self._awaited <= 0:
            self._done.set()


class Child(GenServer):
    """Tells ``starts`` that it runs, and raises when it is cast anything."""

    @override
    def init(self, starts: Starts) -> None:
        starts.started(self.actor_ref)

    @override
    def handle_cast(self, request: Any) -> None:
        raise RuntimeError(request)


async def ours(size: Size) -> Figures:
    """Kill a child, again and again: alone, as one of a group, until its supervisor's window is full."""
    killed = await _restarts(size.restarts, _kill)
    crashed = await _restarts(size.restarts, _crash)
    group = await _restarts(size.restarts, _kill, size.group)
    return {
        **latencies("restart", killed.seen),
        **latencies("restart_init", killed.stamped),
        **latencies("crash_init", crashed.stamped),
        **latencies("one_for_all", group.stamped),
        **await _window(size),
    }


async def _window(size: Size) -> Figures:
    at = (await _restarts(size.window, _kill)).at
    edge = size.edge
    return {"restart_first": edge / (at[edge] - at[0]), "restart_last": edge / (at[-1] - at[-1 - edge])}


@dataclass(frozen=True, slots=True)
class Restarts:
    """What was seen of some restarts, in seconds.

    Attributes:
        stamped: from the end to the time stamp in ``init``, the last of a group.
        seen: from the end until who waited for that ``init`` went on.
        at: when that was, on the performance counter.
    """

    stamped: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


async def _restarts(count: int, end: Callable[[Ref], None], children: int = 1) -> Restarts:
    starts = Starts()
    restarts = Restarts()
    async with System() as system:
        strategy = Strategy.ONE_FOR_ALL if children > 1 else Strategy.ONE_FOR_ONE
        flags = SupFlags(strategy, intensity=count, period=HOUR)
        starts.expect(children)
        await system.start(Supervisor, flags, [Child.child_spec(starts, id=number) for number in range(children)])
        for _ in range(count):
            assert starts.ref is not None
            starts.expect(children)
            killed = perf_counter()
            end(starts.ref)
            await starts.wait()
            now = perf_counter()
            restarts.stamped.append(starts.at - killed)
            restarts.seen.append(now - killed)
            restarts.at.append(now)
            await asyncio.sleep(0)  # let the supervisor note the new ref
    return restarts


def latencies(key: str, seconds: Sequence[float]) -> Figures:
    """Return the median and the 99th percentile, in microseconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {f"{key}_p50": cuts[49] * MICROSECONDS, f"{key}_p99": cuts[98] * MICROSECONDS}


def _kill(ref: Ref) -> None:
    exit_signal(ref, Kill())


def _crash(ref: Ref) -> None:
    ref.cast("crash")
