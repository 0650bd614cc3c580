"""What an idle process keeps, in bytes that Python allocated."""

import gc
import tracemalloc

from benchmarks.memory import cancel, specs, start_all, start_tasks
from benchmarks.size import Figures, Size
from supervisors import System

__all__ = ["bare", "ours", "traced_bytes"]


async def ours(size: Size) -> Figures:
    """Start processes under a DynamicSupervisor, each with a child spec of its own."""
    before = traced_bytes()
    children = specs(size.population)
    spec = (traced_bytes() - before) / size.population
    before = traced_bytes()
    async with System() as system:
        await start_all(system, children)
        net = (traced_bytes() - before) / size.population
    return {"traced": net + spec, "traced_net": net}


async def bare(size: Size) -> Figures:
    """Start tasks that wait for a queue each."""
    before = traced_bytes()
    tasks = await start_tasks(size.population)
    each = (traced_bytes() - before) / size.population
    await cancel(tasks)
    return {"traced": each}


def traced_bytes() -> int:
    """Return the bytes allocated, after a collection, since this was first called."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
