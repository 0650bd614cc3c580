"""Sensors in rooms, and readers with wildcards: each gets what it has subscribed to, whoever publishes it."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack

from macula_actors import Event, Mode, Node, NodeConfig

READINGS: dict[str, list[float]] = {
    "sensors.kitchen.temperature": [21.0, 21.5, 22.0],
    "sensors.kitchen.humidity": [40, 41, 43],
    "sensors.attic.temperature": [17.5, 17.0, 16.5],
}
PATTERNS = ["sensors.*.temperature", "sensors.kitchen.*", "sensors.**"]


def a_node(*bootstrap: Node) -> Node:
    """Return a node that finds the others through ``bootstrap``."""
    mode = Mode.EDGE if bootstrap else Mode.BOOTSTRAP
    return Node(NodeConfig(mode=mode, listen="127.0.0.1:0", bootstrap=[str(node.endpoint) for node in bootstrap]))


def show(tables: dict[str, dict[str, list[float]]]) -> None:
    """Print what came for each pattern."""
    for pattern, table in tables.items():
        print(pattern)
        for topic in sorted(table):
            print(f"  {topic:<28} {table[topic][-1]:>6} of {len(table[topic])} readings")


async def main() -> None:
    """Publish at one node what three others have subscribed to."""
    tables: dict[str, dict[str, list[float]]] = {pattern: defaultdict(list) for pattern in PATTERNS}

    def note(event: Event) -> None:
        tables[event.pattern][event.topic].append(event.payload)

    async with AsyncExitStack() as running:
        first = await running.enter_async_context(a_node())
        readers = [await running.enter_async_context(a_node(first)) for _ in PATTERNS]
        for reader, pattern in zip(readers, PATTERNS, strict=True):
            await reader.subscribe(pattern, note)
        for topic, values in READINGS.items():
            for value in values:
                await first.publish(topic, value, qos=1)  # it returns when all three have it
    show(tables)


if __name__ == "__main__":
    asyncio.run(main())
