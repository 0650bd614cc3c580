"""An event that no message carries, should one get so far: it fails, at its deadline, and all others come."""

import asyncio

import pytest

from macula_actors.core.rpc.arguments import encode
from macula_actors.errors import UnacknowledgedError
from macula_actors.messages.names import PUBSUB_HANDLER
from macula_actors.messages.pubsub import PublishEvent

from .nodes import payloads, pubsub_mesh

TOPIC = "sensors.kitchen"


def a_request(number, **fields):
    given = {"topic": TOPIC, "payload": encode(number, json=False), "message_id": bytes([number]) * 16}
    return PublishEvent(**{**given, "qos": 1, "retain": False, "timeout": 10.0, **fields})


@pytest.mark.parametrize("bad", [{"retain": 1}, {"qos": 1.0}, {"payload": bytes(2_000_000)}])
@pytest.mark.parametrize("capabilities", [(), ("pubsub_batch",)])
async def test_an_event_that_no_message_carries_costs_no_other_one_and_no_process(bad, capabilities):
    async with pubsub_mesh() as mesh:
        one, other = await mesh.nodes(2, capabilities=capabilities)
        got = await other.subscribe("sensors.*")
        await one.publish(TOPIC, 0, qos=1)
        handler = one.system.whereis(PUBSUB_HANDLER)

        requests = [a_request(1), a_request(2, timeout=1.0, **bad), a_request(3)]
        results = await asyncio.gather(*[handler.call(each, timeout=20.0) for each in requests], return_exceptions=True)
        await one.publish(TOPIC, 4, qos=1, timeout=10.0)

        assert [type(each) for each in results] == [type(None), UnacknowledgedError, type(None)]
        assert payloads(got) == [0, 1, 3, 4]
        assert one.system.whereis(PUBSUB_HANDLER) is handler
