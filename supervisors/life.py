"""Runs the life of a process on an asyncio loop; the only module that makes tasks.

A life is one generator. It runs until it yields `IDLE` (no message), `LATER` (others' turn) or a coroutine, which is
then driven in a task whose outcome is sent back in. Who has plain callbacks only never has a task.
"""

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, TypeVar, cast

from supervisors.exit_reason import Crashed, ExitReason, Killed
from supervisors.reports import report_immortal

__all__ = ["IDLE", "LATER", "Life", "LifeRunner", "RunQueue", "Timeouts", "Turn"]

FEW = 64  # discarded time-outs that are not worth a look
STEPS = 256  # of processes in a row, before the loop looks at its sockets and timers again
TURNS = 64  # of askers in a row, for the same reason

T = TypeVar("T")


class _Pause:
    __slots__ = ()


IDLE: Final = _Pause()
LATER: Final = _Pause()

Life = Generator["_Pause | Coroutine[Any, Any, Any]", Any, ExitReason]


class _Exiting(BaseException):
    """Leaves the driver of a coroutine whose process has to end."""


class RunQueue:
    """The lives on one loop that can go on, first come first served. Erlang: a scheduler's run queue.

    A chain of messages, from a process to the next and so on, is done in one turn of the loop; each turn costs as much
    as several messages.
    """

    __slots__ = ("_context", "_is_running", "_ready", "_turns", "is_signalled", "loop", "timeouts")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._context = Context()  # of no process; another loop's would be entered twice
        self.timeouts = Timeouts(loop, self._context)
        self._ready: deque[LifeRunner] = deque()
        self._is_running = False  # or soon will be
        self.is_signalled = False  # a process that is in a callback, which perhaps waits for what runs now
        self._turns = 0

    def put(self, runner: "LifeRunner") -> None:
        """Let ``runner`` go on soon. On a closed loop nothing does."""
        self._ready.append(runner)
        if not self._is_running:
            self._run_soon()

    def run_at_once(self, deliver: Callable[..., None], *args: object) -> bool:
        """Deliver a message, and let what can go on because of it do so before this returns, if none is at it.

        Returns:
            Whether the caller should let the loop have a turn now.
        """
        if self._is_running:
            deliver(*args)
            return True
        self._is_running = True
        try:
            deliver(*args)
        finally:
            self._run()
        self._turns += 1
        if self._turns < TURNS:
            return False
        self._turns = 0
        return True

    def _run_soon(self) -> None:
        self._is_running = True
        try:
            self.loop.call_soon(self._run, context=self._context)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def _run(self) -> None:
        ready = self._ready
        try:
            for _ in range(STEPS):
                if not ready:
                    break
                runner = ready.popleft()
                if runner._life is not None:  # else it was ended meanwhile
                    runner._context.run(runner._step)
        finally:
            self._is_running = False
            if ready:
                self._run_soon()


class Timeouts:
    """Timers that are nearly always discarded in time: one of the loop's for all of them, while there are any.

    Of a discarded one only its instant is kept, and no more of these than of the others.
    """

    __slots__ = ("_context", "_instants", "_loop", "_serials", "_timer", "_timer_at", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._serials = count()
        self._waiting: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}
        self._instants: list[tuple[float, int]] = []  # a heap
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # or earlier than the next one: it was discarded

    def add(self, at: float, function: Callable[..., None], *args: object) -> int:
        """Call ``function`` when the loop's clock shows ``at``; return the number to discard that by."""
        serial = next(self._serials)
        self._waiting[serial] = (function, args)
        heappush(self._instants, (at, serial))
        if self._timer is None or at < self._timer_at:
            self._arm(at)
        return serial

    def discard(self, serial: int) -> None:
        """Call nothing for what was added as ``serial``, if it was not called already."""
        waiting, instants = self._waiting, self._instants
        waiting.pop(serial, None)
        if not waiting:
            instants.clear()
            self._disarm()
        elif len(instants) > 2 * len(waiting) + FEW:
            instants[:] = [entry for entry in instants if entry[1] in waiting]
            heapify(instants)

    def _arm(self, at: float) -> None:
        self._disarm()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._ring, context=self._context)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = max(self._loop.time(), self._timer_at)  # loops ring a little early
        instants, waiting = self._instants, self._waiting
        while instants and (instants[0][0] <= now or instants[0][1] not in waiting):
            function, args = waiting.pop(heappop(instants)[1], (None, ()))
            if function is not None:
                function(*args)
        if instants and self._timer is None:
            self._arm(instants[0][0])


class Turn:
    """A context: the lives that can go on because of what happens inside do so at its end, not in a later turn."""

    __slots__ = ("_queue", "_was_running")

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._was_running = False

    def __enter__(self) -> None:
        self._was_running = self._queue._is_running
        self._queue._is_running = True

    def __exit__(self, *_: object) -> None:
        if not self._was_running:  # else they have their turn already
            self._queue._run()


