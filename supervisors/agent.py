"""A process that keeps one value, and applies functions to it.

Elixir: Agent.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from supervisors.errors import BadReturnValueError, UnexpectedRequestError
from supervisors.gen import call, cast
from supervisors.gen_server import GenServer
from supervisors.messages import From, Reply
from supervisors.names import Server
from supervisors.ref import DEFAULT_TIMEOUT

__all__ = ["Agent"]


class Agent(GenServer):
    """Keeps a value: ``await Agent.start_link(function, *args)`` has it begin as what ``function`` returns.

    The functions, ``def`` or ``async def``, run in the agent's process, one at a time, with the value and ``args``.
    One that raises ends the agent with `Crashed`. The verbs take the agent as a ref or any name, and those that wait
    raise what `call` raises.
    """

    @override
    async def init(self, function: Callable[..., Any], *args: object) -> None:
        self.state = await _apply(function, *args)

    @override
    async def handle_call(self, request: Any, from_: From) -> Reply:
        match request:
            case _Get(function, args):
                return Reply(await _apply(function, self.state, *args))
            case _Update(function, args):
                self.state = await _apply(function, self.state, *args)
                return Reply(None)
            case _GetAndUpdate(function, args):
                result = await _apply(function, self.state, *args)
                if not isinstance(result, tuple) or len(result) != 2:  # noqa: PLR2004 -- a pair
                    raise BadReturnValueError("get_and_update's function", result)
                value, self.state = result
                return Reply(value)
        raise UnexpectedRequestError(request, self.actor_ref)

    @override
    async def handle_cast(self, request: Any) -> None:
        if not isinstance(request, _Update):
            raise UnexpectedRequestError(request, self.actor_ref)
        self.state = await _apply(request.function, self.state, *request.args)

    @staticmethod
    async def get(
        agent: Server,
        function: Callable[..., Any],
        *args: object,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Any:
        """Return ``function(value, *args)``; ``timeout`` in seconds."""
        return await call(agent, _Get(function, args), timeout)

    @staticmethod
    async def update(
        agent: Server,
        function: Callable[..., Any],
        *args: object,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        """Replace the value by ``function(value, *args)``; ``timeout`` in seconds."""
        await call(agent, _Update(function, args), timeout)

    @staticmethod
    async def get_and_update(
        agent: Server,
        function: Callable[..., Any],
        *args: object,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Any:
        """Have ``function(value, *args)`` return ``(result, new_value)``; keep the one and return the other."""
        return await call(agent, _GetAndUpdate(function, args), timeout)

    @staticmethod
    def cast(agent: Server, function: Callable[..., Any], *args: object) -> None:
        """Replace the value by ``function(value, *args)``, some time, without waiting. Never fails."""
        cast(agent, _Update(function, args))


@dataclass(frozen=True, slots=True)
class _Request:
    function: Callable[..., Any]
    args: tuple[object, ...]


class _Get(_Request):
    __slots__ = ()


class _Update(_Request):
    __slots__ = ()


class _GetAndUpdate(_Request):
    __slots__ = ()


async def _apply(function: Callable[..., Any], *args: object) -> Any:
    result = function(*args)
    return await result if inspect.isawaitable(result) else result
