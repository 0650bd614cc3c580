"""Pykka's actor on an asyncio loop: the hooks that Pykka has for other runtimes.

The only module that imports Pykka, and the only one that creates tasks. An actor's whole life is one generator,
`LoopActor._live`: it runs until it yields `IDLE` (no message), `LATER` (others' turn) or a coroutine, which is
then driven in a task whose outcome is sent back in. An actor whose callbacks are plain functions has no task.
"""

import asyncio
import concurrent.futures
import sys
import types
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any, Final, Protocol, TypeVar, cast

import pykka
from pykka import ActorDeadError, ActorRef, ActorRegistry, ThreadingActor
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop
from typing_extensions import override

from supervisors.errors import BlockingCallError
from supervisors.exit_reason import Crashed, ExitReason, Killed, Normal
from supervisors.reports import report_immortal

__all__ = [
    "IDLE",
    "LATER",
    "ActorDeadError",
    "ActorFuture",
    "ActorRef",
    "ActorRegistry",
    "Envelope",
    "Life",
    "LoopActor",
    "ThreadWatcher",
    "ThreadingActor",
    "WatchedThread",
    "check_may_block",
    "is_proxy_message",
    "is_stop_message",
    "stop_request",
    "watched",
]

T = TypeVar("T")


class _Pause:
    __slots__ = ()


IDLE: Final = _Pause()
LATER: Final = _Pause()

Life = Generator["_Pause | Coroutine[Any, Any, Any]", Any, ExitReason]


class _Exiting(BaseException):
    """Leaves the driver of a coroutine whose process has to end."""


class LoopActor(pykka.Actor):
    """A Pykka actor that lives on an event loop, as a generator.

    Subclasses say what happens in it (`_live`) and after it (`_ended`).
    """

    __slots__ = ("_awaiting", "_context", "_exit", "_life", "_loop", "_task", "_waiting")

    _context: Context
    _loop: asyncio.AbstractEventLoop
    _life: Life | None  # None before the start and after the end
    _waiting: bool  # the life is at IDLE: a message has to wake it
    _task: "asyncio.Task[None] | None"  # drives the coroutine that the life waits in
    _awaiting: bool  # that coroutine is at a suspension point
    _exit: ExitReason  # told to end with this reason; None otherwise

    @abstractmethod
    def _live(self) -> Life:
        """Return the life: ends by returning its exit reason, looks at ``_exit`` after each callback."""

    @abstractmethod
    def _ended(self, reason: ExitReason) -> None:
        """Tell the world that the life is over. Runs once, and no callback of the actor runs after it."""

    @staticmethod
    @override
    def _create_future() -> "ActorFuture[Any]":
        return ActorFuture()

    def _begin(self) -> None:
        self._life = self._live()
        self._loop.call_soon(self._step, context=self._context)

    def _wake(self) -> None:
        """Let the life go on, because there is a message. Only while it waits."""
        self._waiting = False
        self._loop.call_soon(self._step, context=self._context)

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
        return life is not None and (life.gi_running or (self._task is not None and not self._awaiting))  # type: ignore[attr-defined]

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
                self._loop.call_soon(self._step, context=self._context)
            else:
                coro = cast("Coroutine[Any, Any, Any]", wanted)
                drive = self._drive(coro)
                drive.send(None)  # into it, for a task cancelled before its first step never is
                self._task = self._loop.create_task(drive, context=self._context)

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


def _wait_beside(future: "asyncio.Future[Any]", actor: LoopActor) -> Generator[Any, None, None]:
    """Wait until ``future`` (a task, a gather) is done, or ``actor`` must end, even if cancelling it takes long."""
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
            if actor._exit is not None:
                future.remove_done_callback(wake)
                raise


