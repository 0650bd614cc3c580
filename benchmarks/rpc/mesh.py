"""Nodes in an OS process of their own, for `Far`."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.quic.load import Load, measure_load
from benchmarks.rpc.ours import ECHO, config, echo
from benchmarks.rpc.sides import MESSAGE
from macula_actors.core.rpc.call_plan import Path as Way
from macula_actors.node import Node

__all__ = ["Nodes"]

PATIENCE: Final = 30.0  # seconds, in which a provider must be found
PAUSE: Final = 0.05  # seconds between two looks


class Nodes:
    """The nodes of one process. A node is named by its number; what is asked without one is asked of the first."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._stack = AsyncExitStack()
        self._counts: dict[str, int] = {}

    async def start(self, options: dict[str, Any]) -> tuple[str, str]:
        """Start one more, and return where it is, and its id."""
        if "data_dir" in options:
            options["data_dir"] = Path(options["data_dir"])
        node = await self._stack.enter_async_context(Node(config(name=f"node{len(self._nodes)}", **options)))
        self._nodes.append(node)
        return str(node.endpoint), str(node.node_id)

    async def provide(self, *procedures: str) -> None:
        """Have all nodes provide them."""
        for node in self._nodes:
            for procedure in procedures:
                await node.advertise(procedure, partial(self._count, str(node.node_id)))

    async def served(self) -> list[int]:
        """Return how many calls the nodes have had each."""
        return [self._counts.get(str(node.node_id), 0) for node in self._nodes]

    async def find(self, procedure: str = ECHO, providers: int = 1) -> None:
        """Have all nodes look for a procedure until they find so many providers."""
        for node in self._nodes:
            async with asyncio.timeout(PATIENCE):
                while len(await node.discover(procedure, refresh=True)) < providers:  # noqa: ASYNC110 -- there is no event
                    await asyncio.sleep(PAUSE)

    async def deny(self, networks: Sequence[str]) -> None:
        """Cut the links there."""
        for node in self._nodes:
            await node.deny(networks)

    async def trace(self, ways: Sequence[str]) -> list[str]:
        """Make a call, and return the ids of the nodes that it went through."""
        traced = await self._nodes[0].trace(ECHO, MESSAGE, paths=tuple(map(Way, ways)))
        return [str(each) for each in traced.nodes]

    async def load(self, in_flight: int, seconds: float, ways: Sequence[str] | None = None) -> Load:
        """Call again and again, as many at once from each node, if there are several from all of them together."""
        paths = None if ways is None else tuple(map(Way, ways))
        turn = 0

        async def call() -> None:
            nonlocal turn
            turn += 1
            await self._nodes[turn % len(self._nodes)].call(ECHO, MESSAGE, paths=paths)

        return await measure_load(call, in_flight=in_flight, seconds=seconds)

    async def first_calls(self, procedures: Sequence[str]) -> list[float]:
        """Call each once, and return how many seconds each took."""
        times = []
        for procedure in procedures:
            began = perf_counter()
            await self._nodes[0].call(procedure, MESSAGE)
            times.append(perf_counter() - began)
        return times

    async def close(self) -> None:
        """Stop all."""
        await self._stack.aclose()

    def _count(self, node_id: str, args: Any) -> Any:
        self._counts[node_id] = self._counts.get(node_id, 0) + 1
        return echo(args)
