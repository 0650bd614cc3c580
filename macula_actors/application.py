"""The program that runs inside a node: ``--app MODULE:FUNCTION``, called with the node once the rest is started.

Erlang: ``application:start/2`` of a permanent application; here it is the last child of the node's root.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias, cast

from typing_extensions import override

from macula_actors.errors import ConfigError
from supervisors import (
    Continue,
    GenServer,
    Normal,
    Restart,
    Server,
    ServerDownError,
    StartError,
    Stop,
    is_abnormal,
    start_child,
    terminate_child,
)

__all__ = ["APPLICATION", "PATIENCE", "Application", "Program", "load_application", "start_application"]

APPLICATION: Final = "macula_application"
PATIENCE: Final = 2.0  # seconds that a start waits for the program to return

Application: TypeAlias = Callable[[Any], Awaitable[None] | None]
"""Takes the `macula_actors.node.Node`, advertises services, starts processes; then it returns, or works on for ever.

It runs in a process of its own. If it crashes it is called again, until the node's root gives up, and the node with it;
when the node stops, it is cancelled before any other part ends.
"""

_ALLOWED: Final = "allowed: MODULE:FUNCTION, a def or async def that takes the node, found from the working directory"


class Program(GenServer):
    """The process that calls an `Application` once."""

    @override
    def init(self, application: Application, node: object) -> Continue:
        return Continue((application, node))

    @override
    async def handle_continue(self, term: Any) -> Stop:
        application, node = term
        result = application(node)
        if inspect.isawaitable(result):
            await result
        return Stop(Normal())


def load_application(name: str) -> Application:
    """Return the function that ``name`` says.

    Raises:
        ConfigError: there is none. Other errors are those of the module itself.
    """
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError("app", name, f"{_ALLOWED} ({error})") from error
    if not callable(function):
        raise ConfigError("app", name, _ALLOWED)
    return cast(Application, function)


async def start_application(root: Server, application: Application, node: object) -> None:
    """Have ``application`` run under ``root``, and wait until it has returned, or for a moment: it goes on by itself.

    Raises:
        StartError: it crashed before that; its error is the ``__cause__``.
    """
    spec = Program.child_spec(application, node, id=APPLICATION, name=APPLICATION, restart=Restart.TRANSIENT)
    program = await start_child(root, spec)
    try:
        async with asyncio.timeout(PATIENCE):
            reason = await program.wait_exit()
    except TimeoutError:
        return
    if is_abnormal(reason):
        with suppress(ServerDownError):  # who has crashed may have given up already
            await terminate_child(root, APPLICATION)
        raise StartError(reason, spec) from getattr(reason, "error", None)
