"""Runs a function on one of the loops."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any

from benchmarks.quic.load import Together, gather
from benchmarks.quic.systems import Loop

__all__ = ["run_on", "together_on"]


def run_on(loop: Loop, function: Callable[[], Any]) -> Any:
    """Return what ``function`` returns: a coroutine function, but on threads."""
    match loop:
        case Loop.THREADS:
            return function()
        case Loop.TRIO:
            return import_module("trio").run(function)
        case Loop.ASYNCIO | Loop.UVLOOP:
            factory = import_module("uvloop").new_event_loop if loop is Loop.UVLOOP else None
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(function())


def together_on(loop: Loop) -> Together:
    """Return what runs workers at once on ``loop``, for `measure_load`."""
    return _in_nursery if loop is Loop.TRIO else gather


async def _in_nursery(workers: Sequence[Coroutine[Any, Any, None]]) -> None:
    async with import_module("trio").open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(_await, worker)


async def _await(worker: Coroutine[Any, Any, None]) -> None:
    await worker
