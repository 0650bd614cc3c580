import asyncio

import pytest

from macula_actors.actors.routing.gateway_dht import GatewayDHT
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.wire.messages import Call, FindNode, FindNodeReply, FindValue, Store, StoreReply
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    NoRouteError,
    OverloadedError,
    RefusedError,
)
from macula_actors.messages import gateway_dht, routing_server
from macula_actors.messages.names import GATEWAY_DHT, PEER_CONNECTOR, ROUTING_SERVER
from macula_actors.messages.peer import Inbound
from supervisors import GenServer, Kill, NoReply, Shutdown, System, exit_signal, stop
from tests.macula_actors.actors.routing.mesh import DHT, EPOCH_MS, KEY, all_know_all, identity, until
from tests.macula_actors.actors.routing.quic import quic_dht
from tests.macula_actors.actors.routing.test_server import a_record

PAYLOAD = {"a": 1}
FIND = FindNode(target=bytes(KEY))


def gateway(node):
    return (GATEWAY_DHT, node.system)


async def ask(node, other, message=FIND, timeout=2.0):
    return await gateway_dht.query_peer(gateway(node), other.contact, message, timeout)


PEER = identity(9).node_id


def inbound(message, node_id=PEER):
    peer = PeerInfo(node_id=node_id, public_key=None, endpoint=None, capabilities=(), verified=True)
    return Inbound(peer, message, None)


@pytest.mark.parametrize("count", [2, 3, 8])
async def test_nodes_over_quic_join_store_and_find(count):
    async with quic_dht() as dht:
        nodes = await dht.network(count)

        assert await nodes[-1].store(KEY, PAYLOAD) == count
        assert [await node.find(KEY) for node in nodes] == [[PAYLOAD]] * count


async def test_a_peer_answers_a_query():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        reply = await ask(one, other)

        assert isinstance(reply, FindNodeReply)
        assert reply.node_id == other.node_id


async def test_a_query_to_nowhere_ends_in_time():
    async with quic_dht() as dht:
        node = await dht.node()
        nobody = Contact(Endpoint("10.200.0.1", 443), identity(9).node_id)

        with pytest.raises((CallTimeoutError, NoRouteError)):
            await gateway_dht.query_peer(gateway(node), nobody, FIND, 1.0)
        assert asyncio.get_running_loop().time() <= 1.1


async def test_a_message_that_cannot_be_sent_hurts_its_sender_only():
    async with quic_dht() as dht:
        one, other = await dht.network(2)

        with pytest.raises(LocalProtocolError):
            await ask(one, other, FindNode(target=b""))
        assert await ask(one, other)


async def test_what_a_peer_refuses_says_why():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        record = a_record(ttl=1, now_ms=EPOCH_MS - 10_000)

        with pytest.raises(RefusedError) as refused:
            await gateway_dht.send_to_peer(
                gateway(one), other.contact, Store(key=bytes(KEY), value=record.to_value()), 2.0
            )
        assert refused.value.code == "expired"


async def test_a_peer_without_its_routing_server_says_that_it_is_unavailable():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        await stop((DHT, other.system), Shutdown())

        with pytest.raises(RefusedError) as refused:
            await ask(one, other)
        assert refused.value.code == "unavailable"


async def test_who_answered_a_query_comes_into_the_table():
    async with quic_dht() as dht:
        one, other = [await dht.node() for _ in range(2)]
        await ask(one, other)

        await until(lambda: one.knows(other))


async def test_who_is_silent_leaves_the_table():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        await other.stop()
        for _ in range(3):
            with pytest.raises((CallTimeoutError, NoRouteError, ConnectionLostError)):
                await ask(one, other)
            await asyncio.sleep(2.0)

        assert not await one.knows(other)


async def test_messages_of_peers_are_answered_by_the_routing_server():
    async with quic_dht() as dht:
        node = await dht.node()
        record = a_record()
        store = inbound(Store(key=bytes(KEY), value=record.to_value()))

        assert await gateway_dht.handle_store(gateway(node), store) == StoreReply()
        reply = await gateway_dht.handle_find_value(gateway(node), inbound(FindValue(key=bytes(KEY))))
        assert reply.value == (record.to_value(),)
        assert (await gateway_dht.handle_find_node(gateway(node), inbound(FIND))).nodes == ()
        assert isinstance(await gateway_dht.handle_query(gateway(node), inbound(FIND)), FindNodeReply)


async def test_a_peer_that_does_not_say_who_it_is_is_refused():
    async with quic_dht() as dht:
        node = await dht.node()

        with pytest.raises(RefusedError):
            await gateway_dht.handle_query(gateway(node), inbound(FIND, node_id=None))


async def test_a_value_is_looked_up_through_the_gateway():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        await one.store(KEY, PAYLOAD)
        records = await gateway_dht.lookup_value(gateway(other), KEY)

        assert [record.payload for record in records] == [PAYLOAD]


async def test_a_query_ends_when_what_carries_it_is_killed():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        query = asyncio.create_task(ask(one, other))
        await asyncio.sleep(0.0)
        exit_signal(one.system.whereis(PEER_CONNECTOR), Kill())

        with pytest.raises(Exception, match=r"down|ended"):
            await query
        await asyncio.sleep(1.0)
        assert await ask(one, other)


async def test_one_query_too_many_is_refused():
    async with System() as system:
        silent = await system.start(Silent, name=PEER_CONNECTOR)
        gateway = await system.start(GatewayDHT, 2)
        queries = [gateway_dht.query_peer(gateway, Contact(None, PEER), FIND, 1.0) for _ in range(3)]
        outcomes = await asyncio.gather(*queries, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [CallTimeoutError, CallTimeoutError, OverloadedError]
        assert silent.is_alive()


class Silent(GenServer):
    def handle_call(self, request, from_):
        return NoReply()


async def test_other_messages_are_not_the_gateways():
    assert Call not in gateway_dht.ROUTES
    assert set(gateway_dht.ROUTES.values()) == {GATEWAY_DHT}


async def test_a_restarted_node_over_quic_is_back_from_its_data_dir_without_its_bootstrap(tmp_path):
    async with quic_dht() as dht:
        first = await dht.node()
        second = await dht.node(first, data_dir=tmp_path)
        third = await dht.node(first)
        await all_know_all([first, second, third])
        await stop((DHT, second.system), Shutdown())
        await first.stop()
        second.config = type(second.config)(
            identity=second.config.identity, data_dir=tmp_path, wall_clock_ms=second.config.wall_clock_ms
        )
        await second.start()

        await until(lambda: second.knows(third))


async def test_a_lookup_survives_the_end_of_its_server():
    async with quic_dht() as dht:
        one, other = await dht.network(2)
        await one.store(KEY, PAYLOAD)
        find = asyncio.create_task(other.find(KEY))
        await asyncio.sleep(0.01)
        exit_signal(other.system.whereis(ROUTING_SERVER), Kill())

        assert await find == [PAYLOAD]
        assert (await routing_server.stats(other.server)).contacts == 1
