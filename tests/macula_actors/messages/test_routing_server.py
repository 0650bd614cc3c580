import asyncio

from macula_actors.messages import routing_server
from tests.macula_actors.actors.routing.mesh import dht, key


async def test_what_is_not_durable_is_not_published_by_the_next_node_of_the_data_dir(tmp_path):
    async with dht() as network:
        node = await network.node(data_dir=tmp_path)
        await node.store(key(1), "durable")
        await routing_server.store(node.server, key(2), "not durable", durable=False)
        assert await node.local(key(2)) == ["not durable"]
        await asyncio.sleep(1.0)
        await node.stop()
        back = await network.node(number=1, data_dir=tmp_path)
        await asyncio.sleep(1.0)

        assert await back.local(key(1)) == ["durable"]
        assert await back.local(key(2)) == []
        assert (await back.stats()).published == 1


async def test_what_was_durable_before_is_so_no_more(tmp_path):
    async with dht() as network:
        node = await network.node(data_dir=tmp_path)
        await node.store(key(1), "durable")
        await asyncio.sleep(1.0)
        await node.store(key(1), "not durable", durable=False)
        await asyncio.sleep(1.0)
        await node.stop()
        back = await network.node(number=1, data_dir=tmp_path)
        await asyncio.sleep(1.0)

        assert await back.local(key(1)) == []
