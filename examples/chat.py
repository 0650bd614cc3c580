"""A chat room: each node says something, both hear all of it in order, and who comes late is told what it is about."""

import asyncio
from contextlib import AsyncExitStack

from macula_actors import EventStream, Mode, Node, NodeConfig

ROOM = "chat.kitchen"


async def show(name: str, events: EventStream, lines: int) -> None:
    """Print what ``name`` hears next."""
    for _ in range(lines):
        event = await anext(events)
        print(f"{name} hears{' that it is about' if event.retained else ''}: {event.payload}")


async def main() -> None:
    """Let two nodes talk."""
    async with AsyncExitStack() as running:
        ann = await running.enter_async_context(Node(NodeConfig(mode=Mode.BOOTSTRAP, listen="127.0.0.1:0")))
        where = [str(ann.endpoint)]
        bob = await running.enter_async_context(Node(NodeConfig(listen="127.0.0.1:0", bootstrap=where)))
        await ann.publish(f"{ROOM}.subject", "tea", retain=True)
        async with ann.subscription(f"{ROOM}.*") as at_ann, bob.subscription(f"{ROOM}.*") as at_bob:
            await ann.publish(f"{ROOM}.talk", "Who wants some?", qos=1)
            await bob.publish(f"{ROOM}.talk", "I do.", qos=1)
            await show("ann", at_ann, 3)
            await show("bob", at_bob, 3)


if __name__ == "__main__":
    asyncio.run(main())
