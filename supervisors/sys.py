"""Looking into a running server, and holding it still.

Erlang: sys. Every function here works on any `GenServer`, supervisors too, from inside processes and from outside.
The server acts on it between two messages, suspended or not. All of them wait ``timeout`` seconds, None for ever, and
raise what `system_call` raises: `CallTimeoutError`, `ServerDownError`, `CallingSelfError`.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from loguru import logger
from typing_extensions import override

from supervisors.debug import Debug
from supervisors.errors import CallbackFailedError, ServerDownError
from supervisors.exit_reason import ExitReason, NoProcess
from supervisors.gen import system_call
from supervisors.gen_server import GenServer
from supervisors.messages import NO_REPLY, Cast, From, Reply, Stop
from supervisors.names import Server, resolve
from supervisors.process import Process
from supervisors.ref import DEFAULT_TIMEOUT, Ref
from supervisors.server_process import ServerProcess

__all__ = [
    "Event",
    "In",
    "Out",
    "Statistics",
    "Status",
    "get_log",
    "get_state",
    "get_status",
    "log",
    "peek",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "terminate",
    "trace",
]

T = TypeVar("T")

LOG_LENGTH = 10  # events; sys(3erl), log/2


@dataclass(frozen=True, slots=True)
class In:
    """The server took ``message`` out of its mailbox, for ``callback``: the request of a call or cast, or an info."""

    callback: str
    message: object


@dataclass(frozen=True, slots=True)
class Out:
    """A callback answered the call of ``to``, None for one from outside, with ``value``."""

    to: Ref | None
    value: object


Event: TypeAlias = In | Out


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How many messages a server took, and how many calls its callbacks answered, between two instants (s, loop)."""

    started_at: float
    current_at: float
    messages_in: int
    messages_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is to know about one server, at one instant.

    Attributes:
        module: its class.
        state: as `get_state` returns it.
        parent: the process that started it; None when that was code outside.
        links: how many processes it is linked to.
        dropped: how many messages its full mailbox dropped.
    """

    module: type[GenServer]
    state: Any
    parent: Ref | None
    name: str | None
    suspended: bool
    mailbox_length: int
    links: int
    dropped: int


async def get_state(server: Server, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
    """Return what ``server``'s `system_get_state` does: of a supervisor its children, as `which_children` does.

    Raises:
        CallbackFailedError: ``system_get_state`` raised.
    """
    return await _ask(server, "system_get_state", lambda process: process.server.system_get_state(), timeout)


def peek(server: Server, function: Callable[[Any], T]) -> T:
    """Return ``function(server)``, of the `GenServer` as it is at this moment, without a message.

    For observers that can't wait, and for hot paths: what ETS is to Erlang, tables that others read while the server
    is busy. ``function`` may find the server in the middle of an async callback, and must change nothing but counts.
    For the thread of the System's loop.

    Raises:
        ServerDownError: there is no such server, or not yet: its ``init`` has not made its state.
    """
    ref = resolve(server)
    process = None if ref is None else ref._process
    if not isinstance(process, ServerProcess) or process.is_starting:
        raise ServerDownError(NoProcess(), ref, "peek")
    found: T = process.run_as(function, process.server)
    return found


async def replace_state(server: Server, function: Callable[[Any], Any], timeout: float | None = DEFAULT_TIMEOUT) -> Any:
    """Install ``function(state)`` as the state, and return the state that then is.

    ``function`` runs in the server. It must return a new state rather than change the one it gets.

    Raises:
        CallbackFailedError: ``function`` raised, or the server does not take that state, as no supervisor does; the
            state is what it was.
    """

    def replace(process: ServerProcess) -> Any:
        server = process.server
        server.system_replace_state(function(server.system_get_state()))
        return server.system_get_state()

    return await _ask(server, "system_replace_state", replace, timeout)


async def suspend(server: Server, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Have ``server`` let all messages wait, but the system's and its parent's exit signal. Twice is once."""
    await system_call(server, _suspend, timeout)


