"""The command that breaks something on purpose."""

from typing import Annotated

import typer

from macula_actors.cli.asking import AdminPath, AsJson, DataDir, ask_node
from macula_actors.cli.output import console, show_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(kill)


def kill(
    name: Annotated[str, typer.Argument(help="A process's name, or its place in the tree: macula_root/gateway.")],
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Kill one process of the node, to see its supervisor start it again."""
    answer = ask_node(admin, data_dir, "kill", name=name)
    if as_json:
        show_json(answer)
    else:
        console().print(f"killed {answer['killed']}", highlight=False, markup=False)
