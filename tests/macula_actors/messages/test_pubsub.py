"""What is wrong is said at the call, before anybody is asked."""

import pytest

from macula_actors.errors import CallTimeoutError, LocalProtocolError
from macula_actors.messages import pubsub
from macula_actors.messages.names import PUBSUB_HANDLER


async def take(event):
    pass


@pytest.mark.parametrize("patterns", ["a..b", "a.b*", "", ["a", "b c"], []])
async def test_a_pattern_that_can_match_nothing_is_refused(system, patterns):
    with pytest.raises(ValueError, match="pattern"):
        await pubsub.subscribe(PUBSUB_HANDLER, patterns, take)


async def test_a_queue_has_room_for_one_event(system):
    with pytest.raises(ValueError, match="room"):
        await pubsub.subscribe(PUBSUB_HANDLER, "a", take, max_queued=0)


@pytest.mark.parametrize("topic", ["a.*", "**", "", "a b"])
async def test_a_topic_that_is_none_is_refused(system, topic):
    with pytest.raises(ValueError, match="topic"):
        await pubsub.publish(PUBSUB_HANDLER, topic, 1)


async def test_qos_is_0_or_1(system):
    with pytest.raises(ValueError, match="qos 2"):
        await pubsub.publish(PUBSUB_HANDLER, "a", 1, qos=2)


async def test_a_payload_that_cannot_be_sent_hurts_only_its_publisher(system):
    with pytest.raises(LocalProtocolError):
        await pubsub.publish(PUBSUB_HANDLER, "a", object())
    with pytest.raises(LocalProtocolError):
        await pubsub.publish(PUBSUB_HANDLER, "a", bytes(2_000_000))


async def test_without_a_handler_it_is_tried_until_the_time_is_over(system):
    before = system.now()

    with pytest.raises(CallTimeoutError):
        await pubsub.publish(PUBSUB_HANDLER, "a", 1, timeout=2.0)

    assert 2.0 <= system.now() - before <= 2.0 + pubsub.GRACE
