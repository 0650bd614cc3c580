import asyncio

import pytest

from macula_actors.errors import BadArgumentError
from macula_actors.messages import routing_server
from macula_actors.messages.names import ROUTING_SERVER
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


@pytest.mark.parametrize("bad", ["key", b"key", 5, None, bytearray(32)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda server, bad: routing_server.store(server, bad, 1),
        lambda server, bad: routing_server.store_local(server, bad, 1),
        lambda server, bad: routing_server.delete(server, bad),
        lambda server, bad: routing_server.delete_local(server, bad),
        lambda server, bad: routing_server.get_local(server, bad),
        lambda server, bad: routing_server.find_value(server, bad),
        lambda server, bad: routing_server.find_node(server, bad),
        lambda server, bad: routing_server.find_closest(server, bad),
        lambda server, bad: routing_server.remove_node(server, bad),
    ],
)
async def test_what_is_no_key_is_refused_and_the_server_lives(ask, bad):
    async with dht() as network:
        node = await network.node()
        before = node.system.whereis(ROUTING_SERVER)
        with pytest.raises(BadArgumentError, match="bad_key"):
            await ask(node.server, bad)

        assert await node.size() == 0
        assert node.system.whereis(ROUTING_SERVER) is before


@pytest.mark.parametrize("store", [routing_server.store, routing_server.store_local])
@pytest.mark.parametrize("ttl", ["x", None, True, 0, -1, 86_401, float("nan"), float("inf")])
async def test_what_is_no_ttl_is_refused_and_the_server_lives(store, ttl):
    async with dht() as network:
        node = await network.node()
        before = node.system.whereis(ROUTING_SERVER)
        with pytest.raises(BadArgumentError, match="bad_ttl"):
            await store(node.server, key(1), 1, ttl=ttl)

        assert await node.find(key(1)) == []
        assert node.system.whereis(ROUTING_SERVER) is before


@pytest.mark.parametrize(("ttl", "whole"), [(300, 300), (300.0, 300), (1.5, 2)])
async def test_a_ttl_is_rounded_up_to_whole_seconds(ttl, whole):
    async with dht() as network:
        node = await network.node()
        record = await routing_server.store_local(node.server, bytes(key(1)), 1, ttl=ttl)

        assert record.ttl == whole
