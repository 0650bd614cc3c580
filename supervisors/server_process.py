"""The life of a server process: init, one message after the other, terminate.

Erlang: gen_server's init_it/6, loop/7, handle_msg/6 and terminate/10, with sys's system messages.
"""

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from supervisors._pykka import Envelope, is_proxy_message, is_stop_message
from supervisors.errors import BadReturnValueError
from supervisors.exit_reason import ExitReason, Normal, is_abnormal
from supervisors.inbox import AskFrom
from supervisors.life import IDLE, LATER, Life
from supervisors.messages import (
    NO_REPLY,
    Cast,
    Continue,
    Exit,
    From,
    Ignore,
    NoReply,
    Refuse,
    Reply,
    Stop,
    Timeout,
)
from supervisors.process import ParentExit, Process, reason_of
from supervisors.reports import report_crash

if TYPE_CHECKING:
    from supervisors.gen_server import GenServer

__all__ = ["ServerProcess", "SystemMessage"]

SLICE = 100  # messages handled in a row before the others' turn


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """Has the server run ``function(process)`` and answer with its value, suspended or not. Erlang: sys."""

    function: "Callable[[ServerProcess], object]"
    from_: From


class ServerProcess(Process):
    """A process that calls the callbacks of its ``server``."""

    __slots__ = ("suspended",)

    def __init__(self, server: "GenServer") -> None:
        super().__init__(server)
        self.suspended = False

    @override
    def _live(self) -> Life:
        try:
            result = yield from self._callback("init", self.server._actor_init, None)
            timeout, following = self._begun(result)
        except Exception as error:
            if self._exit is not None:
                return self._exit
            return self._not_begun(reason_of(error))
        if self._exit is not None:
            return self._exit
        if isinstance(result, Ignore):
            self.ignored()
            return Normal()
        if isinstance(result, Stop):
            return self._not_begun(result.reason)
        self.started()
        return (yield from self._loop_on(timeout, following))

    def _begun(self, result: object) -> tuple[float | None, Continue | None]:
        match result:
            case None | Ignore():
                return None, None
            case Stop() if result.reply is NO_REPLY:
                return None, None
            case Continue():
                return None, result
            case NoReply():
                return _go_on("init", result)
        raise BadReturnValueError("init", result)

    def _not_begun(self, reason: ExitReason) -> ExitReason:
        if is_abnormal(reason):
            report_crash(self.ref, reason, "init")
        return reason

    def _loop_on(self, timeout: float | None, following: Continue | None) -> Life:
        """Handle messages until the end. The hot path: a plain callback is called right here."""
        server = self.server
        turns = SLICE
        while True:
            if following is not None:
                message: Any = following
                following = None
            elif self._queue:
                message = self._queue.popleft()
            elif timeout is not None and not (yield from self._wait(timeout)):
                message = Timeout()
            else:
                turns = SLICE
                if not self._queue:
                    message = result = None  # an idle server keeps nothing alive
                    yield IDLE
                continue
            kind = message.__class__
            try:
                if self._debug is not None or kind in _UNCOMMON:
                    result = yield from self._handle_slowly(message)
                    if result is _AGAIN:
                        continue
                elif kind is From:
                    result = server.handle_call(message.request, message)
                elif kind is Cast:
                    result = server.handle_cast(message.request)
                else:
                    result = server.handle_info(message)
                if result.__class__ is CoroutineType:
                    result = yield result
                elif result.__class__ not in _RESULTS and inspect.isawaitable(result):
                    result = yield _as_coroutine(result)
                if self._exit is not None:
                    return self._exit
                timeout = None
                if result.__class__ is Reply and isinstance(message, From):
                    message.reply(result.value)
                    if result.timeout is not None or result.continue_ is not None:
                        timeout, following = _go_on(message, result)
                elif result.__class__ is NoReply:
                    if result.timeout is not None or result.continue_ is not None:
                        timeout, following = _go_on(message, result)
                elif result.__class__ is Stop and (result.reply is NO_REPLY or isinstance(message, From)):
                    return (yield from self._stopped(result, message))
                elif result.__class__ is Refuse and isinstance(message, From):
                    message.refuse(result.error)
                elif result is not None or isinstance(message, From):
                    raise BadReturnValueError(_CALLBACKS.get(kind, "handle_info"), result)
            except Exception as error:
                if self._exit is not None:
                    return self._exit
                return (yield from self._end_life(reason_of(error), message))
            turns -= 1
            if not turns:
                turns = SLICE
                message = result = None
                yield LATER

    def _wait(self, timeout: float) -> Generator[Any, Any, bool]:
        """Wait for a message for ``timeout`` seconds; False when none came."""
        if timeout > 0:
            timer = self.after(timeout, self._wake_up)
            yield IDLE
            self.cancel(timer)
        return bool(self._queue)

    def _wake_up(self) -> None:
        if self._waiting:
            self._wake()

    def _stopped(self, stop: Stop, message: object) -> Life:
        """End because a callback said so; the caller gets its reply once ``terminate`` is done."""
        reason = yield from self._end_life(stop.reason, message)
        if stop.reply is not NO_REPLY and isinstance(message, From):
            message.reply(stop.reply)
        return reason

    def _end_life(self, reason: ExitReason, message: object) -> Life:
        """Run ``terminate`` and return the final exit reason."""
        try:
            yield from self._callback("terminate", self.server.terminate, message, reason)
        except Exception as error:
            reason = reason_of(error)
        if self._exit is not None:
            return self._exit
        if is_abnormal(reason):
            report_crash(self.ref, reason, message)
        try:
            return reason
        finally:
            del reason  # its traceback may refer to this frame

    def _callback(
        self, name: str, function: Callable[..., Any], message: object, *args: Any, **kwargs: Any
    ) -> Generator[Any, Any, Any]:
        """Run one callback with all that may be hung around it."""
        for debug in self._debug or ():
            waits = debug.before(self, name, message)
            if waits is not None:
                yield _as_coroutine(waits)
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = yield _as_coroutine(result)
        for debug in self._debug or ():
            debug.after(self, name, message, result)
        return result

    def _handle_slowly(self, message: Any) -> Generator[Any, Any, Any]:
        """Handle a message that is not the common case: the system's, Pykka's, or looked at by a `Debug`."""
        kind = message.__class__
        if kind is SystemMessage:
            return (yield from self._handle_system(message))
        if self._is_order_to_exit(message):
            return Stop(message.reason)
        if kind is AskFrom or kind is Envelope:
            return (yield from self._handle_envelope(message))
        name = _CALLBACKS.get(kind, "handle_info")
        if kind is From:
            args: tuple[Any, ...] = (message.request, message)
        elif kind is Cast:
            args = (message.request,)
        elif kind is Continue:
            args = (message.term,)
        else:
            args = (message,)
        return (yield from self._callback(name, getattr(self.server, name), message, *args))

    def _is_order_to_exit(self, message: Any) -> bool:
        """Tell whether ``message`` is the parent's exit signal: that one is no business of ``handle_info``."""
        if message.__class__ is Exit:
            return message.ref is self.ref.parent and message.ref is not None
        return message.__class__ is ParentExit

    # System messages

    def _handle_system(self, message: SystemMessage) -> Generator[Any, Any, Any]:
        """Handle a system message; while suspended, only these, the others stay in their order."""
        stop = self._run_system(message)
        if stop is not None or not self.suspended:
            return stop or _AGAIN
        held: deque[object] = deque()
        self._held = held
        while self.suspended and stop is None and self._exit is None:
            if not self._queue:
                yield IDLE
                continue
            waiting = self._queue.popleft()
            if isinstance(waiting, SystemMessage):
                stop = self._run_system(waiting)
            elif self._is_order_to_exit(waiting):
                stop = Stop(cast("Exit", waiting).reason)
            else:
                held.append(waiting)
        self._held = None
        self._queue = held + (self._queue or deque())
        return stop or _AGAIN

    def _run_system(self, message: SystemMessage) -> Stop | None:
        try:
            value = message.function(self)
        except Exception as error:
            message.from_.refuse(error)
            return None
        if isinstance(value, Stop):
            message.from_.reply(None)
            return value
        message.from_.reply(value)
        return None

    # Pykka's messages

    def _handle_envelope(self, message: Any) -> Generator[Any, Any, Any]:
        """Handle what came by Pykka's ``ask``, ``tell``, ``proxy`` or ``stop``."""
        envelope = message.envelope if isinstance(message, AskFrom) else message
        if is_stop_message(envelope):
            return Stop(Normal())
        native = is_proxy_message(envelope)
        if not native and not self.server._actor_receives:
            if isinstance(message, AskFrom):
                return (
                    yield from self._callback("handle_call", self.server.handle_call, message, message.request, message)
                )
            return (yield from self._callback("handle_cast", self.server.handle_cast, message, envelope.message))
        try:
            value = self.server._handle_receive(envelope.message)
            if inspect.isawaitable(value):
                value = yield _as_coroutine(value)
        except Exception as error:
            if not isinstance(message, AskFrom):
                raise
            return Refuse(error)
        return Reply(value) if isinstance(message, AskFrom) else None


_UNCOMMON = frozenset({SystemMessage, ParentExit, Exit, Continue, AskFrom, Envelope})
_CALLBACKS = {From: "handle_call", AskFrom: "handle_call", Cast: "handle_cast", Continue: "handle_continue"}
_RESULTS = frozenset({Reply, NoReply, Refuse, Stop, type(None)})
_AGAIN = object()  # the message is done with, and neither cancels nor changes a time-out


def _as_coroutine(awaitable: Awaitable[Any]) -> "CoroutineType[Any, Any, Any]":
    return awaitable if awaitable.__class__ is CoroutineType else _awaited(awaitable)  # type: ignore[return-value]


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _go_on(message: object, result: "Reply | NoReply") -> tuple[float | None, Continue | None]:
    timeout = result.timeout
    if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
        raise BadReturnValueError(_CALLBACKS.get(message.__class__, "handle_info"), result)
    return timeout, None if result.continue_ is None else Continue(result.continue_)
