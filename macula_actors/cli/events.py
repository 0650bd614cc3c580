"""The commands about events: publish one, and show those that come."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from macula_actors.admin.client import AdminClient
from macula_actors.cli.asking import AdminPath, AsJson, DataDir, TimeoutOption, ask_node, json_value, socket_of
from macula_actors.cli.output import error_console, failures_told, short, show_json, show_text

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(publish)
    app.command()(subscribe)


def publish(
    topic: Annotated[str, typer.Argument(help="The topic, such as sensors.kitchen.temperature.")],
    payload: Annotated[str, typer.Argument(help="The payload as JSON.")] = "null",
    qos: Annotated[int, typer.Option(min=0, max=1, help="1: wait until all subscribers have acknowledged it.")] = 0,
    retain: Annotated[bool, typer.Option("--retain", help="Keep it for who subscribes later.")] = False,
    timeout: TimeoutOption = None,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish an event. Exit code 1 if it was not acknowledged by all."""
    answer = ask_node(
        admin,
        data_dir,
        "publish",
        wait=timeout,
        topic=topic,
        payload=json_value(payload),
        qos=qos,
        retain=retain or None,
        timeout=timeout,
    )
    if as_json:
        show_json(answer)


def subscribe(
    pattern: Annotated[str, typer.Argument(help="A topic; * is one segment of it, ** any number of them.")],
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    admin: AdminPath = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show events as they come, one a line, until it is interrupted."""
    with failures_told():
        asyncio.run(_show(socket_of(admin, data_dir), pattern, count, as_json=as_json))


async def _show(socket: Path, pattern: str, count: int | None, *, as_json: bool) -> None:
    arguments = {"pattern": pattern} if count is None else {"pattern": pattern, "count": count}
    async with AdminClient(socket) as client:
        async for told in client.stream("subscribe", **arguments):
            if "subscribed" in told:
                error_console().print(f"subscribed to {pattern}")
            elif as_json:
                show_json(told)
            else:
                _show_event(told)
            sys.stdout.flush()  # who reads a pipe is not to wait for the next ones


def _show_event(event: dict[str, Any]) -> None:
    kept = " (retained)" if event["retained"] else ""
    text = f"{event['topic']}  {event['payload']}  from {short(event['publisher'])}{kept}"
    show_text(text)
