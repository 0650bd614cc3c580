"""An object in an OS process of its own, whose methods are asked over a pipe."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from time import process_time
from typing import Any, Final, Self

from benchmarks.quic.run_on import run_on
from benchmarks.quic.systems import Loop

__all__ = ["Far"]

GRACE: Final = 5.0  # seconds that a process has to end
STOP: Final = "stop"
CPU: Final = "cpu"


class Far:
    """What ``make`` returns in another process, on ``loop``. Its methods are coroutine functions, but on threads.

    ``async with`` is not needed, for who asks has nothing else to do. The process ends with this one.
    """

    def __init__(self, make: Callable[[], object], loop: Loop = Loop.ASYNCIO) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, there = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(there, make, loop))
        self._process.start()
        there.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._pipe.send((STOP,))
        self._process.join(GRACE)
        self._process.kill()  # nothing, where it has ended

    def ask(self, method: str, *arguments: object) -> Any:
        """Return what the method returns, or raise what it raises."""
        self.begin(method, *arguments)
        return self.end()

    def begin(self, method: str, *arguments: object) -> None:
        """Ask, and do not wait: `end` has the answer."""
        self._pipe.send((method, *arguments))

    def end(self) -> Any:
        """Return the answer to `begin`."""
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def cpu(self) -> float:
        """Return the seconds of CPU time that the process has taken."""
        return float(self.ask(CPU))


def _serve(pipe: Connection, make: Callable[[], object], loop: Loop) -> None:
    serve = _serve_in_threads if loop is Loop.THREADS else _serve_on_loop
    try:
        run_on(loop, partial(serve, pipe, make))
    except EOFError:
        os._exit(0)  # who has started this is gone


async def _serve_on_loop(pipe: Connection, make: Callable[[], object]) -> None:
    subject = make()
    while (request := await asyncio.to_thread(pipe.recv))[0] != STOP:
        try:
            answer = process_time() if request[0] == CPU else await getattr(subject, request[0])(*request[1:])
        except Exception as error:
            answer = _sendable(error)
        pipe.send(answer)
    with suppress(Exception):
        await asyncio.wait_for(subject.close(), GRACE / 2)  # type: ignore[attr-defined]


def _serve_in_threads(pipe: Connection, make: Callable[[], object]) -> None:
    subject = make()
    while (request := pipe.recv())[0] != STOP:
        try:
            answer = process_time() if request[0] == CPU else getattr(subject, request[0])(*request[1:])
        except Exception as error:
            answer = _sendable(error)
        pipe.send(answer)
    os._exit(0)  # whatever the libraries' threads do


def _sendable(error: Exception) -> RuntimeError:
    return RuntimeError(f"{type(error).__name__}: {error}")  # not all of ours can be pickled
