import asyncio
from dataclasses import replace

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.lookup import LookupLimits
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_store import RecordLimits
from macula_actors.core.kademlia.sender_limits import SenderLimits
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import (
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    NodeInfo,
    Store,
    StoreReply,
)
from macula_actors.errors import (
    CallTimeoutError,
    LocalProtocolError,
    OverloadedError,
    QuorumError,
    RefusedError,
    RemoteProtocolError,
)
from macula_actors.messages import routing_server
from macula_actors.messages.names import GATEWAY_DHT, ROUTING_JOBS, ROUTING_SERVER
from supervisors import GenServer, Kill, Reply, ServerDownError, call, count_children, exit_signal
from tests.macula_actors.actors.routing.mesh import (
    EPOCH_MS,
    KEY,
    DhtNode,
    all_know_all,
    dht,
    identity,
    key,
    until,
    wall_clock_ms,
)

PAYLOAD = {"a": 1}
NOWHERE = Endpoint("10.9.9.9", 1)


def a_record(owner=9, at=KEY, payload=PAYLOAD, **how):
    return Record.seal(identity(owner), at, payload, **{"sequence": 1, "now_ms": EPOCH_MS, **how})


def a_store(record):
    return Store(key=bytes(record.key), value=record.to_value())


async def handle(node, message, sender=None):
    return await routing_server.handle_message(node.server, sender or Contact(NOWHERE, key("a sender")), message)


def kill(node, name):
    exit_signal(node.system.whereis(name), Kill())


# Joining


@pytest.mark.parametrize("count", [1, 2, 3, 8])
async def test_nodes_with_one_bootstrap_all_get_to_know_each_other(count):
    async with dht() as network:
        nodes = await network.network(count)

        assert [await node.size() for node in nodes] == [count - 1] * count
        assert all([(await node.stats()).is_joined for node in nodes])


async def test_a_bootstrap_that_comes_late_is_asked_until_it_is_there():
    async with dht() as network:
        first = await network.node()
        await first.stop()
        second = await network.node(first)
        await asyncio.sleep(600.0)
        third = await network.node(number=1)

        await until(lambda: second.knows(third))


async def test_a_node_that_is_its_own_bootstrap_asks_itself_once():
    async with dht() as network:
        node = await network.node()
        itself = await network.node(node, number=1)
        await asyncio.sleep(3600.0)

        assert network.wires.sent["FindNode"] == 1
        assert await itself.size() == 0


async def test_a_node_that_is_its_own_bootstrap_is_alone_and_finds_nothing():
    async with dht() as network:
        await network.node()
        itself = await network.node(network.nodes[0], number=1)

        assert not await routing_server.wait_joined(itself.server)
        assert await itself.find(KEY) == []
        assert (await itself.stats()).is_joined


async def test_who_waits_until_a_node_has_joined_is_told_when_it_has():
    async with dht() as network:
        first = await network.node()
        second = await network.node(first)

        assert await routing_server.wait_joined(second.server)
        assert (await second.stats()).is_joined
        assert not await routing_server.wait_joined((await network.node()).server)


async def test_a_node_whose_bootstrap_is_silent_has_not_joined():
    async with dht() as network:
        first = await network.node()
        await first.stop()
        second = await network.node(first)

        with pytest.raises(CallTimeoutError):
            await routing_server.wait_joined(second.server, timeout=30.0)


async def test_a_node_whose_peers_were_all_cut_off_comes_back_without_a_bootstrap():
    async with dht() as network:
        first, second = await network.network(2)
        network.wires.cut.add(second.endpoint)
        for _ in range(3):
            await routing_server.find_node(first.server, KEY)
            await asyncio.sleep(5.0)
        assert await first.size() == 0
        network.wires.cut.clear()

        await until(lambda: first.knows(second))


async def test_two_halves_of_a_network_that_lost_each_other_meet_again_within_two_refresh_periods():
    async with dht() as network:
        nodes = await network.network(6)
        network.wires.island = {node.endpoint for node in nodes[:3]}
        for number in range(6):
            for node in nodes:
                await routing_server.find_node(node.server, key(number))
            await asyncio.sleep(100.0)
        assert {await node.size() for node in nodes} == {2}
        network.wires.island.clear()

        await all_know_all(nodes, 1200.0)


# Contacts


