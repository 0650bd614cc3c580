"""All commands of ``macula``. Exit codes: 0 ok; 1 it failed, the reason is on stderr in one line; 2 used wrongly."""

import os
import sys
from pathlib import Path

import typer

from macula_actors.cli import control, events, look, node, services, up, values

__all__ = ["app", "main"]

app = typer.Typer(
    name="macula",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Run nodes of a Macula mesh, and look into those that run.",
)
for module in (node, up, look, services, events, values, control):
    module.register(app)


def main() -> None:
    """Run the command that the process was started with. What the operating system refuses is told in one line.

    A pipe that nobody reads any more is told to nobody.
    """
    _open_closed()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # it is flushed again at the exit
        if not isinstance(error, BrokenPipeError):
            print(f"macula: {error}", file=sys.stderr)
        sys.exit(1)


def _open_closed() -> None:
    """Have what was closed before the start go nowhere, and not into the next file that is opened."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- it stays open
