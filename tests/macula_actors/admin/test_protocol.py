from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.admin import protocol
from macula_actors.admin.protocol import AdminError, Request
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.errors import NoProviderError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text().filter(lambda key: key != "$hex"), children),
    max_leaves=8,
)


@given(st.integers() | st.text() | st.none(), st.text(), st.dictionaries(st.text(min_size=5), values | st.binary()))
def test_a_request_is_read_as_it_was_written(id_, command, arguments):
    line = protocol.encode_request(Request(id_, command, arguments))

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert protocol.decode_request(line) == Request(id_, command, arguments)


@given(st.binary())
def test_any_bytes_are_a_request_or_an_admin_error(line):
    try:
        protocol.decode_request(line)
    except AdminError as error:
        assert error.kind == "bad_request"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'{"id": 1}',
        b'{"id": 1.5, "command": "ping"}',
        b'{"id": 1, "command": 2}',
        b'{"id": 1, "command": "ping", "arguments": []}',
        b'{"id": 1, "command": "ping", "argument": {}}',
        b'{"id": 1, "command": "ping", "arguments": {"a": {"$hex": "0"}}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_request_is_refused(line):
    with pytest.raises(AdminError) as caught:
        protocol.decode_request(line)
    assert caught.value.kind == "bad_request"


def test_arguments_may_be_left_out():
    assert protocol.decode_request(b'{"id": 1, "command": "ping"}') == Request(1, "ping", {})


@given(values)
def test_a_result_is_read_as_it_was_written(value):
    assert protocol.decode_answer(protocol.encode_result(7, value)) == (7, value)


def test_an_error_is_told_with_its_type_in_one_line():
    id_, error = protocol.decode_answer(protocol.encode_error("a", NoProviderError("x.y")))

    assert (id_, error.kind, error.message) == ("a", "NoProviderError", "no node provides 'x.y'")
    _, error = protocol.decode_answer(protocol.encode_error("a", ValueError("two\nlines")))
    assert (error.kind, str(error)) == ("ValueError", "two lines")


def test_what_is_no_answer_is_refused():
    with pytest.raises(AdminError, match="another protocol"):
        protocol.decode_answer(b"SSH-2.0\r\n")


def test_a_request_too_large_is_not_sent():
    with pytest.raises(AdminError) as caught:
        protocol.encode_request(Request(1, "call", {"args": "x" * protocol.MAX_REQUEST_BYTES}))
    assert caught.value.kind == "too_large"


def test_an_answer_too_large_is_an_error():
    _, error = protocol.decode_answer(protocol.encode_result(1, "x" * protocol.MAX_ANSWER_BYTES))

    assert error.kind == "too_large"


class Colour(StrEnum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: object


@dataclass(frozen=True)
class Car:
    colour: Colour
    seats: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Car(Colour.RED, 4), {"colour": "red", "seats": 4}),
        (Endpoint("127.0.0.1", 1), "127.0.0.1:1"),
        (NodeId(bytes(32)), "00" * 32),
        (b"\x00\xff", {"$hex": "00ff"}),
        ({b"key": 1, Colour.RED: 2, 3: 4}, {"key": 1, "red": 2, "3": 4}),
        ((1, [2.5]), [1, [2.5]]),
        (Point(1, None), {"x": 1, "y": None}),
        (frozenset({1}), [1]),
        (float("inf"), "inf"),
    ],
)
def test_values_become_json(value, expected):
    assert protocol.to_json(value) == expected
