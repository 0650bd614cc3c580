"""What callbacks receive and what they return.

Erlang: the message and return tuples of gen_server.
"""

from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from typing_extensions import override

from supervisors.errors import ServerDownError
from supervisors.exit_reason import ExitReason, NoProcess, to_exit_reason

if TYPE_CHECKING:
    from supervisors.ref import Ref

__all__ = [
    "NO_REPLY",
    "Cast",
    "Continue",
    "Down",
    "Exit",
    "From",
    "Ignore",
    "MonitorRef",
    "NoReply",
    "Refuse",
    "Reply",
    "Stop",
    "Timeout",
]


class _NoReplyType:
    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "<no reply>"


NO_REPLY: Final = _NoReplyType()


class Answer(Protocol):
    """Where an answer goes: an asyncio future, or a `RequestId`."""

    def done(self) -> bool:
        """Tell whether it has come, or nobody is there to take it."""

    def set_result(self, value: Any) -> None:
        """Take it."""

    def set_exception(self, error: BaseException) -> None:
        """Take the error that it is."""


class From:
    """A caller that waits for the answer to ``request``; give it to `reply`, once. Erlang: ``From``.

    It may be kept, and handed to another process or thread that answers in the server's stead. The caller
    stops waiting when the server ends.
    """

    __slots__ = ("_future", "_server", "ref", "request")

    def __init__(self, request: object, server: "Ref", future: "Answer", ref: "Ref | None") -> None:
        self.request = request
        self.ref = ref
        self._server: Ref | None = server
        self._future: Answer | None = future  # both None once nobody waits: who keeps this keeps nothing else

    @override
    def __repr__(self) -> str:
        return f"<From {self.ref or 'outside'}>"

    @property
    def is_waiting(self) -> bool:
        """Whether the caller still waits: it has no answer yet, has not given up, and has not ended."""
        return self._future is not None and not self._future.done()

    def reply(self, value: object) -> None:
        """Answer with ``value``. A caller that no longer waits, or was answered, does not get it."""
        self._answer(value, None)

    def refuse(self, error: BaseException) -> None:
        """Answer with ``error``, which the caller's `call` raises."""
        self._answer(NO_REPLY, error)

    def server_down(self, reason: ExitReason) -> None:
        """Fail the call: the server ended with ``reason``."""
        error = self._down_error(reason)
        error.__cause__ = getattr(reason, "error", None)
        self._settle(NO_REPLY, error)

    def _down_error(self, reason: ExitReason) -> Exception:
        return ServerDownError(reason, self._server, self.request)

    def pass_on(self, server: "Ref", request: object) -> None:
        """Have ``server`` answer ``request`` in the stead of the one that was asked; see `forward`."""
        asked = None if self._server is None else self._server._process
        if asked is None or self._future is None:
            return
        asked.settle(self)
        asked.answers_at_once = False  # its callers need not look for an answer before they wait
        self._server, self.request = server, request
        process = server._process
        if process is None:
            self.server_down(NoProcess())
        else:
            process.deliver_call(self, self)

    def close(self) -> None:
        """Forget the call: the caller has its answer, or gave up."""
        server, self._server, self._future = self._server, None, None
        process = None if server is None else server._process
        if process is not None:
            process.settle(self)

    def _answer(self, value: object, error: BaseException | None) -> None:
        process = None if self._server is None else self._server._process
        if process is None:
            return
        system = process._system
        if get_ident() == system._thread:
            self._settle(value, error)
        else:
            system.run_in_loop(self._settle, value, error)

    def _settle(self, value: object, error: BaseException | None) -> None:
        future = self._future
        if future is not None and not future.done():
            if value is NO_REPLY:
                future.set_exception(error)  # type: ignore[arg-type]
            else:
                future.set_result(value)
        self.close()


@dataclass(frozen=True, slots=True)
class Cast:
    """A request without an answer, on its way to ``handle_cast``."""

    request: object


@dataclass(frozen=True, slots=True, eq=False)
class MonitorRef:
    """Names one monitor; equal only to itself."""

    watched: "Ref | str"
    tag: object = None


@dataclass(frozen=True, slots=True)
class Down:
    """The monitored process ended. ``ref`` is what was monitored: a ref, or a name. Erlang: ``'DOWN'``."""

    monitor: MonitorRef
    ref: "Ref | str"
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit signal of a linked process, or one sent by ``ref``, to a process that traps exits.

    ``ref`` is None when code outside any process sent it. Erlang: ``'EXIT'``.
    """

    ref: "Ref | None"
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Timeout:
    """The time-out that a callback asked for has passed with no message. Erlang: ``timeout``."""


@dataclass(frozen=True, slots=True)
class Continue:
    """From ``init``: run ``handle_continue(term)`` before any message."""

    term: object


@dataclass(frozen=True, slots=True)
class Reply:
    """From ``handle_call``: answer ``value``.

    ``timeout`` (seconds) asks for a `Timeout` when no message arrives before; ``continue_`` is given to
    ``handle_continue`` before any message. Not both.
    """

    value: object
    timeout: float | None = None
    continue_: object = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """From any callback: go on. After ``handle_call`` the answer comes later, with `reply`.

    ``timeout`` and ``continue_`` as in `Reply`.
    """

    timeout: float | None = None
    continue_: object = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """From ``handle_call``: the caller's `call` raises ``error``; the server goes on."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Stop:
    """From any callback: run ``terminate(reason)`` and end. From ``init``: do not start.

    ``reply``, from ``handle_call`` only, answers the call, after ``terminate``.
    """

    reason: ExitReason
    reply: object = NO_REPLY

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", to_exit_reason(self.reason))


@dataclass(frozen=True, slots=True)
class Ignore:
    """From ``init``: do not start, and that is no failure. The starter gets None."""
