import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.wire.values import MAX_DEPTH, MAX_ITEMS, as_bin, pack, pack_plain, unpack
from macula_actors.errors import LocalProtocolError, RemoteProtocolError
from tests.macula_actors.core.wire.strategies import values


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@given(values)
def test_what_is_packed_is_unpacked_the_same(value):
    assert repr(unpack(pack(value))) == repr(value)


@given(st.binary())
def test_any_bytes_are_a_value_or_the_peers_error(data):
    try:
        value = unpack(data)
    except RemoteProtocolError as error:
        assert error.code == "msgpack_decode_error"
    else:
        assert unpack(pack(value)) == value or value != value  # noqa: PLR0124 -- nan


@pytest.mark.parametrize(
    ("number", "length"),
    [(127, 1), (128, 2), (256, 3), (65_536, 5), (2**32, 9), (-32, 1), (-33, 2), (-129, 3), (-32_769, 5), (-(2**63), 9)],
)
def test_integers_take_the_shortest_form(number, length):
    assert len(pack(number)) == length


def test_floats_take_64_bits():
    assert pack(1.5) == b"\xcb\x3f\xf8" + bytes(6)


@given(values)
def test_as_bin_leaves_no_str_and_changes_nothing_else(value):
    def without_str(value):
        match value:
            case list():
                return [without_str(item) for item in value]
            case dict():
                return {without_str(key): without_str(item) for key, item in value.items()}
        return value.encode() if isinstance(value, str) else value

    assert repr(as_bin(value)) == repr(without_str(value))


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, "\ud800", {"\ud800": 1}, {1: 1}, {None: 1}, {(): 1}, object(), {1}, [b"", [1j]], bytearray()],
    ids=repr,
)
def test_what_messagepack_cannot_carry_is_our_error(value):
    with pytest.raises(LocalProtocolError) as refused:
        pack(value)

    assert refused.value.code == "bad_value"


def test_values_nest_as_deep_as_allowed_and_no_deeper():
    assert unpack(pack(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(LocalProtocolError, match="nested too deep"):
        pack(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 5_000, 1_000_000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa0"], ids=["list", "map"])
def test_deeper_nesting_is_the_peers_error(opening, depth):
    with pytest.raises(RemoteProtocolError) as refused:
        unpack(opening * depth + b"\x00")

    assert refused.value.code == "msgpack_decode_error"


@pytest.mark.parametrize("value", [[0] * MAX_ITEMS, {str(n): n for n in range(MAX_ITEMS)}], ids=["list", "map"])
def test_as_many_items_are_carried_as_allowed(value):
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [[0] * (MAX_ITEMS + 1), dict.fromkeys(map(str, range(MAX_ITEMS + 1)))])
def test_more_items_are_our_error(value):
    with pytest.raises(LocalProtocolError, match="too large"):
        pack(value)


def pairs(count):
    """Return a value of so many lists and maps."""
    inner = [{"a": [0]}] * (count // 2)
    return [inner[: len(inner) // 2], inner[len(inner) // 2 :]]


def test_as_many_lists_and_maps_are_carried_as_allowed():
    value = pairs(MAX_ITEMS - 4)

    assert unpack(pack(value)) == value


def test_more_lists_and_maps_are_our_error():
    with pytest.raises(LocalProtocolError, match=f"more than {MAX_ITEMS} lists and maps"):
        pack(pairs(MAX_ITEMS))


def test_more_lists_and_maps_are_the_peers_error():
    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_ITEMS} lists and maps"):
        unpack(pack_plain(pairs(MAX_ITEMS)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc4\x09",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdd\x00\x01\x00\x01" + bytes(MAX_ITEMS + 1),
        b"\x00\x00",
        b"\xa1\xff",
        b"\xd4\x01\x02",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xd7\xff" + b"\xff" * 8,
        b"\x81\x01\x01",
        b"\x81\x90\x01",
        b"\x81\xc0\x01",
    ],
    ids=lambda data: data[:8].hex(),
)
def test_malformed_bytes_are_the_peers_error(data):
    with pytest.raises(RemoteProtocolError) as refused:
        unpack(data)

    assert refused.value.code == "msgpack_decode_error"
