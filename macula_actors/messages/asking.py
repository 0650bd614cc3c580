"""How the client functions ask a server that may be being restarted: again, as long as there is time.

But not for ever if it crashes before it answers: it may be this request that crashes each server that comes, until its
supervisors give up.

Erlang: gen_server:call/3, which fails.
"""

import asyncio
from typing import Any, Final

from macula_actors.core.durations import patience
from macula_actors.errors import CallTimeoutError, CrashedError, NotRunningError
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import Crashed, Server, ServerDownError, System, SystemStoppedError, call, peek

__all__ = ["DEFAULT_TIMEOUT", "MOST_CRASHES", "ask", "system_of", "told_now"]

DEFAULT_TIMEOUT: Final = 10.0  # seconds; macula_routing_server
RETRY_AFTER: Final = 0.05  # seconds that a server is given to be restarted
MOST_CRASHES: Final = 2  # the first may be of another's doing


async def ask(server: Server, request: object, timeout: float = DEFAULT_TIMEOUT) -> Any:
    """Return what ``server`` answers, asked again while it is being restarted: ``request`` may be carried out twice.

    Args:
        server: the process, best by its name.
        request: the same object each time.
        timeout: seconds for all of it.

    Raises:
        ValueError: ``timeout`` is no finite number.
        CallTimeoutError: there was no answer in time.
        CrashedError: the server crashed, and the next one too, before it answered.
        NotRunningError: its System was stopped, so it won't be restarted.
        Exception: what the request is refused with.
    """
    deadline = _now() + patience(timeout)
    crashes = 0
    while True:
        try:
            return await call(server, request, max(deadline - _now(), 0.0))
        except NoAnswerError as error:
            raise CallTimeoutError(str(server), timeout) from error
        except ServerDownError as error:
            crashes += isinstance(error.reason, Crashed)
            if crashes >= MOST_CRASHES and isinstance(error.reason, Crashed):
                raise CrashedError(_name(server), error.reason.error) from error
            if deadline - _now() <= RETRY_AFTER:
                raise CallTimeoutError(str(server), timeout) from error
            _check_running(server)
            await asyncio.sleep(RETRY_AFTER)


def told_now(server: Server, method: str, *args: object) -> Any:
    """Return what ``method`` of ``server`` returns at this moment, without a message; None: it has to be asked.

    That is so while there is no server, and of one that has no such method. For the thread of the System's loop.
    """
    try:
        return peek(server, lambda told: getattr(told, method, _nothing)(*args))
    except ServerDownError:
        return None


def system_of(server: Server) -> System:
    """Return the System that ``server`` is looked for in."""
    return server[1] if isinstance(server, tuple) else System.current()


def _nothing(*_args: object) -> None:
    """Answer for a server that has to be asked."""


def _check_running(server: Server) -> None:
    try:
        system_of(server).check_running()
    except SystemStoppedError as error:
        raise NotRunningError from error


def _name(server: Server) -> str:
    return str(server[0] if isinstance(server, tuple) else server)


def _now() -> float:
    return asyncio.get_running_loop().time()
