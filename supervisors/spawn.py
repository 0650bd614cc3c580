"""Starting and stopping a process, from another process or from outside.

Erlang: ``proc_lib:start_link``, ``supervisor:shutdown/1``.
"""

import asyncio
from typing import TYPE_CHECKING

from supervisors.child_specs import INFINITY, BrutalKill, Patience
from supervisors.errors import AlreadyRegisteredError, AlreadyStartedError
from supervisors.exit_reason import AlreadyStarted, Crashed, ExitReason, Killed, Shutdown
from supervisors.process import Process, start_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisors.names import Via
    from supervisors.ref import Ref
    from supervisors.system import System

__all__ = ["spawn", "stop_process", "stop_processes"]


async def spawn(
    process: Process,
    system: "System",
    *,
    name: "str | Via | None",
    timeout: float | None,
    parent: Process | None,
    link: bool = False,
) -> "Ref | None":
    """Start ``process`` and wait until its ``init`` is done; None when that returned `Ignore`.

    Cancelling it kills the half-started process. The end of the parent does what it does to any that is linked: who
    traps exits finishes its ``init``, then terminates.

    Raises:
        StartError: ``init`` stopped, raised, was killed or took longer than ``timeout`` seconds.
        AlreadyStartedError: ``name`` is taken; ``init`` did not run.
    """
    system.check_running()
    if name is not None:
        _register(system, name, process.ref)
    starter: asyncio.Future[Ref | None] = system.loop.create_future()
    process._starter = starter
    process.launch(system, parent)
    if link and parent is not None:
        process.link(parent)
    timer = None if timeout is None else system.loop.call_later(timeout, _give_up, process, parent, timeout)
    try:
        return await starter
    except asyncio.CancelledError:
        if parent is None or not link or parent.ending is None:  # a parent that ends says so through the link
            process.end(Killed())
        raise
    finally:
        if timer is not None:
            timer.cancel()
        del starter  # the error that came by it refers to this frame


def _register(system: "System", name: "str | Via", ref: "Ref") -> None:
    try:
        if isinstance(name, str):
            system.register(name, ref)
        else:
            name.register(ref)
    except AlreadyRegisteredError as error:
        raise AlreadyStartedError(error.ref, AlreadyStarted(error.ref)) from None  # type: ignore[arg-type]


def _give_up(process: Process, parent: Process | None, timeout: float) -> None:
    starter, process._starter = process._starter, None
    if starter is None:
        return
    if parent is not None:
        process.unlink(parent)
    process.end(Killed())
    if not starter.done():
        starter.set_exception(start_error(Crashed(TimeoutError(f"init took longer than {timeout} s"))))


async def stop_process(ref: "Ref", shutdown: Patience, reason: ExitReason = Shutdown()) -> ExitReason:  # noqa: B008 -- frozen
    """End a process as its parent, and return the reason it ended with.

    It is told ``reason`` and has ``shutdown`` seconds, or INFINITY, to comply; then, and at once with 0 or
    BRUTAL_KILL, it is killed. Linked or not: who unlinked itself is stopped all the same.
    """
    return (await stop_processes([(ref, shutdown)], reason))[0]


async def stop_processes(
    stops: "Sequence[tuple[Ref, Patience]]",
    reason: ExitReason = Shutdown(),  # noqa: B008 -- frozen
) -> list[ExitReason]:
    """End processes as `stop_process` does, all at the same time; the reasons in the order of ``stops``."""
    timers = [_order(ref, shutdown, reason) for ref, shutdown in stops]
    try:
        return [await ref.wait_exit() if ref.is_alive() else ref.exit_reason for ref, _ in stops]
    finally:
        for timer in timers:
            if timer is not None:
                timer.cancel()


def _order(ref: "Ref", shutdown: Patience, reason: ExitReason) -> asyncio.TimerHandle | None:
    process = ref._process
    if process is None:
        return None
    if isinstance(shutdown, BrutalKill):
        process.end(Killed())
        return None
    process.order_exit(reason)
    if shutdown == INFINITY or not ref.is_alive():
        return None
    if shutdown == 0 and process.ending is None:
        process.end(Killed())  # no time at all, not even the turn in which an idle process would obey
        return None
    return process.loop.call_later(shutdown, process.end, Killed())
