"""Nodes that publish to one another over real QUIC in a simulated network, in virtual time."""

import asyncio

import pytest

from macula_actors.actors.pubsub.receiver import MAX_AHEAD
from macula_actors.actors.pubsub.replays import MAX_OWNERS
from macula_actors.core.peer.handshake import PeerInfo, Security
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.rpc.arguments import encode
from macula_actors.core.wire.messages import Publish, Subscribe, SubscriptionsChanged
from macula_actors.errors import CallTimeoutError, OverloadedError, QuorumError, RefusedError, UnacknowledgedError
from macula_actors.messages import pubsub
from macula_actors.messages.names import GATEWAY_PUBSUB, PUBSUB_HANDLER, PUBSUB_SUBSCRIBERS
from macula_actors.messages.peer import Inbound, peers
from macula_actors.simulation.link import Link
from supervisors import GenServer, Reply
from supervisors.testing import wait_until

from .nodes import payloads, pubsub_mesh

TOPIC = "sensors.kitchen.temperature"


def an_event(number=0, **fields):
    return Publish(topic=TOPIC, payload=encode(number, json=False), message_id=bytes([number]) * 16, **fields)


# Lookups


async def test_many_publications_share_the_lookups_of_their_topic():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe("sensors.**")
        mesh.dht.delay = 0.5

        await asyncio.gather(*[one.publish(TOPIC, number, qos=1) for number in range(50)])

        assert payloads(got) == list(range(50))
        assert len(mesh.dht.lookups) == len(TOPIC.split(".")) + 1


async def test_a_publication_of_qos_0_uses_the_cache_for_a_while_and_refreshes_it_meanwhile():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await other.subscribe(TOPIC)
        await one.publish(TOPIC, 1)
        first = len(mesh.dht.lookups)
        await asyncio.sleep(one.config.stale_after)
        mesh.dht.delay = 2.0
        before = one.system.now()

        await one.publish(TOPIC, 2)

        assert one.system.now() - before < 1.0
        await asyncio.sleep(10.0)
        assert len(mesh.dht.lookups) == 2 * first


@pytest.mark.parametrize("how", [{"qos": 1}, {"retain": True}])
async def test_what_must_not_be_lost_reaches_whoever_subscribed_before_the_cache_was_stale(how):
    async with pubsub_mesh() as mesh:
        one, late = await mesh.nodes(2)
        await one.publish(TOPIC, 0, **how)  # it is cached that nobody has subscribed
        got = await late.subscribe("sensors.**")
        await asyncio.sleep(one.config.stale_after)

        await one.publish(TOPIC, 1, **how)
        await asyncio.sleep(0.05)

        assert payloads(got)[-1:] == [1]


async def test_a_cache_that_is_used_is_refreshed_before_qos_1_has_to_wait_for_it():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await other.subscribe(TOPIC)
        await one.publish(TOPIC, 1, qos=1)
        mesh.dht.delay = 0.2
        took = []

        for number in range(40):
            before = one.system.now()
            await one.publish(TOPIC, number, qos=1)
            took.append(one.system.now() - before)
            await asyncio.sleep(0.5)

        assert max(took) < 0.2


async def test_who_is_known_gets_an_event_though_others_cannot_be_looked_up_in_time():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        await one.publish(TOPIC, 1, qos=1)
        await asyncio.sleep(one.config.stale_after)
        mesh.dht.delay = 60.0

        with pytest.raises(CallTimeoutError, match="subscribers"):
            await one.publish(TOPIC, 2, qos=1)

        assert payloads(got) == [1, 2]


async def test_an_event_of_qos_0_does_not_overtake_one_that_waits_for_a_lookup():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe(TOPIC)
        await one.publish(TOPIC, 0, qos=1)
        await asyncio.sleep(one.config.stale_after)
        mesh.dht.delay = 0.2

        await asyncio.gather(*[one.publish(TOPIC, number, qos=number % 2) for number in range(1, 6)])
        await wait_until(lambda: len(got) == 6)

        assert payloads(got) == list(range(6))


