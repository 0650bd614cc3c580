"""The program that runs inside a node: ``--app MODULE:FUNCTION``, called with the node once it is started."""

import importlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from macula_actors.errors import ConfigError

__all__ = ["Application", "load_application"]

Application: TypeAlias = Callable[[Any], Awaitable[None]]
"""Takes the `macula_actors.node.Node`, advertises services, starts processes of its own; then it returns."""

_ALLOWED = "allowed: MODULE:FUNCTION, an async def that takes the node, found from the working directory"


def load_application(name: str) -> Application:
    """Return the function that ``name`` says.

    Raises:
        ConfigError: there is none.
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
