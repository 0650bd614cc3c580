"""A kit to test processes: virtual time, waiting until nothing moves, looking at exits and trees.

The pytest plugin that comes with the package runs async tests on it; see `supervisors.pytest_plugin`.
Models: trio.testing's MockClock and wait_all_tasks_blocked.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Final, TypeVar

from typing_extensions import override

from supervisors.errors import SupervisorsError
from supervisors.exit_reason import ExitReason
from supervisors.names import Server, require
from supervisors.system import System
from supervisors.tree import TreeNode

__all__ = [
    "DeadlockError",
    "LeakError",
    "VirtualClockLoop",
    "assert_tree",
    "await_exit",
    "outline",
    "run",
    "wait_until",
    "wait_until_idle",
]

T = TypeVar("T")

QUIET_ROUNDS: Final = 3  # of the loop: a reply, and what its receiver does on it
TICK: Final = 1e-6  # s; past the timer, so that no rounding leaves it a hair in the future


class DeadlockError(SupervisorsError):
    """All tasks wait, and no timer, thread or socket will ever wake one."""


class LeakError(SupervisorsError):
    """A task or a timer outlived the test that made it."""


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer whenever nothing is left to do.

    An hour's sleep costs nothing, and the same seed gives the same run. Where it would wait for ever it raises
    `DeadlockError`. While a thread of the default executor works, it waits for that thread and the clock stands still.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads_at_work = 0
        super().__init__(_VirtualSelector(self))

    @override
    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now

    @override
    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Do as others, but not a hair early, as asyncio does: who set the timer anew then would do so for ever."""
        if self._now < when < self._now + TICK:
            when = self._now + TICK
        return super().call_at(when, callback, *args, context=context)

    @override
    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        self._threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    @override
    async def shutdown_default_executor(self) -> None:
        self._threads_at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._threads_at_work -= 1

    def _thread_done(self, _: object) -> None:
        self._threads_at_work -= 1

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are still to fire, soonest first."""
        return sorted(timer for timer in self._scheduled if not timer.cancelled())  # type: ignore[attr-defined]


class _VirtualSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualClockLoop) -> None:
        super().__init__()
        self._loop = loop

    @override
    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._loop._threads_at_work:
            return super().select(None)
        if timeout is None:
            raise DeadlockError("every task waits and nothing is left that could wake one")
        self._loop._now += timeout + TICK
        return ready


def run(main: Coroutine[Any, Any, T], *, virtual: bool = True) -> T:
    """Run ``main`` on a `VirtualClockLoop`, or on a real one, and look for what it left behind.

    Raises:
        DeadlockError: nothing was left that could wake a task.
        LeakError: a task, or on a virtual clock a timer, was left.
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop if virtual else None) as runner:
        result = runner.run(_checked(main))
        loop = runner.get_loop()
        if isinstance(loop, VirtualClockLoop) and loop.pending_timers():
            raise LeakError(f"timers are left: {loop.pending_timers()}")
        return result


async def _checked(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if left:
        raise LeakError(f"tasks are left: {left}")
    return result


async def wait_until_idle(system: System) -> None:
    """Wait until every process of ``system`` waits for a message and none is on its way.

    Timers do not count: a process that sleeps in a callback is not idle, one that will get a message later is.
    """
    quiet = rounds = 0
    while quiet < QUIET_ROUNDS:
        rounds += 1
        await asyncio.sleep(0 if rounds % 100 else 0.001)  # who is still busy then waits for time to pass
        quiet = 0 if any(process.is_busy for process in system.processes) else quiet + 1


async def wait_until(condition: Callable[[], object], *, timeout: float = 5.0, every: float = 0.001) -> None:
    """Wait until ``condition()`` is true, looking ``every`` so many seconds. In virtual time that costs nothing.

    Raises:
        TimeoutError: it was not within ``timeout`` seconds.
    """
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 -- what it looks at has no event
            await asyncio.sleep(every)


async def await_exit(server: Server, *, timeout: float = 5.0) -> ExitReason:
    """Wait until ``server`` has ended and return why.

    Raises:
        TimeoutError: it has not ended within ``timeout`` seconds.
        NotFoundError: nothing has that name.
    """
    ref = require(server)
    async with asyncio.timeout(timeout):
        return await ref.wait_exit()


def outline(node: TreeNode) -> dict[object, Any]:
    """Return ``{id: outline of its children}`` for the children of ``node``, None for a child that does not run."""
    return {child.id: outline(child) if child.ref is not None else None for child in node.children}


def assert_tree(system: System, expected: Mapping[object, Any]) -> None:
    """Assert that the tree of ``system`` has this `outline`, whatever the order.

    Example: ``assert_tree(system, {"sup": {"counter": {}, "stopped one": None}})``.
    """
    found = outline(system.tree())
    assert found == expected, f"the tree is {found}, not {expected}"  # noqa: S101 -- an assertion is what it is for
