"""Why a call failed: its code on the wire, and the error that stands for it at both ends.

Erlang: macula_gateway_rpc_router, whose errors mostly never reached the caller (D-19).
"""

from collections.abc import Sequence
from enum import StrEnum
from traceback import TracebackException
from typing import Final

from macula_actors.core.wire.messages import Failure
from macula_actors.errors import (
    CallTimeoutError,
    LocalProtocolError,
    MaculaError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    RemoteCallError,
)

__all__ = [
    "ELSEWHERE",
    "MAX_MESSAGE",
    "MAX_PATH",
    "Code",
    "error_of",
    "failure",
    "failure_of",
    "handler_failure",
    "through",
]

MAX_MESSAGE: Final = 1024  # characters
MAX_PATH: Final = 255  # nodes


class Code(StrEnum):
    """Why a call failed, as `Failure.code` has it. A handler may refuse with any other code, by `RemoteCallError`."""

    NO_HANDLER = "no_handler"  # the node does not provide the procedure
    HANDLER_ERROR = "handler_error"  # the handler raised an exception
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"  # no room for one more call
    NO_ROUTE = "no_route"  # no node known that is nearer to the destination, or none of them was reached
    MAX_HOPS_EXCEEDED = "max_hops_exceeded"
    NO_PROVIDER = "no_provider"  # no node provides the procedure
    CANCELLED = "cancelled"  # the handler was stopped
    BAD_ARGS = "bad_args"  # the arguments can't be read
    NOT_PERMITTED = "not_permitted"
    UNAVAILABLE = "unavailable"  # what would do it is not there at the moment


ELSEWHERE: Final = frozenset({
    Code.NO_HANDLER,
    Code.TIMEOUT,
    Code.OVERLOADED,
    Code.NO_ROUTE,
    Code.MAX_HOPS_EXCEEDED,
    Code.NO_PROVIDER,
    Code.UNAVAILABLE,
})
"""The failures after which another path or provider is worth trying: of the mesh, not of the handler or the call."""

_MAX_CODE_BYTES: Final = 255
_ERRORS: Final[tuple[tuple[type[Exception], Code], ...]] = (
    (CallTimeoutError, Code.TIMEOUT),
    (OverloadedError, Code.OVERLOADED),
    (NoRouteError, Code.NO_ROUTE),
    (MaxHopsExceededError, Code.MAX_HOPS_EXCEEDED),
    (NoProviderError, Code.NO_PROVIDER),
    (LocalProtocolError, Code.HANDLER_ERROR),  # a result that the wire does not carry
    (MaculaError, Code.UNAVAILABLE),
    (Exception, Code.HANDLER_ERROR),
)
_CODES: Final = frozenset(Code)


def failure(code: str, message: str = "", path: Sequence[bytes] = ()) -> Failure:
    """Return a failure with ``message`` and ``path`` cut to what the wire carries."""
    code = _unicode(code)
    return Failure(
        code=code if 0 < len(code.encode()) <= _MAX_CODE_BYTES else Code.HANDLER_ERROR,
        message=_unicode(message)[:MAX_MESSAGE],
        path=tuple(path[:MAX_PATH]),
    )


def failure_of(error: Exception, path: Sequence[bytes] = ()) -> Failure:
    """Return what tells the caller of ``error``.

    The mesh's own errors have codes of their own, `RemoteCallError` keeps its code and message, and any other exception
    is a HANDLER_ERROR with the message ``"TypeName: text"``. For what a handler raised: `handler_failure`.

    Args:
        error: why the call failed.
        path: the nodes that the call went through, in order, by their ids; if empty, those that ``error`` names.
    """
    nodes = path or _path_of(error)
    match error:
        case RemoteCallError():
            return failure(error.code, error.message, nodes)
        case ProtocolError() | RefusedError() if error.code in _CODES:
            return failure(error.code, error.detail, nodes)
        case _:
            code = next(code for cls, code in _ERRORS if isinstance(error, cls))
            return failure(code, _explanation(error) if code is Code.HANDLER_ERROR else str(error), nodes)


def handler_failure(error: BaseException, path: Sequence[bytes] = ()) -> Failure:
    """Return what tells the caller that a handler raised ``error``.

    As `failure_of`, but never with a code that makes the caller try another provider: the handler has run. So a handler
    whose own call of another service timed out is a HANDLER_ERROR, not a TIMEOUT; so is one that has called `sys.exit`.
    """
    try:
        if isinstance(error, RemoteCallError) and error.code not in ELSEWHERE:
            return failure_of(error, path)
        nodes = path or _path_of(error)
    except Exception:  # an error of the program's own, which lacks what this one's should have
        nodes = path
    return failure(Code.HANDLER_ERROR, _explanation(error), nodes)


def through(failed: Failure, node_id: bytes) -> Failure:
    """Return ``failed`` as the node ``node_id`` passes it back: with itself before the nodes in the path."""
    return failure(failed.code, failed.message, (node_id, *(failed.path or ())))


def error_of(failed: Failure, *, procedure: str, peer: str, timeout: float, max_hops: int) -> MaculaError:
    """Return what the caller raises for ``failed``; `failure_of` of it has the same code.

    Errors that have no path of their own have, as ``__cause__``, the `RemoteCallError` with code, message and path as
    they arrived.

    Args:
        failed: the answer.
        procedure: what was called.
        peer: whom, for people.
        timeout: what the caller waited at most, seconds.
        max_hops: what the call was sent with.
    """
    arrived = RemoteCallError(failed.code, failed.message[:MAX_MESSAGE], failed.path or ())
    error: MaculaError
    match failed.code:
        case Code.MAX_HOPS_EXCEEDED:
            return MaxHopsExceededError(max_hops, arrived.path)
        case Code.TIMEOUT:
            error = CallTimeoutError(peer, timeout)
        case Code.OVERLOADED:
            error = OverloadedError(arrived.message)
        case Code.NO_ROUTE:
            error = NoRouteError(peer, (("routed", arrived),))
        case Code.NO_PROVIDER:
            error = NoProviderError(procedure)
        case _:
            return arrived
    error.__cause__ = arrived
    return error


def _path_of(error: BaseException | None) -> tuple[bytes, ...]:
    """Return the path that `error_of` put into ``error``."""
    match error:
        case RemoteCallError() | MaxHopsExceededError():
            return error.path
        case MaculaError():
            return _path_of(error.__cause__)
        case _:
            return ()


def _explanation(error: BaseException) -> str:
    # TracebackException: a handler's exception may fail to say what it is
    return f"{type(error).__name__}: {TracebackException(type(error), error, None, compact=True)}"


def _unicode(text: object) -> str:
    """Return ``text`` with what UTF-8 does not carry replaced. A program may have put any object into its error."""
    return str(text).encode(errors="replace").decode()
