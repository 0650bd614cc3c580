"""One timer for a process that has several things to do, each at its time. Erlang: erlang:send_after/3."""

from math import inf

from supervisors import TimerRef, cancel_timer, current, send_after

__all__ = ["Alarm"]


class Alarm:
    """Sends ``message`` to the current process at the earliest of the instants that were asked for, once."""

    def __init__(self, message: object) -> None:
        self._message = message
        self._timer: TimerRef | None = None
        self._at = inf

    def set(self, at: float, now: float) -> None:
        """Have the message sent at ``at``, or earlier if that was asked for; infinity asks for nothing."""
        if at >= self._at:
            return
        if self._timer is not None:
            cancel_timer(self._timer)
        self._at = at
        self._timer = send_after(max(at - now, 0.0), current(), self._message)

    def rang(self) -> None:
        """Note that the message has come: there is no instant to wait for any more."""
        self._timer, self._at = None, inf
