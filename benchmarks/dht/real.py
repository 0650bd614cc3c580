"""Finds over real sockets on loopback: some nodes, half of them stopped at once, the other half finds everything.

A system is a module with a function ``start(count)`` that returns its nodes, all joined; see `RealNode`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

__all__ = ["RealCost", "RealNode", "measure_real"]

NODES = 60
KEYS = 60
AT_ONCE = 8
SEED = 1


class RealNode(Protocol):
    """A node of a system that is measured."""

    async def store(self, key: str, value: str) -> None:
        """Store ``value`` at the nodes closest to ``key``."""

    async def find(self, key: str) -> str | None:
        """Return what is found under ``key``."""

    async def stop(self) -> None:
        """Be gone at once, without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCost:
    """What finds come to. Times are milliseconds, of a find that found something."""

    system: str
    nodes: int
    stopped: int
    found: str
    p50: float
    p99: float


async def measure_real(
    system: str, start: Callable[[int], Awaitable[Sequence[RealNode]]], nodes: int = NODES
) -> list[RealCost]:
    """Return what finds cost while all ``nodes`` are there, and when half have stopped."""
    rng = random.Random(SEED)
    running = list(await start(nodes))
    keys = [f"key {number}" for number in range(KEYS)]
    for key in keys:
        await rng.choice(running).store(key, f"value of {key}")
    whole = await _finds(running, keys, rng)
    stopped = rng.sample(running, len(running) // 2)
    for node in stopped:
        await node.stop()
    live = [node for node in running if node not in stopped]
    half = await _finds(live, keys, rng)
    for node in live:
        await node.stop()
    return [_cost(system, nodes, 0, whole), _cost(system, nodes, len(stopped), half)]


async def _finds(nodes: Sequence[RealNode], keys: Sequence[str], rng: random.Random) -> list[float | None]:
    room = asyncio.Semaphore(AT_ONCE)

    async def find(node: RealNode, key: str) -> float | None:
        async with room:
            began = perf_counter()
            found = await node.find(key)
            return perf_counter() - began if found == f"value of {key}" else None

    return await asyncio.gather(*(find(rng.choice(nodes), key) for key in keys))


def _cost(system: str, nodes: int, stopped: int, times: Sequence[Any]) -> RealCost:
    taken = sorted(each for each in times if each is not None) or [float("nan")]
    return RealCost(
        system=system,
        nodes=nodes,
        stopped=stopped,
        found=f"{sum(each is not None for each in times) / len(times):.1%}",
        p50=round(1000 * taken[len(taken) // 2], 1),
        p99=round(1000 * taken[int(0.99 * len(taken))], 1),
    )
