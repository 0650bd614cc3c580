"""The commands that break something on purpose: a process, links."""

from ipaddress import ip_network
from typing import Annotated

import typer

from macula_actors.cli.asking import AdminPath, AsJson, DataDir, ask_node
from macula_actors.cli.output import console, show_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(kill)
    app.command()(deny)


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
        console().print(f"killed {answer['killed']}")


def deny(
    networks: Annotated[list[str] | None, typer.Argument(help="Networks or addresses, such as 10.0.0.0/8.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Deny nobody any more.")] = False,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Have the node neither dial networks nor let them in, in place of those denied before; it cuts links."""
    if nobody is bool(networks):
        raise typer.BadParameter("whom? Give NETWORKS, or --nobody")
    answer = ask_node(admin, data_dir, "deny", networks=[_network(each) for each in networks or ()])
    if as_json:
        show_json(answer)
    else:
        console().print(f"ended {answer['ended']} connections")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
