from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import (
    CLOCK_SKEW_MS,
    DEFAULT_TTL,
    MAX_PAYLOAD_BYTES,
    MAX_SEQUENCE,
    MAX_TTL,
    MAX_V08_PAYLOAD_BYTES,
    RECORD_OVERHEAD_BYTES,
    Record,
    for_v08,
    next_sequence,
)
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.decoder import decode
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import FindValueReply, Store
from macula_actors.core.wire.values import as_bin, pack, unpack
from macula_actors.errors import LocalProtocolError, RemoteProtocolError
from tests.macula_actors.core.kademlia.records import KEY, KEYS, NOW, OWNERS, PROVIDER, sealed
from tests.macula_actors.core.wire.strategies import values

sequences = st.integers(0, MAX_SEQUENCE)
ttls = st.integers(1, MAX_TTL)
payloads = values | st.dictionaries(st.sampled_from([b"endpoint", "endpoint", b"value", "ttl", b"deleted"]), values)
ENVELOPE = (b"node_id", b"ttl", b"sequence", b"expires_at", b"public_key", b"signature")


def from_value(value, *, key=KEY, security=Security.VERIFIED):
    return Record.from_value(key, value, security=security, now_ms=NOW)


def refusal(function, *args, **kwargs):
    """Return the code of the RemoteProtocolError that comes out."""
    with pytest.raises(RemoteProtocolError) as caught:
        function(*args, **kwargs)
    return caught.value.code


def verified(value, **kwargs):
    record = from_value(value, **kwargs)
    record.verify()
    return record


def unless_refused(data):
    """Return the verified record in ``data``, or None; no other error comes out."""
    try:
        return verified(unpack(data))
    except RemoteProtocolError:
        return None


@given(payloads, sequences, ttls)
def test_what_was_sealed_comes_back_over_the_wire_and_verifies(payload, sequence, ttl):
    record = sealed(payload=payload, sequence=sequence, ttl=ttl)

    assert verified(unpack(pack(record.to_value()))) == record
    assert record.payload == payload
    assert (record.owner, record.key) == (OWNERS[0].node_id, KEY)
    assert (record.issued_at, record.expires_at) == (NOW, NOW + ttl * 1000)


@given(payloads, sequences, ttls)
def test_its_length_is_never_above_what_it_says(payload, sequence, ttl):
    record = sealed(payload=payload, sequence=sequence, ttl=ttl)

    assert len(pack(record.to_value())) <= record.length == len(record.packed) + RECORD_OVERHEAD_BYTES


@given(payloads)
def test_it_travels_in_both_messages(payload):
    record = sealed(payload=payload)

    store = decode(encode(Store(key=bytes(KEY), value=record.to_value())))
    reply = decode(encode(FindValueReply(result="value", value=(store.value,))))

    assert verified(reply.value[0]) == record


def test_v08_reads_a_provider_where_it_expects_one():
    value = sealed().to_value()

    assert value.items() >= {b"node_id": bytes(OWNERS[0].node_id), b"ttl": 300, **PROVIDER}.items()
    assert set(value) == {*ENVELOPE, *PROVIDER}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"any", {b"value": b"any"}),
        ([1], {b"value": [1]}),
        ({"ttl": 1}, {b"value": {"ttl": 1}}),
        ({}, {}),
        (None, {b"deleted": True}),
    ],
)
def test_other_payloads_have_a_field_of_their_own(payload, field):
    value = sealed(payload=payload).to_value()

    assert {key: value[key] for key in value if key not in ENVELOPE} == field


@given(st.permutations(list(sealed().to_value())))
def test_the_order_of_the_map_does_not_matter(order):
    value = sealed().to_value()

    assert verified({key: value[key] for key in order}) == sealed()


@given(st.data())
def test_a_byte_that_is_changed_is_noticed(data):
    sent = bytearray(pack(sealed().to_value()))
    position = data.draw(st.integers(0, len(sent) - 1))
    sent[position] ^= data.draw(st.integers(1, 255))

    assert unless_refused(bytes(sent)) in {None, sealed()}


def test_every_byte_of_the_content_is_signed():
    """No field can be changed by any one bit, wherever it is."""
    value = sealed().to_value()
    fields = [*ENVELOPE, *PROVIDER]
    for field in fields:
        packed = pack(value[field])
        for bit in range(8 * len(packed)):
            changed = (int.from_bytes(packed) ^ (1 << bit)).to_bytes(len(packed))
            for taken in values_in(changed):
                assert unless_refused(pack({**value, field: taken})) is None


def values_in(packed):
    """Return the value in ``packed``, unless it is none, or the same in another form."""
    try:
        return [unpack(packed)]
    except RemoteProtocolError:
        return []


@pytest.mark.parametrize(
    "change",
    [
        {"key": KEYS[1]},
        {"sequence": 2},
        {"ttl": 301},
        {"expires_at": NOW},
        {"packed": b""},
        {"packed": b"\xc0"},
        {"public_key": OWNERS[1].public_key, "owner": OWNERS[1].node_id},
        {"signature": bytes(64)},
        {"signature": b"short"},
    ],
)
def test_a_record_with_anything_else_in_it_is_not_signed(change):
    assert refusal(replace(sealed(), **change).verify) == "bad_signature"


