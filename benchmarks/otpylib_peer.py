"""The same, done with otpylib, where it can be.

Its child that is killed is not restarted (the supervisor expects another shape of ``DOWN``), so restarts are measured
after a crash; nothing tells when its supervisor has shut its children down, and it has no orderly stop of a server.
"""
# otpylib has no types, and is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found, call-arg, metaclass"

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeVar

from otpylib import gen_server, process, supervisor
from otpylib.module import GEN_SERVER, SUPERVISOR, OTPModule
from otpylib.runtime.backends.asyncio_backend.backend import AsyncIOBackend

from benchmarks.calls import ask_in_a_row
from benchmarks.memory import resident_bytes
from benchmarks.restarts import HOUR, Starts, latencies
from benchmarks.size import Figures, Size
from benchmarks.starts import MICROSECONDS
from benchmarks.traced_memory import traced_bytes

__all__ = ["calls", "casts", "memory", "restarts", "starts", "traced_memory"]

T = TypeVar("T")

NAME = "echo"  # a server is called by name: by pid it is not found


class Echo(metaclass=OTPModule, behavior=GEN_SERVER, version="1.0.0"):
    """Answers a call with its request; runs what it is cast; tells ``starts``, if given, that it runs."""

    async def init(self, starts: Starts | None) -> None:
        if starts is not None:
            starts.started(None)

    async def handle_call(self, request: Any, from_: Any, state: Any) -> tuple[Any, Any]:
        return gen_server.Reply(request), state

    async def handle_cast(self, request: Callable[[], None] | None, state: Any) -> tuple[Any, Any]:
        if request is not None:
            request()
        return gen_server.NoReply(), state

    async def handle_info(self, info: Any, state: Any) -> tuple[Any, Any]:
        return gen_server.NoReply(), state

    async def terminate(self, reason: Any, state: Any) -> None:
        pass


class OneForOne(metaclass=OTPModule, behavior=SUPERVISOR, version="1.0.0"):
    """Supervises one `Echo`."""

    async def init(self, arguments: tuple[Starts, int]) -> tuple[list[Any], Any]:
        starts, intensity = arguments
        child = supervisor.child_spec(id=NAME, module=Echo, args=starts, restart=supervisor.PERMANENT, name=NAME)
        return [child], supervisor.options(max_restarts=intensity, max_seconds=int(HOUR))

    async def terminate(self, reason: Any, state: Any) -> None:
        pass


async def calls(size: Size) -> Figures:
    """Call from one process, and from many at once. Its callbacks are all async."""

    async def measure() -> Figures:
        await gen_server.start(Echo, name=NAME)
        one = await _calls_per_second(1, size.messages)
        return {"call": one, "call_async": one, "call_many": await _calls_per_second(size.callers, size.messages)}

    return await _in_process(measure)


async def casts(size: Size) -> Figures:
    """Cast to one process."""

    async def measure() -> Figures:
        await gen_server.start(Echo, name=NAME)
        done = asyncio.Event()
        started = perf_counter()
        for _ in range(size.messages):
            await gen_server.cast(NAME, None)
        await gen_server.cast(NAME, done.set)
        await done.wait()
        return {"cast": size.messages / (perf_counter() - started)}

    return await _in_process(measure)


async def starts(size: Size) -> Figures:
    """Start a process and wait for its ``init``."""

    async def measure() -> Figures:
        started = perf_counter()
        for _ in range(size.starts):
            await gen_server.start(Echo)
        return {"start": (perf_counter() - started) / size.starts * MICROSECONDS}

    return await _in_process(measure)


async def restarts(size: Size) -> Figures:
    """Crash a supervised process, again and again."""

    async def measure() -> Figures:
        starts = Starts()
        await supervisor.start_link(OneForOne, (starts, size.restarts))
        stamped = []
        for _ in range(size.restarts):
            starts.expect(1)
            ended = perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):  # it prints each crash
                await gen_server.cast(NAME, _crash)
                await starts.wait()
                stamped.append(starts.at - ended)
                await asyncio.sleep(0.001)  # till its supervisor monitors the new one
        return latencies("crash_init", stamped)

    return await _in_process(measure)


async def memory(size: Size) -> Figures:
    """Start idle processes, bare: its DynamicSupervisor needs 0.1 ms a child."""
    return {"resident": await _memory(size.otpylib_population, resident_bytes)}


async def traced_memory(size: Size) -> Figures:
    """Do the same as Python counts it."""
    return {"traced": await _memory(size.otpylib_population, traced_bytes)}


async def _memory(count: int, used: Callable[[], int]) -> float:
    async def measure() -> float:
        before = used()
        for _ in range(count):
            await gen_server.start(Echo)
        return (used() - before) / count

    return await _in_process(measure)


async def _calls_per_second(callers: int, messages: int) -> float:
    each = messages // callers
    left = callers
    done = asyncio.Event()

    async def caller() -> None:
        nonlocal left
        await ask_in_a_row(lambda request: gen_server.call(NAME, request), each)
        left -= 1
        if not left:
            done.set()

    started = perf_counter()
    for _ in range(callers):
        await process.spawn(caller)
    await done.wait()
    return each * callers / (perf_counter() - started)


async def _in_process(measure: Callable[[], Awaitable[T]]) -> T:
    """Return what ``measure`` returns, run in an otpylib process."""
    measured: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            measured.set_result(await measure())
        except BaseException as error:
            measured.set_exception(error)
            raise

    backend = AsyncIOBackend()
    await backend.initialize()
    process.use_runtime(backend)
    await process.spawn(body)
    try:
        return await measured
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await backend.shutdown()


def _crash() -> None:
    raise RuntimeError
