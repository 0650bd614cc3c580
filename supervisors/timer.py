"""Messages to be sent later.

Erlang: ``erlang:send_after/3``, ``start_timer/3``, ``cancel_timer/1``.
"""

import asyncio
from dataclasses import dataclass

from supervisors.names import Server, resolve
from supervisors.ref import Ref
from supervisors.system import System

__all__ = ["TimerFired", "TimerRef", "cancel_timer", "send_after", "start_timer"]


class TimerRef:
    """Names one timer; equal only to itself."""

    __slots__ = ("_handle", "_owner")

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None
        self._owner: Ref | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """What `start_timer` sends: which timer, and its message. Erlang: ``{timeout, Ref, Msg}``."""

    timer: TimerRef
    message: object


def send_after(delay: float, dest: Server, info: object) -> TimerRef:
    """Send ``info`` to ``dest`` in ``delay`` seconds.

    A ref that ends before takes its timer with it; a name is looked up when the time has come.

    Raises:
        ValueError: ``delay`` is negative.
        NoCurrentProcessError: ``dest`` is a name, and there is no System here to look it up in.
    """
    return _start(TimerRef(), delay, dest, info)


def start_timer(delay: float, dest: Server, message: object) -> TimerRef:
    """Send `TimerFired` with ``message`` to ``dest`` in ``delay`` seconds; otherwise as `send_after`.

    Raises:
        ValueError: ``delay`` is negative.
    """
    timer = TimerRef()
    return _start(timer, delay, dest, TimerFired(timer, message))


def cancel_timer(timer: TimerRef) -> float | None:
    """Cancel a timer; return the seconds it had left, None when it has fired or was cancelled before."""
    handle, timer._handle = timer._handle, None
    if handle is None or handle.cancelled():
        return None
    owner = None if timer._owner is None else timer._owner._process
    left = handle.when() - (owner.loop if owner else asyncio.get_running_loop()).time()
    if owner is None:
        handle.cancel()
    else:
        owner.cancel(handle)
    return max(left, 0.0)


def _start(timer: TimerRef, delay: float, dest: Server, info: object) -> TimerRef:
    if delay < 0:
        msg = f"a delay is seconds >= 0, not {delay}"
        raise ValueError(msg)
    if isinstance(dest, Ref):
        timer._owner = dest
        process = dest._process
        if process is not None:
            timer._handle = process.after(delay, _fire, timer, dest, info)
    else:
        system = System.current()
        timer._handle = system.loop.call_later(delay, _fire, timer, dest, info)
    return timer


def _fire(timer: TimerRef, dest: Server, info: object) -> None:
    timer._handle = None
    ref = resolve(dest)
    if ref is not None:
        ref.send(info)
