import pytest
from hypothesis import given

from macula_actors.core.kademlia.canonical import canonical
from macula_actors.core.wire.values import MAX_DEPTH, pack, unpack
from macula_actors.errors import LocalProtocolError
from tests.macula_actors.core.wire.strategies import values


def reordered(value):
    """Return the same value with the keys of all maps the other way round."""
    match value:
        case dict():
            return {key: reordered(value[key]) for key in reversed(value)}
        case list():
            return [reordered(item) for item in value]
        case _:
            return value


def typed(value):
    """Return what is equal for the same value only: 1, 1.0 and True are three."""
    match value:
        case dict():
            return "map", frozenset((typed(key), typed(item)) for key, item in value.items())
        case list():
            return "list", tuple(map(typed, value))
        case _:
            return type(value), repr(value)


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@given(values)
def test_the_order_of_keys_does_not_matter(value):
    assert canonical(reordered(value)) == canonical(value)


@given(values)
def test_it_is_the_value_in_messagepack(value):
    assert unpack(canonical(value)) == value


@given(values, values)
def test_other_values_are_other_bytes(one, other):
    assert (canonical(one) == canonical(other)) is (typed(one) == typed(other))


def test_str_and_bin_are_two_things():
    assert len({canonical("a"), canonical(b"a"), canonical({"a": 1}), canonical({b"a": 1})}) == 4


def test_what_came_in_a_longer_form_is_written_in_the_shortest():
    assert canonical(unpack(b"\xca\x3f\x80\x00\x00")) == canonical(1.0)
    assert canonical(unpack(b"\xcf" + bytes(7) + b"\x05")) == b"\x05"


def test_a_value_leaves_room_for_the_messages_around_it():
    deepest = nested(MAX_DEPTH - 4)

    assert unpack(pack([[[[deepest]]]])) == [[[[unpack(canonical(deepest))]]]]
    with pytest.raises(LocalProtocolError, match="bad_value"):
        canonical([deepest])


@pytest.mark.parametrize("value", [{1: 2}, {"\ud800": 1}, "\ud800", 2**64, object(), {None: 1, "a": 1}, ...])
def test_what_messagepack_does_not_have_is_refused(value):
    with pytest.raises(LocalProtocolError, match="bad_value"):
        canonical(value)
