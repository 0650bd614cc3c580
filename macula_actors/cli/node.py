"""``macula node``: run one node until it is told to stop."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from macula_actors.cli.launch import LaunchError, until_ended
from macula_actors.cli.logs import configure_logs
from macula_actors.cli.loops import Loop, loop_factory
from macula_actors.cli.output import failures_told, stop
from macula_actors.config_values import Mode
from macula_actors.errors import ConfigError
from macula_actors.node_config import NodeConfig

__all__ = ["register", "run_node"]

_STOP_TIMEOUT: Final = 10.0  # seconds
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(node)


def node(
    config: Annotated[str | None, typer.Option("--config", "-c", envvar="MACULA_CONFIG", help="A TOML file.")] = None,
    mode: Annotated[str | None, typer.Option(help=f"What it does for others: {', '.join(Mode)}.")] = None,
    realm: Annotated[str | None, typer.Option(help="The mesh that it is of.")] = None,
    listen: Annotated[str | None, typer.Option(help="host:port; port 0 for a free one.")] = None,
    bootstrap: Annotated[list[str] | None, typer.Option(help="host:port to join by; may be repeated.")] = None,
    data_dir: Annotated[str | None, typer.Option("--data-dir", "-d", help="Keeps its key, and what it knows.")] = None,
    admin: Annotated[str | None, typer.Option(help="The socket for the other commands.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Write the log as JSON.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key; see macula config --keys.")
    ] = None,
    app: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help="A program to run in the node.")] = None,
    loop: Annotated[Loop, typer.Option(help="The event loop; auto is uvloop where installed.")] = Loop.AUTO,
) -> None:
    """Run a node until SIGINT or SIGTERM. Options go before the environment, and that before the file."""
    options: dict[str, Any] = {
        "mode": mode,
        "realm": realm,
        "listen": listen,
        "bootstrap": bootstrap or None,
        "data_dir": data_dir,
        "admin": admin,
        "log_level": log_level,
        "app": app,
        **dict(map(_pair, set_ or ())),
    }
    with failures_told():
        loaded = _load(config, options)
        configure_logs(loaded.log_level, as_json=json_logs)
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(run_node(loaded, as_json=json_logs))


async def run_node(config: NodeConfig, *, as_json: bool = False) -> None:
    """Run a node until a signal comes; write one line to stdout when it is ready.

    Raises:
        MaculaError: it could not start, gave up, or did not stop in time.
        StartError: one of its processes did not start.
    """
    from macula_actors.node import Node  # noqa: PLC0415 -- the other commands start faster without

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in _SIGNALS:
        loop.add_signal_handler(each, _stop, stopping)
    running = Node(config)
    await running.start()
    try:
        _say_ready(config, running.node_id.hex(), str(running.endpoint), as_json=as_json)
        problem = await until_ended(running, stopping)
    finally:
        await _stop_in_time(running)
    if problem:
        raise LaunchError(config.name, problem)


def _load(path: str | None, options: dict[str, Any]) -> NodeConfig:
    unknown = options.keys() - set(NodeConfig.keys())
    if unknown:
        NodeConfig(**{key: options[key] for key in unknown})  # which refuses them
    if path is None:
        return NodeConfig.load(**options)
    if not path:
        raise ConfigError("config", path, "allowed: a TOML file")
    return NodeConfig.load(Path(path), **options)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r}; KEY=VALUE is needed", param_hint="--set")
    return key.strip(), value


def _stop(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        os._exit(1)  # told twice: whoever waits wants no more order
    stopping.set()


def _say_ready(config: NodeConfig, node_id: str, endpoint: str, *, as_json: bool) -> None:
    facts = {"name": config.name, "node_id": node_id, "mode": config.mode.value, "endpoint": endpoint}
    line = f"{config.mode} node {config.name} {node_id} is ready at {endpoint}"
    print(json.dumps({"ready": facts}) if as_json else line, flush=True)


async def _stop_in_time(running: Any) -> None:
    try:
        async with asyncio.timeout(_STOP_TIMEOUT):
            await running.stop()
    except TimeoutError:
        stop(f"the node did not stop within {_STOP_TIMEOUT:g} s")
