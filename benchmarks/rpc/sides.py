"""One side of a system that answers requests: its server, or its client. For `Far`."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from importlib import import_module
from queue import Queue
from threading import Thread
from typing import Any, Final

from benchmarks.quic.load import Load, measure_load, measure_load_in_threads

__all__ = ["MESSAGE", "Side", "ThreadSide"]

MESSAGE: Final = bytes(range(100))


class Side:
    """A module with `benchmarks.quic.systems.Module`'s ``serve`` and ``connect``."""

    def __init__(self, module: str) -> None:
        self._module: Any = import_module(module)
        self._stack = AsyncExitStack()
        self._server: asyncio.Task[None] | None = None

    async def serve(self) -> str:
        """Start to answer, and return where."""
        announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._server = asyncio.create_task(self._module.serve(announced.set_result))
        self._server.add_done_callback(lambda _: announced.cancel())  # it has ended before it was ready
        return await announced

    async def connect(self, where: str) -> bool:
        """Connect, and return whether an answer is what it should be."""
        self._request = await self._stack.enter_async_context(self._module.connect(where))
        return bool(await self._request(MESSAGE) == MESSAGE)

    async def load(self, in_flight: int, seconds: float) -> Load:
        """Ask again and again."""
        request = self._request
        return await measure_load(lambda: request(MESSAGE), in_flight=in_flight, seconds=seconds)

    async def close(self) -> None:
        """End."""
        await self._stack.aclose()
        if self._server is not None:
            self._server.cancel()
            await asyncio.wait([self._server])


class ThreadSide:
    """The same for a library that blocks."""

    def __init__(self, module: str) -> None:
        self._module: Any = import_module(module)
        self._stack = ExitStack()

    def serve(self) -> str:
        """Start to answer, and return where."""
        announced: Queue[str] = Queue()
        Thread(target=self._module.serve, args=(announced.put,), daemon=True).start()
        return announced.get()

    def connect(self, where: str) -> bool:
        """Connect, and return whether an answer is what it should be."""
        self._request = self._stack.enter_context(self._module.connect(where))
        return bool(self._request(MESSAGE) == MESSAGE)

    def load(self, in_flight: int, seconds: float) -> Load:
        """Ask again and again."""
        request = self._request
        return measure_load_in_threads(lambda: request(MESSAGE), in_flight=in_flight, seconds=seconds)
