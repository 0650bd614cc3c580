"""All commands of ``macula``. Exit codes: 0 ok; 1 it failed, the reason is on stderr in one line; 2 used wrongly."""

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
    """Run the command that the process was started with."""
    app()
