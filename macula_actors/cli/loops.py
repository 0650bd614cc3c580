"""Which event loop a node runs on."""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from macula_actors.errors import ConfigError

__all__ = ["Loop", "loop_factory"]


class Loop(StrEnum):
    """The choices."""

    AUTO = "auto"  # uvloop where installed
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


def loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop.

    Raises:
        ConfigError: uvloop is asked for and not installed.
    """
    if loop is Loop.ASYNCIO:
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 -- an extra
    except ImportError as error:
        if loop is Loop.UVLOOP:
            raise ConfigError("loop", loop, "it is not installed: pip install macula-actors[fast]") from error
        return asyncio.new_event_loop
    return uvloop.new_event_loop
