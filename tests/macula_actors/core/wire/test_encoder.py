import pytest
from hypothesis import given

from macula_actors.core.wire import decode, encode
from macula_actors.core.wire.frame import MAX_PAYLOAD_BYTES
from macula_actors.core.wire.messages import (
    CLASSES,
    MAX_EVENTS,
    Call,
    FindValue,
    Ping,
    PubackBatch,
    Publish,
    PublishBatch,
    Store,
    SubscriptionsChanged,
)
from macula_actors.errors import LocalProtocolError
from tests.macula_actors.core.wire.strategies import of_class

EVENT = Publish(topic="a", payload=b"", message_id=bytes(16))
LARGE_EVENT = Publish(topic="a", payload=bytes(MAX_PAYLOAD_BYTES // 2), message_id=bytes(16))


@pytest.mark.parametrize("cls", CLASSES.values())
def test_messages_of_every_type_are_decoded_as_they_were_encoded(cls):
    @given(of_class(cls))
    def check(message):
        assert repr(decode(encode(message))) == repr(message)

    check()


def test_a_ping_is_the_one_of_the_original():
    assert encode(Ping(timestamp=5)) == bytes.fromhex("0103 0000 0000000d 81 c409") + b"timestamp\x05"


def test_a_find_value_is_the_one_of_the_original_with_its_type_inside():
    assert encode(FindValue(key=bytes(32))) == b"".join([
        bytes.fromhex("0143 0000 0000003a 82"),
        bytes.fromhex("c403 6b6579 c420") + bytes(32),
        bytes.fromhex("c404 74797065 c40a 66696e645f76616c7565"),
    ])


def test_str_and_bin_in_values_stay_what_they_are():
    store = Store(key=b"k", value={"tags": ["a", b"b"]})

    assert decode(encode(store)).value == {"tags": ["a", b"b"]}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Call(procedure="a", args=b"", call_id=b"short"), "bad_field"),
        (Call(procedure="a", args=None, call_id=bytes(16)), "missing_field"),
        (Store(key=b"k", value={1: 2}), "bad_value"),
        (Call(procedure="a", args=bytes(MAX_PAYLOAD_BYTES), call_id=bytes(16)), "frame_too_large"),
        (PublishBatch(publisher=b"p", epoch=1, events=(EVENT,) * (MAX_EVENTS + 1)), "bad_field"),
        (PublishBatch(publisher=b"p", epoch=-1, events=(EVENT,)), "bad_field"),
        (PublishBatch(publisher=b"p", epoch=1, events=(LARGE_EVENT, LARGE_EVENT)), "frame_too_large"),
        (PubackBatch(message_ids=(bytes(16), b"short")), "bad_field"),
        (SubscriptionsChanged(topics=("a",), node_ids=(b"n",) * 1025), "bad_field"),
        (SubscriptionsChanged(topics=("a",) * 1025, node_ids=(b"n",)), "bad_field"),
    ],
)
def test_what_must_not_be_sent_is_our_error(message, code):
    with pytest.raises(LocalProtocolError) as refused:
        encode(message)

    assert refused.value.code == code


def test_what_is_no_message_is_refused():
    with pytest.raises(LocalProtocolError) as caught:
        encode({"type": "ping"})

    assert caught.value.code == "not_a_message"