async def test_who_subscribes_while_a_lookup_is_under_way_is_found_by_it():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await one.subscribe("other.**")
        await other.publish("other.topic", qos=1)  # so there is a connection
        mesh.dht.delay = 0.2
        first = asyncio.create_task(one.publish(TOPIC, 0, qos=1))
        await asyncio.sleep(0.1)
        mesh.dht.delay = 0.0

        got = await other.subscribe(TOPIC)
        await first
        await one.publish(TOPIC, 1, qos=1)

        assert payloads(got)[-1:] == [1]


async def test_without_an_answer_qos_1_is_refused_and_local_subscribers_are_served():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        got = await node.subscribe(TOPIC)
        mesh.dht.error = QuorumError(0, 1)

        await node.publish(TOPIC, 0)
        with pytest.raises(QuorumError):
            await node.publish(TOPIC, 1, qos=1)

        assert payloads(got) == [0, 1]


# Records


async def test_others_find_the_patterns_of_a_node_as_long_as_it_has_them():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe("a.b.*")
        first = node.last
        await node.subscribe("a.b.**")
        await node.subscribe("a.b.*")

        assert mesh.dht.patterns() == {node.node_id: {"a.b.*", "a.b.**"}}
        await node.unsubscribe(first)
        await asyncio.sleep(1.0)
        assert mesh.dht.patterns() == {node.node_id: {"a.b.*", "a.b.**"}}
        await node.unsubscribe()
        await asyncio.sleep(1.0)
        assert mesh.dht.patterns() == {node.node_id: {"a.b.**"}}


async def test_a_record_goes_with_the_last_pattern_of_its_prefix():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe("a.*")

        await node.unsubscribe()

        await wait_until(lambda: not mesh.dht.patterns())
        await asyncio.sleep(5.0)
        assert (await node.stats()).records == 0


async def test_who_is_connected_is_told_at_once_that_there_is_a_subscriber():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await one.subscribe("other.**")
        await other.publish("other.topic", qos=1)  # so there is a connection
        await one.publish(TOPIC, 0, qos=1)  # it is cached that nobody has subscribed

        got = await other.subscribe("sensors.**")
        await one.publish(TOPIC, 1, qos=1)

        assert payloads(got) == [1]


async def test_a_record_names_the_gateway_that_is_kept():
    async with pubsub_mesh() as mesh:
        gateway = await mesh.node()
        edge = await mesh.node(mesh={"keep": (gateway.node.endpoint,)}, can_be_dialled=False)
        await edge.subscribe("a.*")

        def gateways():
            return [
                each
                for owned in mesh.dht.records.values()
                for record in owned.values()
                for each in record.payload.get("gateways", record.payload.get(b"gateways", ()))
            ]

        await wait_until(gateways)


# Getting there


async def test_qos_1_is_exactly_once_and_in_order_over_a_link_that_loses_and_doubles():
    link = Link(latency=0.02, jitter=0.02, loss=0.1, duplication=0.1, reordering=0.1)
    async with pubsub_mesh(link=link) as mesh:
        one, *others = await mesh.nodes(3)
        logs = [await other.subscribe("sensors.**") for other in others]

        for number in range(100):
            await one.publish(TOPIC, number, qos=1, timeout=30.0)

        assert [payloads(log) for log in logs] == [list(range(100))] * 2


async def test_qos_1_survives_a_link_that_is_cut_for_a_while():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe("sensors.**")
        await one.publish(TOPIC, 0, qos=1)

        mesh.mesh.network.cut("node1", "node2")
        publishing = [asyncio.create_task(one.publish(TOPIC, n, qos=1, timeout=30.0)) for n in range(1, 50)]
        await asyncio.sleep(10.0)
        assert payloads(got) == [0]
        mesh.mesh.network.heal_all()
        await asyncio.gather(*publishing)

        assert payloads(got) == list(range(50))


async def test_who_does_not_acknowledge_is_named_at_the_deadline_and_the_others_have_it():
    async with pubsub_mesh() as mesh:
        one, other, gone = await mesh.nodes(3)
        got = await other.subscribe("sensors.**")
        await gone.subscribe("sensors.**")
        mesh.mesh.network.isolate("node3")
        before = one.system.now()

        with pytest.raises(UnacknowledgedError) as caught:
            await one.publish(TOPIC, 1, qos=1, timeout=3.0)

        assert caught.value.node_ids == (gone.node_id,)
        assert 2.9 < one.system.now() - before < 3.3
        assert payloads(got) == [1]


