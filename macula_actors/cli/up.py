"""``macula up``: run a topology's nodes, show what they log, check what must hold of them, and stop them in order."""

from pathlib import Path
from typing import Annotated

import typer

from macula_actors.cli.asking import duration
from macula_actors.cli.loops import Loop
from macula_actors.cli.output import failures_told, stop

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(up)


def up(
    topology: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A TOML file; see examples/topologies.")
    ],
    in_process: Annotated[bool, typer.Option("--in-process", help="All nodes in this process.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Run its checks, and stop; exit code 1 if one fails.")] = False,
    timeout: Annotated[
        float, typer.Option(parser=duration, metavar="SECONDS", help="Seconds in which all must be up.")
    ] = 60.0,
    log_level: Annotated[str, typer.Option(help="Of the nodes' logs that are shown.")] = "WARNING",
    loop: Annotated[Loop, typer.Option(help="The nodes' event loop; auto is uvloop where installed.")] = Loop.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False,
) -> None:
    """Run the nodes of a topology until Ctrl-C, each in its own process, and show their logs."""
    from macula_actors.cli.topology_run import run_topology  # noqa: PLC0415 -- a node which runs does not need it

    with failures_told():
        failed = run_topology(
            topology,
            timeout,
            check=check,
            in_process=in_process,
            log_level=log_level,
            loop=loop,
            as_json=as_json,
        )
    if failed:
        stop(failed)