async def test_a_node_that_calls_comes_into_the_table_only_after_it_has_answered():
    async with dht() as network:
        node = await network.node()
        other = await network.node()
        for contact in (Contact(NOWHERE, key("silent")), other.contact):
            await handle(node, FindNode(target=KEY), contact)
        assert await node.size() == 0
        await asyncio.sleep(1.0)

        assert await routing_server.get_routing_table(node.server) == (other.contact,)


async def test_a_caller_is_asked_once_however_often_it_calls():
    async with dht() as network:
        node = await network.node()
        for _ in range(5):
            await handle(node, FindNode(target=KEY), Contact(NOWHERE, key("silent")))

        assert network.wires.sent["FindNode"] == 1


async def test_what_others_tell_of_silent_nodes_does_not_come_into_the_table():
    async with dht() as network:
        nodes = await network.network(3)
        asker = await network.node()
        network.wires.cut.add(nodes[2].endpoint)
        await routing_server.add_node(asker.server, nodes[0].contact)
        await asyncio.sleep(10.0)

        assert set(await routing_server.get_routing_table(asker.server)) == {nodes[0].contact, nodes[1].contact}


async def test_a_node_is_added_by_its_endpoint_alone_if_it_answers():
    async with dht() as network:
        one, other = [await network.node() for _ in range(2)]

        assert await routing_server.add_node(one.server, Contact(other.endpoint))
        assert not await routing_server.add_node(one.server, Contact(NOWHERE))
        assert not await routing_server.add_node(one.server, Contact(one.endpoint))
        assert await routing_server.get_routing_table(one.server) == (other.contact,)


async def test_a_removed_node_is_gone():
    async with dht() as network:
        one, other = await network.network(2)

        assert await routing_server.remove_node(one.server, other.node_id)
        assert not await routing_server.remove_node(one.server, other.node_id)
        assert await one.size() == 0


async def test_a_node_that_has_died_leaves_the_tables():
    async with dht() as network:
        nodes = await network.network(4)
        await nodes[3].stop()
        for _ in range(3):
            await routing_server.find_node(nodes[0].server, nodes[3].node_id)
            await asyncio.sleep(5.0)

        assert await nodes[0].size() == 2


async def test_the_oldest_of_a_full_bucket_is_asked_and_gives_place_if_it_is_silent():
    limits = BucketLimits(k=1, stale_after=10.0)
    async with dht() as network:
        node = await network.node(buckets=limits)
        far = [number for number in range(2, 60) if node.node_id.bucket_index(identity(number).node_id) == 0]
        old, new = [await network.node(number=number) for number in far[:2]]
        await routing_server.add_node(node.server, old.contact)
        await old.stop()
        await asyncio.sleep(20.0)
        await handle(node, FindNode(target=KEY), new.contact)

        await until(lambda: node.knows(new))
        assert not await node.knows(old)


async def test_the_closest_contacts_are_answered_without_the_one_that_asks():
    async with dht() as network:
        nodes = await network.network(5)
        asker = nodes[1]
        reply = await handle(nodes[0], FindNode(target=bytes(KEY)), asker.contact)

        expected = sorted((node for node in nodes[2:]), key=lambda node: KEY.distance(node.node_id))
        assert reply.nodes == tuple(
            NodeInfo(node_id=bytes(node.node_id), endpoint=str(node.endpoint)) for node in expected
        )
        assert reply.node_id == nodes[0].node_id
        closest = await routing_server.find_closest(nodes[0].server, KEY, 2)
        assert len(closest) == 2


async def test_a_touched_contact_is_asked():
    async with dht() as network:
        one, other = [await network.node() for _ in range(2)]
        routing_server.touch(one.server, other.contact)

        await until(lambda: one.knows(other))


# Records


@pytest.mark.parametrize("count", [2, 3, 8])
async def test_what_one_node_stores_every_other_finds(count):
    async with dht() as network:
        nodes = await network.network(count)

        assert await nodes[0].store(KEY, PAYLOAD) == count
        assert [await node.find(KEY) for node in nodes] == [[PAYLOAD]] * count


async def test_a_node_alone_stores_at_itself():
    async with dht() as network:
        node = await network.node()

        assert await node.store(KEY, PAYLOAD) == 1
        assert await node.find(KEY) == [PAYLOAD]


async def test_what_a_node_alone_stored_is_found_by_those_who_join_later():
    async with dht() as network:
        first = await network.node()
        await first.store(KEY, PAYLOAD)
        second = await network.node(first)

        await until(lambda: has(second, KEY))


