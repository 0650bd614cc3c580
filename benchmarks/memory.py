"""What an idle process keeps, in bytes of memory as the operating system counts it."""

import asyncio
import gc
from pathlib import Path
from resource import getpagesize

from benchmarks.calls import EchoActor
from benchmarks.servers import Echo
from benchmarks.size import Figures, Size
from supervisors import ChildSpec, DynamicSupervisor, Restart, System, start_child

__all__ = ["bare", "cancel", "ours", "pykka_actor", "resident_bytes", "specs", "start_all", "start_tasks"]


async def ours(size: Size) -> Figures:
    """Start processes under a DynamicSupervisor, each with a child spec of its own."""
    before = resident_bytes()
    children = specs(size.population)
    spec = (resident_bytes() - before) / size.population
    before = resident_bytes()
    async with System() as system:
        await start_all(system, children)
        net = (resident_bytes() - before) / size.population
    return {"resident": net + spec, "resident_net": net}


async def bare(size: Size) -> Figures:
    """Start tasks that wait for a queue each."""
    before = resident_bytes()
    tasks = await start_tasks(size.population)
    each = (resident_bytes() - before) / size.population
    await cancel(tasks)
    return {"resident": each}


def pykka_actor(size: Size) -> Figures:
    """Start ThreadingActors, as many as there may well be threads."""
    before = resident_bytes()
    actors = [EchoActor.start() for _ in range(size.threads)]
    for actor in actors:
        actor.ask(None)
    each = (resident_bytes() - before) / size.threads
    for actor in actors:
        actor.stop()
    return {"resident": each}


def resident_bytes() -> int:
    """Return the bytes of this OS process that are in memory, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * getpagesize()


def specs(count: int) -> list[ChildSpec]:
    """Return the specs of ``count`` servers."""
    return [Echo.child_spec(restart=Restart.TEMPORARY) for _ in range(count)]


async def start_all(system: System, specs: list[ChildSpec]) -> None:
    """Start children of one DynamicSupervisor."""
    supervisor = await system.start(DynamicSupervisor)
    assert supervisor is not None
    for spec in specs:
        await start_child(supervisor, spec)


async def start_tasks(count: int) -> list[asyncio.Task[None]]:
    """Start tasks that wait for a queue each, and let them come there."""

    async def serve() -> None:
        queue: asyncio.Queue[object] = asyncio.Queue()
        while True:
            await queue.get()

    tasks = [asyncio.create_task(serve()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
