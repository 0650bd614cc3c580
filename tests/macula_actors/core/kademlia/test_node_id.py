import hashlib
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import ID_BITS, ID_BYTES, NodeId

node_ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(NodeId)
other_bytes = st.binary(max_size=2 * ID_BYTES + 1).filter(lambda data: len(data) != ID_BYTES)
distances = st.integers(0, 2**ID_BITS - 1)


def at(distance, origin):
    """Return the id that is ``distance`` away from ``origin``."""
    return NodeId((int.from_bytes(origin) ^ distance).to_bytes(ID_BYTES))


@given(node_ids, node_ids)
def test_only_an_id_itself_is_at_distance_zero(a, b):
    assert a.distance(a) == 0
    assert (a.distance(b) == 0) is (a == b)


@given(node_ids, node_ids)
def test_distance_is_symmetric(a, b):
    assert a.distance(b) == b.distance(a)


@given(node_ids, node_ids, node_ids)
def test_a_detour_is_never_shorter(a, b, c):
    assert a.distance(c) <= a.distance(b) + b.distance(c)


@given(node_ids, distances)
def test_exactly_one_id_is_at_a_given_distance(a, distance):
    b = at(distance, a)

    assert a.distance(b) == distance
    assert at(distance, b) == a


def test_the_first_bit_weighs_most():
    zero, first, last = NodeId(bytes(32)), NodeId(b"\x80" + bytes(31)), NodeId(bytes(31) + b"\x01")

    assert zero.distance(first) == 2**255
    assert zero.distance(last) == 1


@given(node_ids, node_ids)
def test_the_bucket_index_counts_the_bits_in_common(a, b):
    bits_a, bits_b = (f"{int.from_bytes(each):0256b}" for each in (a, b))

    index = a.bucket_index(b)

    assert bits_a[:index] == bits_b[:index]
    assert bits_a[index : index + 1] != bits_b[index : index + 1] or a == b


@given(node_ids, st.integers(0, ID_BITS - 1), st.data())
def test_the_ids_of_a_bucket_are_at_distances_between_two_powers_of_two(a, index, data):
    top = 2 ** (ID_BITS - 1 - index)
    distance = data.draw(st.integers(top, 2 * top - 1))

    assert a.bucket_index(at(distance, a)) == index


@given(node_ids)
def test_an_id_is_in_no_bucket_of_itself(a):
    assert a.bucket_index(a) == ID_BITS


@given(node_ids, st.sets(node_ids, min_size=2))
def test_ids_in_order_of_distance_have_the_nearest_first_and_no_ties(target, ids):
    ordered = sorted(ids, key=target.distance)

    assert all(target.distance(a) < target.distance(b) for a, b in pairwise(ordered))


@given(node_ids)
def test_an_id_is_read_from_the_hexadecimal_digits_it_is_shown_in(a):
    assert NodeId.from_hex(str(a)) == NodeId.from_hex(str(a).upper()) == a


@given(node_ids)
def test_an_id_is_its_bytes(a):
    assert a == bytes(a)
    assert hash(a) == hash(bytes(a))
    assert pickle.loads(pickle.dumps(a)) == a


def test_what_is_shown_of_an_id_makes_it_again():
    a = NodeId(bytes(range(32)))

    assert repr(a) == f"NodeId('{bytes(range(32)).hex()}')"
    assert f"{a}" == bytes(range(32)).hex()


@given(other_bytes)
def test_bytes_of_another_length_are_refused(data):
    with pytest.raises(ValueError, match=f"32 bytes, this one {len(data)}"):
        NodeId(data)


@pytest.mark.parametrize(
    "text", ["", "ab", "g" * 64, "0" * 63, "0" * 65, " " + "0" * 63, "\u0660" * 64, "0x" + "0" * 62]
)
def test_what_is_not_64_hexadecimal_digits_is_refused(text):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        NodeId.from_hex(text)


@given(st.binary())
def test_the_id_of_data_is_its_sha_256(data):
    assert NodeId.of(data) == hashlib.sha256(data).digest()


@given(node_ids)
def test_normalizing_leaves_an_id_as_it_is(a):
    assert NodeId.normalize(bytes(a)) == a


@given(other_bytes)
def test_normalizing_hashes_what_has_another_length(data):
    assert NodeId.normalize(data) == NodeId.of(data)
