"""50 whole nodes over QUIC in a simulated network: joining, storing, finding, and finding when some are gone."""

import asyncio

import pytest

from macula_actors.messages import routing_server
from tests.macula_actors.actors.routing.mesh import until
from tests.macula_actors.actors.routing.quic import quic_dht
from tests.simulation.meshes import keys_of, state

PAYLOAD = {"a": 1}


@pytest.mark.parametrize(("size", "gone"), [(8, 2), pytest.param(50, 10, marks=pytest.mark.long)])
async def test_nodes_over_quic_join_store_and_find_and_still_do_when_some_have_stopped(size, gone):
    keys = keys_of(size)
    async with quic_dht() as dht:
        first = await dht.node()
        nodes = [first, *[await dht.node(first) for _ in range(size - 1)]]
        for node in nodes:
            await until(lambda node=node: knows_enough(node, min(size - 1, 20)))
        for node, key in zip(nodes, keys, strict=True):
            await node.store(key, PAYLOAD)
        loop = asyncio.get_running_loop()
        whole = [await nodes[-1 - place].find(key) for place, key in enumerate(keys)]
        for node in nodes[1 : 1 + gone]:
            await node.stop()
        live = [first, *nodes[1 + gone :]]
        began = loop.time()
        again = [await live[place % len(live)].find(key) for place, key in enumerate(keys)]

        state(f"{size} nodes, {gone} stopped: {(loop.time() - began) / size:.3f} s a find")
        assert whole == [[PAYLOAD]] * size
        assert again == [[PAYLOAD]] * size


async def knows_enough(node, count):
    return await routing_server.size(node.server) >= count
