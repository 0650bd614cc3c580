"""What can go wrong, by whose fault it is. Every error derives from `SupervisorsError`."""

from typing import TYPE_CHECKING

from typing_extensions import override

from supervisors.exit_reason import to_exit_reason

if TYPE_CHECKING:
    from supervisors.child_specs import ChildSpec
    from supervisors.exit_reason import ExitReason
    from supervisors.ref import Ref

__all__ = [
    "AlreadyPresentError",
    "AlreadyRegisteredError",
    "AlreadyStartedError",
    "BadReturnValueError",
    "BlockingCallError",
    "CallError",
    "CallTimeoutError",
    "CallbackFailedError",
    "CallingSelfError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpecError",
    "MaxChildrenError",
    "NoCurrentProcessError",
    "NotFoundError",
    "OverloadedError",
    "ProcessExit",
    "ServerDownError",
    "SimpleOneForOneError",
    "StartError",
    "SupervisorsError",
    "SystemStoppedError",
    "UnexpectedRequestError",
]


class SupervisorsError(Exception):
    """Base of every error of this package."""


class ProcessExit(Exception):  # noqa: N818 -- an exit, not an error
    """Raise it in a callback to end the process with exactly ``reason``. Erlang: ``exit/1``."""

    def __init__(self, reason: "ExitReason") -> None:
        super().__init__(reason)
        self.reason = to_exit_reason(reason)


class ChildSpecError(SupervisorsError, ValueError):
    """A child spec or a supervisor's flags are wrong: the caller's fault. Correct ``field`` and try again.

    Erlang: ``{start_spec, _}`` and ``{supervisor_data, _}``.
    """

    def __init__(self, field: str, value: object, wanted: str) -> None:
        super().__init__(f"{field} is {value!r}: {wanted}")
        self.field = field
        self.value = value
        self.wanted = wanted


class StartError(SupervisorsError):
    """A process did not start; ``reason`` is the exit reason of its ``init``.

    ``child`` is the spec that `start_child` was to start and keep, None elsewhere.
    """

    def __init__(self, reason: "ExitReason", child: "ChildSpec | None" = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.child = child

    @override
    def __str__(self) -> str:
        """Name the child, where there is one, and the reason."""
        what = "process" if self.child is None else f"child {self.child.id!r}"
        return f"{what} did not start: {self.reason!r}"


class AlreadyStartedError(StartError):
    """The name or child id is taken by the running process ``ref``."""

    def __init__(self, ref: "Ref", reason: "ExitReason", child: "ChildSpec | None" = None) -> None:
        super().__init__(reason, child)
        self.ref = ref


class CallError(SupervisorsError):
    """A call was not answered; ``server`` is what was called, ``request`` what was asked."""

    def __init__(self, message: str, server: object = None, request: object = None) -> None:
        super().__init__(message)
        self.server = server
        self.request = request


class CallTimeoutError(CallError, TimeoutError):
    """No answer within ``timeout`` seconds. The server may still do the work; its late reply is dropped."""

    def __init__(self, server: object, request: object, timeout: float) -> None:
        super().__init__(f"no answer from {server} within {timeout} s", server, request)
        self.timeout = timeout


class ServerDownError(CallError):
    """The server ended before it answered; ``reason`` is its exit reason, `NoProcess` when there was none."""

    def __init__(self, reason: "ExitReason", server: object = None, request: object = None) -> None:
        super().__init__(f"{server} is down: {reason!r}", server, request)
        self.reason = reason


class CallingSelfError(CallError):
    """A process waited for itself: it would wait for ever. Erlang: ``calling_self``."""

    def __init__(self, server: object, request: object = None) -> None:
        super().__init__(f"{server} called itself: do the work in place or cast", server, request)


class UnexpectedRequestError(CallError):
    """The server has no clause for ``request``. It ends with this, unless it says otherwise."""

    def __init__(self, request: object, server: object = None) -> None:
        super().__init__(f"unexpected request {request!r}", server, request)


class OverloadedError(CallError):
    """The mailbox, table or queue is at ``bound``; the work was not accepted. Try later, or elsewhere."""

    def __init__(self, server: object, bound: int, request: object = None) -> None:
        super().__init__(f"{server} is at its bound of {bound}: try again later", server, request)
        self.bound = bound


class BadReturnValueError(SupervisorsError):
    """A callback returned ``value``, which is none of the results it may return."""

    def __init__(self, callback: str, value: object) -> None:
        super().__init__(f"{callback} returned {value!r}")
        self.callback = callback
        self.value = value


class CallbackFailedError(SupervisorsError):
    """``server``'s ``callback`` raised the ``__cause__`` of this, asked for by `sys`; the server goes on."""

    def __init__(self, callback: str, server: object) -> None:
        super().__init__(f"{callback} of {server} failed")
        self.callback = callback
        self.server = server


class NotFoundError(SupervisorsError, LookupError):
    """There is no child, name or entry ``id``."""

    def __init__(self, id: object) -> None:  # noqa: A002 -- the field's word
        super().__init__(f"no {id!r} here")
        self.id = id


class _ChildError(SupervisorsError):
    def __init__(self, id: object, what: str) -> None:  # noqa: A002
        super().__init__(f"child {id!r} {what}")
        self.id = id


class AlreadyPresentError(_ChildError):
    """A child spec with this ``id`` is kept, but not running: `restart_child` or `delete_child` it."""

    def __init__(self, id: object) -> None:  # noqa: A002
        super().__init__(id, "is already present but not running")


class ChildRunningError(_ChildError):
    """Child ``id`` runs: terminate it first."""

    def __init__(self, id: object) -> None:  # noqa: A002
        super().__init__(id, "is running")


class ChildRestartingError(_ChildError):
    """Child ``id`` is between restart attempts: terminate it to end them."""

    def __init__(self, id: object) -> None:  # noqa: A002
        super().__init__(id, "is being restarted")


class SimpleOneForOneError(SupervisorsError):
    """A simple_one_for_one supervisor knows its children by ref, not by id."""


class MaxChildrenError(SupervisorsError):
    """The supervisor has ``max_children`` children already."""

    def __init__(self, max_children: int) -> None:
        super().__init__(f"there are {max_children} children already, no more are allowed")
        self.max_children = max_children


class AlreadyRegisteredError(SupervisorsError, ValueError):
    """``name`` is held by ``ref``, or ``ref`` has a name already."""

    def __init__(self, name: object, ref: object) -> None:
        super().__init__(f"{name!r} is already registered: {ref}")
        self.name = name
        self.ref = ref


class NoCurrentProcessError(SupervisorsError, RuntimeError):
    """What was called works only inside a process, or inside a `System`, and this is neither."""


class SystemStoppedError(SupervisorsError, RuntimeError):
    """The `System` was stopped: nothing can be started in it."""


class BlockingCallError(SupervisorsError, RuntimeError):
    """A blocking wait on the event loop, which would never end. Await it, or block in another thread."""
