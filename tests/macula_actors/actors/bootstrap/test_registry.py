import pytest

from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.errors import CallTimeoutError, LocalProtocolError
from macula_actors.messages import bootstrap
from macula_actors.messages.names import BOOTSTRAP_REGISTRY, ROUTING_SERVER
from supervisors import Shutdown, stop
from tests.macula_actors.actors.bootstrap.nodes import bootstrap_mesh, kill, server
from tests.macula_actors.actors.routing.mesh import DHT
from tests.macula_actors.peers import REALM

PAYLOAD = {"endpoint": "https://10.0.0.1:443"}

WAYS = [
    (bootstrap.store_service, bootstrap.lookup_service, KeyKind.PROCEDURE, "calc.add"),
    (bootstrap.store_topic, bootstrap.lookup_topic, KeyKind.TOPIC, "calc.add"),
    (bootstrap.store, bootstrap.lookup, KeyKind.VALUE, "calc.add"),
]


def registry(node):
    return server(node, BOOTSTRAP_REGISTRY)


@pytest.mark.parametrize(("store", "look_up", "kind", "name"), WAYS)
async def test_what_is_stored_is_found_by_its_name_and_by_the_whole_network(store, look_up, kind, name):
    async with bootstrap_mesh(others=2) as (first, *others):
        at = key_of(kind, name, realm=REALM, security=Security.VERIFIED)

        assert await store(registry(first), name, PAYLOAD) == 3
        assert [record.payload for record in await look_up(registry(first), name)] == [PAYLOAD]
        assert [await other.find(at) for other in others] == [[PAYLOAD]] * 2


async def test_a_service_a_topic_and_a_value_of_one_name_are_three():
    async with bootstrap_mesh() as (first,):
        for number, (store, *_) in enumerate(WAYS):
            await store(registry(first), "calc.add", {"n": number})
        found = [await look_up(registry(first), "calc.add") for _, look_up, *_ in WAYS]

    assert [[record.payload["n"] for record in records] for records in found] == [[0], [1], [2]]


async def test_a_value_is_stored_under_a_key_too():
    async with bootstrap_mesh() as (first,):
        key = NodeId.of(b"a key")
        await bootstrap.store(registry(first), key, PAYLOAD, ttl=60)

        (record,) = await bootstrap.lookup(registry(first), key)
        assert (record.key, record.ttl) == (key, 60)


async def test_what_nobody_stored_is_not_found():
    async with bootstrap_mesh() as (first,):
        assert await bootstrap.lookup_service(registry(first), "calc.add") == ()


async def test_what_no_record_may_have_is_refused():
    async with bootstrap_mesh() as (first,):
        with pytest.raises(LocalProtocolError):
            await bootstrap.store_service(registry(first), "calc.add", PAYLOAD, ttl=-1)


async def test_the_routing_server_is_found_by_its_name_after_a_restart():
    async with bootstrap_mesh() as (first,):
        await bootstrap.store_service(registry(first), "calc.add", PAYLOAD)
        kill(first, ROUTING_SERVER)

        assert len(await bootstrap.lookup_service(registry(first), "calc.add")) == 1


async def test_without_a_routing_server_who_asks_is_told_in_time():
    async with bootstrap_mesh() as (first,):
        await stop((DHT, first.system), Shutdown())

        with pytest.raises(CallTimeoutError):
            await bootstrap.lookup_service(registry(first), "calc.add", timeout=0.5)