async def resume(server: Server, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Undo `suspend`; the messages that waited are handled in the order they came."""
    await system_call(server, _resume, timeout)


async def terminate(server: Server, reason: ExitReason, timeout: float | None = None) -> None:
    """Order ``server`` to run ``terminate(reason)`` and end. Does not wait for the end; `stop` does."""
    order = Stop(reason)
    await system_call(server, lambda _: order, timeout)


async def trace(server: Server, on: bool, timeout: float | None = DEFAULT_TIMEOUT) -> None:  # noqa: FBT001 -- OTP's
    """Write ``server``'s events through loguru, at debug level, from now on; `get_log` returns the last 10.

    The reply that leaves later, by `reply`, is none of its events.
    """
    await system_call(server, lambda process: _switch(process, _Trace, _Trace(LOG_LENGTH) if on else None), timeout)


async def log(server: Server, on_or_count: bool | int, timeout: float | None = DEFAULT_TIMEOUT) -> None:  # noqa: FBT001
    """Keep the last ``on_or_count`` events of ``server``, 10 when True; False forgets them. The events are `trace`'s.

    Raises:
        ValueError: the count is less than 1.
    """
    count = LOG_LENGTH if on_or_count is True else on_or_count
    if count is not False and count < 1:
        msg = f"a log keeps at least one event, not {count}"
        raise ValueError(msg)

    def switch(process: ServerProcess) -> None:
        _switch(process, _Log, _Log(count, _events(process)) if count else None)

    await system_call(server, switch, timeout)


async def get_log(server: Server, timeout: float | None = DEFAULT_TIMEOUT) -> Sequence[Event]:
    """Return the events that `log` or `trace` kept, oldest first; none when neither is on."""
    events: Sequence[Event] = await system_call(server, _events, timeout)
    return events


async def statistics(
    server: Server,
    on: bool | None = None,  # noqa: FBT001
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Statistics | None:
    """Begin to count from zero (True), stop counting (False), or return what was counted so far.

    Returns:
        None after a switch, and when nothing is counted.
    """

    def count(process: ServerProcess) -> Statistics | None:
        if on is not None:
            _switch(process, _Count, _Count(process.system.now()) if on else None)
            return None
        counting = _find(process, _Count)
        return None if counting is None else counting.until(process.system.now())

    counted: Statistics | None = await system_call(server, count, timeout)
    return counted


async def get_status(server: Server, timeout: float | None = DEFAULT_TIMEOUT) -> Status:
    """Return all there is to know about ``server``.

    Raises:
        CallbackFailedError: ``system_get_state`` raised.
    """
    status: Status = await _ask(server, "system_get_state", _status, timeout)
    return status


def _status(process: ServerProcess) -> Status:
    return Status(
        module=type(process.server),
        state=process.server.system_get_state(),
        parent=process.ref.parent,
        name=process.ref.name,
        suspended=process.suspended,
        mailbox_length=process.mailbox_length,
        links=len(process.links),
        dropped=process.dropped,
    )


def _suspend(process: ServerProcess) -> None:
    process.suspended = True


def _resume(process: ServerProcess) -> None:
    process.suspended = False


async def _ask(server: Server, callback: str, function: Callable[[ServerProcess], T], timeout: float | None) -> T:
    """Return ``function(process)``, which runs ``callback``; what that raises comes as `CallbackFailedError`."""

    def run(process: ServerProcess) -> T:
        try:
            return function(process)
        except Exception as error:
            raise CallbackFailedError(callback, process.ref) from error

    result: T = await system_call(server, run, timeout)
    return result


class _Watch(Debug):
    """Sees what goes in and out. Events are what the callbacks for messages get and answer, not the system's."""

    @abstractmethod
    def see(self, process: Process, event: Event) -> None:
        """Act on ``event``; in the process."""

    @override
    def arriving(self, process: Process, message: object) -> Iterable[tuple[float, object]]:
        return ((0.0, message),)

    @override
    def before(self, process: Process, callback: str, message: object) -> None:
        if callback in _FOR_MESSAGES:
            self.see(process, In(callback, message.request if isinstance(message, From | Cast) else message))

    @override
    def after(self, process: Process, callback: str, message: object, result: object) -> None:
        if not isinstance(message, From) or callback not in _FOR_MESSAGES:
            return
        match result:
            case Reply(value):
                self.see(process, Out(message.ref, value))
            case Stop(_, reply) if reply is not NO_REPLY:
                self.see(process, Out(message.ref, reply))


class _Log(_Watch):
    def __init__(self, length: int, events: Iterable[Event] = ()) -> None:
        self.events = deque(events, maxlen=length)

    @override
    def see(self, process: Process, event: Event) -> None:
        self.events.append(event)


class _Trace(_Log):
    @override
    def see(self, process: Process, event: Event) -> None:
        super().see(process, event)
        logger.bind(report="trace", process=str(process.ref), event=event).debug("{}: {}", process.ref, event)


class _Count(_Watch):
    def __init__(self, now: float) -> None:
        self._started_at = now
        self._in = self._out = 0

    @override
    def see(self, process: Process, event: Event) -> None:
        if isinstance(event, In):
            self._in += 1
        else:
            self._out += 1

    def until(self, now: float) -> Statistics:
        return Statistics(started_at=self._started_at, current_at=now, messages_in=self._in, messages_out=self._out)


_FOR_MESSAGES = frozenset({"handle_call", "handle_cast", "handle_info"})

W = TypeVar("W", bound=_Watch)


def _find(process: Process, kind: type[W]) -> W | None:
    return next((debug for debug in process.debugs if type(debug) is kind), None)


def _events(process: Process) -> tuple[Event, ...]:
    kept = _find(process, _Log) or _find(process, _Trace)
    return () if kept is None else tuple(kept.events)


def _switch(process: Process, kind: type[_Watch], watch: _Watch | None) -> None:
    """Have ``watch``, or nothing, watch ``process`` in place of the one of its ``kind``."""
    old = _find(process, kind)
    if old is not None:
        process.debug_without(old)
    if watch is not None:
        process.debug_with(watch)