async def test_a_node_that_is_killed_is_a_subscriber_no_more_when_its_record_has_expired():
    async with pubsub_mesh() as mesh:
        one, gone = await mesh.nodes(2, ttl=30)
        await gone.subscribe("sensors.**")
        await one.publish(TOPIC, 1, qos=1)
        await gone.node.stop()
        await asyncio.sleep(31.0)

        await one.publish(TOPIC, 2, qos=1)


async def test_a_node_that_withdraws_is_a_subscriber_no_more():
    async with pubsub_mesh() as mesh:
        one, gone = await mesh.nodes(2)
        await gone.subscribe("sensors.**")
        await one.publish(TOPIC, 1, qos=1)

        await pubsub.withdraw(gone.handler)
        await gone.node.stop()

        assert mesh.dht.patterns() == {}
        await one.publish(TOPIC, 2, qos=1, timeout=1.0)


async def test_who_withdraws_waits_for_the_others_only_so_long_and_not_for_a_handler_that_is_not_there():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe("sensors.**")
        mesh.dht.delay = 60.0
        before = node.system.now()

        await pubsub.withdraw(node.handler)
        assert 0.9 < node.system.now() - before < 1.1

        before = node.system.now()
        await pubsub.withdraw(("nobody", node.system))
        assert node.system.now() == before


async def test_a_node_that_withdraws_still_ends_subscriptions_and_delivers_until_it_ends():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe("sensors.**")
        got = await node.subscribe(TOPIC)

        await pubsub.withdraw(node.handler)
        handler = node.system.whereis(PUBSUB_HANDLER)
        await node.publish(TOPIC, 1)
        assert await node.unsubscribe()
        await node.subscribe("other")
        await asyncio.sleep(1.0)

        assert payloads(got) == [1]
        assert mesh.dht.patterns() == {}
        assert node.system.whereis(PUBSUB_HANDLER) is handler


async def test_a_subscription_that_is_ended_is_found_no_more_when_its_end_returns():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await other.subscribe("sensors.**")
        await one.publish(TOPIC, 1, qos=1)
        mesh.dht.delay = 0.2

        assert await other.unsubscribe()

        assert mesh.dht.patterns() == {}
        mesh.dht.delay = 0.0
        before = (await one.stats()).outbox.sent
        await one.publish(TOPIC, 2, qos=1)
        assert (await one.stats()).outbox.sent == before


async def test_the_end_of_a_subscription_waits_for_the_others_only_so_long():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe("sensors.**")
        mesh.dht.delay = 60.0
        before = node.system.now()

        assert await node.unsubscribe()

        assert 0.9 < node.system.now() - before < 1.1


async def test_peers_are_told_of_a_subscription_that_took_longer_than_who_subscribed_waits():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await one.subscribe("other.**")
        await other.publish("other.topic", qos=1)  # so there is a connection
        mesh.dht.delay = 8.0
        got = await other.subscribe(TOPIC)
        mesh.dht.delay = 0.0
        await asyncio.sleep(1.0)
        await one.publish(TOPIC, 0, qos=1)  # it is cached that nobody has subscribed
        await asyncio.sleep(2.5)

        await one.publish(TOPIC, 1, qos=1)

        assert payloads(got) == [1]


@pytest.mark.parametrize("victims", [(0,), (1,), (0, 1)])
async def test_killing_handlers_loses_nothing_and_doubles_nothing(victims):
    async with pubsub_mesh() as mesh:
        pair = await mesh.nodes(2)
        got = await pair[1].subscribe("sensors.**")
        here = await pair[0].subscribe("sensors.**")

        async def kill_on():
            while True:
                await asyncio.sleep(0.73)
                for victim in victims:
                    pair[victim].kill(PUBSUB_HANDLER)

        killing = asyncio.create_task(kill_on())
        for number in range(200):
            await pair[0].publish(TOPIC, number, qos=1, timeout=30.0)
            await asyncio.sleep(0.02)
        killing.cancel()

        assert payloads(got) == list(range(200))
        assert payloads(here) == list(range(200))


