"""A service of several procedures, as a node's application: ``macula node --app examples.calculator:provide``.

Run by itself it is two nodes: one that calculates, one that asks it.
"""

import asyncio
from collections.abc import Mapping

from macula_actors import Mode, Node, NodeConfig, RemoteCallError

PREFIX = "test.calculator"


async def provide(node: Node) -> None:
    """Advertise the calculator at ``node``."""
    added = running = 0

    def add(args: Mapping[str, float]) -> float:
        nonlocal added
        added += 1
        return args["a"] + args["b"]

    async def divide(args: Mapping[str, float]) -> float:
        if args["b"] == 0:
            raise RemoteCallError("division_by_zero", f"{args['a']} can't be divided by 0")
        return args["a"] / args["b"]

    async def slowly(seconds: float) -> str:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            running -= 1
        return "done"

    await node.advertise(f"{PREFIX}.add", add, metadata={"arguments": ["a", "b"]})
    await node.advertise(f"{PREFIX}.divide", divide)
    await node.advertise(f"{PREFIX}.slowly", slowly)
    await node.advertise(f"{PREFIX}.count", lambda _: added)
    await node.advertise(f"{PREFIX}.running", lambda _: running)


async def main() -> None:
    """Let one node calculate for the other."""
    async with Node(NodeConfig(mode=Mode.BOOTSTRAP, listen="127.0.0.1:0")) as server:
        await provide(server)
        config = NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", bootstrap=[str(server.endpoint)])
        async with Node(config) as client:
            print("1 + 2 =", await client.call(f"{PREFIX}.add", {"a": 1, "b": 2}))
            try:
                await client.call(f"{PREFIX}.divide", {"a": 1, "b": 0})
            except RemoteCallError as error:
                print("1 / 0:", error)


if __name__ == "__main__":
    asyncio.run(main())
