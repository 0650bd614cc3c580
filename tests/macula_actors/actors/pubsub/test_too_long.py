"""Events that came in whole, and would be too long to go out again."""

import pytest

from macula_actors.core.rpc.arguments import MAX_BYTES
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.frame import HEADER_BYTES, MAX_PAYLOAD_BYTES
from macula_actors.core.wire.messages import Publish, PubsubRoute
from macula_actors.errors import MaculaError, RefusedError
from macula_actors.messages.names import PUBSUB_HANDLER

from .nodes import payloads, pubsub_mesh

TOPIC = "sensors.kitchen"


def an_event(length):
    return Publish(topic=TOPIC, payload=bytes(length), message_id=bytes(16), qos=1)


def a_route(source, destination, length):
    """Return one whose next hop has a number that takes a byte more."""
    ids = {"source_node_id": source.node_id, "destination_node_id": destination.node_id}
    return PubsubRoute(**ids, topic=TOPIC, payload=an_event(length), hop_count=127, max_hops=200)


async def test_an_event_that_could_not_be_passed_on_is_refused():
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2)
        got = await other.subscribe("sensors.*")

        with pytest.raises(RefusedError, match="too_large"):
            await one.node.request(other.node, an_event(MAX_BYTES + 1))

        await one.publish(TOPIC, 1, qos=1)
        assert payloads(got) == [1]


async def test_a_route_that_grows_too_long_on_its_way_is_refused_by_who_cannot_send_it_on():
    async with pubsub_mesh() as mesh:
        one, other, third = await mesh.nodes(3)
        got = await third.subscribe("sensors.*")
        await other.publish(TOPIC, 1, qos=1)  # so there is a connection
        handler = other.system.whereis(PUBSUB_HANDLER)
        around = len(encode(a_route(one, third, 100_000))) - HEADER_BYTES - 100_000

        with pytest.raises(MaculaError, match="frame_too_large"):
            await one.node.request(other.node, a_route(one, third, MAX_PAYLOAD_BYTES - around))

        await other.publish(TOPIC, 2, qos=1)
        assert payloads(got) == [1, 2]
        assert other.system.whereis(PUBSUB_HANDLER) is handler
