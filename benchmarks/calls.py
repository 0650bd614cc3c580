"""Round trips: a request, and the answer that the caller waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import pykka

from benchmarks.servers import AsyncEcho, Echo, Runner
from benchmarks.size import Figures, Size
from supervisors import Ref, System

__all__ = ["bare", "ours", "pykka_actor"]

Ask = Callable[[object], Awaitable[object]]


async def ours(size: Size) -> Figures:
    """Call from one process, and from many at once, a process whose callback is plain, and one whose is async."""
    async with System() as system:
        echo = await _start(system, Echo)
        async_echo = await _start(system, AsyncEcho)
        runners = [await _start(system, Runner) for _ in range(size.callers)]

        async def rate(ask: Ask, runners: list[Ref]) -> float:
            each = size.messages // len(runners)
            started = perf_counter()
            asked = (runner.call(lambda: ask_in_a_row(ask, each), timeout=None) for runner in runners)
            await asyncio.gather(*asked)
            return each * len(runners) / (perf_counter() - started)

        return {
            "call": await rate(echo.call, runners[:1]),
            "call_many": await rate(echo.call, runners),
            "call_async": await rate(async_echo.call, runners[:1]),
        }


async def bare(size: Size) -> Figures:
    """Put a request and a future into a queue that a task reads, and wait for the future."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[object, asyncio.Future[object]]] = asyncio.Queue()

    async def serve() -> None:
        while True:
            request, future = await queue.get()
            future.set_result(request)

    async def ask(request: object) -> object:
        future: asyncio.Future[object] = loop.create_future()
        queue.put_nowait((request, future))
        return await future

    async def rate(callers: int) -> float:
        each = size.messages // callers
        started = perf_counter()
        await asyncio.gather(*(ask_in_a_row(ask, each) for _ in range(callers)))
        return each * callers / (perf_counter() - started)

    server = asyncio.create_task(serve())
    try:
        return {"call": await rate(1), "call_many": await rate(size.callers)}
    finally:
        server.cancel()


def pykka_actor(size: Size) -> Figures:
    """Ask a ThreadingActor from one thread, and from many at once, blocking."""
    actor = EchoActor.start()

    def ask_each(times: int) -> None:
        for number in range(times):
            actor.ask(number)

    def rate(callers: int) -> float:
        each = size.messages // callers
        with ThreadPoolExecutor(callers) as pool:
            started = perf_counter()
            list(pool.map(ask_each, [each] * callers))
            return each * callers / (perf_counter() - started)

    try:
        return {"call": rate(1), "call_many": rate(size.callers)}
    finally:
        actor.stop()


class EchoActor(pykka.ThreadingActor):
    """Answers with the message."""

    def on_receive(self, message: Any) -> Any:
        return message


async def ask_in_a_row(ask: Ask, times: int) -> None:
    """Ask, wait for the answer, ask again."""
    for number in range(times):
        await ask(number)


async def _start(system: System, server: type[Any]) -> Ref:
    ref = await system.start(server)
    assert ref is not None
    return ref
