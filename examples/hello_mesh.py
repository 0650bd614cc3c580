"""Two nodes: one says hello, the other finds it and calls it."""

import asyncio

from macula_actors import Mode, Node, NodeConfig


async def main() -> None:
    """Start both, and let the second call the first."""
    async with Node(NodeConfig(mode=Mode.BOOTSTRAP, listen="127.0.0.1:0")) as first:
        config = NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", bootstrap=[str(first.endpoint)])
        async with Node(config) as second:
            await first.advertise("greeting.hello", lambda name: f"Hello, {name}!")
            print(await second.call("greeting.hello", "mesh"))


if __name__ == "__main__":
    asyncio.run(main())
