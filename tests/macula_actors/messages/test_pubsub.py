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


@pytest.mark.parametrize("max_queued", ["5", 1.5, True, None])
async def test_its_bound_is_a_whole_number(system, max_queued):
    with pytest.raises(ValueError, match="max_queued"):
        await pubsub.subscribe(PUBSUB_HANDLER, "a", take, max_queued=max_queued)


@pytest.mark.parametrize("topic", ["a.*", "**", "", "a b"])
async def test_a_topic_that_is_none_is_refused(system, topic):
    with pytest.raises(ValueError, match="topic"):
        await pubsub.publish(PUBSUB_HANDLER, topic, 1)


@pytest.mark.parametrize("policy", ["nonsense", None, 1])
async def test_a_policy_that_is_none_is_refused(system, policy):
    with pytest.raises(ValueError, match="allowed are drop_oldest"):
        await pubsub.subscribe(PUBSUB_HANDLER, "a", take, policy=policy)


@pytest.mark.parametrize("target", [None, "print", 1])
async def test_a_subscriber_that_cannot_be_called_is_refused(system, target):
    with pytest.raises(TypeError, match="subscriber"):
        await pubsub.subscribe(PUBSUB_HANDLER, "a", target)


@pytest.mark.parametrize("qos", [2, -1, True, False, 1.0, "1", None])
async def test_qos_is_0_or_1(system, qos):
    with pytest.raises(ValueError, match=f"qos {qos!r}"):
        await pubsub.publish(PUBSUB_HANDLER, "a", 1, qos=qos)


@pytest.mark.parametrize("retain", [0, 1, None, "yes"])
async def test_retain_is_a_bool(system, retain):
    with pytest.raises(ValueError, match="retain"):
        await pubsub.publish(PUBSUB_HANDLER, "a", 1, retain=retain)


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), "1", None, True])
async def test_a_timeout_is_a_number(system, timeout):
    with pytest.raises(ValueError, match="timeout"):
        await pubsub.publish(PUBSUB_HANDLER, "a", 1, timeout=timeout)


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
