"""The strategy `closest`, of whole nodes in a simulated network."""

import asyncio
from contextlib import AsyncExitStack

from macula_actors.node import Node
from macula_actors.node_config import Mode, NodeConfig
from macula_actors.simulation import Link, SimNetwork

PORT = 9443


async def test_the_provider_with_the_shortest_round_trip_is_called():
    async with AsyncExitStack() as stack:
        network = stack.enter_context(SimNetwork(seed=1, link=Link(latency=0.002)))

        async def start(name, **settings):
            host = network.host(name)
            config = NodeConfig(
                listen=f"0.0.0.0:{PORT}", advertise=f"{host.ipv4}:{PORT}", health_port="none", **settings
            )
            return await stack.enter_async_context(Node(config, network=lambda: host))

        first = await start("first", mode=Mode.BOOTSTRAP)
        join = {"mode": Mode.EDGE, "bootstrap": [str(first.config.advertise)]}
        providers = {name: await start(name, **join) for name in ("one", "two", "three")}
        caller = await start("caller", strategy="closest", **join)
        *near_by_id, far_by_id = sorted(providers, key=lambda name: caller.node_id.distance(providers[name].node_id))
        for name in near_by_id:
            network.set_link("caller", name, Link(latency=0.2))
        for name, provider in providers.items():
            await provider.advertise("test.name", lambda args, name=name: name)
        for _ in range(3):  # pings
            await asyncio.sleep(20.0)
            for provider in providers.values():
                await caller.call_node(provider.node_id, "test.name")

        assert await caller.call("test.name") == far_by_id
