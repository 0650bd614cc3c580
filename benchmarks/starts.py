"""Starting a process until it is ready, and stopping it until it has ended; one at a time."""

import asyncio
from time import perf_counter

from benchmarks.calls import EchoActor
from benchmarks.servers import Echo
from benchmarks.size import Figures, Size
from supervisors import System, stop

__all__ = ["MICROSECONDS", "bare", "ours", "pykka_actor"]

MICROSECONDS = 1e6  # in a second


async def ours(size: Size) -> Figures:
    """Start a process and wait for its ``init``; the same, and stop it and wait for its ``terminate``."""
    async with System() as system:
        started = perf_counter()
        for _ in range(size.starts):
            await system.start(Echo)
        start = perf_counter() - started
    async with System() as system:
        started = perf_counter()
        for _ in range(size.starts):
            ref = await system.start(Echo)
            assert ref is not None
            await stop(ref)
        start_stop = perf_counter() - started
    return _figures(start, start_stop, size.starts)


async def bare(size: Size) -> Figures:
    """Start a task that reads a queue and wait until it does; the same, and cancel it and wait for its end."""

    async def serve(ready: asyncio.Event) -> None:
        queue: asyncio.Queue[object] = asyncio.Queue()
        ready.set()
        while True:
            await queue.get()

    async def start() -> asyncio.Task[None]:
        ready = asyncio.Event()
        task = asyncio.create_task(serve(ready))
        await ready.wait()
        return task

    started = perf_counter()
    tasks = [await start() for _ in range(size.starts)]
    starting = perf_counter() - started
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    started = perf_counter()
    for _ in range(size.starts):
        task = await start()
        task.cancel()
        await asyncio.wait([task])
    return _figures(starting, perf_counter() - started, size.starts)


def pykka_actor(size: Size) -> Figures:
    """Start a ThreadingActor, which does not wait; the same, and stop it and wait for its end."""
    started = perf_counter()
    actors = [EchoActor.start() for _ in range(size.threads)]
    starting = perf_counter() - started
    for actor in actors:
        actor.stop()
    started = perf_counter()
    for _ in range(size.threads):
        EchoActor.start().stop()
    return _figures(starting, perf_counter() - started, size.threads)


def _figures(start: float, start_stop: float, count: int) -> Figures:
    return {"start": start / count * MICROSECONDS, "start_stop": start_stop / count * MICROSECONDS}
