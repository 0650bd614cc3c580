"""Messages that nobody waits for: from the first sent to the last handled."""

import asyncio
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pykka

from benchmarks.servers import Echo
from benchmarks.size import Figures, Size
from supervisors import System

__all__ = ["bare", "ours", "pykka_actor"]


async def ours(size: Size) -> Figures:
    """Cast to one process."""
    async with System() as system:
        echo = await system.start(Echo)
        assert echo is not None
        done = asyncio.Event()
        started = perf_counter()
        for _ in range(size.messages):
            echo.cast(None)
        echo.cast(done.set)
        await done.wait()
        return {"cast": size.messages / (perf_counter() - started)}


async def bare(size: Size) -> Figures:
    """Put into a queue that a task reads."""
    queue: asyncio.Queue[Callable[[], None] | None] = asyncio.Queue()

    async def serve() -> None:
        while True:
            request = await queue.get()
            if request is not None:
                request()

    server = asyncio.create_task(serve())
    done = asyncio.Event()
    started = perf_counter()
    for _ in range(size.messages):
        queue.put_nowait(None)
    queue.put_nowait(done.set)
    await done.wait()
    rate = size.messages / (perf_counter() - started)
    server.cancel()
    return {"cast": rate}


def pykka_actor(size: Size) -> Figures:
    """Tell a ThreadingActor."""
    actor = DoActor.start()
    done = threading.Event()
    started = perf_counter()
    for _ in range(size.messages):
        actor.tell(None)
    actor.tell(done.set)
    done.wait()
    rate = size.messages / (perf_counter() - started)
    actor.stop()
    return {"cast": rate}


class DoActor(pykka.ThreadingActor):
    """Runs the message."""

    def on_receive(self, message: Any) -> None:
        if message is not None:
            message()
