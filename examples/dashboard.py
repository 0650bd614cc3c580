"""A dashboard: a live table of what several nodes publish. It starts late, and shows the last value of each at once."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

from rich.console import Console
from rich.live import Live
from rich.table import Table

from macula_actors import Event, Mode, Node, NodeConfig

STATIONS = ("attic", "kitchen", "yard")
READINGS = {"temperature": 21.0, "humidity": 40.0}
ROUNDS = 20
PAUSE = 0.05  # seconds between two readings of a station


class Dashboard:
    """The last value of each topic. A station is the topic's second segment, a reading its third."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.updates: dict[str, int] = {}  # by station, those that were published while it looked
        self.was_there = 0

    def note(self, event: Event) -> None:
        """Take an event."""
        _, station, reading = event.topic.split(".")
        self.values.setdefault(station, {})[reading] = event.payload
        self.updates.setdefault(station, 0)
        if event.retained:
            self.was_there += 1
        else:
            self.updates[station] += 1

    def table(self) -> Table:
        """Return it as it is now."""
        table = Table("station", *READINGS, "updates", title="stations.*.*")
        for station, values in sorted(self.values.items()):
            cells = (f"{values[name]:.1f}" if name in values else "?" for name in READINGS)
            table.add_row(station, *cells, str(self.updates[station]))
        return table


def a_node(*bootstrap: Node) -> Node:
    """Return a node that finds the others through ``bootstrap``."""
    mode = Mode.EDGE if bootstrap else Mode.BOOTSTRAP
    return Node(NodeConfig(mode=mode, listen="127.0.0.1:0", bootstrap=[str(node.endpoint) for node in bootstrap]))


async def publish(node: Node, station: str, values: dict[str, float]) -> None:
    """Publish the readings of a station; who subscribes later is given the last ones."""
    for name, value in values.items():
        await node.publish(f"stations.{station}.{name}", value, qos=1, retain=True)


async def measure(node: Node, station: str) -> None:
    """Publish readings that change."""
    rng, values = Random(station), READINGS
    for _ in range(ROUNDS):
        values = {name: value + rng.uniform(-0.5, 0.5) for name, value in values.items()}
        await publish(node, station, values)
        await asyncio.sleep(PAUSE)


async def main() -> None:
    """Run three stations and a dashboard, each a node."""
    dashboard = Dashboard()
    async with AsyncExitStack() as running:
        first = await running.enter_async_context(a_node())
        stations = {station: await running.enter_async_context(a_node(first)) for station in STATIONS}
        for station, node in stations.items():
            await publish(node, station, READINGS)

        late = await running.enter_async_context(a_node(first))
        events = await running.enter_async_context(late.subscription("stations.*.*"))
        while dashboard.was_there < len(STATIONS) * len(READINGS):
            dashboard.note(await anext(events))
        print(f"{dashboard.was_there} values were there before anything new was published")

        measuring = asyncio.gather(*[measure(node, station) for station, node in stations.items()])
        with Live(dashboard.table(), console=Console(), refresh_per_second=20) as live:
            for _ in range(ROUNDS * len(STATIONS) * len(READINGS)):
                dashboard.note(await anext(events))
                live.update(dashboard.table())
        await measuring


if __name__ == "__main__":
    asyncio.run(main())
