"""Two edges that nobody can dial, as behind NATs: each keeps a session with a gateway, which relays their calls."""

import asyncio
from contextlib import AsyncExitStack

from macula_actors import Mode, Node, NodeConfig


def edge(gateway: Node) -> Node:
    """Return a node that lets nobody in."""
    where = [str(gateway.endpoint)]
    return Node(NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", accept_peers=False, bootstrap=where))


async def main() -> None:
    """Let one edge call the other."""
    async with AsyncExitStack() as running:
        hybrid = NodeConfig(mode=Mode.HYBRID, listen="127.0.0.1:0", health_port=0)
        gateway = await running.enter_async_context(Node(hybrid))
        sensor = await running.enter_async_context(edge(gateway))
        reader = await running.enter_async_context(edge(gateway))
        await sensor.advertise("sensor.temperature", lambda _: 21.5)
        (provider,) = await reader.discover("sensor.temperature")
        print("it can be dialled at:", provider.endpoint, "| gateways that reach it:", len(provider.gateways))
        print("it says:", await reader.call("sensor.temperature"))
        print("messages that the gateway relayed:", gateway.stats()["gateway_mesh"].relayed)


if __name__ == "__main__":
    asyncio.run(main())
