"""Several events in one message: to whom, how many, and what becomes of each."""

import asyncio

import pytest

from macula_actors.actors.pubsub.sender import MAX_BATCH_BYTES
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.prefixes import key_of_prefix
from macula_actors.core.pubsub.subscription import subscription
from macula_actors.core.rpc.arguments import encode
from macula_actors.core.wire.encoder import encode as encode_message
from macula_actors.core.wire.frame import HEADER_BYTES
from macula_actors.core.wire.messages import Puback, PubackBatch, Publish, PublishBatch
from macula_actors.errors import OverloadedError, RefusedError
from macula_actors.messages.pubsub import BATCH_CAPABILITY
from tests.macula_actors.peers import REALM

from .nodes import payloads, pubsub_mesh, wall_clock_ms

TOPIC = "sensors.kitchen"
WINDOW = 32  # events in flight to a node


def an_id(number):
    return bytes([number]) * 16


def an_event(number, sequence=None, *, qos=1, pending_from=0):
    stamp = {} if sequence is None else {"sequence": sequence, "pending_from": pending_from}
    return Publish(topic=TOPIC, payload=encode(number, json=False), message_id=an_id(number), qos=qos, **stamp)


def ids(events):
    return tuple(event.message_id for event in events)


def acknowledge(inbound):
    return Puback(message_id=inbound.message.message_id)


def acknowledge_all(inbound):
    return PubackBatch(message_ids=ids(inbound.message.events))


async def subscriber(mesh, on_batch=acknowledge_all, capabilities=(BATCH_CAPABILITY,)):
    """Start a node that has subscribed to `TOPIC` and answers as told; what it is sent is in ``handled``."""
    node = await mesh.mesh.node(
        "far", answers={Publish: acknowledge, PublishBatch: on_batch}, capabilities=capabilities
    )
    now_ms = wall_clock_ms()
    payload = subscription([TOPIC], endpoint=node.endpoint, gateways=(), now_ms=now_ms)
    key = key_of_prefix(TOPIC, realm=REALM, security=Security.VERIFIED)
    record = Record.seal(node.identity, key, payload, sequence=now_ms, now_ms=now_ms, ttl=3600)
    mesh.dht.records[key] = {node.identity.node_id: record}
    return node


async def connected(mesh):
    """Start a node that has a connection to the subscriber already."""
    node = await mesh.node()
    await node.publish(TOPIC, "first", qos=1)
    return node


async def publish_at_once(node, count, payload="x", **how):
    await asyncio.gather(*[node.publish(TOPIC, payload, **how) for _ in range(count)])


def lengths(handled):
    """Return how many events each message had."""
    return [len(message.events) if isinstance(message, PublishBatch) else 1 for message in handled]


# Sent


@pytest.mark.parametrize("qos", [0, 1])
async def test_events_that_are_published_at_once_go_in_one_message(qos):
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh)
        node = await connected(mesh)

        await publish_at_once(node, 10, qos=qos)
        await asyncio.sleep(1.0)

        assert lengths(far.handled) == [1, 10]
        assert (await node.stats()).outbox.acknowledged == 11


async def test_an_event_alone_is_sent_as_to_any_node_and_at_once():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh)
        node = await connected(mesh)
        before = node.system.now()

        await node.publish(TOPIC, 1, qos=1)

        assert node.system.now() - before < 0.06  # a round trip
        assert [type(message) for message in far.handled] == [Publish, Publish]


async def test_what_waits_for_the_window_goes_in_one_message_as_soon_as_there_is_room():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh)
        node = await connected(mesh)

        await publish_at_once(node, 2 * WINDOW + 5, qos=1)

        assert lengths(far.handled) == [1, WINDOW, WINDOW, 5]


async def test_a_node_that_does_not_say_that_it_takes_batches_is_sent_none():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh, capabilities=("pubsub",))
        node = await connected(mesh)

        await publish_at_once(node, 10, qos=1)

        assert lengths(far.handled) == [1] * 11


async def test_a_batch_has_no_more_bytes_than_allowed_and_a_longer_event_goes_alone():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh)
        node = await connected(mesh)

        await publish_at_once(node, 20, bytes(10_000), qos=1)
        await publish_at_once(node, 2, bytes(MAX_BATCH_BYTES), qos=1)

        assert sorted(lengths(far.handled)) == [1, 1, 1, 2, 6, 6, 6]  # a short one overtakes
        batches = [message for message in far.handled if isinstance(message, PublishBatch)]
        assert all(len(encode_message(batch)) <= MAX_BATCH_BYTES + HEADER_BYTES for batch in batches)


