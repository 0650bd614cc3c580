"""The generic server: state kept by one process, changed by one message at a time.

Erlang: gen_server, with proc_lib's start and sys's system messages.
"""

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from types import CoroutineType
from typing import Any, TypeAlias, cast

from typing_extensions import override

from supervisors._pykka import IDLE, LATER, Envelope, Life, is_proxy_message, is_stop_message
from supervisors.child_spec import ChildSpec, ChildType, Restart
from supervisors.errors import BadReturnValueError, UnexpectedRequestError
from supervisors.exit_reason import Crashed, ExitReason, Normal, is_abnormal
from supervisors.messages import (
    NO_REPLY,
    Cast,
    Continue,
    Exit,
    From,
    Ignore,
    MonitorRef,
    NoReply,
    Refuse,
    Reply,
    Stop,
    Timeout,
)
from supervisors.process import AskFrom, ParentExit, Process, current_process, reason_of
from supervisors.ref import Ref
from supervisors.reports import report_crash, report_unexpected
from supervisors.spawn import spawn

__all__ = ["GenServer", "State", "SystemMessage"]

SLICE = 100  # messages handled in a row before the others' turn

CallResult: TypeAlias = "Reply | NoReply | Refuse | Stop | Awaitable[Reply | NoReply | Refuse | Stop]"
InfoResult: TypeAlias = "NoReply | Stop | None | Awaitable[NoReply | Stop | None]"
InitResult: TypeAlias = (
    "None | NoReply | Ignore | Stop | Continue | Awaitable[None | NoReply | Ignore | Stop | Continue]"
)


