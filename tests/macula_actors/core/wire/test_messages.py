import dataclasses

import pytest

from macula_actors.core.wire import messages
from macula_actors.core.wire.messages import CLASSES, Call, FindValueReply, Reply, RpcRoute
from macula_actors.core.wire.types import OWN_TYPES, MessageType
from macula_actors.errors import LocalProtocolError

CALL_ID = bytes(16)


def test_every_type_has_one_class_and_every_class_one_type():
    assert list(CLASSES) == list(MessageType)
    assert len(set(CLASSES.values())) == len(CLASSES)


@pytest.mark.parametrize(("message_type", "cls"), CLASSES.items())
def test_a_class_is_named_as_its_type(message_type, cls):
    assert cls.__name__.lower() == message_type.label.replace("_", "")


def test_types_are_those_of_the_original_or_in_the_range_that_it_ignores():
    originals = [t for t in MessageType if t not in OWN_TYPES]

    assert (len(originals), max(originals)) == (20, 0x44)


@pytest.mark.parametrize("name", [name for name in messages.__all__ if isinstance(getattr(messages, name), type)])
def test_messages_are_frozen(name):
    assert getattr(messages, name).__dataclass_params__.frozen


@pytest.mark.parametrize("cls", [c for c in CLASSES.values() if "type" in {f.name for f in dataclasses.fields(c)}])
def test_a_dht_message_names_its_type(cls):
    labels = {c: t.label for t, c in CLASSES.items()}

    assert next(field.default for field in dataclasses.fields(cls) if field.name == "type") == labels[cls]


def test_a_reply_has_a_result_or_an_error():
    with pytest.raises(LocalProtocolError, match="both"):
        Reply(call_id=CALL_ID, result=b"1", error=messages.Failure(code="timeout", message=""))


def test_a_routed_payload_is_of_the_type_it_is_said_to_be():
    call = Call(procedure="a.b", args=b"", call_id=CALL_ID)

    with pytest.raises(LocalProtocolError, match="no reply"):
        RpcRoute(destination_node_id=b"b", source_node_id=b"a", payload_type="reply", payload=call)


@pytest.mark.parametrize(("result", "other"), [("value", "nodes"), ("nodes", "value")])
def test_a_find_value_reply_has_what_its_result_names(result, other):
    with pytest.raises(LocalProtocolError, match=rf"FindValueReply\.{result} is missing"):
        FindValueReply(result=result, **{other: ()})
