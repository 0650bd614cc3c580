"""The commands about values in the DHT."""

from typing import Annotated

import typer

from macula_actors.cli.asking import AdminPath, AsJson, DataDir, TimeoutOption, ask_node, duration, json_value
from macula_actors.cli.output import console, show_json, stop

__all__ = ["register"]

Key = Annotated[str, typer.Argument(help="Any text.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(store)
    app.command()(find)


def store(
    key: Key,
    value: Annotated[str, typer.Argument(help="The value as JSON, some 8 KiB at most.")],
    ttl: Annotated[
        float | None, typer.Option(parser=duration, metavar="SECONDS", help="Seconds that it outlives the node.")
    ] = None,
    timeout: TimeoutOption = 10.0,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Have the nodes closest to a key keep a value. Each node has one of its own under a key."""
    decoded = json_value(value)
    answer = ask_node(admin, data_dir, "store", wait=timeout, key=key, value=decoded, ttl=ttl, timeout=timeout)
    if as_json:
        show_json(answer)
    else:
        console().print(f"kept by {answer['nodes']} nodes")


def find(
    key: Key,
    timeout: TimeoutOption = 10.0,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the values that nodes have stored under a key, one a line. Exit code 1 if there is none."""
    answer = ask_node(admin, data_dir, "find", wait=timeout, key=key, timeout=timeout)
    if as_json:
        show_json(answer)
    else:
        for value in answer["values"]:
            show_json(value)
    if not answer["values"]:
        stop(f"nothing is stored under {key}")