class ActorFuture(pykka.Future[T]):
    """What ``ask(block=False)`` returns: await it on a loop, `get` it in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.promise: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._sources: tuple[pykka.Future[Any], ...] = ()

    @override
    def get(self, *, timeout: float | None = None) -> T:
        """Return the value; wait up to ``timeout`` seconds for it.

        Raises:
            BlockingCallError: called on a running loop before the value is there: await the future instead.
            pykka.Timeout: the time-out passed.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self.promise.done():
            check_may_block()
        try:
            return cast("T", self.promise.result(timeout))
        except TimeoutError as error:
            if self.promise.done():
                raise
            raise pykka.Timeout(f"{timeout} seconds") from error

    @override
    def set(self, value: T | None = None) -> None:
        self.promise.set_result(value)

    @override
    def set_exception(self, exc_info: Any = None) -> None:
        error = (exc_info or sys.exc_info())[1]
        self.promise.set_exception(error)

    @override
    def filter(self, func: Any) -> Any:
        return self._after(super().filter(func), self)  # type: ignore[misc]

    @override
    def join(self, *futures: pykka.Future[Any]) -> Any:
        return self._after(super().join(*futures), self, *futures)

    @override
    def map(self, func: Callable[[T], Any]) -> Any:
        return self._after(super().map(func), self)

    @override
    def reduce(self, func: Any, *args: Any) -> Any:
        return self._after(super().reduce(func, *args), self)  # type: ignore[misc]

    @override
    def __await__(self) -> Generator[Any, None, T]:
        yield from self._settled().__await__()
        return self.get()

    __iter__ = __await__

    async def _settled(self) -> None:
        """Wait until `get` does not block."""
        if self._get_hook is None:
            settled = asyncio.wrap_future(self.promise)
            settled.add_done_callback(asyncio.Future.exception)  # looked at: it is `get` that raises it
            await asyncio.wait([settled])
        for source in self._sources:
            if isinstance(source, ActorFuture):
                await source._settled()
            else:
                await asyncio.to_thread(source.get)

    @staticmethod
    def _after(future: Any, *sources: pykka.Future[Any]) -> Any:
        future._sources = sources
        return future

    def stopped(self) -> "ActorFuture[bool]":
        """Return whether the actor asked to stop with this was alive."""

        def was_alive(timeout: float | None) -> bool:
            try:
                self.get(timeout=timeout)
            except ActorDeadError:
                return False
            return True

        future: ActorFuture[bool] = ActorFuture()
        future.set_get_hook(was_alive)
        return cast("ActorFuture[bool]", self._after(future, self))


def check_may_block() -> None:
    """Check that the caller may block its thread.

    Raises:
        BlockingCallError: a loop runs in it.
    """
    if asyncio._get_running_loop() is not None:
        msg = "waiting here blocks the loop that has to answer: await a future, or block in another thread"
        raise BlockingCallError(msg)


def stop_request(ref: ActorRef[Any]) -> "ActorFuture[None]":
    """Ask the actor to stop as Pykka's ``stop`` does; done when it has."""
    return cast("ActorFuture[None]", ref.ask(_ActorStop(), block=False))


def is_stop_message(envelope: Envelope[Any]) -> bool:
    """Tell whether Pykka's ``stop`` sent this."""
    return isinstance(envelope.message, _ActorStop)


def is_proxy_message(envelope: Envelope[Any]) -> bool:
    """Tell whether a Pykka proxy sent this."""
    return isinstance(envelope.message, ProxyCall | ProxyGetAttr | ProxySetAttr)


class ThreadWatcher(Protocol):
    """Is told, on its loop, how a thread fares."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the other methods are called on."""

    def thread_started(self) -> None:
        """Act on the end of ``on_start``."""

    def thread_ended(self, reason: ExitReason) -> None:
        """Act on the end of the thread; `Crashed` with what it did not survive."""


class WatchedThread(ThreadingActor):
    """A Pykka actor in a thread whose watcher is told of its start and its end; see `watched`."""

    use_daemon_thread = True  # one that is abandoned must not keep the program from ending

    _watcher: ThreadWatcher
    _reason: ExitReason = Normal()
    _abandoned = False

    @classmethod
    def start_watched(cls, watcher: ThreadWatcher, *args: Any, **kwargs: Any) -> "WatchedThread":
        """Do what Pykka's ``start`` does, and tell ``watcher``."""
        actor = cls(*args, **kwargs)
        actor._watcher = watcher
        ActorRegistry.register(actor.actor_ref)
        actor._start_actor_loop()
        return actor

    def tell_watcher(self, function: Callable[..., None], *args: object) -> None:
        """Call ``function`` on the watcher's loop, if there still is one. In any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._watcher.loop.call_soon_threadsafe(function, *args)

    def abandon(self) -> None:
        """Have the thread end once it is done with the message it is at, without ``on_stop``; nobody waits for it."""
        self._abandoned = True
        ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        self.actor_inbox.put(Envelope(None))  # wakes a thread that waits for a message

    @staticmethod
    @override
    def _create_future() -> ActorFuture[Any]:
        return ActorFuture()

    @override
    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except BaseException:  # a SystemExit in on_start, say: Pykka lets it pass
            self._handle_failure(*sys.exc_info())
        finally:
            self.tell_watcher(self._watcher.thread_ended, self._reason)

    @override
    def _actor_loop_setup(self) -> None:
        super()._actor_loop_setup()
        if not self.actor_stopped.is_set():
            self.tell_watcher(self._watcher.thread_started)

    @override
    def _handle_receive(self, message: Any) -> Any:
        if self._abandoned:
            return None
        try:
            return super()._handle_receive(message)
        except BaseException as error:
            if not isinstance(error, Exception):  # Pykka stops all actors for it
                self._reason = Crashed(error)
            raise

    @override
    def _handle_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._reason = Crashed(exception_value)
        super()._handle_failure(exception_type, exception_value, traceback)


def watched(cls: type[ThreadingActor]) -> type[WatchedThread]:
    """Return a subclass of ``cls``, of the same name, that can be watched and whose asks can be awaited."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    subclass = types.new_class(cls.__name__, (WatchedThread, cls), exec_body=lambda body: body.update(names))
    return cast("type[WatchedThread]", subclass)
