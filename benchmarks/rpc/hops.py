"""What a hop costs in CPU time: the nodes of `routes` in one OS process, without a scheduler and cold caches."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final

from benchmarks.quic.load import measure_load
from benchmarks.rows import Row, verdict
from benchmarks.rpc.length import Length
from benchmarks.rpc.ours import ECHO, config, echo
from benchmarks.rpc.routes import ENGINES, HOSTS, MOST, nearer_and_nearer, not_neighbours
from benchmarks.rpc.sides import MESSAGE
from macula_actors.core.rpc.call_plan import Path as Way
from macula_actors.node import Node

__all__ = ["hops"]

MICROSECONDS: Final = 1e6


def hops(length: Length) -> Iterator[Row]:
    """Measure calls over 0 to 3 nodes between."""
    for engine in ENGINES:
        print(f"hops on {engine}", file=sys.stderr, flush=True)
        before = direct = 0.0
        for between, cpu in asyncio.run(_measure(engine, length)).items():
            direct = direct or cpu
            more = (cpu - before) / direct
            before = cpu
            yield {
                "engine": engine,
                "way": f"{between} between" if between else "direct",
                "CPU of a call": f"{cpu * MICROSECONDS:.0f} us",
                "one hop more, x direct": f"{more:.2f}" if between else "",
                "bar": f"<= {MOST}" if between else "",
                "ok?": verdict(more <= MOST) if between else "",
            }


async def _measure(engine: str, length: Length) -> dict[int, float]:
    """Return the CPU seconds of a call, by the nodes between."""
    found: dict[int, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        nodes = await _chain(engine, stack)  # the provider first
        for _ in range(length.rounds):
            for between, caller in enumerate(nodes[1:]):
                found[between].append(await _cpu(caller, Way.ROUTED if between else Way.DIRECT, length))
    return {between: median(rounds) for between, rounds in found.items()}


async def _chain(engine: str, stack: AsyncExitStack) -> list[Node]:
    directory = Path(stack.enter_context(TemporaryDirectory()))
    nearer_and_nearer(directory)
    nodes: list[Node] = []
    for number, host in reversed(list(enumerate(HOSTS))):
        joined = [str(node.endpoint) for node in nodes[-1:]]
        options = {"engine": engine, "bootstrap": joined, "data_dir": directory / str(number), "admin": "none"}
        nodes.append(await stack.enter_async_context(Node(config(host=host, **options))))
    await nodes[0].advertise(ECHO, echo)
    for node in nodes[1:]:
        await node.call(ECHO, MESSAGE)
    for number, node in enumerate(reversed(nodes)):
        await node.deny(not_neighbours(number))
    return nodes


async def _cpu(caller: Node, way: Way, length: Length) -> float:
    async def call() -> None:
        await caller.call(ECHO, MESSAGE, paths=(way,))

    await measure_load(call, in_flight=1, seconds=length.warm_up)
    before = process_time()
    load = await measure_load(call, in_flight=1, seconds=length.measured)
    return (process_time() - before) / (load.rate * length.measured)