async def test_each_event_says_who_published_it_and_where_its_place_is():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh)
        node = await connected(mesh)

        await publish_at_once(node, 3, qos=1)

        first, batch = far.handled
        assert (batch.publisher, batch.epoch) == (node.node_id, first.epoch)
        assert [event.sequence for event in batch.events] == [1, 2, 3]


async def test_what_an_answer_does_not_name_is_sent_again_and_nothing_else():
    def half(inbound):
        return PubackBatch(message_ids=ids(inbound.message.events[::2]))

    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh, half)
        node = await connected(mesh)

        await publish_at_once(node, 8, qos=1)

        sent = [message.events for message in far.handled if isinstance(message, PublishBatch)]
        assert [ids(events) for events in sent[1:]] == [ids(events[1::2]) for events in sent[:-1]]
        assert lengths(far.handled) == [1, 8, 4, 2, 1]


async def test_when_a_batch_is_refused_each_event_is_sent_by_itself():
    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh, lambda inbound: RefusedError("unsupported", "no such message"))
        node = await connected(mesh)

        await publish_at_once(node, 5, qos=1)

        assert lengths(far.handled) == [1, 5, 1, 1, 1, 1, 1]


async def test_a_node_that_is_overloaded_is_left_alone_for_a_while_with_all_of_a_batch():
    refusals = [OverloadedError("events", 1)]

    async with pubsub_mesh() as mesh:
        far = await subscriber(mesh, lambda inbound: refusals.pop() if refusals else acknowledge_all(inbound))
        node = await connected(mesh)

        await publish_at_once(node, 5, qos=1)

        assert lengths(far.handled) == [1, 5, 5]
        assert (await node.stats()).outbox.retries == 5


# Received


async def test_each_event_of_a_batch_is_delivered_once_and_acknowledged_each_time():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        events = tuple(an_event(number, number, qos=number % 2) for number in range(4))
        batch = PublishBatch(publisher=one.node_id, epoch=1, events=events)

        answers = [await one.node.request(other.node, batch) for _ in range(2)]

        assert answers == [PubackBatch(message_ids=ids(events))] * 2
        assert payloads(got) == [0, 1, 2, 3]
        stats = await other.stats()
        assert (stats.received, stats.duplicates) == (8, 4)


async def test_events_without_a_place_are_delivered_as_they_come():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        batch = PublishBatch(publisher=one.node_id, epoch=1, events=(an_event(1), an_event(2), an_event(1)))

        answer = await one.node.request(other.node, batch)

        assert answer.message_ids == (an_id(1), an_id(2), an_id(1))
        assert payloads(got) == [1, 2]


async def test_the_answer_waits_for_events_that_wait_for_others():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)

        def send(*numbers):
            events = tuple(an_event(number, number) for number in numbers)
            batch = PublishBatch(publisher=one.node_id, epoch=1, events=events)
            return asyncio.create_task(one.node.request(other.node, batch, 10.0))

        early = send(0, 2, 3)
        await asyncio.sleep(1.0)
        assert (payloads(got), early.done()) == ([0], False)
        late = send(1)

        assert (await early).message_ids == (an_id(0), an_id(2), an_id(3))
        assert (await late).message_ids == (an_id(1),)
        assert payloads(got) == [0, 1, 2, 3]


async def test_an_event_that_comes_early_in_a_batch_with_the_one_it_waits_for_is_answered_with_it():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        events = tuple(an_event(number, number) for number in (1, 0))

        answer = await one.node.request(other.node, PublishBatch(publisher=one.node_id, epoch=1, events=events))

        assert set(answer.message_ids) == {an_id(0), an_id(1)}
        assert payloads(got) == [0, 1]


async def test_an_event_that_cannot_be_taken_is_not_named_and_the_others_are():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        # 0 was given up by its publisher, so it is not waited for, and is too late afterwards
        events = (an_event(1, 1, pending_from=1), an_event(2, 2, pending_from=1))
        first = PublishBatch(publisher=one.node_id, epoch=1, events=events)
        await one.node.request(other.node, first)
        again = PublishBatch(publisher=one.node_id, epoch=1, events=(an_event(0, 0), an_event(3, 3)))

        answer = await one.node.request(other.node, again)

        assert answer.message_ids == (an_id(3),)
        assert payloads(got) == [1, 2, 3]


async def test_a_batch_of_another_publisher_is_refused_and_one_of_nothing_is_answered():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)

        with pytest.raises(RefusedError, match="publisher"):
            await one.node.request(other.node, PublishBatch(publisher=other.node_id, epoch=1, events=(an_event(1),)))
        answer = await one.node.request(other.node, PublishBatch(publisher=one.node_id, epoch=1, events=()))

        assert answer.message_ids == ()
        assert got == []
