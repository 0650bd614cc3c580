"""The clocks that RoutingServer and its parts go by."""

from collections.abc import Callable
from typing import Final

from supervisors import System

__all__ = ["Clock"]


class Clock:
    """The System's clock, and the wall clock, that never runs backwards here.

    Args:
        system: whose clock.
        wall_clock_ms: milliseconds since 1970.
    """

    def __init__(self, system: System, wall_clock_ms: Callable[[], int]) -> None:
        self._wall_clock_ms: Final = wall_clock_ms
        self._latest_ms = wall_clock_ms()
        self.now: Final = system.now

    def now_ms(self) -> int:
        """Return the milliseconds since 1970, never fewer than before."""
        self._latest_ms = max(self._latest_ms, self._wall_clock_ms())
        return self._latest_ms