async def has(node, at):
    return await node.local(at) == [PAYLOAD]


async def test_records_of_several_owners_under_one_key_are_all_found():
    async with dht() as network:
        nodes = await network.network(4)
        for number, node in enumerate(nodes):
            await node.store(KEY, {"of": number})

        assert sorted(each["of"] for each in await nodes[2].find(KEY)) == [0, 1, 2, 3]


async def test_what_nobody_has_stored_is_not_found():
    async with dht() as network:
        nodes = await network.network(3)

        assert await nodes[0].find(KEY) == []


async def test_only_the_k_closest_keep_a_record():
    async with dht() as network:
        nodes = await network.network(6, locate=LookupLimits(k=2))

        assert await nodes[0].store(KEY, PAYLOAD) == 2 + (nodes[0] in nearest(nodes, 2))
        holders = [node for node in nodes[1:] if await node.local(KEY)]
        assert set(holders) == set(nearest(nodes[1:], 2))


def nearest(nodes, count):
    return sorted(nodes, key=lambda node: KEY.distance(node.node_id))[:count]


async def test_a_store_where_a_lookup_has_just_been_asks_nobody_first_and_goes_to_the_closest():
    async with dht() as network:
        first = await network.node(locate=LookupLimits(k=4))
        nodes = [first, *[await network.node(first, locate=LookupLimits(k=4)) for _ in range(11)]]
        await first.until(lambda: first.knows(*nodes[1:]))
        await asyncio.sleep(20.0)  # the others' lookups are over
        at = [key(number) for number in range(30)]
        for each in at:
            await first.store(each, PAYLOAD)
        network.wires.sent.clear()
        for each in at:
            await first.store(each, {"a": 2})

        assert network.wires.sent["Store"] == 4 * len(at)
        assert network.wires.sent["FindNode"] == 0
        for each in at:
            closest = sorted(nodes[1:], key=lambda node, each=each: node.node_id.distance(each))[:4]
            assert [await node.local(each) for node in closest] == [[{"a": 2}]] * 4


async def test_a_store_asks_first_where_no_lookup_has_been_for_a_while():
    async with dht() as network:
        first = await network.node(locate=LookupLimits(k=4), trust_for=10.0)
        nodes = [first, *[await network.node(first, locate=LookupLimits(k=4)) for _ in range(11)]]
        await first.until(lambda: first.knows(*nodes[1:]))
        await first.store(KEY, PAYLOAD)
        await asyncio.sleep(20.0)
        network.wires.sent.clear()
        await first.store(KEY, PAYLOAD)

        assert network.wires.sent["FindNode"] >= 4


async def test_a_store_that_nobody_takes_says_so_and_is_made_good_later():
    async with dht() as network:
        first, second = await network.network(2)
        network.wires.cut.add(second.endpoint)
        with pytest.raises(QuorumError):
            await first.store(KEY, PAYLOAD, timeout=30.0)
        network.wires.cut.clear()

        await until(lambda: has(second, KEY))


async def test_a_find_that_nobody_answers_is_an_error_and_not_an_empty_answer():
    async with dht() as network:
        first, second = await network.network(2)
        network.wires.cut.add(second.endpoint)

        with pytest.raises(QuorumError):
            await first.find(KEY, timeout=30.0)


async def test_a_caller_gets_an_error_when_its_time_is_over():
    async with dht() as network:
        first, second = await network.network(2)
        network.wires.cut.add(second.endpoint)

        with pytest.raises(CallTimeoutError):
            await first.find(KEY, timeout=1.0)


async def test_what_is_no_value_is_refused():
    async with dht() as network:
        node = await network.node()

        with pytest.raises(LocalProtocolError):
            await node.store(KEY, object())
        with pytest.raises(LocalProtocolError):
            await node.store(KEY, PAYLOAD, ttl=0)


async def test_a_deleted_record_is_gone_from_all_nodes_and_stays_so():
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, PAYLOAD)

        assert await routing_server.delete(nodes[0].server, KEY) == 3
        assert [await node.find(KEY) for node in nodes] == [[]] * 3
        await asyncio.sleep(400.0)
        assert [await node.find(KEY) for node in nodes] == [[]] * 3


