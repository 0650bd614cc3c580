"""Whole nodes over real sockets on loopback: publish and subscribe."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from macula_actors import FullPolicy, Mode, Node, NodeConfig
from macula_actors.errors import UnacknowledgedError
from macula_actors.messages.names import (
    GATEWAY,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    PEER_CONNECTOR,
    PUBSUB_HANDLER,
    PUBSUB_SUBSCRIBERS,
    ROOT,
)
from supervisors import Kill, exit_signal
from supervisors.testing import wait_until

pytestmark = pytest.mark.real_clock

PUBLISHES = 5
LOOPBACK = "127.0.0."


def config(*bootstrap, mode=Mode.EDGE, **values):
    settings = {"mode": mode, "realm": "com.example", "listen": "127.0.0.1:0", "health_port": 0}
    return NodeConfig(**{**settings, "bootstrap": [str(node.endpoint) for node in bootstrap], **values})


@asynccontextmanager
async def nodes(count):
    """Start a bootstrap node and others that know only it."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(config(mode=Mode.BOOTSTRAP)))
        yield [first, *[await stack.enter_async_context(Node(config(first))) for _ in range(count - 1)]]


async def settled(*logs, length):
    """Wait until all ``logs`` have ``length`` entries, and a moment longer, for one too many."""
    await wait_until(lambda: all(len(log) >= length for log in logs), timeout=5.0)
    await asyncio.sleep(0.2)


async def test_a_subscriber_gets_what_another_node_publishes():
    async with nodes(2) as (first, second):
        got = []
        await first.subscribe("room.kitchen", got.append)

        await second.publish("room.kitchen", {"celsius": 21.5})

        await settled(got, length=1)
        (event,) = got
        assert (event.topic, event.payload, event.publisher) == ("room.kitchen", {"celsius": 21.5}, second.node_id)
        assert (event.qos, event.retained, event.pattern) == (0, False, "room.kitchen")


@pytest.mark.parametrize("qos", [0, 1])
async def test_three_subscribers_with_wildcards_get_each_of_five_events_once_and_in_order(qos):
    async with nodes(4) as (publisher, *others):
        logs = [[], [], []]
        for node, pattern, log in zip(others, ["sensors.*.temperature", "sensors.**", "**"], logs, strict=True):
            await node.subscribe(pattern, log.append)

        for number in range(PUBLISHES):
            await publisher.publish("sensors.kitchen.temperature", number, qos=qos)

        await settled(*logs, length=PUBLISHES)
        assert [[event.payload for event in log] for log in logs] == [list(range(PUBLISHES))] * 3


async def test_subscribers_of_the_publishing_node_get_an_event_too_each_once():
    async with nodes(1) as (node,):
        logs = [[], []]
        await node.subscribe("a.*", logs[0].append)
        await node.subscribe("a.**", logs[1].append)

        await node.publish("a.b", 1, qos=1)

        await settled(*logs, length=1)
        assert [[event.payload for event in log] for log in logs] == [[1], [1]]


async def test_a_node_with_many_subscribers_is_sent_an_event_once():
    async with nodes(2) as (first, second):
        logs = [[] for _ in range(20)]
        for log in logs:
            await first.subscribe("a.**", log.append)

        await second.publish("a.b", "x", qos=1)

        await settled(*logs, length=1)
        assert [len(log) for log in logs] == [1] * 20
        assert second.stats()["pubsub_handler"].outbox.sent == 1


async def test_a_loop_over_a_subscription_gets_events_and_ends_it_when_it_is_left():
    async with nodes(2) as (first, second):
        async with first.subscription("chat.*") as events:
            await second.publish("chat.room", "hello")
            assert (await anext(events)).payload == "hello"
            assert first.stats()["pubsub_handler"].subscriptions == 1
        assert first.stats()["pubsub_handler"].subscriptions == 0

        publishing = asyncio.create_task(second.publish("chat.room", "again", retain=True))
        async for event in first.subscription("chat.*"):
            assert event.payload == "again"
            break
        await publishing
        await wait_until(lambda: first.stats()["pubsub_handler"].subscriptions == 0)


async def test_a_cancelled_subscription_gets_nothing_more():
    async with nodes(2) as (first, second):
        got = []
        subscription = await first.subscribe("a.b", got.append)
        await second.publish("a.b", 1, qos=1)
        await settled(got, length=1)

        assert await subscription.cancel()
        assert not await subscription.cancel()
        await second.publish("a.b", 2, qos=1)

        await settled(got, length=1)
        assert [event.payload for event in got] == [1]


async def test_events_that_are_published_at_once_come_in_the_order_of_their_topic():
    async with nodes(2) as (first, second):
        got = []
        await first.subscribe("count.**", got.append)

        await asyncio.gather(*[second.publish("count.up", number, qos=number % 2) for number in range(2000)])

        await settled(got, length=2000)
        assert [event.payload for event in got] == list(range(2000))