async def test_a_message_for_another_publisher_is_refused():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe("sensors.**")

        with pytest.raises(RefusedError, match="publisher"):
            await one.node.request(other.node, an_event(publisher=other.node_id, qos=1))

        assert got == []


async def test_an_event_that_comes_too_early_waits_only_for_those_that_want_order():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        ordered = await other.subscribe("sensors.**")
        early = await other.subscribe("sensors.*.temperature", is_ordered=False)

        def send(number):
            stamp = {"epoch": 1, "sequence": number, "pending_from": 0}
            return asyncio.create_task(one.node.request(other.node, an_event(number, qos=1, **stamp), 10.0))

        asked = [send(number) for number in (0, 2, 2)]
        await asyncio.sleep(1.0)
        assert (payloads(ordered), payloads(early)) == ([0], [0, 2])
        assert [task.done() for task in asked] == [True, False, False]

        await asyncio.gather(*asked, send(1))
        await asyncio.sleep(1.0)

        assert (payloads(ordered), payloads(early)) == ([0, 1, 2], [0, 2, 1])


async def test_a_message_without_a_stamp_is_delivered_once():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe("sensors.**")

        for _ in range(3):
            answer = await one.node.request(other.node, an_event(7, qos=1))
            assert answer.message_id == bytes([7]) * 16

        assert payloads(got) == [7]


async def test_an_event_goes_from_node_to_node_to_one_that_cannot_be_dialled():
    async with pubsub_mesh() as mesh:
        hidden = await mesh.node(can_be_dialled=False)
        pair = await mesh.nodes(2)
        middle, source = sorted(pair, key=lambda each: hidden.node_id.distance(each.node_id))
        source.knows(middle)
        await middle.subscribe("other.**")
        await hidden.publish("other.topic", qos=1)  # so there is a connection
        got = await hidden.subscribe("sensors.**")

        for number in range(10):
            await source.publish(TOPIC, number, qos=number % 2)

        await wait_until(lambda: len(got) == 10)
        assert payloads(got) == list(range(10))
        assert {up.peer.node_id for up in await peers(source.node.connector)} == {middle.node_id}


async def test_one_that_nobody_can_reach_is_named():
    async with pubsub_mesh() as mesh:
        hidden, source = await mesh.node(can_be_dialled=False), await mesh.node()
        await hidden.subscribe("sensors.**")

        with pytest.raises(UnacknowledgedError):
            await source.publish(TOPIC, 1, qos=1, timeout=1.0)


# Subscribers


class Collector(GenServer):
    def init(self, log):
        self.log = log

    def handle_call(self, request, from_):
        self.log.append(request)
        return Reply(None)


async def test_a_process_is_called_with_each_event_and_its_end_ends_the_subscription():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        log = []
        collector = await node.system.start(Collector, log, name="collector")
        await node.subscribe(TOPIC, collector)

        await node.publish(TOPIC, 1)
        await wait_until(lambda: log)
        node.kill("collector")
        await asyncio.sleep(1.0)

        assert payloads(log) == [1]
        assert (await node.stats()).subscriptions == 0
        assert mesh.dht.patterns() == {}


async def test_a_publisher_is_held_by_a_subscriber_that_wants_all_and_is_slow():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        log = []

        async def slow(event):
            await asyncio.sleep(0.1)
            log.append(event)

        await other.subscribe(TOPIC, slow, policy=FullPolicy.HOLD, max_queued=4)
        waiting = []

        for number in range(100):
            await one.publish(TOPIC, number, qos=1, timeout=30.0)
            waiting.append((await other.stats()).queued)

        assert max(waiting) == 4
        await wait_until(lambda: len(log) == 100, timeout=60.0)
        assert payloads(log) == list(range(100))


async def test_a_publisher_is_held_by_a_slow_subscriber_of_its_own_node():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        log = []

        async def slow(event):
            await asyncio.sleep(0.1)
            log.append(event)

        await node.subscribe(TOPIC, slow, policy=FullPolicy.HOLD, max_queued=4)

        await asyncio.gather(*[node.publish(TOPIC, number, timeout=30.0) for number in range(100)])

        await wait_until(lambda: len(log) == 100, timeout=60.0)
        assert payloads(log) == list(range(100))


