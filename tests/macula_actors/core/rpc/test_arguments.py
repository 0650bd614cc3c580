import json
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.rpc.arguments import MAX_BYTES, decode, encode
from macula_actors.core.wire.values import MAX_DEPTH, MAX_ITEMS
from macula_actors.errors import LocalProtocolError, RemoteProtocolError

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.binary(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def nested(depth):
    return [] if depth == 1 else [nested(depth - 1)]


@given(VALUES)
def test_between_our_nodes_values_arrive_as_they_were(value):
    assert decode(encode(value, json=False), json=False) == value


@given(JSON_VALUES)
def test_to_v08_values_of_json_arrive_as_they_were(value):
    data = encode(value, json=True)

    assert decode(data, json=True) == json.loads(data) == value


@pytest.mark.parametrize("as_json", [True, False])
def test_tuples_arrive_as_lists(as_json):
    assert decode(encode((1, (2, 3)), json=as_json), json=as_json) == [1, [2, 3]]


def test_json_is_short_and_utf8():
    assert encode({"a": [1, "é"]}, json=True) == '{"a":[1,"é"]}'.encode()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({1, 2}, "a set"),
        ([object()], "an? object"),
        ({1: 2}, "a int is a map key"),
        (2**64, "a int is too large"),
        (nested(MAX_DEPTH + 1), "a list is too large, or nested too deep"),
        ([None] * (MAX_ITEMS + 1), "a list is too large"),
        ("\ud800", "surrogates"),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_cannot_be_encoded_is_named(value, named, as_json):
    with pytest.raises(LocalProtocolError, match=named) as caught:
        encode(value, json=as_json)

    assert caught.value.code == "bad_value"


@pytest.mark.parametrize(("value", "named"), [(b"x", "bytes"), ({b"x": 1}, "bytes"), (nan, "float"), ([inf], "float")])
def test_what_json_does_not_have_is_named(value, named):
    with pytest.raises(LocalProtocolError, match=named) as caught:
        encode(value, json=True)

    assert caught.value.code == "bad_value"


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_too_large_is_neither_sent_nor_read(as_json):
    text = "x" * (MAX_BYTES + 1)

    with pytest.raises(LocalProtocolError, match=r"too_large: \d+ bytes; allowed are 1000000"):
        encode(text, json=as_json)
    with pytest.raises(RemoteProtocolError, match=r"bad_args: \d+ bytes; allowed are 1000000"):
        decode(encode(text, json=as_json, max_bytes=2 * MAX_BYTES), json=as_json)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"1 2",
        b"\xff",
        b"\xef\xbb\xbf1",
        b"\x001\x00",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"18446744073709551616",
        b"9" * 5000,
        rb'"\ud800"',
        rb'{"\ud800":1}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 400_000,
        b"[0" + b",0" * MAX_ITEMS + b"]",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_json_of_ours_is_bad_args(data):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, json=True)

    assert caught.value.code == "bad_args"


@given(st.binary(max_size=64), st.booleans())
def test_bytes_are_read_or_are_bad_args(data, as_json):
    try:
        value = decode(data, json=as_json)
    except RemoteProtocolError as error:
        assert error.code == "bad_args"
    else:
        encode(value, json=as_json)