class State(dict[str, Any]):
    """A copy of a server's attributes; ``state["count"]`` is ``state.count``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @override
    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """Has the server run ``function(process)`` and answer with its value, suspended or not. Erlang: sys."""

    function: "Callable[[GenServer], object]"
    from_: From


class GenServer(Process):
    """A server process. Subclass it and write the callbacks that you need, ``def`` or ``async def``.

    The attributes set on ``self`` are its state: no one else touches them. A callback that waits (``await``) holds
    up this process only; one that blocks holds up all. What a callback raises ends the process with `Crashed`, after
    ``terminate``.

    Class attributes:
        trap_exit: exit signals become `Exit` messages, and ``terminate`` runs when the parent ends the process.
            Also settable in ``init``.
        max_mailbox: how many messages may wait, None without bound.
    """

    __slots__ = ("_suspended",)

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.answers_at_once = not inspect.iscoroutinefunction(cls.handle_call)

    # Callbacks

    def init(self, *args: Any, **kwargs: Any) -> InitResult:
        """Set the state up, from the arguments of `start_link`. The starter waits for it.

        Returns:
            None to run; `NoReply` to run with a time-out; `Continue`, `Ignore` or `Stop`.

        Raises:
            TypeError: there are arguments; write an ``init`` that takes them.
        """
        if args or kwargs:
            msg = f"{type(self).__name__} has no init, but was started with arguments"
            raise TypeError(msg)
        hook: Any = self.on_start  # a process's may be async
        started = hook()
        return started if inspect.isawaitable(started) else None

    def handle_call(self, request: Any, from_: From) -> CallResult:
        """Answer ``request``: `Reply`; `NoReply` and later `reply`; `Refuse`; or `Stop`.

        Raises:
            UnexpectedRequestError: always; so does yours for a request that it does not know.
        """
        raise UnexpectedRequestError(request, self.ref)

    def handle_cast(self, request: Any) -> InfoResult:
        """Act on ``request``; nobody waits for an answer.

        Raises:
            UnexpectedRequestError: always; so does yours for a request that it does not know.
        """
        raise UnexpectedRequestError(request, self.ref)

    def handle_info(self, info: Any) -> InfoResult:
        """Act on any other message: `Down`, `Exit`, `Timeout`, what `send` sent. The default reports and drops it."""
        report_unexpected(self.ref, info)
        return None

    def handle_continue(self, term: Any) -> InfoResult:
        """Act on the term that a callback asked to continue with, before any message is looked at.

        Raises:
            UnexpectedRequestError: always; so does yours for a term that it does not know.
        """
        raise UnexpectedRequestError(term, self.ref)

    def terminate(self, reason: Any) -> Any:
        """Clean up. Runs after `Stop`, a crash, `stop`, and when a parent ends a process that traps exits.

        Never after a kill, or an exit signal to a process that does not trap exits. What it raises is the exit
        reason.
        """
        hook: Any = self.on_stop
        args: tuple[object, ...] = ()
        if isinstance(reason, Crashed):
            hook = self.on_failure
            args = (type(reason.error), reason.error, reason.error.__traceback__)
        return hook(*args)

    def system_get_state(self) -> Any:
        """Return what `sys.get_state` shows: the attribute ``state`` if there is one, else a `State`.

        Erlang: ``system_get_state/1``.
        """
        attributes = vars(self)
        if "state" in attributes:
            return attributes["state"]
        return State((name, value) for name, value in attributes.items() if name != "trap_exit")

    def system_replace_state(self, state: Any) -> None:
        """Install ``state``, of the shape that `system_get_state` returns. Erlang: ``system_replace_state/2``.

        Raises:
            TypeError: ``state`` is not of that shape.
        """
        attributes = vars(self)
        if "state" in attributes:
            attributes["state"] = state
            return
        if not isinstance(state, dict):
            msg = f"the new state is a mapping of attributes, not {state!r}"
            raise TypeError(msg)
        for name in attributes.keys() - state.keys() - {"trap_exit"}:
            del attributes[name]
        attributes.update(state)

    # Start

    @classmethod
    async def start_link(cls, *args: Any, name: Any = None, timeout: float | None = None, **kwargs: Any) -> Ref | None:
        """Start a server linked to the current process, and wait until its ``init`` is done.

        Args:
            args: given to ``init``, as ``kwargs`` are.
            name: registered before ``init`` runs; a string, or a `Via`.
            timeout: seconds that ``init`` may take.

        Returns:
            Its ref; None when ``init`` returned `Ignore`.

        Raises:
            StartError: ``init`` stopped, raised or took too long. A starter that does not trap exits ends too.
            AlreadyStartedError: the name is taken; ``init`` did not run.
            NoCurrentProcessError: this is not inside a process; use `System.start`.
        """
        parent = current_process(f"{cls.__name__}.start_link")
        process = cls(*args, **kwargs)
        return await spawn(process, parent.system, name=name, timeout=timeout, parent=parent, link=True)

    @classmethod
    async def start_monitor(
        cls,
        *args: Any,
        name: Any = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> tuple[Ref, MonitorRef] | None:
        """Start a server that the current process monitors, not linked; otherwise as `start_link`."""
        watcher = current_process(f"{cls.__name__}.start_monitor")
        process = cls(*args, **kwargs)
        ref = await spawn(process, watcher.system, name=name, timeout=timeout, parent=None)
        if ref is None:
            return None
        mref = MonitorRef(ref)
        watcher.watch(mref, ref._process)
        return ref, mref

    @classmethod
    def child_spec(
        cls,
        *args: Any,
        id: object = None,  # noqa: A002 -- the field's word
        name: Any = None,
        restart: Restart = Restart.PERMANENT,
        shutdown: Any = None,
        significant: bool = False,
        **kwargs: Any,
    ) -> ChildSpec:
        """Return the spec of this server as a child: started with `start_link`, ``args`` and ``kwargs``.

        ``id`` is the name, or the class's name, unless given; ``shutdown`` 5 s, for a supervisor INFINITY.

        Raises:
            ChildSpecError: a field has a value that it cannot have.
        """
        return ChildSpec(
            id=id if id is not None else name or cls.__name__,
            start=partial(cls.start_link, *args, name=name, **kwargs),
            restart=restart,
            shutdown=shutdown,
            type=ChildType.SUPERVISOR if cls.is_supervisor else ChildType.WORKER,
            significant=significant,
            modules=(cls,),
        )

    # Life

    @override
    def _live(self) -> Life:
        self._suspended = False
        try:
            result = yield from self._callback("init", self._run_init, None, *self._args, **self._kwargs)
            timeout, term = self._begun(result)
        except Exception as error:
            if self._exit is not None:
                return self._exit
            return self._not_begun(reason_of(error))
        finally:
            self._args = self._kwargs = ()  # type: ignore[assignment]
        if self._exit is not None:
            return self._exit
        if isinstance(result, Ignore):
            self.ignored()
            return Normal()
        if isinstance(result, Stop):
            return self._not_begun(result.reason)
        self.started()
        return (yield from self._loop_on(timeout, term))

    def _run_init(self, *args: Any, **kwargs: Any) -> Any:
        return self.init(*args, **kwargs)

    def _begun(self, result: object) -> tuple[float | None, object]:
        match result:
            case None | Ignore() | Stop():
                return None, None
            case Continue(term):
                return None, term
            case NoReply():
                return _go_on("init", result)
        raise BadReturnValueError("init", result)

    def _not_begun(self, reason: ExitReason) -> ExitReason:
        if is_abnormal(reason):
            report_crash(self.ref, reason, "init")
        return reason

    def _loop_on(self, timeout: float | None, term: object) -> Life:
        """Handle messages until the end. The hot path: a plain callback is called right here."""
        turns = SLICE
        while True:
            if term is not None:
                message: Any = Continue(term)
                term = None
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
                    result = self.handle_call(message.request, message)
                elif kind is Cast:
                    result = self.handle_cast(message.request)
                else:
                    result = self.handle_info(message)
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
                        timeout, term = _go_on(message, result)
                elif result.__class__ is NoReply:
                    timeout, term = _go_on(message, result)
                elif result.__class__ is Stop:
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
            yield from self._callback("terminate", self.terminate, message, reason)
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
        return (yield from self._callback(name, getattr(self, name), message, *args))

    def _is_order_to_exit(self, message: Any) -> bool:
        """Tell whether ``message`` is the parent's exit signal: that one is no business of ``handle_info``."""
        if message.__class__ is Exit:
            return message.ref is self.ref.parent and message.ref is not None
        return message.__class__ is ParentExit

    # System messages

    def _handle_system(self, message: SystemMessage) -> Generator[Any, Any, Any]:
        """Handle a system message; while suspended, only these, the others stay in their order."""
        stop = self._run_system(message)
        if stop is not None or not self._suspended:
            return stop or _AGAIN
        held: deque[object] = deque()
        self._held = held
        while self._suspended and stop is None and self._exit is None:
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

    @override
    def on_receive(self, message: Any) -> Any:
        """Answer Pykka's ``ask`` and take its ``tell``; without it these are a call and a cast.

        Call ``super().on_receive(message)`` for a message that it does not know: that one is reported, and answered
        with None.
        """
        report_unexpected(self.ref, message)

    def _handle_envelope(self, message: Any) -> Generator[Any, Any, Any]:
        """Handle what came by Pykka's ``ask``, ``tell``, ``proxy`` or ``stop``."""
        envelope = message.envelope if isinstance(message, AskFrom) else message
        if is_stop_message(envelope):
            return Stop(Normal(), None)
        native = is_proxy_message(envelope)
        if not native and type(self).on_receive is GenServer.on_receive:
            if isinstance(message, AskFrom):
                return (yield from self._callback("handle_call", self.handle_call, message, message.request, message))
            return (yield from self._callback("handle_cast", self.handle_cast, message, envelope.message))
        try:
            value = self._handle_receive(envelope.message)
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


def _go_on(message: object, result: "Reply | NoReply") -> tuple[float | None, object]:
    timeout = result.timeout
    if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
        raise BadReturnValueError(_CALLBACKS.get(message.__class__, "handle_info"), result)
    return timeout, result.continue_