async def test_who_is_held_for_too_long_is_told_and_what_it_published_is_forgotten():
    async def never(event):
        await asyncio.Event().wait()

    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        await node.subscribe(TOPIC, never, policy=FullPolicy.HOLD, max_queued=1)
        await node.publish(TOPIC)
        await asyncio.sleep(0.1)
        await node.publish(TOPIC)

        for _ in range(3):
            with pytest.raises(CallTimeoutError):
                await node.publish(TOPIC, timeout=1.0)

        assert (await node.stats()).waiting == 0


@pytest.mark.parametrize(
    ("policy", "kept"),
    [(FullPolicy.DROP_OLDEST, [0, 8, 9]), (FullPolicy.DROP_NEWEST, [0, 1, 2]), (FullPolicy.DISCONNECT, [0])],
)
async def test_a_slow_subscriber_that_does_not_hold_loses_events_as_it_wants(policy, kept):
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        log, may_go_on = [], asyncio.Event()

        async def slow(event):
            log.append(event)
            await may_go_on.wait()

        await node.subscribe(TOPIC, slow, policy=policy, max_queued=2)
        await node.publish(TOPIC, 0)
        await wait_until(lambda: log)
        for number in range(1, 10):
            await node.publish(TOPIC, number)
        may_go_on.set()
        await asyncio.sleep(1.0)

        assert payloads(log) == kept


async def test_who_is_killed_with_its_supervisor_goes_on_where_it_was():
    async with pubsub_mesh() as mesh:
        node = await mesh.node()
        log = []

        async def slow(event):
            log.append(event)
            await asyncio.sleep(0.1)

        await node.subscribe(TOPIC, slow)
        for number in range(50):
            await node.publish(TOPIC, number)
        for _ in range(3):
            await asyncio.sleep(0.55)
            node.kill(PUBSUB_SUBSCRIBERS)

        await wait_until(lambda: len(log) == 50, timeout=60.0)
        assert payloads(log) == list(range(50))


async def test_too_many_subscriptions_are_refused():
    async with pubsub_mesh() as mesh:
        node = await mesh.node(max_subscriptions=1)
        await node.subscribe(TOPIC)

        with pytest.raises(OverloadedError):
            await node.subscribe(TOPIC)


# Kept values


async def test_a_node_that_subscribes_later_is_given_the_last_value_once_though_it_is_not_connected():
    async with pubsub_mesh() as mesh:
        one, late = await mesh.nodes(2)
        await one.publish(TOPIC, 1, retain=True)
        await one.publish(TOPIC, 2, retain=True)

        got = await late.subscribe("sensors.**")
        await asyncio.sleep(60.0)

        assert [(event.payload, event.retained) for event in got] == [(2, True)]
        assert (await one.stats()).outbox.sent == 1


async def test_a_value_of_none_has_the_last_one_forgotten():
    async with pubsub_mesh() as mesh:
        one, late = await mesh.nodes(2)
        await one.publish(TOPIC, 1, retain=True)
        await one.publish(TOPIC, None, retain=True)

        got = await late.subscribe("sensors.**")
        here = await one.subscribe("sensors.**")
        await asyncio.sleep(60.0)

        assert got == here == []


async def test_a_value_that_changed_meanwhile_is_not_given_to_who_subscribes_again():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        await other.subscribe("sensors.**")
        await one.publish(TOPIC, "old", retain=True, qos=1)
        await other.unsubscribe()
        await asyncio.sleep(10.0)
        await one.publish(TOPIC, "new", retain=True, qos=1)

        got = await other.subscribe("sensors.**")
        await asyncio.sleep(20.0)

        assert payloads(got) == ["new"]


async def test_what_is_kept_survives_a_crash_of_the_handler():
    async with pubsub_mesh() as mesh:
        one, late = await mesh.nodes(2)
        await one.publish(TOPIC, 1, retain=True)
        one.kill(PUBSUB_HANDLER)
        await asyncio.sleep(1.0)

        got = await late.subscribe("sensors.**")
        here = await one.subscribe("sensors.**")
        await asyncio.sleep(60.0)

        assert payloads(got) == payloads(here) == [1]