def test_a_record_of_another_node_does_not_pass_for_its_owners():
    assert refusal(replace(sealed(), owner=OWNERS[1].node_id).verify) == "owner_mismatch"
    assert refusal(from_value, sealed().to_value() | {b"node_id": bytes(OWNERS[1].node_id)}) == "owner_mismatch"


def test_a_record_found_under_another_key_is_not_signed():
    assert refusal(verified, sealed().to_value(), key=KEYS[1]) == "bad_signature"


@pytest.mark.parametrize("field", [name for name in ENVELOPE if name != b"signature"])
def test_nothing_of_it_may_be_missing(field):
    value = sealed().to_value()
    del value[field]

    assert refusal(from_value, value) == "bad_record"


@pytest.mark.parametrize(
    "change",
    [
        {b"ttl": 0},
        {b"ttl": MAX_TTL + 1},
        {b"ttl": 300.0},
        {b"sequence": -1},
        {b"sequence": 2**63},
        {b"sequence": True},
        {b"expires_at": -1},
        {b"expires_at": 2**63},
        {b"public_key": b"short"},
        {b"signature": b"short"},
        {b"node_id": bytes(33)},
        {b"deleted": True},
        {b"deleted": False},
        {b"value": 1},
        {"ttl": 300},
        {b"metadata": [[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]},
    ],
)
def test_what_is_no_record_is_refused_before_its_signature_is_looked_at(change):
    assert refusal(from_value, sealed().to_value() | change) == "bad_record"


@pytest.mark.parametrize("security", Security)
@pytest.mark.parametrize("value", [None, 1, b"x", "x", [], [1], True, 1.5])
def test_what_is_no_map_is_refused(security, value):
    """It crashes the original's server (D-50)."""
    assert refusal(from_value, value, security=security) == "bad_record"


@given(values | st.dictionaries(st.sampled_from([*ENVELOPE, "ttl", b"value", "deleted"]), values))
def test_whatever_is_read_is_refused_or_can_be_sent_on(value):
    try:
        record = from_value(value, security=Security.OPEN)
    except RemoteProtocolError:
        return
    assert from_value(unpack(pack(record.to_value())), security=Security.OPEN) == record


@pytest.mark.parametrize("security", Security)
def test_a_record_has_a_largest_size(security):
    value = sealed().to_value() | {b"metadata": bytes(MAX_PAYLOAD_BYTES)}

    assert refusal(from_value, value, security=security) == "record_too_large"
    with pytest.raises(LocalProtocolError, match="record_too_large"):
        sealed(payload=bytes(MAX_PAYLOAD_BYTES))
    assert len(pack(sealed(payload=bytes(MAX_PAYLOAD_BYTES - 3)).to_value())) <= 8192


@pytest.mark.parametrize("ttl", [0, -1, MAX_TTL + 1, 300.0, "5", True])
def test_a_record_lives_a_second_to_a_day(ttl):
    with pytest.raises(LocalProtocolError, match="bad_ttl"):
        sealed(ttl=ttl)


@pytest.mark.parametrize("sequence", [-1, MAX_SEQUENCE + 1])
def test_a_sequence_has_63_bits(sequence):
    with pytest.raises(LocalProtocolError, match="bad_sequence"):
        sealed(sequence=sequence)


def test_str_and_bin_of_a_payload_stay_what_they_are():
    texts = sealed(payload={"endpoint": "a"})

    assert verified(unpack(pack(texts.to_value()))).payload == {"endpoint": "a"}
    assert unless_refused(pack(as_bin(texts.to_value()))) is None


def test_for_v08_each_text_is_bin_and_the_record_of_it_is_verified_as_it_comes_back():
    payload = for_v08({"text": "ü", "list": [{"a": 1.5}, None, b"x"]}, is_short=True)

    assert payload == {b"text": "ü".encode(), b"list": [{b"a": 1.5}, None, b"x"]}
    assert verified(unpack(pack(sealed(payload=payload).to_value()))).payload == payload


@given(st.integers(0, MAX_V08_PAYLOAD_BYTES - 3))
def test_a_store_of_what_is_short_for_v08_is_as_long_as_it_takes_at_most(length):
    record = sealed(payload=for_v08("x" * length, is_short=True), ttl=MAX_TTL)

    assert len(encode(Store(key=bytes(KEY), value=record.to_value()))) <= 1100


def test_what_is_too_long_for_v08_is_refused_where_it_has_to_be_short():
    with pytest.raises(LocalProtocolError, match="reads 768"):
        for_v08("x" * MAX_V08_PAYLOAD_BYTES, is_short=True)

    assert for_v08("x" * 2000, is_short=False) == b"x" * 2000


@pytest.mark.parametrize("payload", [{1: 2}, "\ud800", object(), reduce(lambda inner, _: [inner], range(2000), 0)])
def test_what_no_record_may_have_is_refused_for_v08_too(payload):
    with pytest.raises(LocalProtocolError, match="bad_value"):
        for_v08(payload, is_short=False)


def test_a_field_is_found_under_its_name_as_bin_or_str():
    assert sealed().field("endpoint") == PROVIDER[b"endpoint"]
    assert sealed(payload={"endpoint": "a"}).field("endpoint") == "a"
    assert sealed(payload={}).field("endpoint") is None
    assert sealed(payload=b"endpoint").field("endpoint") is None


@pytest.mark.parametrize(("after_ms", "ttl"), [(0, 900), (100_500, 800), (10**9, 600)])
def test_a_tombstone_outlives_what_it_deletes_by_any_clock(after_ms, ttl):
    record = sealed(sequence=7)

    tombstone = record.tombstone(OWNERS[0], now_ms=NOW + after_ms)

    assert (tombstone.is_tombstone, tombstone.payload, tombstone.sequence, tombstone.ttl) == (True, None, 8, ttl)
    assert tombstone.expires_at >= record.expires_at + 2 * CLOCK_SKEW_MS
    assert tombstone.version > record.version
    assert verified(unpack(pack(tombstone.to_value()))) == tombstone


def test_a_tombstone_lives_no_longer_than_a_record_may():
    assert sealed(ttl=MAX_TTL).tombstone(OWNERS[0], now_ms=NOW).ttl == MAX_TTL


@given(sequences.filter(lambda sequence: sequence < MAX_SEQUENCE), st.integers(0, 2**60))
def test_the_next_sequence_is_higher_whatever_the_clock_says(sequence, now_ms):
    assert next_sequence(sealed(sequence=sequence), now_ms) > sequence
    assert next_sequence(sealed(sequence=sequence), now_ms) >= now_ms == next_sequence(None, now_ms)


@given(st.permutations([sealed(sequence=s, ttl=t, payload=p) for s in (1, 2) for t in (5, 6) for p in (1, 2)]))
def test_the_versions_of_a_record_have_one_order(records):
    ordered = sorted(records, key=lambda record: record.version)

    assert [record.sequence for record in ordered] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len({record.version for record in records}) == len(records)


def test_a_record_is_written_to_a_row_and_read_again():
    row = sealed().to_row()

    assert Record.from_row(row) == sealed()
    assert {type(each) for each in row} == {bytes, int}
    with pytest.raises(ValueError, match="32 bytes"):
        Record.from_row((b"", *row[1:]))


def test_verified_mode_takes_nothing_unsigned():
    assert refusal(from_value, {b"node_id": b"x"}) == "unsigned_record"


def test_open_mode_takes_what_v08_sends_and_passes_it_on_untouched():
    sent = {b"node_id": b"any bytes", b"endpoint": b"e", b"ttl": 60}

    record = from_value(sent, security=Security.OPEN)

    assert record.to_value() == record.payload == sent
    assert record.owner == NodeId.of(b"any bytes")
    assert (record.sequence, record.expires_at, record.is_signed) == (NOW, NOW + 60_000, False)
    assert refusal(record.verify) == "unsigned_record"


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        ({}, DEFAULT_TTL),
        ({"ttl": 9}, 9),
        ({b"ttl": 0}, 1),
        ({b"ttl": -5}, 1),
        ({b"ttl": 10**9}, MAX_TTL),
        ({b"ttl": b"infinity"}, DEFAULT_TTL),
        ({b"ttl": 1e9}, DEFAULT_TTL),
        ({b"ttl": True}, DEFAULT_TTL),
    ],
)
def test_an_unsigned_record_lives_from_its_arrival_within_bounds(ttl, seconds):
    record = from_value({b"node_id": b"x", **ttl}, security=Security.OPEN)

    assert (record.ttl, record.expires_at) == (seconds, NOW + seconds * 1000)


def test_what_names_no_node_is_owned_by_its_content():
    """The original adds it again each time it arrives (D-50)."""
    owners = [from_value({b"endpoint": each}, security=Security.OPEN).owner for each in (b"a", b"a", b"b")]

    assert owners[0] == owners[1] != owners[2]


@pytest.mark.parametrize("node_id", [b"", "", 5, [], {}])
def test_a_node_id_that_is_none_is_refused(node_id):
    assert refusal(from_value, {b"node_id": node_id}, security=Security.OPEN) == "bad_record"


def test_a_node_id_as_str_is_its_octets():
    assert from_value({"node_id": "x" * 32}, security=Security.OPEN).owner == b"x" * 32


def test_open_mode_refuses_half_a_signed_record():
    assert refusal(from_value, {b"node_id": b"x", b"signature": bytes(64)}, security=Security.OPEN) == "bad_record"


def test_any_signed_record_is_above_any_unsigned_one():
    unsigned = from_value({b"node_id": bytes(OWNERS[0].node_id)}, security=Security.OPEN)

    assert unsigned.owner == sealed().owner
    assert sealed(sequence=0).version > unsigned.version