async def test_what_is_not_there_is_deleted_at_no_node():
    async with dht() as network:
        nodes = await network.network(2)
        await nodes[0].store(KEY, PAYLOAD)

        assert await routing_server.delete(nodes[1].server, KEY) == 0
        assert await nodes[1].find(KEY) == [PAYLOAD]


async def test_a_local_record_is_kept_here_only():
    async with dht() as network:
        nodes = await network.network(2)
        await routing_server.store_local(nodes[0].server, KEY, PAYLOAD)
        await asyncio.sleep(100.0)

        assert [await node.local(KEY) for node in nodes] == [[PAYLOAD], []]
        assert await nodes[1].find(KEY) == [PAYLOAD]
        assert await routing_server.delete_local(nodes[0].server, KEY)
        assert not await routing_server.delete_local(nodes[0].server, KEY)
        assert await nodes[0].find(KEY) == []


async def test_a_record_expires_when_its_owner_is_gone():
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, PAYLOAD, ttl=10)
        await nodes[0].stop()
        assert await nodes[1].find(KEY) == [PAYLOAD]
        await asyncio.sleep(11.0)

        assert await nodes[1].find(KEY) == []
        assert (await nodes[1].stats()).records.records == 0


@pytest.mark.parametrize("ttl", [1, 2, 10])
async def test_a_record_is_published_again_as_long_as_its_owner_is_there(ttl):
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, PAYLOAD, ttl=ttl)
        for _ in range(100):
            await asyncio.sleep(0.61)

            assert [await has(node, KEY) for node in nodes] == [True] * 3


async def test_a_node_alone_keeps_what_it_publishes():
    async with dht() as network:
        node = await network.node()
        await node.store(KEY, PAYLOAD, ttl=10)
        await asyncio.sleep(300.0)

        assert await node.find(KEY) == [PAYLOAD]


async def test_many_records_with_a_short_ttl_are_all_published_again():
    async with dht() as network:
        nodes = await network.network(3)
        for number in range(200):
            await nodes[0].store(key(number), PAYLOAD, ttl=10)
        for _ in range(10):
            await asyncio.sleep(7.3)

            assert [sum([await has(node, key(number)) for number in range(200)]) for node in nodes] == [200] * 3


async def test_what_expired_while_the_machine_slept_is_there_again_when_it_wakes_up():
    slept = [0]
    async with dht() as network:
        nodes = await network.network(2, wall_clock_ms=lambda: wall_clock_ms() + slept[0])
        await nodes[0].store(KEY, PAYLOAD, ttl=300)
        await asyncio.sleep(1.0)
        slept[0] = 400_000
        await asyncio.sleep(12.0)

        assert [await node.find(KEY) for node in nodes] == [[PAYLOAD]] * 2


async def test_what_is_stored_while_it_is_looked_up_is_found_by_who_asks_then():
    async with dht(delay=0.3) as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, {"a": 0})
        earlier = asyncio.create_task(nodes[0].find(KEY))
        await asyncio.sleep(0.1)
        store = asyncio.create_task(nodes[0].store(KEY, PAYLOAD))
        await asyncio.sleep(0.1)
        assert not earlier.done()

        assert await nodes[0].find(KEY) == [PAYLOAD]
        assert await earlier == [{"a": 0}]
        await store


async def test_a_refusal_of_all_peers_says_why():
    async with dht() as network:
        one = await network.node()
        other = await network.node(one, records=RecordLimits(max_record_bytes=100))
        await all_know_all([one, other])

        with pytest.raises(QuorumError, match="record_too_large"):
            await one.store(KEY, PAYLOAD)


async def test_none_is_refused_and_leaves_what_is_there():
    async with dht() as network:
        nodes = await network.network(2)
        await nodes[0].store(KEY, PAYLOAD)

        with pytest.raises(LocalProtocolError, match="delete"):
            await nodes[0].store(KEY, None)
        assert await nodes[1].find(KEY) == [PAYLOAD]


async def test_a_record_survives_the_death_of_all_holders_but_one():
    async with dht() as network:
        nodes = await network.network(6, locate=LookupLimits(k=3))
        await nodes[0].store(KEY, PAYLOAD, ttl=3600)
        holders = [node for node in nodes[1:] if await node.local(KEY)]
        others = [node for node in nodes[1:] if node not in holders]
        for node in [nodes[0], *holders[1:]]:
            await node.stop()

        assert [await node.find(KEY, timeout=30.0) for node in others] == [[PAYLOAD]] * len(others)
        await until(lambda: has(others[0], KEY), 3600.0)


