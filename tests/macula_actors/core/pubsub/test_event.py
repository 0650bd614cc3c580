from dataclasses import replace

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent, Event, check_length, encode_payload, event_of_client
from macula_actors.core.pubsub.topic import DOTTED, MQTT
from macula_actors.core.rpc.arguments import MAX_BYTES, encode
from macula_actors.core.wire.messages import Publish
from macula_actors.errors import LocalProtocolError, RefusedError, RemoteProtocolError

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


@pytest.mark.parametrize(
    ("payload", "has_value"),
    [(b"", False), (encode(None, json=False), False), (encode(None, json=True), False), (b"x", True)],
)
def test_an_event_without_a_value_keeps_nothing(payload, has_value):
    assert encoded(payload).has_value is has_value


def test_the_event_that_was_published_last_has_the_highest_version():
    event = encoded(b"x")

    assert replace(event, published_at=2).version > replace(event, published_at=1, message_id=b"\xff" * 16).version


@pytest.mark.parametrize(
    "payload", [b"hello", b"", b"\xff\x00", b'{"a":', b"NaN", b"[" * 2000, b'"' + b"x" * MAX_BYTES]
)
def test_a_payload_of_v08_that_is_no_json_stays_bytes(payload):
    assert encoded(payload).decoded("a.*", json=True).payload == payload


def test_in_a_mesh_of_v08_bytes_are_published_as_they_are():
    assert encode_payload(b"hello", json=True) == b"hello"
    assert encode_payload({"a": 1}, json=True) == b'{"a":1}'
    assert encode_payload(b"hello", json=False) == encode(b"hello", json=False)
    with pytest.raises(LocalProtocolError, match="too_large"):
        encode_payload(bytes(MAX_BYTES + 1), json=True)


def of_client(topic="a.b", payload=b"x", dialect=DOTTED):
    return event_of_client(Publish(topic=topic, payload=payload, message_id=bytes(16), qos=2), PUBLISHER, dialect)


def test_what_a_client_of_v08_publishes_is_its_gateways():
    assert of_client() == EncodedEvent(topic="a.b", payload=b"x", publisher=PUBLISHER, message_id=bytes(16), qos=1)
    assert of_client("a/b", dialect=MQTT).topic == "a/b"


@pytest.mark.parametrize("topic", ["a.*", "**", "." * 250, "a..b", "ü", "a" * 256])
def test_a_client_cannot_publish_to_what_is_no_topic(topic):
    with pytest.raises(RefusedError, match="topic"):
        of_client(topic)


def test_a_payload_that_could_not_be_passed_on_is_refused():
    check_length(bytes(MAX_BYTES))
    with pytest.raises(RefusedError, match="too_large"):
        of_client(payload=bytes(MAX_BYTES + 1))