async def test_events_that_are_published_one_after_the_other_come_in_that_order_whatever_their_topics():
    async with nodes(2) as (first, second):
        got = []
        await first.subscribe("count.**", got.append)

        for number in range(300):
            await second.publish(f"count.{number % 7}", number, qos=number % 2)

        await settled(got, length=300)
        assert [event.payload for event in got] == list(range(300))


@pytest.mark.parametrize(
    "victims",  # by the last digit of what is published next: whose process, and which
    [{5: [(0, PUBSUB_HANDLER)], 8: [(1, PUBSUB_HANDLER)]}, {5: [(0, PUBSUB_SUBSCRIBERS)]}],
    ids=["handlers", "subscribers"],
)
async def test_killing_a_process_costs_no_subscription_loses_nothing_and_brings_nothing_twice(victims):
    async with nodes(2) as pair:
        got = []
        await pair[0].subscribe("a.*", got.append)
        for number in range(30):
            for node, name in victims.get(number % 10, ()):
                exit_signal(pair[node].system.whereis(name), Kill())
            await pair[1].publish("a.b", number, qos=1, timeout=10.0)

        await settled(got, length=30)
        assert [event.payload for event in got] == list(range(30))


async def test_a_subscriber_that_raises_hurts_only_itself():
    def fail(event):
        raise RuntimeError(event.payload)

    async with nodes(1) as (node,):
        got = []
        await node.subscribe("a.b", fail)
        await node.subscribe("a.b", got.append)

        for number in range(3):
            await node.publish("a.b", number)

        await settled(got, length=3)
        assert node.stats()["pubsub_handler"].failed == 3


async def test_a_subscriber_that_hangs_holds_up_nobody_else():
    async def hang(event):
        await asyncio.Event().wait()

    async with nodes(1) as (node,):
        got = []
        await node.subscribe("a.b", hang, max_queued=2)
        await node.subscribe("a.b", got.append)

        for number in range(50):
            await node.publish("a.b", number, qos=1)

        await settled(got, length=50)
        assert node.stats()["pubsub_handler"].dropped > 0


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_subscriber_node_that_is_killed_in_the_middle_costs_the_others_nothing(qos):
    async with nodes(4) as (publisher, *others):
        logs = [[], [], []]
        for node, log in zip(others, logs, strict=True):
            await node.subscribe("sensors.**", log.append)
        unacknowledged = 0

        for number in range(PUBLISHES):
            if number == 2:
                await settled(*logs, length=2)
                await others[1].deny(["127.0.0.0/8"])  # as if it was gone: nobody is told
            try:
                await publisher.publish("sensors.kitchen", number, qos=qos, timeout=1.0)
            except UnacknowledgedError as error:
                assert error.node_ids == (others[1].node_id,)
                unacknowledged += 1

        await settled(logs[0], logs[2], length=PUBLISHES)
        assert [[event.payload for event in log] for log in (logs[0], logs[2])] == [list(range(PUBLISHES))] * 2
        assert [event.payload for event in logs[1]] == [0, 1]
        assert unacknowledged == (3 if qos else 0)


async def test_the_last_value_is_kept_for_who_subscribes_later_here_and_elsewhere():
    async with nodes(3) as (first, second, third):
        early, late, here = [], [], []
        await second.subscribe("state.*", early.append)
        await first.publish("state.door", "open", retain=True, qos=1)
        await first.publish("state.door", "shut", retain=True, qos=1)
        await settled(early, length=2)

        await third.subscribe("state.door", late.append)
        await second.subscribe("state.door", here.append)
        await first.subscribe("state.**", here.append)

        await settled(late, length=1)
        await settled(here, length=2)
        assert [(event.payload, event.retained) for event in early] == [("open", False), ("shut", False)]
        assert [(event.payload, event.retained) for event in late] == [("shut", True)]
        assert [(event.payload, event.retained) for event in here] == [("shut", True)] * 2


async def test_a_node_that_nobody_can_dial_is_reached_through_its_gateway():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Node(config(mode=Mode.HYBRID)))
        edge = await stack.enter_async_context(
            Node(config(gateway, gateways=[str(gateway.endpoint)], accept_peers=False, listen=f"{LOOPBACK}2:0"))
        )
        other = await stack.enter_async_context(Node(config(gateway)))
        got = []
        await edge.subscribe("a.*", got.append)
        await other.deny([f"{LOOPBACK}2/32"])

        for number in range(PUBLISHES):
            await other.publish("a.b", number, qos=number % 2)

        await settled(got, length=PUBLISHES)
        assert [event.payload for event in got] == list(range(PUBLISHES))
        assert gateway.stats()["gateway_pubsub"].relayed == PUBLISHES
        assert other.stats()["pubsub_handler"].relayed == 1