async def test_a_newcomer_gets_the_records_that_it_is_close_to():
    async with dht() as network:
        nodes = await network.network(3)
        for number in range(100):
            await nodes[0].store(key(number), PAYLOAD, ttl=86_400)
        newcomer = await network.node(nodes[1])

        await until(lambda: has_all(newcomer, 100))


async def has_all(node, count):
    return (await node.stats()).records.records == count


async def test_a_replaced_record_is_found_with_its_latest_payload_only():
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, {"a": 0})
        await nodes[0].store(KEY, PAYLOAD)

        assert [await node.find(KEY) for node in nodes] == [[PAYLOAD]] * 3


# Messages of peers


async def test_a_record_that_a_peer_sends_is_kept_and_given_to_who_asks():
    async with dht() as network:
        node = await network.node()
        record = a_record()
        await handle(node, a_store(record))
        reply = await handle(node, FindValue(key=bytes(KEY)))

        assert await node.local(KEY) == [PAYLOAD]
        assert (reply.result, reply.value) == ("value", (record.to_value(),))


async def test_a_forged_unsigned_or_unreadable_record_is_refused():
    async with dht() as network:
        node = await network.node()
        forged = replace(a_record(), signature=bytes(64))

        with pytest.raises(RefusedError, match="bad_signature"):
            await handle(node, a_store(forged))
        with pytest.raises(RemoteProtocolError, match="unsigned_record"):
            await handle(node, Store(key=bytes(KEY), value=PAYLOAD))
        with pytest.raises(RemoteProtocolError, match="bad_record"):
            await handle(node, Store(key=bytes(KEY), value=5))
        assert await node.local(KEY) == []
        assert (await node.stats()).refused == 3


async def test_a_sender_may_bring_so_much_whoever_owns_it_and_then_is_refused():
    async with dht() as network:
        node = await network.node(senders=SenderLimits(stores_per_minute=100, records_per_minute=2))
        for owner in (8, 9):
            await handle(node, a_store(a_record(owner)))
        with pytest.raises(OverloadedError, match="new records of one sender"):
            await handle(node, a_store(a_record(7)))
        await handle(node, a_store(a_record(9, sequence=2)))  # that is no new one

        assert (await node.stats()).throttled == 1
        await handle(node, a_store(a_record(7)), Contact(NOWHERE, key("another sender")))
        assert len(await node.local(KEY)) == 3


async def test_a_sender_of_too_many_stores_is_refused_for_a_while():
    async with dht() as network:
        node = await network.node(senders=SenderLimits(stores_per_minute=2))
        store = a_store(a_record(ttl=3600))
        await handle(node, store)
        await handle(node, store)
        with pytest.raises(OverloadedError, match="STOREs of one sender"):
            await handle(node, store)
        await asyncio.sleep(30.0)

        await handle(node, store)


async def test_a_thousand_records_at_once_are_no_excess():
    async with dht() as network:
        node = await network.node()
        for number in range(1000):
            await handle(node, a_store(a_record(9, key(number))))

        assert (await node.stats()).throttled == 0
        assert (await node.stats()).records.records == 1000


async def test_those_of_the_closest_that_lack_a_record_get_it_from_who_finds_it():
    async with dht() as network:
        # one after the other: of answers at one instant, those of the three holders may be first and end it
        nodes = await network.network(6, find=LookupLimits(stop_after=3, alpha=1))
        others = nearest(nodes[:5], 5)
        for node in others[2:]:
            await handle(node, a_store(a_record(9)))

        assert await nodes[5].find(KEY) == [PAYLOAD]
        await asyncio.sleep(1.0)

        assert [await node.local(KEY) for node in others] == [[PAYLOAD]] * 5


async def test_all_closest_get_the_latest_when_a_find_has_asked_them_all():
    async with dht() as network:
        nodes = await network.network(6, find=LookupLimits(alpha=5))
        await handle(nodes[0], a_store(a_record(9, payload={"a": 0})))
        await handle(nodes[1], a_store(a_record(9, payload=PAYLOAD, sequence=2)))

        assert await nodes[5].find(KEY) == [PAYLOAD]
        await asyncio.sleep(1.0)

        assert [await node.local(KEY) for node in nodes[:5]] == [[PAYLOAD]] * 5
        assert network.wires.sent["Store"] == 4


