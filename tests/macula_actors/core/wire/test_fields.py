import pytest

from macula_actors.core.wire import fields
from macula_actors.core.wire.fields import Boolean, Choice, Integer, ListOf, Octets, Record, Text
from macula_actors.core.wire.messages import Call, Publish, Reply, Subscribe, SwimPing
from macula_actors.errors import LocalProtocolError

CALL_ID = bytes(16)


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        (Integer(0, 2), 0, 0),
        (Integer(0, 2), 2, 2),
        (Integer(), -(2**63), -(2**63)),
        (Integer(), 2**64 - 1, 2**64 - 1),
        (Boolean(), False, False),
        (Octets(1, 2), b"ab", b"ab"),
        (Octets(2, 2), "é", "é".encode()),
        (Text(1, 2), "é".encode(), "é"),
        (Text(1, 2), "é", "é"),
        (Text(0, 2), "", ""),
        (Choice("yes", "no"), b"no", "no"),
        (Choice("yes", "no"), "no", "no"),
        (ListOf(Text(1, 2), 2), [b"a", "b"], ("a", "b")),
        (ListOf(Text(1, 2), 2), [], ()),
        (ListOf(Text(1, 2), 2), "", ()),
        (Record(SwimPing), {b"seq": 1}, SwimPing(seq=1)),
        (Record(Call, Reply), {"call_id": CALL_ID}, Reply(call_id=CALL_ID)),
    ],
)
def test_a_field_is_read_from_what_either_kind_of_peer_sends(kind, value, field):
    assert kind.read(value) == field
    assert kind.read(kind.write(field)) == field


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Integer(0, 2), -1),
        (Integer(0, 2), 3),
        (Integer(0, 2), 1.0),
        (Integer(0, 2), True),
        (Boolean(), 0),
        (Octets(1, 2), b""),
        (Octets(1, 2), b"abc"),
        (Octets(1, 2), [1]),
        (Text(1, 2), b""),
        (Text(1, 2), "aé"),
        (Text(1, 2), b"\xff"),
        (Text(1, 2), 1),
        (Choice("yes", "no"), b"maybe"),
        (Choice("yes", "no"), []),
        (ListOf(Text(1, 2), 2), [b"a"] * 3),
        (ListOf(Text(1, 2), 2), [b"a", None]),
        (ListOf(Text(1, 2), 2), b"a"),
        (ListOf(Text(1, 2), 2), {}),
        (Record(SwimPing), []),
    ],
)
def test_what_a_field_cannot_hold_is_refused(kind, value):
    with pytest.raises(ValueError):
        kind.read(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Integer(0, 2), "1"),
        (Boolean(), None),
        (Octets(1, 2), "a"),
        (Text(1, 2), b"a"),
        (Text(1, 2), "\ud800"),
        (Choice("yes"), "no"),
        (ListOf(Text(1, 2), 2), "a"),
        (ListOf(Text(1, 2), 2), ("a", "b", "c")),
        (Record(SwimPing), {"seq": 1}),
    ],
)
def test_what_a_field_cannot_hold_is_not_written(kind, value):
    with pytest.raises(ValueError):
        kind.write(value)


def test_every_name_and_text_is_written_as_bin():
    assert fields.write(Subscribe(topics=("a",), qos=1)) == {b"topics": [b"a"], b"qos": 1}


def test_an_optional_field_that_is_none_is_not_written():
    assert fields.write(SwimPing(seq=1)) == {b"seq": 1}


@pytest.mark.parametrize("nothing", [{}, {"node_id": None}])
def test_an_optional_field_that_is_not_there_or_nil_is_none(nothing):
    assert fields.read(SwimPing, {b"seq": 1, **nothing}).node_id is None


def test_a_field_with_a_value_by_default_must_be_there_all_the_same():
    with pytest.raises(LocalProtocolError, match=r"Subscribe\.qos is missing"):
        fields.read(Subscribe, {b"topics": []})


def test_unknown_fields_are_ignored():
    assert fields.read(SwimPing, {b"seq": 1, b"later": 2, b"": 3}) == SwimPing(seq=1)


def test_a_key_as_bin_goes_before_the_same_as_str():
    assert fields.read(SwimPing, {"seq": 1, b"seq": 2}) == SwimPing(seq=2)


@pytest.mark.parametrize(
    ("given", "code", "detail"),
    [
        ({}, "missing_field", "SwimPing.seq is missing"),
        ({b"seq": None}, "missing_field", "SwimPing.seq is missing"),
        ({b"seq": -1}, "bad_field", "SwimPing.seq is not a whole number from 0 to 4294967295"),
        ({b"seq": 1, b"gossip": [1]}, "bad_field", "SwimPing.gossip is not a list of at most 64, each a map with the"),
        ({b"seq": 1, b"gossip": [{}]}, "missing_field", "SwimUpdate.node_id is missing"),
    ],
)
def test_an_error_names_the_field_and_what_it_may_hold(given, code, detail):
    with pytest.raises(LocalProtocolError) as refused:
        fields.read(SwimPing, given)

    assert refused.value.code == code
    assert refused.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("message", "code"),
    [(Publish(topic="", payload=b"", message_id=CALL_ID), "bad_field"), (SwimPing(seq=None), "missing_field")],
)
def test_a_message_with_a_wrong_field_is_not_written(message, code):
    with pytest.raises(LocalProtocolError) as refused:
        fields.write(message)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Boolean(), "true or false"),
        (Octets(1, 2), "1 to 2 bytes"),
        (Text(1, 2), "text of 1 to 2 bytes"),
        (Choice("yes", "no"), "one of yes, no"),
        (ListOf(fields.AnyValue(), 2), "a list of at most 2, each a value of MessagePack"),
        (Record(Call, Reply), "a map with the fields of Call or Reply"),
    ],
)
def test_a_kind_says_what_it_holds(kind, text):
    assert str(kind) == text
