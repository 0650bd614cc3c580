import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core import realm
from tests.macula_actors.core.refusal import unless_refused

realms = st.from_regex(r"[a-zA-Z0-9_-]{1,9}(\.[a-zA-Z0-9_-]{1,9}){0,5}", fullmatch=True)


@given(realms)
def test_a_realm_is_read_from_the_bytes_it_is_written_as(name):
    assert realm.from_bytes(realm.to_bytes(name)) == name


def test_a_realm_is_written_after_its_length():
    assert realm.to_bytes("a.b") == b"\x00\x03a.b"


@given(st.binary(max_size=12))
def test_bytes_are_a_realm_or_refused(data):
    name = unless_refused(realm.from_bytes, data)

    assert name is None or realm.to_bytes(name) == data


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x02a", b"\x00\x01ab"])
def test_missing_and_left_over_bytes_are_refused(data):
    with pytest.raises(ValueError, match="must agree"):
        realm.from_bytes(data)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x00\x01*", b"\x00\x01\xff"])
def test_bytes_of_what_is_no_realm_are_refused(data):
    with pytest.raises(ValueError):
        realm.from_bytes(data)


def test_a_realm_too_long_for_its_length_is_refused():
    assert len(realm.to_bytes("x" * 65535)) == 65537
    with pytest.raises(ValueError, match="allowed are 65535"):
        realm.to_bytes("x" * 65536)


def test_the_id_of_a_realm_is_the_sha_256_of_its_name():
    assert realm.realm_id("com.example") == hashlib.sha256(b"com.example").digest()


def test_normalizing_leaves_dots_alone():
    assert realm.normalize(" Com..Example ") == "com..example"


@pytest.mark.parametrize("name", ["", "a.*", "a..b", "a b"])
def test_what_is_no_name_is_no_realm(name):
    with pytest.raises(ValueError, match="realm"):
        realm.validate(name)