async def test_a_find_repairs_no_more_than_it_may():
    async with dht() as network:
        nodes = await network.network(6, find=LookupLimits(alpha=5), max_repairs=2)
        await handle(nodes[0], a_store(a_record(9)))

        await nodes[5].find(KEY)
        await asyncio.sleep(1.0)

        assert network.wires.sent["Store"] == 2


async def test_nobody_but_the_owner_replaces_a_record():
    async with dht() as network:
        node = await network.node()
        await handle(node, a_store(a_record(owner=9, payload={"a": 1})))
        await handle(node, a_store(a_record(owner=8, payload={"a": 2}, sequence=9)))

        assert await node.local(KEY) == [{"a": 2}, {"a": 1}]


async def test_who_asks_for_a_value_that_is_not_there_gets_the_closest_nodes():
    async with dht() as network:
        nodes = await network.network(3)
        reply = await handle(nodes[0], FindValue(key=bytes(KEY)))

        assert (reply.result, len(reply.nodes)) == ("nodes", 2)


async def test_a_key_of_another_length_is_hashed_as_v0_8_does():
    async with dht() as network:
        node = await network.node()
        await handle(node, a_store(a_record(at=NodeId.of(b"short"))))
        reply = await handle(node, FindValue(key=b"short"))

        assert reply.result == "value"


async def test_in_open_mode_what_v0_8_sends_is_kept_and_found():
    async with dht() as network:
        nodes = await network.network(2, security=Security.OPEN)
        await handle(nodes[0], Store(key=bytes(KEY), value={b"node_id": b"x", b"endpoint": b"y"}))

        assert await nodes[1].find(KEY) == [{b"node_id": b"x", b"endpoint": b"y"}]


class Liar(GenServer):
    """Answers each question for a value with ``values``, and with contacts that are nowhere."""

    def init(self, values):
        self.values = values

    def handle_call(self, request, from_):
        nodes = tuple(NodeInfo(node_id=key(number), endpoint=f"10.8.8.{number}:1") for number in range(20))
        match request.message:
            case FindValue():
                return Reply(FindValueReply(result="value", value=self.values, nodes=nodes))
            case FindNode():
                return Reply(FindNodeReply(nodes=nodes))
            case _:
                return Reply(StoreReply())


async def test_a_peer_that_lies_hides_no_record_and_brings_none_in():
    async with dht() as network:
        nodes = await network.network(3)
        liar = DhtNode(network.wires, 9)
        network.wires.at[liar.endpoint] = liar
        forged = replace(a_record(payload={"forged": True}), signature=bytes(64)).to_value()
        async with liar.system:
            await liar.system.start(Liar, (forged, 5, {"signature": 1}, PAYLOAD), name=ROUTING_SERVER)
            assert await routing_server.add_node(nodes[0].server, liar.contact)
            await nodes[1].store(KEY, PAYLOAD)

            assert await nodes[0].find(KEY, timeout=30.0) == [PAYLOAD]
            assert await routing_server.find_node(nodes[0].server, KEY, timeout=30.0)
            table = await routing_server.get_routing_table(nodes[0].server)
            assert set(table) == {liar.contact, nodes[1].contact, nodes[2].contact}


# Bounds


async def test_equal_lookups_at_a_time_are_one():
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, PAYLOAD)
        before = network.wires.sent["FindValue"]
        found = await asyncio.gather(*(nodes[1].find(KEY) for _ in range(50)))

        assert found == [[PAYLOAD]] * 50
        assert network.wires.sent["FindValue"] - before == 2


async def test_lookups_beyond_those_at_once_wait_and_one_too_many_is_refused():
    async with dht() as network:
        nodes = await network.network(3, max_lookups=4, max_waiting_lookups=3)
        finds = (nodes[0].find(key(number)) for number in range(8))
        *found, refused = await asyncio.gather(*finds, return_exceptions=True)

        assert found == [[]] * 7
        assert isinstance(refused, OverloadedError)
        assert await nodes[0].find(KEY) == []
        stats = await nodes[0].stats()
        assert (stats.lookups, stats.waiting) == (0, 0)


async def test_hundreds_of_stores_and_finds_at_once_are_all_done():
    async with dht() as network:
        nodes = await network.network(3)
        stored = await asyncio.gather(*(nodes[0].store(key(number), number) for number in range(300)))
        found = await asyncio.gather(*(nodes[1].find(key(number)) for number in range(300)))

        assert stored == [3] * 300
        assert found == [[number] for number in range(300)]


