"""STORE and find between real nodes in separate OS processes on loopback: rate, time, and CPU time of all of them."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter, process_time, sleep
from typing import Any, Self

from benchmarks.dht import ours
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.lookup import LookupLimits
from macula_actors.transport.engines import EngineName

__all__ = ["LAYOUTS", "Layout", "ProcessCost", "measure_processes"]

SEEDS = 3  # nodes that each newcomer is told of
KEYS = 500  # under which there is something in turns: a node may have 1,024 records
SECONDS = 3.0  # of each load
WARM_UP = 0.5  # seconds of stores before
PATIENCE = 60.0  # seconds, until the nodes know each other
SETTLING = 1.0  # seconds, in which a node that has joined meets somebody new
IN_FLIGHT = (1, 2, 4, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """``nodes`` in ``processes``; a record is stored at the ``k`` closest of them, or at all."""

    nodes: int
    processes: int
    k: int


LAYOUTS = (
    Layout(nodes=5, processes=5, k=20),
    Layout(nodes=20, processes=4, k=4),
    Layout(nodes=20, processes=4, k=20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCost:
    """What one node's stores or finds come to. Times are milliseconds; ``cpu`` that of all processes, for one of them.

    ``holders`` are the nodes that have a record then, the owner too. What is looked for is elsewhere, or everywhere: a
    find asks others in any case.
    """

    engine: str
    nodes: int
    k: int
    operation: str
    in_flight: int
    rate: str
    p50: float
    p99: float
    cpu: float
    holders: str
    failed: int


def measure_processes(layout: Layout, engine: EngineName, *, seconds: float = SECONDS) -> list[ProcessCost]:
    """Return what stores of a node cost, and finds of another one."""
    with _Nodes(layout, engine) as nodes:
        nodes.load("store", 4, WARM_UP)
        costs = [nodes.load("store", in_flight, seconds) for in_flight in IN_FLIGHT]
        nodes.fill()
        return costs + [nodes.load("find", in_flight, seconds) for in_flight in IN_FLIGHT]


class _Nodes:
    """The processes, each of which is asked over a pipe. The first one's first node stores, the last one's finds."""

    def __init__(self, layout: Layout, engine: EngineName) -> None:
        self._layout = layout
        self._engine = engine
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for _ in range(layout.processes):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> Self:
        endpoints = [Endpoint(ours.HOST, port) for port in ours.free_ports(self._layout.nodes)]
        each = self._layout.nodes // self._layout.processes
        for place, pipe in enumerate(self._pipes):
            own = endpoints[place * each : (place + 1) * each]
            _ask(pipe, "start", own, endpoints[:SEEDS], self._engine, self._layout.k)
        deadline = perf_counter() + PATIENCE
        known = 0
        while known < self._layout.nodes * min(self._layout.nodes - 1, self._layout.k) or self._known() > known:
            known = self._known()
            if perf_counter() > deadline:
                raise TimeoutError("the nodes have not found each other")
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(("stop",))
        for process in self._processes:
            process.join()

    def fill(self) -> None:
        """Store all that is to be found, once."""
        _ask(self._pipes[0], "fill")

    def load(self, operation: str, in_flight: int, seconds: float) -> ProcessCost:
        """Do ``operation`` again and again."""
        before = self._cpu()
        times, holders, failed = _ask(self._pipes[0 if operation == "store" else -1], operation, in_flight, seconds)
        taken = sorted(times) or [float("nan")]
        return ProcessCost(
            engine=self._engine,
            nodes=self._layout.nodes,
            k=self._layout.k,
            operation=operation,
            in_flight=in_flight,
            rate=f"{len(times) / seconds:,.0f} /s",
            p50=round(1000 * taken[len(taken) // 2], 2),
            p99=round(1000 * taken[int(0.99 * len(taken))], 2),
            cpu=round(1000 * (self._cpu() - before) / max(len(times), 1), 2),
            holders=" to ".join(dict.fromkeys(map(str, holders))) if operation == "store" else "",
            failed=failed,
        )

    def _known(self) -> int:
        """Return how many others all nodes together know, in a second."""
        sleep(SETTLING)
        return int(sum(_ask(pipe, "known") for pipe in self._pipes))

    def _cpu(self) -> float:
        return float(sum(_ask(pipe, "cpu") for pipe in self._pipes))


def _ask(pipe: Connection, *request: object) -> Any:
    pipe.send(request)
    answer = pipe.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _serve(pipe: Connection) -> None:
    """Be one of the processes."""
    asyncio.run(_Server(pipe).run())


class _Server:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._nodes: list[ours.OurNode] = []

    async def run(self) -> None:
        """Do what is asked for, until that is to stop."""
        while True:
            name, *arguments = await asyncio.to_thread(self._pipe.recv)
            if name == "stop":
                return
            try:
                self._pipe.send(await getattr(self, name)(*arguments))
            except Exception as error:
                self._pipe.send(error)

    async def start(self, endpoints: Sequence[Endpoint], seeds: Sequence[Endpoint], engine: EngineName, k: int) -> None:
        for endpoint in endpoints:
            bootstrap = tuple(each for each in seeds if each != endpoint)
            is_first = endpoint == seeds[0]
            limits = LookupLimits(k=k)
            node = await ours.start_node(endpoint, () if is_first else bootstrap, engine=engine, locate=limits)
            self._nodes.append(node)

    async def known(self) -> int:
        return sum([await node.size() for node in self._nodes])

    async def cpu(self) -> float:
        return process_time()

    async def fill(self) -> None:
        for number in range(KEYS):
            await self._nodes[0].store(f"key {number}", f"value {number}")

    async def store(self, in_flight: int, seconds: float) -> tuple[list[float], list[int], int]:
        async def store(number: int) -> int:
            return await self._nodes[0].spread(f"key {number}", f"value {number}")

        return await _load(store, in_flight, seconds, range(KEYS))

    async def find(self, in_flight: int, seconds: float) -> tuple[list[float], list[int], int]:
        node = self._nodes[-1]
        remote = [number for number in range(KEYS) if not await node.holds(f"key {number}")] or range(KEYS)

        async def find(number: int) -> int:
            if await node.find(f"key {number}") != f"value {number}":
                raise LookupError(number)
            return 0

        return await _load(find, in_flight, seconds, remote)


async def _load(
    operation: Callable[[int], Awaitable[int]], in_flight: int, seconds: float, numbers: Sequence[int]
) -> tuple[list[float], list[int], int]:
    """Return how long each took, the least and the most that it returned, and how many failed."""
    times: list[float] = []
    returned: set[int] = set()
    failed = 0
    count = 0
    until = perf_counter() + seconds

    async def worker() -> None:
        nonlocal count, failed
        while (began := perf_counter()) < until:
            count += 1
            try:
                returned.add(await operation(numbers[count % len(numbers)]))
            except Exception:
                failed += 1
            else:
                times.append(perf_counter() - began)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return times, [min(returned, default=0), max(returned, default=0)], failed