async def test_whatever_is_killed_at_the_gateway_no_event_of_qos_1_is_lost_or_comes_twice():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Node(config(mode=Mode.HYBRID)))
        edge = await stack.enter_async_context(
            Node(config(gateway, gateways=[str(gateway.endpoint)], accept_peers=False, listen=f"{LOOPBACK}2:0"))
        )
        other = await stack.enter_async_context(Node(config(gateway)))
        got = []
        await edge.subscribe("a.*", got.append)
        await other.deny([f"{LOOPBACK}2/32"])
        victims = [GATEWAY_PUBSUB, GATEWAY_MESH, GATEWAY, PUBSUB_HANDLER, PEER_CONNECTOR]

        for number, victim in enumerate(victims * 2):
            await wait_until(lambda victim=victim: gateway.system.whereis(victim))
            exit_signal(gateway.system.whereis(victim), Kill())
            await other.publish("a.b", number, qos=1, timeout=20.0)

        await settled(got, length=10)
        assert [event.payload for event in got] == list(range(10))


async def test_who_has_published_before_knows_of_a_new_subscriber_at_the_same_gateway():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Node(config(mode=Mode.HYBRID)))
        one, other = [
            await stack.enter_async_context(
                Node(config(gateway, gateways=[str(gateway.endpoint)], accept_peers=False, listen=f"{LOOPBACK}{end}:0"))
            )
            for end in (2, 3)
        ]
        await one.publish("a.b", "before", qos=1, retain=True)
        got = []

        await other.subscribe("a.*", got.append)
        await settled(got, length=1)
        for number in range(PUBLISHES):
            await one.publish("a.b", number, qos=1)

        await settled(got, length=PUBLISHES + 1)
        assert [event.payload for event in got] == ["before", *range(PUBLISHES)]
        assert len(one.stats()["peer_connector"].connections) == 1


async def test_a_node_that_has_stopped_is_a_subscriber_no_more():
    async with nodes(2) as (first, second):
        third = Node(config(first))
        await third.start()
        await third.subscribe("a.*", print)
        await second.publish("a.b", 0, qos=1)

        await third.stop()

        await second.publish("a.b", 1, qos=1, timeout=3.0)


async def test_a_subscription_that_is_cancelled_before_its_node_stops_is_none_either():
    async with nodes(2) as (first, second):
        third = Node(config(first))
        await third.start()
        subscription = await third.subscribe("a.*", print)
        await second.publish("a.b", 0, qos=1)

        await subscription.cancel()
        await third.stop()

        await second.publish("a.b", 1, qos=1, timeout=3.0)


async def test_names_are_checked_at_the_call():
    async with nodes(1) as (node,):
        with pytest.raises(ValueError, match="segment"):
            await node.publish("a.*", 1)
        with pytest.raises(ValueError, match="qos 2"):
            await node.publish("a.b", 1, qos=2)
        with pytest.raises(ValueError, match="segment"):
            await node.subscribe("a..b", print)
        with pytest.raises(ValueError, match="segment"):
            node.subscription("a.b*")


async def test_an_open_mesh_carries_events_too():
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(config(mode=Mode.HYBRID, security="open")))
        second = await stack.enter_async_context(Node(config(first, security="open")))
        got, here = [], []
        await second.subscribe("a.*", got.append)
        await first.subscribe("a.b", here.append)

        await first.publish("a.b", {"c": 1}, qos=1)
        await second.publish("a.b", {"c": 2}, qos=1)

        await settled(got, here, length=2)
        assert [event.payload for event in got] == [event.payload for event in here] == [{"c": 1}, {"c": 2}]


async def test_who_has_published_before_in_an_open_mesh_knows_of_a_new_subscriber_at_once():
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(config(mode=Mode.HYBRID, security="open")))
        second = await stack.enter_async_context(Node(config(first, security="open")))
        logs = []

        for publisher, subscriber, topic in ((first, second, "a.b"), (second, first, "c.d")):
            await publisher.publish(topic, 0)
            logs.append([])
            await subscriber.subscribe(topic, logs[-1].append)
            await publisher.publish(topic, 1)

        await settled(*logs, length=1)
        assert [[event.payload for event in log] for log in logs] == [[1], [1]]


async def test_topics_are_written_as_the_configuration_says():
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(config(mode=Mode.BOOTSTRAP, topic_dialect="mqtt")))
        second = await stack.enter_async_context(Node(config(first, topic_dialect="mqtt")))
        got = []
        await first.subscribe("sensors/+/temperature", got.append)
        async with first.subscription("sensors/#") as events:
            await second.publish("sensors/kitchen/temperature", 21.5, qos=1)

            assert (await anext(events)).payload == 21.5
        await settled(got, length=1)
        assert [event.topic for event in got] == ["sensors/kitchen/temperature"]


