import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.ids import from_hex, from_uuid, message_id, to_uuid


def test_message_ids_are_16_bytes_that_do_not_repeat():
    rng = random.Random(1)

    made = {message_id(rng) for _ in range(1000)}

    assert len(made) == 1000
    assert {len(each) for each in made} == {16}


def test_the_same_seed_gives_the_same_ids():
    assert message_id(random.Random(7)) == message_id(random.Random(7))


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_read_from_the_uuid_it_is_shown_as(value):
    assert from_uuid(to_uuid(value)) == from_uuid(to_uuid(value).upper()) == value


@given(st.binary(min_size=16, max_size=40))
def test_a_uuid_shows_the_first_16_bytes(value):
    assert to_uuid(value).replace("-", "") == value[:16].hex()


@given(st.binary(max_size=15))
def test_fewer_bytes_make_no_uuid(value):
    with pytest.raises(ValueError):
        to_uuid(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234567890abcdef1234567890abcdef",
        "{12345678-90ab-cdef-1234-567890abcdef}",
        "urn:uuid:12345678-90ab-cdef-1234-567890abcdef",
        "1234567-890ab-cdef-1234-567890abcdef",
        "12345678-90ab-cdef-1234-567890abcdeg",
    ],
)
def test_an_id_written_in_another_way_is_refused(text):
    with pytest.raises(ValueError):
        from_uuid(text)


@given(st.binary())
def test_bytes_are_read_from_their_hexadecimal_digits(data):
    assert from_hex(data.hex()) == from_hex(data.hex().upper()) == data


@pytest.mark.parametrize("text", ["a", "zz", "a b ", "00 00", "+1", "-1", "\u0660\u0660"])
def test_what_is_not_pairs_of_hexadecimal_digits_is_refused(text):
    with pytest.raises(ValueError):
        from_hex(text)
