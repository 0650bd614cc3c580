import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.keys import KeyKind, key_from, key_of, open_key, scoped_key
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.errors import BadArgumentError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
named = st.tuples(st.sampled_from(KeyKind), texts | st.binary(max_size=8), texts)


def scoped(kind, name, realm):
    return scoped_key(kind, name, realm=realm)


def octets(name):
    return name if isinstance(name, bytes) else name.encode()


@given(named, named)
def test_another_kind_name_or_realm_has_another_key(one, other):
    is_same = (one[0], octets(one[1]), one[2]) == (other[0], octets(other[1]), other[2])

    assert (scoped(*one) == scoped(*other)) is is_same


@given(texts, texts)
def test_what_moves_from_the_name_to_the_realm_changes_the_key(head, tail):
    moved = scoped(KeyKind.TOPIC, tail, "r" + head) == scoped(KeyKind.TOPIC, head + tail, "r")

    assert moved is (not head)


def test_a_scoped_key_stays_what_it_was():
    fields = [b"macula DHT key 1", b"procedure", b"com.example", b"test.add"]
    data = b"".join(len(each).to_bytes(4) + each for each in fields)

    assert scoped(KeyKind.PROCEDURE, "test.add", "com.example") == hashlib.sha256(data).digest()


@given(texts)
def test_an_open_key_is_the_hash_of_the_bare_name(name):
    assert open_key(name) == open_key(name.encode()) == hashlib.sha256(name.encode()).digest()


def test_security_decides_which_key_a_name_has():
    key = {security: key_of(KeyKind.TOPIC, "weather", realm="com.example", security=security) for security in Security}

    assert key == {
        Security.OPEN: open_key("weather"),
        Security.VERIFIED: scoped_key(KeyKind.TOPIC, "weather", realm="com.example"),
    }


@pytest.mark.parametrize("name", [5, None, bytearray(b"x"), "\ud800"])
def test_what_is_no_name_has_no_key(name):
    with pytest.raises(BadArgumentError, match="bad_key"):
        scoped_key(KeyKind.VALUE, name, realm="r")


def test_a_key_may_come_as_its_bytes():
    assert key_from(bytes(32)) == NodeId(bytes(32))
    assert isinstance(key_from(bytes(32)), NodeId)


@pytest.mark.parametrize("key", [b"short", "x" * 32, None, 5])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(BadArgumentError, match="bad_key"):
        key_from(key)
