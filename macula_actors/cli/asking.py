"""How commands find the node that they ask, and ask it."""

import asyncio
import json
from math import nan
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from macula_actors.admin.client import ask
from macula_actors.cli.output import failures_told, progress
from macula_actors.config_values import MAX_SECONDS
from macula_actors.node_config import NodeConfig

__all__ = ["AdminPath", "AsJson", "DataDir", "TimeoutOption", "ask_node", "duration", "json_value", "socket_of"]

_SHOW_AFTER: Final = 1.0  # seconds
_GRACE: Final = 5.0  # seconds that a node has beyond a command's own time-out, to say that it was over


def duration(given: str | float) -> float:
    """Return the seconds that an option says. ``min`` and ``max`` of typer let not-a-number through.

    Raises:
        BadParameter: they are none.
    """
    try:
        seconds = float(given)
    except ValueError:
        seconds = nan
    if not 0 < seconds <= MAX_SECONDS:
        raise typer.BadParameter(f"{given!r} is not a number of seconds above 0, at most {MAX_SECONDS}")
    return seconds


AdminPath: TypeAlias = Annotated[
    str | None, typer.Option("--admin", envvar="MACULA_ADMIN", help="The node's admin socket.", show_default=False)
]
DataDir: TypeAlias = Annotated[
    str | None,
    typer.Option("--data-dir", "-d", envvar="MACULA_DATA_DIR", help="The node's data_dir.", show_default=False),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
TimeoutOption: TypeAlias = Annotated[
    float | None, typer.Option(parser=duration, metavar="SECONDS", help="Seconds it may take.")
]


def socket_of(admin: str | None, data_dir: str | None) -> Path:
    """Return the admin socket of a node with these options.

    Raises:
        BadParameter: it has none.
        ConfigError: one of them is no path.
    """
    socket = NodeConfig(admin=admin, data_dir=data_dir).admin_socket
    if socket is None:
        raise typer.BadParameter("which node? Give --admin SOCKET or --data-dir DIR, or set MACULA_DATA_DIR")
    return socket


def ask_node(
    admin: str | None, data_dir: str | None, command: str, /, *, wait: float | None = None, **arguments: Any
) -> Any:
    """Ask the node that the options name, and return its answer. That it works on it is shown after a second.

    Args:
        admin: an option.
        data_dir: an option.
        command: of the admin socket.
        wait: seconds that the command itself may take; None: those that commands take at most.
        arguments: of the command; those that are None are left out.

    Raises:
        Exit: it failed; the reason is on stderr.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    with failures_told():
        return asyncio.run(_ask(socket_of(admin, data_dir), command, 30.0 if wait is None else wait + _GRACE, given))


async def _ask(socket: Path, command: str, wait: float, arguments: dict[str, Any]) -> Any:
    status = progress(f"{command.replace('_', '-')} ...")
    shown = asyncio.get_running_loop().call_later(_SHOW_AFTER, status.start)
    try:
        return await ask(socket, command, wait=wait, **arguments)
    finally:
        shown.cancel()
        status.stop()


def json_value(text: str) -> Any:
    """Return what ``text`` is as JSON.

    Raises:
        BadParameter: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        advice = f"a text is written {json.dumps(text)!r}" if text.isprintable() else "see json.org"
        raise typer.BadParameter(f"{text[:80]!r} is not JSON; {advice}") from error
