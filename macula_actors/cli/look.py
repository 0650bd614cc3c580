"""The commands that look into a running node and change nothing."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from macula_actors.admin.protocol import to_json
from macula_actors.cli.asking import AdminPath, AsJson, DataDir, ask_node
from macula_actors.cli.output import console, short, show_json, show_table, stop
from macula_actors.config_sources import toml_line
from macula_actors.node_config import NodeConfig

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["register"]

_MS: Final = 1000
_MINUTE: Final = 60
_DOCTOR_WAIT: Final = 20.0  # seconds; it dials


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (ping, status, tree, peers, contacts, stats, config, doctor):
        app.command()(command)


def ping(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Tell whether the node answers, and how fast."""
    begun = time.perf_counter()
    answer = ask_node(admin, data_dir, "ping")
    took = round(_MS * (time.perf_counter() - begun), 1)
    if as_json:
        show_json({**answer, "ms": took})
    else:
        console().print(f"{answer['name']} ({short(answer['node_id'])}) answered in {took} ms")


def status(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what the node is and how it does."""
    answer = ask_node(admin, data_dir, "status")
    if as_json:
        show_json(answer)
    else:
        shown = {**answer, "uptime": _duration(answer["uptime"]), "memory_mb": f"{answer['memory_mb']} at most"}
        show_table(("", ""), ((key.replace("_", " "), value) for key, value in shown.items()))


def tree(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the node's processes, as they supervise each other."""
    answer = ask_node(admin, data_dir, "tree")
    if as_json:
        show_json(answer)
    else:
        console().print(_tree(answer))


def peers(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the node's connections to others."""
    answer = ask_node(admin, data_dir, "peers")
    if as_json:
        show_json(answer)
    else:
        columns = ("node", "endpoint", "direction", "verified", "capabilities")
        show_table(columns, ((short(each["node_id"]), *(each[key] for key in columns[1:])) for each in answer))


def contacts(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the nodes in the node's routing table: those that it asks first when it looks something up."""
    answer = ask_node(admin, data_dir, "contacts")
    if as_json:
        show_json(answer)
    else:
        show_table(("node", "endpoint"), ((short(each["node_id"]), each["endpoint"]) for each in answer))


def stats(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what the node's parts count."""
    answer = ask_node(admin, data_dir, "stats")
    if as_json:
        show_json(answer)
    else:
        show_table(("part", "count", ""), ((part, *row) for part in answer for row in _flat(answer[part])))


def config(
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    as_toml: Annotated[bool, typer.Option("--toml", help="Write a file for macula node --config.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="List all keys; no node is asked.")] = False,
) -> None:
    """Show the node's configuration, and where each value comes from."""
    answer = _keys() if keys else ask_node(admin, data_dir, "config")
    if as_json:
        show_json(answer)
    elif as_toml:
        print("\n".join(toml_line(each["key"], each["value"]) for each in answer))
    elif keys:
        show_table(
            ("key", "default", "unit", "meaning", "allowed", "source"),
            (
                (each["key"], each["default"], each["unit"], each["meaning"], each["allowed"], each["source"])
                for each in answer
            ),
        )
    else:
        show_table(
            ("key", "value", "unit", "from", "meaning"),
            ((each["key"], each["value"], each["unit"], each["origin"], each["meaning"]) for each in answer),
        )


def doctor(admin: AdminPath = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Find out what the node can and cannot do where it runs, and why. Exit code 1 if something does not work."""
    answer = ask_node(admin, data_dir, "doctor", wait=_DOCTOR_WAIT)
    if as_json:
        show_json(answer)
    else:
        columns = ("check", "verdict", "detail", "advice")
        show_table(columns, ([each[key] for key in columns] for each in answer))
    failed = [each["check"] for each in answer if each["verdict"] == "fail"]
    if failed:
        stop(f"failed: {', '.join(failed)}")


def _keys() -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = to_json(NodeConfig().describe())
    return described


def _tree(node: dict[str, Any]) -> "Tree":
    from rich.text import Text  # noqa: PLC0415 -- a node which runs does not need it
    from rich.tree import Tree  # noqa: PLC0415 -- as well

    line = Text.assemble((node["id"], "bold"))
    if node["process"]:
        line.append(f"  {node['process']}")
    if node["process"] or node["kind"] != "system":
        line.append(f"  {node['state']}", "green" if node["state"] == "running" else "red")
    if node["restarts"]:
        line.append(f"  {node['restarts']} restarts", "yellow")
    if node["mailbox"]:
        line.append(f"  {node['mailbox']} waiting", "magenta")
    shown = Tree(line)
    shown.children.extend(map(_tree, node["children"]))
    return shown


def _flat(value: Any, above: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(above, value)]
    return [row for key, each in value.items() for row in _flat(each, f"{above}.{key}" if above else key)]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}"
