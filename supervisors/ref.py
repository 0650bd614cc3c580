"""References to processes: Pykka's, with OTP's verbs."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine
from threading import get_ident
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from supervisors._pykka import ActorDeadError, ActorRef, check_may_block, stop_request
from supervisors.errors import CallingSelfError, CallTimeoutError, OverloadedError, ServerDownError
from supervisors.exit_reason import ExitReason, NoProcess
from supervisors.messages import Cast, From

if TYPE_CHECKING:
    from supervisors.gen_server import GenServer
    from supervisors.process import Process

__all__ = ["Ref"]

DEFAULT_TIMEOUT = 5.0  # seconds; gen_server(3erl), call/2


class Ref(ActorRef[Any]):
    """Names one process for ever; safe to keep, to pass around, and to use from any thread.

    Once the process has ended the ref holds its exit reason and nothing else of it.

    Attributes:
        pid: the process's number in its System, in start order.
        parent: the process, or System, that started it.
    """

    __slots__ = ("_process", "_reason", "_stopped", "_urn", "actor_class", "name", "parent", "pid")

    def __init__(self, process: "Process") -> None:
        self._process: Process | None = process
        self._reason: ExitReason = None
        self._urn: str | None = None
        self._stopped: threading.Event | None = None
        self.actor_class: type[GenServer] = process.server.__class__
        self.name: str | None = None
        self.parent: Ref | None = None
        self.pid = 0

    @override
    def __repr__(self) -> str:
        return f"<Ref {self}>"

    @override
    def __str__(self) -> str:
        return f"{self.name or self.actor_class.__name__}#{self.pid}"

    @override
    def is_alive(self) -> bool:
        """Tell whether the process has not ended yet."""
        return self._process is not None

    def call(self, request: object, *, timeout: float | None = DEFAULT_TIMEOUT) -> Coroutine[Any, Any, Any]:
        """Ask the process for an answer to ``request``; ``timeout`` in seconds, None for ever.

        Cancelling it gives up the answer, not the work.

        Raises:
            CallTimeoutError: no answer in time; a late one is dropped.
            ServerDownError: the process has ended, or ended before it answered.
            CallingSelfError: a process called itself.
            OverloadedError: the mailbox is full.
            Exception: what ``handle_call`` refused the request with, see `Refuse`.
        """
        return self._ask(request, timeout)

    async def _ask(
        self, request: Any, timeout: float | None, wrap: "Callable[[Any, From], object] | None" = None
    ) -> Any:
        """Deliver ``request``, as ``wrap(request, from_)`` if given, and wait for the answer."""
        process = self._process
        if process is None or process._exit is not None:
            raise ServerDownError(NoProcess(), self, request)
        queue = process._run_queue
        loop = queue.loop
        if get_ident() != process._system._thread or not loop.is_running():  # asyncio's own question is a system call
            return await self._ask_from_afar(request, timeout, wrap, loop)
        caller = process.caller()
        if caller is process and asyncio.current_task() is process.callback_task:
            raise CallingSelfError(self, request)
        bound = process.max_mailbox
        if bound is not None and wrap is None and process.mailbox_length >= bound:
            raise OverloadedError(self, bound, request)
        future = loop.create_future()
        from_ = From(request, self, future, None if caller is None else caller.ref)
        message = from_ if wrap is None else wrap(request, from_)
        asked_at = loop.time()
        serial = None
        try:
            is_turn = queue.run_at_once(process.deliver_call, from_, message)
            if (is_turn and (process.answers_at_once or future.done())) or queue.is_signalled:
                queue.is_signalled = False
                await asyncio.sleep(0)
            if timeout is not None and not future.done():
                serial = queue.timeouts.add(asked_at + timeout, _expire, future, self, request, timeout)
            return await future
        except asyncio.CancelledError:
            if future.done():
                future.exception()  # looked at, so that asyncio does not report an answer that nobody waits for
            raise
        finally:
            if serial is not None:
                queue.timeouts.discard(serial)
            from_.close()
            del process, future, from_, message  # an error that came by them refers to this frame

    async def _ask_from_afar(
        self,
        request: Any,
        timeout: float | None,
        wrap: "Callable[[Any, From], object] | None",
        loop: asyncio.AbstractEventLoop,
    ) -> Any:
        """Ask from another loop than the process's, which may be too busy to keep the time."""
        if loop.is_closed():
            raise ServerDownError(NoProcess(), self, request)
        asked = asyncio.run_coroutine_threadsafe(self._ask(request, None, wrap), loop)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await asyncio.wrap_future(asked)
        except TimeoutError:
            if limit.expired():
                raise CallTimeoutError(self, request, timeout or 0.0) from None
            raise

    def cast(self, request: object) -> None:
        """Send ``request`` to ``handle_cast``. Never fails: who knows whether the process is there to get it."""
        process = self._process
        if process is not None:
            process.deliver_bounded(Cast(request))

    def send(self, info: object) -> None:
        """Send ``info`` to ``handle_info``. Never fails. Erlang: ``Pid ! Info``."""
        process = self._process
        if process is not None:
            process.deliver_bounded(info)

    async def wait_exit(self) -> ExitReason:
        """Wait until the process has ended and return its exit reason. For code outside processes.

        Inside a process prefer `monitor`: it does not keep the process from its other messages.

        Raises:
            CallingSelfError: a process waits for its own end.
        """
        process = self._process
        if process is None:
            return self._reason
        if process.loop is not asyncio._get_running_loop():
            waiting = asyncio.run_coroutine_threadsafe(self.wait_exit(), process.loop)
            return await asyncio.wrap_future(waiting)
        if process.caller() is process and asyncio.current_task() is process.callback_task:
            raise CallingSelfError(self)
        return await process.wait_end()

    @property
    def exit_reason(self) -> ExitReason:
        """The reason the process ended with; None while it lives."""
        return self._reason

    # Pykka's side

    @property
    @override
    def actor_urn(self) -> str:  # type: ignore[override]
        """See `pykka.Actor.actor_urn`."""
        if self._urn is None:
            self._urn = uuid.uuid4().urn
        return self._urn

    @property
    @override
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """Where Pykka puts its envelopes.

        Raises:
            ActorDeadError: the process has ended.
        """
        process = self._process
        if process is None:
            raise ActorDeadError(f"{self} not found")
        return process.inbox

    @property
    @override
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """Set when the process has ended; a thread may wait for it."""
        if self._stopped is None:
            self._stopped = threading.Event()
            if self._process is None:
                self._stopped.set()
        return self._stopped

    @property
    @override
    def _actor_weakref(self) -> "Callable[[], Any]":  # type: ignore[override]
        return lambda: self._process and self._process.proxied

    @override
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask as Pykka does: return the answer, or when not ``block`` a future to await, or to wait for in a thread.

        Raises:
            BlockingCallError: this would block a loop; nothing was sent.
        """
        if block:
            check_may_block()
        return super().ask(message, block=block, timeout=timeout)

    @override
    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Stop the process as Pykka does: after the messages it has, with `Normal`.

        Returns:
            True, or False if it had ended; a future of that when not ``block``.

        Raises:
            BlockingCallError: this would block a loop; nothing was sent.
        """
        if block:
            check_may_block()
        stopped = stop_request(self).stopped()
        return stopped.get(timeout=timeout) if block else stopped

    def _close(self, reason: ExitReason) -> None:
        self._process = None
        self._reason = reason
        if self._stopped is not None:
            self._stopped.set()


def _expire(future: "asyncio.Future[Any]", server: Ref, request: object, timeout: float) -> None:
    if not future.done():
        future.set_exception(CallTimeoutError(server, request, timeout))
