"""How commands tell what they found: tables for people, JSON for programs, one line on stderr if they failed.

What people and peers have written is shown as it is: consoles read no markup, and what does gets a `Text`.
"""

import json
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from macula_actors.admin.protocol import AdminError
from macula_actors.errors import MaculaError
from supervisors import SupervisorsError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

__all__ = [
    "WIDTH",
    "console",
    "error_console",
    "failures_told",
    "progress",
    "short",
    "show_json",
    "show_table",
    "show_text",
    "stop",
]

WIDTH: Final = 10_000  # columns where there is no terminal: no line is wrapped
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_FAILED: Final = 1
_USED_WRONGLY: Final = 2
_WRONG_USE: Final = frozenset({"BadArgumentError", "ValueError", "bad_arguments"})  # kinds of `AdminError`
_SHORT_ID: Final = 12  # hexadecimal digits


def console() -> "Console":
    """Return what writes to stdout."""
    return _console(stderr=False)


def error_console() -> "Console":
    """Return what writes to stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console  # noqa: PLC0415 -- 2 MB that a node which runs does not need

    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made


def progress(doing: str) -> "Status":
    """Return what shows on stderr, if that is a terminal, that the command is ``doing`` something."""
    from rich.text import Text  # noqa: PLC0415 -- as in `console`

    return error_console().status(Text(doing))


@contextmanager
def failures_told() -> Generator[None]:
    """End the command with exit code 1, or 2 for wrong use, and one line on stderr, if what is inside fails.

    Other errors come through: `macula_actors.cli.app` tells those of the operating system, the rest has a traceback.
    """
    try:
        yield
    except (MaculaError, SupervisorsError) as error:
        is_wrong_use = isinstance(error, AdminError) and error.kind in _WRONG_USE
        stop(str(error), _USED_WRONGLY if is_wrong_use else _FAILED)


def stop(reason: str, code: int = _FAILED) -> typer.Exit:
    """End the command with an exit code, and ``reason`` on stderr.

    Raises:
        Exit: always.
    """
    print(f"macula: {_plain(' '.join(reason.split()))}", file=sys.stderr)
    raise typer.Exit(code)


def show_text(text: str) -> None:
    """Write to stdout what a peer has written: as it is, but on a terminal, which it must not command."""
    out = console()
    out.print(_plain(text) if out.is_terminal else text)


def show_json(value: Any) -> None:
    """Write ``value`` to stdout: in one line, or indented and coloured on a terminal."""
    out = console()
    if out.is_terminal:
        out.print_json(json.dumps(value))
    else:
        print(json.dumps(value))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Write ``rows`` to stdout, None as ``-``, lists with commas."""
    from rich.table import Table  # noqa: PLC0415 -- as in `console`
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for row in rows:
        table.add_row(*(Text(_plain(_cell(each))) for each in row))
    console().print(table)


def short(node_id: str | None) -> str:
    """Return the beginning of a node's id, which is enough for people to tell nodes apart."""
    return "-" if node_id is None else node_id[:_SHORT_ID]


def _plain(text: str) -> str:
    """Return ``text`` with its control characters by number."""
    return text.translate(_CONTROLS)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value)) or "-"
        case Mapping():
            return json.dumps(value) if value else "-"
        case _:
            return str(value)
