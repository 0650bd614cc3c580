"""Holds things until their instants, with one timer of the running loop for all of them."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

__all__ = ["DelayLine"]

T = TypeVar("T")

_RESOLUTION: Final = 1e-9  # s; a loop's timer may fire so much too early


class DelayLine(Generic[T]):
    """Gives each thing to ``arrive`` at its instant, with the time; those of one instant in the order they were put in.

    A heap of tuples is several times cheaper than a timer each: asyncio compares timers in Python.
    """

    def __init__(self, arrive: Callable[[T, float], None]) -> None:
        self._arrive = arrive
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0  # decides between equal instants
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def put(self, due: float, thing: T, loop: asyncio.AbstractEventLoop) -> None:
        """Hold ``thing`` until the instant ``due`` of ``loop``."""
        self._number += 1
        heappush(self._heap, (due, self._number, thing))
        if self._timer is None or due < self._timer_at:
            self._arm(loop)

    def clear(self) -> None:
        """Drop everything, and the timer."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._heap[0][0]
        self._timer = loop.call_at(self._timer_at, self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        now = max(loop.time(), self._timer_at)
        heap, arrive = self._heap, self._arrive
        while heap and heap[0][0] <= now + _RESOLUTION:
            arrive(heappop(heap)[2], now)
        self._timer = None
        if heap:
            self._arm(loop)
