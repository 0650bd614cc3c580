"""The clocks that RoutingServer and its parts go by."""

from collections.abc import Callable
from typing import Final

from supervisors import System

__all__ = ["Clock"]

CORRECTION_MS: Final = 60_000


class Clock:
    """The System's clock, and the wall clock, that is not put back here by a little.

    Put back by a minute or more it was wrong before, and is followed: what is dated in the future nobody takes.

    Args:
        system: whose clock.
        wall_clock_ms: milliseconds since 1970.
    """

    def __init__(self, system: System, wall_clock_ms: Callable[[], int]) -> None:
        self._wall_clock_ms: Final = wall_clock_ms
        self._latest_ms = wall_clock_ms()
        self.now: Final = system.now

    def now_ms(self) -> int:
        """Return the milliseconds since 1970."""
        now_ms = self._wall_clock_ms()
        if not self._latest_ms - CORRECTION_MS < now_ms < self._latest_ms:
            self._latest_ms = now_ms
        return self._latest_ms