async def test_who_subscribes_again_is_given_the_last_value_again():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        first = await other.subscribe("sensors.**")
        await one.publish(TOPIC, 1, retain=True, qos=1)
        await other.unsubscribe()

        second = await other.subscribe("sensors.**")
        await asyncio.sleep(20.0)

        assert [(event.payload, event.retained) for event in first + second] == [(1, False), (1, True)]


async def test_of_values_of_several_publishers_a_new_subscriber_is_given_the_last_one_once():
    async with pubsub_mesh() as mesh:
        one, other, late = await mesh.nodes(3)
        await one.publish(TOPIC, "old", retain=True)
        await asyncio.sleep(0.1)
        await other.publish(TOPIC, "new", retain=True)

        got = await late.subscribe("sensors.**")
        await asyncio.sleep(30.0)
        again = await late.subscribe("sensors.**")
        await asyncio.sleep(1.0)

        assert payloads(got) == payloads(again) == ["new"]


async def test_who_has_an_older_value_learns_the_last_one():
    async with pubsub_mesh() as mesh:
        one, other, late, later = await mesh.nodes(4)
        await one.publish(TOPIC, "old", retain=True)
        await asyncio.sleep(0.1)
        await other.publish(TOPIC, "new", retain=True)
        await late.subscribe("sensors.**")
        await asyncio.sleep(10.0)
        await other.node.stop()
        await late.unsubscribe()

        got = await later.subscribe("sensors.**")
        await asyncio.sleep(10.0)

        assert payloads(got) == ["new"]


async def test_a_value_that_another_node_has_cleared_is_given_to_nobody():
    async with pubsub_mesh() as mesh:
        one, other, late = await mesh.nodes(3)
        await one.publish(TOPIC, "on", retain=True)
        await asyncio.sleep(0.1)
        await other.publish(TOPIC, None, retain=True)

        got = await late.subscribe("sensors.**")
        await asyncio.sleep(30.0)

        assert got == []


async def test_a_value_outlives_its_publisher_at_the_nodes_that_have_subscribed():
    async with pubsub_mesh() as mesh:
        one, owner, late = await mesh.nodes(3)
        early = await owner.subscribe("sensors.**")
        await one.publish(TOPIC, 7, retain=True, qos=1)
        await one.node.stop()
        await asyncio.sleep(20.0)

        got = await late.subscribe(TOPIC)
        await asyncio.sleep(5.0)

        assert payloads(early) == [7]
        assert [(event.payload, event.retained, event.publisher) for event in got] == [(7, True, one.node_id)]


async def test_many_owners_give_a_new_subscriber_a_value_a_few_times_and_it_comes_once():
    async with pubsub_mesh() as mesh:
        one, *owners, late = await mesh.nodes(9)
        for owner in owners:
            await owner.subscribe("sensors.**")
        await asyncio.sleep(10.0)
        await one.publish(TOPIC, 7, retain=True, qos=1)
        await one.node.stop()
        await asyncio.sleep(20.0)

        got = await late.subscribe(TOPIC)
        await asyncio.sleep(30.0)

        assert payloads(got) == [7]
        assert sum([(await owner.stats()).outbox.sent > 0 for owner in owners]) == MAX_OWNERS


async def test_a_value_of_the_future_is_taken_for_one_of_now():
    async with pubsub_mesh() as mesh:
        one, other, late = await mesh.nodes(3)
        await other.subscribe("sensors.**")
        value = an_event(1, qos=1, retain=True, published_at=2**60)
        await one.node.request(other.node, value)
        await asyncio.sleep(MAX_AHEAD / 1000 + 1)
        await one.publish(TOPIC, "new", retain=True)

        got = await late.subscribe("sensors.**")
        await asyncio.sleep(5.0)

        assert payloads(got) == ["new"]


# Who is not connected, but has the same gateway


