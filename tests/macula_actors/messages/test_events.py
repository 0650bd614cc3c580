"""Loops over subscriptions: when they begin, and what ends them."""

import asyncio
import gc

import pytest

from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.errors import OverloadedError
from macula_actors.messages.events import EventStream, Subscription
from macula_actors.messages.names import PUBSUB_HANDLER, PUBSUB_SUBSCRIBERS
from tests.macula_actors.actors.pubsub.nodes import payloads, pubsub_mesh


def stream_of(node, **how):
    return EventStream(node.handler, "a.*", **how)


async def all_of(stream):
    """Return the payloads of all events until it ends."""
    return [event.payload async for event in stream]


async def some_of(stream, count):
    return [(await anext(stream)).payload for _ in range(count)]


async def subscriptions(node):
    """Return how many there are a moment later."""
    gc.collect()
    await asyncio.sleep(1.0)
    return (await node.stats()).subscriptions


async def test_a_loop_ends_when_another_task_closes_its_stream():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        stream = stream_of(node)
        loop = asyncio.create_task(all_of(stream))
        await asyncio.sleep(1.0)
        await node.publish("a.b", 1)
        await asyncio.sleep(1.0)

        await stream.close()

        assert await asyncio.wait_for(loop, 1.0) == [1]
        assert await subscriptions(node) == 0


async def test_a_closed_stream_stays_closed():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        async with stream_of(node) as stream:
            await node.publish("a.b", 1)

        await stream.close()

        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert await all_of(stream) == []
        assert await subscriptions(node) == 0


async def test_a_stream_that_is_closed_before_it_has_begun_subscribes_to_nothing():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        stream = stream_of(node)

        await stream.close()

        assert await all_of(stream) == []
        assert await subscriptions(node) == 0


async def test_a_stream_that_is_closed_while_it_begins_leaves_nothing():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        node.kill(PUBSUB_HANDLER)  # so it is asked again and again for a moment
        stream = stream_of(node)
        loop = asyncio.create_task(all_of(stream))
        await asyncio.sleep(0)

        await stream.close()

        assert await asyncio.wait_for(loop, 10.0) == []
        assert await subscriptions(node) == 0


async def test_a_loop_ends_when_its_subscriber_was_too_slow_and_is_given_up():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        async with stream_of(node, policy=FullPolicy.DISCONNECT, max_queued=2) as stream:
            for number in range(50):
                await node.publish("a.b", number)
            await asyncio.sleep(1.0)

            got = await asyncio.wait_for(all_of(stream), 1.0)

        stats = await node.stats()
        assert got == list(range(len(got)))
        assert (stats.subscriptions, stats.disconnected) == (0, 1)


async def test_a_loop_ends_when_its_subscription_is_taken_away():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        stream = stream_of(node)
        async with stream:
            await node.unsubscribe(stream._id)

            assert await asyncio.wait_for(all_of(stream), 1.0) == []


async def test_what_has_come_before_the_end_of_a_node_can_still_be_taken():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        async with stream_of(node) as stream:
            await node.publish("a.b", 1)
            await asyncio.sleep(1.0)

            stream.end()

            assert await all_of(stream) == [1]


@pytest.mark.parametrize("patience", [0.0, 1e-6, 1e-4, 1e-2])
async def test_steps_that_are_cancelled_early_make_one_subscription_and_lose_no_event(patience):
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        stream = stream_of(node)
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), patience)
        assert await subscriptions(node) <= 1

        taking = asyncio.create_task(some_of(stream, 3))
        await asyncio.sleep(1.0)
        for number in range(3):
            await node.publish("a.b", number)
        assert await asyncio.wait_for(taking, 1.0) == [0, 1, 2]

        await stream.close()
        assert await subscriptions(node) == 0


async def test_a_stream_whose_first_step_was_cancelled_leaves_nothing_when_it_is_dropped():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        for turns in range(5):
            taking = asyncio.create_task(all_of(stream_of(node)))
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        del taking

        assert await subscriptions(node) == 0


async def test_two_tasks_on_one_new_stream_share_its_events():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        stream = stream_of(node)
        tasks = [asyncio.create_task(all_of(stream)) for _ in range(2)]
        assert await subscriptions(node) == 1

        for number in range(10):
            await node.publish("a.b", number)
        await asyncio.sleep(1.0)
        await stream.close()

        first, second = await asyncio.gather(*tasks)
        assert sorted(first + second) == list(range(10))


async def test_a_killed_worker_costs_a_stream_no_event():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        async with stream_of(node) as stream:
            for number in range(6):
                await node.publish("a.b", number)
            await asyncio.sleep(1.0)

            node.kill(PUBSUB_SUBSCRIBERS)
            await asyncio.sleep(1.0)

            assert await some_of(stream, 6) == list(range(6))


async def test_a_stream_that_cannot_begin_says_so_and_may_try_again():
    async with pubsub_mesh() as mesh:
        node = await mesh.node(max_subscriptions=1)
        await node.subscribe("b")
        stream = stream_of(node)
        with pytest.raises(OverloadedError):
            await anext(stream)

        await node.unsubscribe()
        taking = asyncio.create_task(anext(stream))
        await asyncio.sleep(1.0)
        await node.publish("a.b", 1)

        assert (await taking).payload == 1


@pytest.mark.parametrize("how", [{"policy": "nonsense"}, {"max_queued": 0}])
async def test_what_is_wrong_with_a_stream_is_said_when_it_is_made(system, how):
    with pytest.raises(ValueError, match=next(iter(how))):
        EventStream(PUBSUB_HANDLER, "a.*", **how)
    with pytest.raises(ValueError, match="pattern"):
        EventStream(PUBSUB_HANDLER, "a..b")


async def test_a_subscription_knows_when_it_gets_nothing_more():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        got = []
        given_up, cancelled = Subscription(node.handler, "a.*"), Subscription(node.handler, "a.*")

        async def hang(event):
            await asyncio.Event().wait()

        await given_up.begin(hang, policy=FullPolicy.DISCONNECT, max_queued=1)
        await cancelled.begin(got.append)
        assert (given_up.is_active, cancelled.is_active) == (True, True)

        for number in range(50):
            await node.publish("a.b", number)
        await asyncio.sleep(1.0)
        assert (given_up.is_active, cancelled.is_active) == (False, True)
        await cancelled.cancel()

        assert not cancelled.is_active
        assert not await given_up.cancel()
        assert payloads(got) == list(range(50))
