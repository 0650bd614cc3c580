"""The verbs: what code does to a process, from another process or from outside.

Erlang: gen, gen_server's client functions, and the process functions of ``erlang``.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from supervisors.errors import CallTimeoutError, ServerDownError
from supervisors.exit_reason import ExitReason, NoProcess, Normal, to_exit_reason
from supervisors.messages import Exit, From, MonitorRef, Stop
from supervisors.names import Server, require, resolve
from supervisors.process import Process, current_process
from supervisors.ref import DEFAULT_TIMEOUT, Ref
from supervisors.server_process import SystemMessage
from supervisors.system import System

__all__ = [
    "abcast",
    "ancestors",
    "call",
    "cast",
    "demonitor",
    "exit_signal",
    "forward",
    "link",
    "monitor",
    "multi_call",
    "reply",
    "send",
    "stop",
    "system_call",
    "unlink",
]


def call(server: Server, request: object, timeout: float | None = DEFAULT_TIMEOUT) -> Coroutine[Any, Any, Any]:
    """Ask ``server`` for an answer to ``request``; ``timeout`` in seconds, None for ever. As `Ref.call`.

    Raises:
        CallTimeoutError: no answer in time; a late one is dropped.
        ServerDownError: there is no such process, or it ended before it answered.
        CallingSelfError: a process called itself.
        OverloadedError: the mailbox is full.
    """
    ref = resolve(server)
    return _nobody(server, request) if ref is None else ref.call(request, timeout=timeout)


def cast(server: Server, request: object) -> None:
    """Send ``request`` to ``server``'s ``handle_cast``. Never fails, whether there is such a process or not."""
    ref = resolve(server)
    if ref is not None:
        ref.cast(request)


def send(dest: Server, info: object) -> None:
    """Send ``info`` to ``handle_info`` of ``dest``. A dead process drops it. Erlang: ``Dest ! Info``.

    Raises:
        NotFoundError: nothing is registered as ``dest``, in the current System.
    """
    ref = require(dest) if isinstance(dest, str) else resolve(dest)
    if ref is not None:
        ref.send(info)


def reply(from_: From, value: object) -> None:
    """Answer a call whose ``handle_call`` returned `NoReply`. From any process or thread; a second answer is lost."""
    from_.reply(value)


def forward(from_: From, server: Ref, request: object) -> None:
    """Pass a call on: ``server`` gets it as ``handle_call(request, from_)`` and answers, or fails it by ending.

    For ``handle_call``, which then returns `NoReply`. Both servers belong to the same System.
    """
    from_.pass_on(server, request)


async def stop(server: Server, reason: ExitReason = Normal(), timeout: float | None = None) -> None:  # noqa: B008
    """Stop ``server`` after the messages it has: ``terminate(reason)`` runs, whether it traps exits or not.

    Raises:
        ServerDownError: there is no such process, or it ended with another reason.
        CallTimeoutError: it has not ended within ``timeout`` seconds; it still will.
        CallingSelfError: a process stops itself; return `Stop` instead.
    """
    ref = resolve(server)
    process = None if ref is None else ref._process
    if ref is None or process is None:
        raise ServerDownError(NoProcess(), server)
    order = Stop(reason)
    try:
        async with asyncio.timeout(timeout):
            try:
                await system_call(ref, lambda _: order, None)
            except ServerDownError as error:
                if error.reason != order.reason:
                    raise
            ended = await ref.wait_exit()
    except TimeoutError:
        raise CallTimeoutError(ref, order, timeout or 0.0) from None
    if ended != order.reason:
        raise ServerDownError(ended, ref)


async def system_call(server: Server, function: Any, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
    """Have ``server`` run ``function(process)`` between two messages, suspended or not, and return its value.

    Raises:
        ServerDownError: there is no such process, or it ended before.
        CallTimeoutError: it was busy for ``timeout`` seconds.
        CallingSelfError: a process asks itself.
    """
    ref = resolve(server)
    if ref is None:
        raise ServerDownError(NoProcess(), server)
    return await ref._ask(function, timeout, SystemMessage)


def exit_signal(ref: Ref, reason: ExitReason) -> None:
    """Send an exit signal, from the current process or from outside. Nothing happens to a dead one.

    `Kill` ends it whatever it does. Otherwise who traps exits gets an `Exit`; who does not, ends, but for `Normal`
    from somebody else. Erlang: ``exit/2``.

    Raises:
        TypeError: ``reason`` is None or a class; a reason is a value, such as ``Kill()``.
    """
    reason = to_exit_reason(reason)
    process = ref._process
    if process is not None:
        caller = Process.caller()
        process.signal(None if caller is None else caller.ref, reason)


def link(ref: Ref) -> None:
    """Link the current process to ``ref``: when one ends the other gets an exit signal.

    A dead ``ref`` sends its signal at once, with `NoProcess`.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    process = current_process("link()")
    other = ref._process
    if other is not None:
        process.link(other)
    elif process.trap_exit:
        process.deliver(Exit(ref, NoProcess()))
    else:
        process.end(NoProcess())


def unlink(ref: Ref) -> None:
    """Undo `link`. An `Exit` that is in the mailbox already stays there.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    process = current_process("unlink()")
    other = ref._process
    if other is not None:
        process.unlink(other)


def monitor(server: Server, tag: object = None) -> MonitorRef:
    """Have a `Down` sent to the current process when ``server`` ends; at once, with `NoProcess`, if it has.

    ``tag``, if given, is found as ``down.monitor.tag``. A name stands for the process that has it now.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    process = current_process("monitor()")
    ref = resolve(server)
    mref = MonitorRef(server, tag)  # type: ignore[arg-type]
    process.watch(mref, None if ref is None else ref._process)
    return mref


def demonitor(mref: MonitorRef, *, flush: bool = False) -> bool:
    """Undo `monitor`; ``flush`` also takes a `Down` that came already out of the mailbox. False if it had fired.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    return current_process("demonitor()").unwatch(mref, flush=flush)


def ancestors() -> list[Ref]:
    """Return who started the current process, who started that, and so on. Erlang: ``$ancestors``.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    found = []
    ref = current_process("ancestors()").ref.parent
    while ref is not None:
        found.append(ref)
        ref = ref.parent
    return found


async def multi_call(
    systems: Iterable[System],
    name: str,
    request: object,
    timeout: float | None = None,
) -> tuple[list[tuple[System, Any]], list[System]]:
    """Call the process registered as ``name`` in each System, all at once.

    Returns:
        ``(replies, bad)``: the Systems that answered, with the answers, and those that did not.
    """
    systems = list(systems)
    calls = (call((name, system), request, timeout) for system in systems)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    replies = [(s, a) for s, a in zip(systems, answers, strict=True) if not isinstance(a, BaseException)]
    return replies, [s for s, a in zip(systems, answers, strict=True) if isinstance(a, BaseException)]


def abcast(systems: Iterable[System], name: str, request: object) -> None:
    """Cast ``request`` to the process registered as ``name`` in each System. Never fails."""
    for system in systems:
        cast((name, system), request)


async def _nobody(server: Server, request: object) -> None:
    raise ServerDownError(NoProcess(), server, request)
