"""The processes that are measured."""

from collections.abc import Awaitable, Callable
from typing import Any

from typing_extensions import override

from supervisors import From, GenServer, Reply

__all__ = ["AsyncEcho", "Echo", "Runner"]


class Echo(GenServer):
    """Answers a call with its request; runs what it is cast."""

    @override
    def handle_call(self, request: Any, from_: From) -> Reply:
        return Reply(request)

    @override
    def handle_cast(self, request: Callable[[], None] | None) -> None:
        if request is not None:
            request()


class AsyncEcho(GenServer):
    """An `Echo` whose callback is a coroutine that does not wait."""

    @override
    async def handle_call(self, request: Any, from_: From) -> Reply:
        return Reply(request)


class Runner(GenServer):
    """Runs a coroutine function in its own process, and answers with what that returned."""

    @override
    async def handle_call(self, request: Callable[[], Awaitable[Any]], from_: From) -> Reply:
        return Reply(await request())