async def test_a_gateway_tells_its_other_sessions_what_one_has_subscribed_to_and_ended():
    async with pubsub_mesh() as mesh:
        gateway, one, other = await mesh.nodes(3)
        await gateway.system.start(Collector, [], name=GATEWAY_PUBSUB)
        await gateway.subscribe("other.**")
        await asyncio.gather(*[each.publish("other.topic", qos=1) for each in (one, other)])  # so there are sessions
        await one.publish(TOPIC, 0, qos=1)  # it is cached that nobody has subscribed

        got = await other.subscribe("sensors.**")
        await asyncio.sleep(0.2)
        assert len(await peers(one.node.connector)) == 1
        await one.publish(TOPIC, 1, qos=1)
        await other.unsubscribe()
        await asyncio.sleep(0.2)
        sent = (await one.stats()).outbox.sent
        await one.publish(TOPIC, 2, qos=1)

        assert payloads(got) == [1]
        assert (await one.stats()).outbox.sent == sent


async def test_a_gateway_passes_on_much_in_few_messages_and_nothing_that_was_passed_on():
    async with pubsub_mesh() as mesh:
        gateway, one, other = await mesh.nodes(3)
        await gateway.system.start(Collector, [], name=GATEWAY_PUBSUB)
        far = await mesh.mesh.node(
            "far",
            answers={SubscriptionsChanged: lambda _: None, Subscribe: lambda _: None},
            capabilities=(pubsub.CHANGES_CAPABILITY,),
        )
        await asyncio.gather(*[each.request(gateway.node, an_event(1, qos=1)) for each in (far, one.node, other.node)])

        topics = {f"a.{number}" for number in range(100)}
        await asyncio.gather(*[one.node.send(gateway.node, Subscribe(topics=(each,))) for each in topics])
        changed = SubscriptionsChanged(topics=("b",), node_ids=(other.node_id,), hop_count=1)
        await other.node.send(gateway.node, changed)
        await asyncio.sleep(1.0)

        told = [each for each in far.handled if isinstance(each, SubscriptionsChanged)]
        assert len(told) < 5
        assert {topic for each in told for topic in each.topics} == topics
        assert {(each.node_ids, each.hop_count) for each in told} == {((one.node_id,), 1)}


async def test_a_value_comes_at_once_to_a_new_subscriber_with_the_same_gateway():
    async with pubsub_mesh() as mesh:
        gateway, one, other = await mesh.nodes(3)
        await gateway.system.start(Collector, [], name=GATEWAY_PUBSUB)
        await gateway.subscribe("other.**")
        await asyncio.gather(*[each.publish("other.topic", qos=1) for each in (one, other)])
        await one.publish(TOPIC, 1, retain=True)

        got = await other.subscribe("sensors.**")
        await asyncio.sleep(0.5)

        assert payloads(got) == [1]


async def test_nodes_of_an_open_mesh_tell_each_other_whoever_has_dialled():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2, security=Security.OPEN)
        await one.subscribe("other.**")
        await other.publish("other.topic", qos=1)  # so there is a connection
        logs = []

        for here, there in ((one, other), (other, one)):
            await there.publish(TOPIC, 0, qos=1, json=True)  # it is cached who has subscribed
            logs.append(await here.subscribe("sensors.**"))
            await there.publish(TOPIC, 1, qos=1, json=True)

        assert [payloads(log)[:1] for log in logs] == [[1], [1]]


# Clients of a gateway


async def test_what_a_client_publishes_is_published_once_to_all():
    async with pubsub_mesh() as mesh:
        gateway, other = await mesh.nodes(2, security=Security.OPEN)
        await gateway.system.start(Collector, [], name=GATEWAY_PUBSUB)
        got = await other.subscribe("sensors.**")
        here = await gateway.subscribe("sensors.**")
        client = PeerInfo(node_id=other.node_id, public_key=None, endpoint=None, capabilities=(), verified=False)
        event = Publish(topic=TOPIC, payload=b'{"a":1}', message_id=bytes(16), qos=1)
        handler = gateway.system.whereis(PUBSUB_HANDLER)

        for _ in range(3):
            await handler.call(Inbound(client, event, handler))
            await asyncio.sleep(1.0)

        assert payloads(got) == payloads(here) == [{"a": 1}]