class LifeRunner:
    """Runs one life on an event loop. Subclasses say what happens in it (`_live`) and after it (`_ended`)."""

    __slots__ = ("_awaiting", "_context", "_exit", "_life", "_run_queue", "_task", "_waiting")

    _context: Context
    _run_queue: RunQueue
    _life: Life | None  # None before the start and after the end
    _waiting: bool  # the life is at IDLE: a message has to wake it
    _task: "asyncio.Task[None] | None"  # drives the coroutine that the life waits in
    _awaiting: bool  # that coroutine is at a suspension point
    _exit: ExitReason  # told to end with this reason; None otherwise

    def _live(self) -> Life:
        """Return the life: ends by returning its exit reason, looks at ``_exit`` after each callback."""
        raise NotImplementedError

    def _ended(self, reason: ExitReason) -> None:
        """Tell the world that the life is over. Runs once, and no callback runs after it."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._life = self._live()
        self._run_queue.put(self)

    def _wake(self) -> None:
        """Let the life go on, because there is a message. Only while it waits."""
        self._waiting = False
        self._run_queue.put(self)

    def _end_with(self, reason: ExitReason) -> None:
        """End the life for ``reason`` without its consent.

        At once where it waits; where a callback runs, when that returns or, being a coroutine, at its next
        suspension point.
        """
        life = self._life
        if life is None:
            return
        if life.gi_running:  # type: ignore[attr-defined]
            self._exit = reason
        elif self._task is not None:
            self._exit = reason
            if self._awaiting:
                self._task.cancel()
        else:
            self._finish(reason)

    @property
    def _in_callback(self) -> bool:
        """Whether a callback is on the stack right now."""
        life = self._life
        return life is not None and (
            life.gi_running  # type: ignore[attr-defined]
            or (self._task is not None and asyncio.current_task(self._run_queue.loop) is self._task)
        )

    def _step(self) -> None:
        life = self._life
        if life is None:
            return
        try:
            wanted = life.send(None)
        except StopIteration as stop:
            self._finish(stop.value)
        except asyncio.CancelledError:
            self._finish(Killed())
        except BaseException as error:
            self._finish(Crashed(error))
            raise
        else:
            if wanted is IDLE:
                self._waiting = True
            elif wanted is LATER:
                self._run_queue.put(self)
            else:
                coro = cast("Coroutine[Any, Any, Any]", wanted)
                drive = self._drive(coro)
                drive.send(None)  # into it, for a task cancelled before its first step never is
                self._task = self._run_queue.loop.create_task(drive, context=self._context)

    def _finish(self, reason: ExitReason) -> None:
        life, self._life = self._life, None
        self._task = None
        if life is not None:
            life.close()
            self._ended(reason)

    async def _drive(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run the life in this task, from inside ``coro`` until it waits for a message."""
        life = cast("Life", self._life)
        wanted: _Pause | Coroutine[Any, Any, Any] = coro
        try:
            await asyncio.sleep(0)  # `_step` goes on from here, to make the task
            while wanted is not IDLE:
                if wanted is LATER:
                    wanted = asyncio.sleep(0)
                try:
                    result = await self._steps(cast("Coroutine[Any, Any, Any]", wanted))
                except Exception as error:
                    wanted = life.throw(error)
                else:
                    wanted = life.send(result)
        except StopIteration as stop:
            self._finish(stop.value)
        except _Exiting:
            self._finish(self._exit)
        except asyncio.CancelledError:  # from outside: the loop is closing, as a rule
            coro.close()
            self._finish(Killed())
        except BaseException as error:
            self._finish(Crashed(error))
            raise
        else:
            self._task = None
            self._waiting = True

    @types.coroutine
    def _steps(self, coro: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
        """Await ``coro``, unless the process has to end: then it is thrown out of its suspension point."""
        error: BaseException | None = None
        future = None
        while True:
            if self._exit is not None:
                error = None
                self._throw_out(coro, future)
                raise _Exiting
            try:
                future = coro.send(None) if error is None else coro.throw(error)
            except StopIteration as stop:
                return cast("T", stop.value)
            finally:
                error = None  # its traceback refers to this frame
            if self._exit is not None:
                continue
            self._awaiting = True
            try:
                if future is None or future.__class__ is asyncio.Future:
                    yield future
                else:
                    yield from _wait_beside(future, self)
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as thrown:
                error = thrown
            finally:
                self._awaiting = False

    def _throw_out(self, coro: Coroutine[Any, Any, Any], future: "asyncio.Future[Any] | None") -> None:
        """End ``coro`` now, and what it waits for. It may clean up, but no longer wait: then it is closed."""
        _abandon(future)
        try:
            future = coro.throw(asyncio.CancelledError())
        except BaseException:
            return
        _abandon(future)
        try:
            coro.close()
        except RuntimeError:
            report_immortal(self)


def _abandon(future: "asyncio.Future[Any] | None") -> None:
    """Cancel ``future``; nobody wants to know what comes of that."""
    if future is not None:
        future.cancel()
        future.add_done_callback(lambda future: future.cancelled() or future.exception())


def _wait_beside(future: "asyncio.Future[Any]", runner: LifeRunner) -> Generator[Any, None, None]:
    """Wait until ``future`` (a task, a gather) is done, or ``runner`` must end, even if cancelling it takes long."""
    loop = future.get_loop()
    future._asyncio_future_blocking = False
    while not future.done():
        waiter = loop.create_future()

        def wake(_: object, waiter: "asyncio.Future[None]" = waiter) -> None:
            if not waiter.done():
                waiter.set_result(None)

        future.add_done_callback(wake)
        try:
            yield from waiter
        except asyncio.CancelledError:
            future.cancel()
            if runner._exit is not None:
                future.remove_done_callback(wake)
                raise