async def test_a_find_does_not_wait_for_the_stores_before_it():
    async with dht(delay=0.2) as network:
        nodes = await network.network(3)
        stores = [asyncio.create_task(nodes[0].store(key(number), number, timeout=60.0)) for number in range(300)]
        await asyncio.sleep(0.1)
        began_at = asyncio.get_running_loop().time()

        assert await nodes[0].find(KEY) == []
        assert asyncio.get_running_loop().time() - began_at < 2.0
        assert not all(store.done() for store in stores)
        assert await asyncio.gather(*stores) == [3] * 300


async def test_a_store_that_is_refused_is_not_kept():
    async with dht() as network:
        nodes = await network.network(2, max_lookups=1, max_waiting_lookups=1)
        *taken, refused = await asyncio.gather(
            *(nodes[0].store(key(number), number) for number in range(3)), return_exceptions=True
        )
        await asyncio.sleep(60.0)

        assert taken == [2, 2]
        assert isinstance(refused, OverloadedError)
        assert [await node.find(key(2)) for node in nodes] == [[], []]
        assert (await nodes[0].stats()).published == 2


async def test_who_has_given_up_in_the_queue_costs_no_lookup():
    async with dht(delay=1.0) as network:
        nodes = await network.network(2, max_lookups=1)
        first = asyncio.create_task(nodes[0].find(key(0)))
        await asyncio.sleep(0.1)
        with pytest.raises(CallTimeoutError):
            await nodes[0].find(key(1), timeout=0.5)
        before = network.wires.sent["FindValue"]

        assert await first == []
        assert await nodes[0].find(key(2)) == []
        assert network.wires.sent["FindValue"] - before == 1


async def test_a_process_that_still_waits_for_silent_peers_has_a_place():
    async with dht() as network:
        nodes = await network.network(4, max_jobs=4, max_upkeep=1)
        network.wires.cut.add(nodes[3].endpoint)
        stored = await asyncio.gather(*(nodes[0].store(key(number), number, timeout=60.0) for number in range(20)))

        assert set(stored) <= {3, 4}


async def test_no_process_of_a_lookup_is_left():
    async with dht() as network:
        nodes = await network.network(3)
        network.wires.cut.add(nodes[2].endpoint)
        await asyncio.gather(*(nodes[0].find(key(number)) for number in range(10)))
        await asyncio.sleep(10.0)

        assert (await count_children((ROUTING_JOBS, nodes[0].system))).active == 0


async def test_publishing_much_at_once_sends_a_bounded_number_of_messages_a_second():
    async with dht() as network:
        nodes = await network.network(2)
        for number in range(200):
            await nodes[0].store(key(number), PAYLOAD, ttl=86_400)
        before = network.wires.sent["Store"]
        await asyncio.sleep(3600.0)
        assert network.wires.sent["Store"] - before >= 200
        loads = []
        for _ in range(3600):
            before = network.wires.sent["Store"]
            await asyncio.sleep(1.0)
            loads.append(network.wires.sent["Store"] - before)

        assert 0 < max(loads) <= 2 * (8 + 8)


async def test_a_request_that_is_none_ends_the_server():
    async with dht() as network:
        node = await network.node()

        with pytest.raises(ServerDownError):
            await call(node.server, "nonsense")


# Crashes


async def test_a_killed_server_has_its_contacts_and_records_again():
    async with dht() as network:
        nodes = await network.network(4)
        await nodes[0].store(KEY, PAYLOAD)
        kill(nodes[0], ROUTING_SERVER)

        assert await nodes[0].size() == 3
        assert await nodes[0].local(KEY) == [PAYLOAD]
        assert (await nodes[0].stats()).published == 1


async def test_who_waits_for_a_lookup_is_answered_though_the_server_is_killed():
    async with dht(delay=0.5) as network:
        nodes = await network.network(3, find=LookupLimits(slow_after=5.0), locate=LookupLimits(slow_after=5.0))
        await nodes[0].store(KEY, PAYLOAD)
        before = network.wires.sent["FindValue"]
        find = asyncio.create_task(nodes[1].find(KEY))
        await asyncio.sleep(0.2)
        kill(nodes[1], ROUTING_SERVER)

        assert await find == [PAYLOAD]
        assert network.wires.sent["FindValue"] - before == 2