async def test_wildcards_of_the_configured_dialect_are_no_topic_and_those_of_another_no_wildcards():
    async with Node(config(topic_dialect="mqtt")) as node:
        with pytest.raises(ValueError, match="topic"):
            await node.publish("sensors/+")
        with pytest.raises(ValueError, match="pattern"):
            await node.subscribe("sensors/*", print)
        with pytest.raises(ValueError, match="pattern"):
            node.subscription("sensors/**")


async def test_a_slow_subscriber_that_names_nothing_is_treated_as_configured():
    async with Node(config(max_queued_events=2, slow_subscriber="drop_newest")) as node:
        got, named, gate = [], [], asyncio.Event()

        async def slowly(event):
            got.append(event.payload)
            await gate.wait()

        async def named_slowly(event):
            named.append(event.payload)
            await gate.wait()

        await node.subscribe("a.b", slowly)
        await node.subscribe("a.b", named_slowly, policy=FullPolicy.DROP_OLDEST, max_queued=1)
        await node.publish("a.b", 0)
        await wait_until(lambda: (got, named) == ([0], [0]))
        for number in range(1, 5):
            await node.publish("a.b", number)
        gate.set()

        await settled(got, named, length=2)
        assert (got, named) == ([0, 1, 2], [0, 4])


async def test_a_publication_that_names_no_timeout_has_the_configured_one():
    async with nodes(1) as (first,), Node(config(first, publish_timeout=0.3)) as second:
        await first.subscribe("a.b", lambda _: None)
        await second.publish("a.b", 0, qos=1, timeout=5.0)
        await first.deny(["127.0.0.0/8"])  # as if it was gone: nobody is told
        begun = asyncio.get_running_loop().time()

        with pytest.raises(UnacknowledgedError):
            await second.publish("a.b", 1, qos=1)

        assert asyncio.get_running_loop().time() - begun < 3.0


async def test_a_publisher_of_large_events_waits_and_loses_none():
    async with nodes(2) as (first, second):
        got = []
        await first.subscribe("big.*", lambda event: got.append(event.payload[0]))

        for number in range(20):
            await second.publish("big.one", bytes([number]) * 900_000)

        await settled(got, length=20)
        assert got == list(range(20))
        outbox = second.stats()["pubsub_handler"].outbox
        assert (outbox.lost, outbox.holds > 0) == (0, True)


async def test_a_loop_over_a_subscription_ends_when_its_node_stops():
    async with nodes(2) as (_, second):

        async def loop(events):
            return [event.payload async for event in events]

        events = second.subscription("a.*")
        looping = [asyncio.create_task(loop(events)), asyncio.create_task(loop(second.subscription("b.*")))]
        await wait_until(lambda: second.stats()["pubsub_handler"].subscriptions == 2)
        await asyncio.sleep(0.2)
        await second.publish("a.b", 1)

        await second.stop()

        assert await asyncio.wait_for(asyncio.gather(*looping), 1.0) == [[1], []]
        await events.close()


async def test_a_loop_over_a_subscription_ends_when_its_node_gives_up():
    async with nodes(1) as (node,), node.subscription("a.*") as events:
        exit_signal(node.system.whereis(ROOT), Kill())

        assert await asyncio.wait_for(anext(events, None), 1.0) is None


async def test_counts_of_subscribers_that_are_gone_stay():
    async with nodes(1) as (node,):
        gate = asyncio.Event()
        slow = await node.subscribe("a.b", lambda _: gate.wait(), max_queued=1)
        quick = await node.subscribe("a.b", lambda _: gate.wait(), max_queued=1, policy="disconnect")
        for number in range(10):
            await node.publish("a.b", number)
            await asyncio.sleep(0)
        dropped = node.stats()["pubsub_handler"].dropped

        await slow.cancel()

        counts = node.stats()["pubsub_handler"]
        assert (counts.dropped, counts.dropped > 5, counts.disconnected) == (dropped, True, 1)
        assert (slow.is_active, quick.is_active) == (False, False)


async def test_topics_may_have_another_separator():
    values = {"topic_separator": ":", "topic_wildcard_multi": "..."}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(config(mode=Mode.HYBRID, **values)))
        second = await stack.enter_async_context(Node(config(first, **values)))
        got = []
        await first.subscribe("sensors:...", got.append)

        await second.publish("sensors:kitchen:temperature", 21.5, qos=1)

        await settled(got, length=1)
        assert got[0].topic == "sensors:kitchen:temperature"
