"""What the handler of a call can learn of it. Erlang: none; there a handler has five seconds, and nobody tells it."""

from contextvars import ContextVar
from typing import Final

from supervisors import System

__all__ = ["handled_until", "time_left"]

handled_until: Final[ContextVar[tuple[System, float] | None]] = ContextVar("macula_actors.handled_until", default=None)
"""The deadline of the call that the current process handles, by the clock of its System."""


def time_left() -> float | None:
    """Return the seconds until the deadline of the call whose handler this runs in, 0.0 if it is over; None elsewhere.

    It holds for all that the handler calls, in tasks and threads of `asyncio.to_thread` too: what it asks others for
    can be given as ``timeout``. At the deadline the handler is cancelled where it waits, and the caller told so.
    """
    call = handled_until.get()
    if call is None:
        return None
    system, deadline = call
    return max(deadline - system.now(), 0.0)