@pytest.mark.parametrize("name", [ROUTING_SERVER, ROUTING_JOBS])
async def test_who_asks_while_the_server_is_restarted_is_answered_all_the_same(name):
    async with dht() as network:
        nodes = await network.network(3)
        kill(nodes[0], name)

        assert await nodes[0].store(KEY, PAYLOAD) == 3


async def test_a_record_is_published_again_after_the_server_was_killed():
    async with dht() as network:
        nodes = await network.network(3)
        await nodes[0].store(KEY, PAYLOAD, ttl=20)
        kill(nodes[0], ROUTING_SERVER)
        await asyncio.sleep(100.0)

        assert [await has(node, KEY) for node in nodes] == [True] * 3


async def test_a_gateway_that_is_restarted_makes_no_contact_silent():
    async with dht(delay=0.5) as network:
        nodes = await network.network(3, locate=LookupLimits(slow_after=9.0))
        find = asyncio.create_task(routing_server.find_node(nodes[0].server, KEY))
        await asyncio.sleep(0.2)
        gateway = nodes[0].system.whereis(GATEWAY_DHT)
        exit_signal(gateway, Kill())
        await gateway.wait_exit()
        await asyncio.sleep(0.3)
        await nodes[0].restart_gateway()

        assert len(await find) == 2
        assert await nodes[0].size() == 2


# On disk


async def test_a_node_is_back_from_its_data_dir_without_its_bootstrap(tmp_path):
    async with dht() as network:
        first = await network.node()
        second = await network.node(first, data_dir=tmp_path)
        third = await network.node(first)
        await all_know_all([first, second, third])
        await second.store(KEY, PAYLOAD)
        await second.stop()
        await first.stop()
        back = await network.node(number=2, data_dir=tmp_path)

        await until(lambda: back.knows(third))
        assert await back.find(KEY) == [PAYLOAD]
        assert (await back.stats()).published == 1


async def test_a_node_that_is_back_does_not_take_what_it_cannot_see_yet_for_nothing(tmp_path):
    async with dht() as network:
        first = await network.node()
        second = await network.node(first, data_dir=tmp_path)
        await all_know_all([first, second])
        await first.store(KEY, PAYLOAD)
        await second.stop()
        back = await network.node(number=2, data_dir=tmp_path)
        with pytest.raises(QuorumError):
            await back.find(KEY)

        assert await routing_server.wait_joined(back.server)
        assert await back.find(KEY) == [PAYLOAD]


async def test_a_node_whose_former_contacts_are_all_gone_is_alone(tmp_path):
    async with dht() as network:
        first = await network.node()
        second = await network.node(first, data_dir=tmp_path)
        await all_know_all([first, second])
        await second.stop()
        await first.stop()
        back = await network.node(number=2, data_dir=tmp_path)

        assert not await routing_server.wait_joined(back.server)
        assert await back.find(KEY) == []


async def test_a_record_that_expired_while_its_owner_was_away_is_there_again(tmp_path):
    async with dht() as network:
        first = await network.node()
        second = await network.node(first, data_dir=tmp_path)
        await all_know_all([first, second])
        await second.store(KEY, PAYLOAD, ttl=10)
        await second.stop()
        await asyncio.sleep(60.0)
        assert await first.find(KEY, timeout=30.0) == []
        await network.node(first, number=2, data_dir=tmp_path)

        await until(lambda: has(first, KEY))


async def test_a_deleted_record_does_not_come_back_from_disk(tmp_path):
    async with dht() as network:
        node = await network.node(data_dir=tmp_path)
        await node.store(KEY, PAYLOAD)
        await node.store(key(1), PAYLOAD)
        await routing_server.delete(node.server, KEY)
        await routing_server.delete_local(node.server, key(1))
        await node.stop()
        back = await network.node(number=1, data_dir=tmp_path)
        await asyncio.sleep(1.0)

        assert await back.find(KEY) == []
        assert await back.find(key(1)) == []


async def test_a_file_that_is_broken_is_put_aside(tmp_path):
    (tmp_path / "dht.sqlite").write_bytes(b"nonsense" * 1000)
    async with dht() as network:
        node = await network.node(data_dir=tmp_path)
        await node.store(KEY, PAYLOAD)
        await node.stop()
        back = await network.node(number=1, data_dir=tmp_path)
        await until(lambda: has(back, KEY))

        assert (tmp_path / "dht.broken").exists()
