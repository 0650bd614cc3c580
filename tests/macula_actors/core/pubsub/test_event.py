import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent, Event
from macula_actors.core.rpc.arguments import encode
from macula_actors.errors import RemoteProtocolError

PUBLISHER = NodeId(bytes(32))


def encoded(payload):
    return EncodedEvent(topic="a.b", payload=payload, publisher=PUBLISHER, message_id=bytes(16), qos=1, retained=True)


@pytest.mark.parametrize("json", [False, True])
def test_a_subscriber_gets_the_value_that_was_published(json):
    event = encoded(encode({"c": [1, None]}, json=json)).decoded("a.*", json=json)

    assert event == Event(
        topic="a.b", payload={"c": [1, None]}, publisher=PUBLISHER, qos=1, retained=True, pattern="a.*"
    )


def test_a_payload_that_is_none_is_the_publishers_fault():
    with pytest.raises(RemoteProtocolError):
        encoded(b"\xc1").decoded("a.*", json=False)


@pytest.mark.parametrize(("payload", "kept"), [(b"", b""), (encode(None, json=False), b""), (b"x", b"x")])
def test_an_event_without_a_value_keeps_nothing(payload, kept):
    assert encoded(payload).kept_payload == kept
