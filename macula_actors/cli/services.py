"""The commands about services: call, discover, and provide one to try the mesh out."""

import time
from typing import Annotated, Final

import typer

from macula_actors.cli.asking import AdminPath, AsJson, DataDir, TimeoutOption, ask_node, json_value
from macula_actors.cli.output import console, short, show_json, show_table, show_text, stop
from macula_actors.core.rpc.call_plan import Path as CallPath

__all__ = ["register"]

_MS_PER_SECOND: Final = 1000
_CALL_WAIT: Final = 60.0  # seconds; rpc_timeout may be as long

Procedure = Annotated[str, typer.Argument(help="The procedure's name, such as test.calculator.add.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(services)
    app.command()(call)
    app.command()(discover)
    app.command("advertise-echo")(advertise_echo)


def services(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List what the node provides itself."""
    answer = ask_node(admin, data_dir, "services")
    if as_json:
        show_json(answer)
    else:
        columns = ("procedure", "handler", "metadata")
        show_table(columns, ([each[key] for key in columns] for each in answer))


def call(
    procedure: Procedure,
    args: Annotated[str, typer.Argument(help="Arguments as JSON.")] = "null",
    node: Annotated[str | None, typer.Option(help="The id of the one node to call; 64 digits.")] = None,
    path: Annotated[list[CallPath] | None, typer.Option(help="A way that it may go; may be repeated.")] = None,
    max_hops: Annotated[int | None, typer.Option(min=0, help="Nodes that it may be handed on by.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show which way it went, too.")] = False,
    timeout: TimeoutOption = None,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Call a procedure, and show what it returned."""
    value = json_value(args)
    answer = ask_node(
        admin,
        data_dir,
        "call",
        wait=_CALL_WAIT if timeout is None else timeout,
        procedure=procedure,
        args=value,
        node_id=node,
        paths=path or None,
        max_hops=max_hops,
        timeout=timeout,
        trace=trace or None,
    )
    result = answer["result"] if trace else answer
    if as_json:
        show_json(answer)
    elif isinstance(result, str):
        show_text(result)
    else:
        show_json(result)
    if trace and not as_json:
        console().print(f"by {answer['by']}: {', '.join(map(short, answer['path']))}")


def discover(
    procedure: Procedure,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mesh, even if the answer is cached.")] = False,
    timeout: TimeoutOption = 5.0,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the nodes that provide a procedure. Exit code 1 if there is none."""
    answer = ask_node(
        admin, data_dir, "discover", wait=timeout, procedure=procedure, refresh=refresh or None, timeout=timeout
    )
    if as_json:
        show_json(answer)
    elif answer:
        now = time.time()
        show_table(
            ("node", "endpoint", "gateways", "expires", "metadata"),
            (
                (
                    short(each["node_id"]),
                    each["endpoint"],
                    [gateway["endpoint"] or short(gateway["node_id"]) for gateway in each["gateways"]],
                    f"in {max(round(each['expires_at'] / _MS_PER_SECOND - now), 0)} s",
                    each["metadata"],
                )
                for each in answer
            ),
        )
    if not answer:
        stop(f"no node provides {procedure}")


def advertise_echo(
    procedure: Procedure,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Provide it no more.")] = False,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Have the node provide a procedure that returns its arguments, until it stops."""
    answer = ask_node(admin, data_dir, "advertise_echo", procedure=procedure, withdraw=withdraw or None)
    if as_json:
        show_json(answer)
    elif not withdraw:
        console().print(f"{procedure} is provided")
    elif answer["withdrawn"]:
        console().print(f"{procedure} is provided no more")
    if withdraw and not answer["withdrawn"]:
        stop(f"{procedure} is not provided here")
