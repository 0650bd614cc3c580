"""How the client functions ask a server that may be being restarted: again, as long as there is time.

Erlang: gen_server:call/3, which fails.
"""

import asyncio
from typing import Any, Final

from macula_actors.errors import CallTimeoutError
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import Server, ServerDownError, call

__all__ = ["DEFAULT_TIMEOUT", "ask"]

DEFAULT_TIMEOUT: Final = 10.0  # seconds; macula_routing_server
RETRY_AFTER: Final = 0.05  # seconds that a server is given to be restarted


async def ask(server: Server, request: object, timeout: float = DEFAULT_TIMEOUT) -> Any:
    """Return what ``server`` answers, asked again while it is being restarted: ``request`` may be carried out twice.

    Args:
        server: the process, best by its name.
        request: the same object each time.
        timeout: seconds for all of it.

    Raises:
        CallTimeoutError: there was no answer in time.
        Exception: what the request is refused with.
    """
    deadline = _now() + timeout
    while True:
        try:
            return await call(server, request, max(deadline - _now(), 0.0))
        except NoAnswerError as error:
            raise CallTimeoutError(str(server), timeout) from error
        except ServerDownError as error:
            if deadline - _now() <= RETRY_AFTER:
                raise CallTimeoutError(str(server), timeout) from error
            await asyncio.sleep(RETRY_AFTER)


def _now() -> float:
    return asyncio.get_running_loop().time()
