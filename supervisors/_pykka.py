"""What this package takes from Pykka, and gives it; the only module that imports it.

`ActorFuture` is what Pykka's ``ask`` returns where an actor lives on a loop; `watched` has a `ThreadingActor` tell its
host on the loop how it fares.
"""

import asyncio
import concurrent.futures
import sys
import types
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Protocol, TypeVar, cast

import pykka
from pykka import Actor, ActorDeadError, ActorRef, ActorRegistry, ThreadingActor
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop
from typing_extensions import override

from supervisors.errors import BlockingCallError
from supervisors.exit_reason import Crashed, ExitReason, Normal

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorFuture",
    "ActorRef",
    "ActorRegistry",
    "Envelope",
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
