from dataclasses import fields, replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.transcript import NO_NONCE, NONCE_BYTES, Purpose, Transcript
from macula_actors.core.wire.messages import Connect
from tests.macula_actors.core.wire.strategies import of_class

ALICE = Identity.from_seed(bytes(32))
SECRET = b"secret"

short = st.binary(max_size=3)
texts = st.text("ab,", max_size=3)
# unchecked and short, so that bytes wander between neighbouring fields
colliding = st.builds(
    Connect,
    version=texts,
    node_id=short,
    realm_id=texts,
    capabilities=st.lists(texts, max_size=3).map(tuple),
    endpoint=st.none() | texts,
    public_key=st.none() | short,
)
transcripts = st.builds(
    Transcript,
    fingerprint=short,
    acceptor=short,
    nonce=short,
    connect=colliding | of_class(Connect).map(lambda connect: replace(connect, signature=None, realm_mac=None)),
)
purposes = st.sampled_from(Purpose)

SIGNED = Transcript(
    fingerprint=bytes(32),
    acceptor=b"a" * 32,
    nonce=bytes(NONCE_BYTES),
    connect=Connect(
        node_id=ALICE.node_id,
        realm_id="com.example",
        capabilities=("pubsub", "rpc"),
        endpoint="a:1",
        public_key=ALICE.public_key,
    ),
)
ALTERED = {
    "node_id": b"b" * 32,
    "realm_id": "com.example2",
    "capabilities": ("pubsubrpc",),
    "version": "2.0",
    "endpoint": "b:1",
    "public_key": Identity.from_seed(b"b" * 32).public_key,
}
OF_CONNECTION = {"fingerprint": b"b" * 32, "acceptor": b"b" * 32, "nonce": b"b" * 32}


def read(data):
    """Return what `Transcript.to_bytes` wrote, read back: so no two transcripts can have the same bytes."""
    label, data = read_field(data)
    version, data = read_field(data)
    fingerprint, data = read_field(data)
    acceptor, data = read_field(data)
    node_id, data = read_field(data)
    public_key, data = read_fields(data)
    realm_id, data = read_field(data)
    nonce, data = read_field(data)
    endpoint, data = read_fields(data)
    capabilities, data = read_fields(data)
    assert data == b""
    connect = Connect(
        version=version.decode(),
        node_id=node_id,
        public_key=next(iter(public_key), None),
        realm_id=realm_id.decode(),
        endpoint=next((text.decode() for text in endpoint), None),
        capabilities=tuple(text.decode() for text in capabilities),
    )
    transcript = Transcript(fingerprint=fingerprint, acceptor=acceptor, nonce=nonce, connect=connect)
    return Purpose(label), transcript


def read_field(data):
    end = 4 + int.from_bytes(data[:4])
    return data[4:end], data[end:]


def read_fields(data):
    count, data = int.from_bytes(data[:4]), data[4:]
    items = []
    for _ in range(count):
        item, data = read_field(data)
        items.append(item)
    return items, data


def signed(transcript):
    return replace(transcript, connect=replace(transcript.connect, signature=transcript.signature(ALICE)))


@given(purposes, transcripts)
def test_a_transcript_can_be_read_back_from_its_bytes(purpose, transcript):
    assert read(transcript.to_bytes(purpose)) == (purpose, transcript)


@given(purposes, transcripts, purposes, transcripts)
def test_two_transcripts_have_the_same_bytes_only_if_they_are_the_same(purpose, a, other_purpose, b):
    assert (a.to_bytes(purpose) == b.to_bytes(other_purpose)) is ((purpose, a) == (other_purpose, b))


def test_no_label_begins_another():
    assert not any(a.value.startswith(b.value) or b.value.startswith(a.value) for a, b in combinations(Purpose, 2))


def test_every_field_of_connect_but_the_proofs_is_covered():
    assert {field.name for field in fields(Connect)} == {*ALTERED, "signature", "realm_mac"}


@pytest.mark.parametrize(("name", "value"), [*ALTERED.items(), ("endpoint", None), ("capabilities", ())])
def test_an_altered_connect_is_not_signed(name, value):
    transcript = signed(SIGNED)
    altered = replace(transcript, connect=replace(transcript.connect, **{name: value}))

    assert transcript.is_signed()
    assert not altered.is_signed()


@pytest.mark.parametrize(("name", "value"), OF_CONNECTION.items())
def test_a_signature_is_good_on_no_other_connection(name, value):
    assert not replace(signed(SIGNED), **{name: value}).is_signed()


@pytest.mark.parametrize("name", ["public_key", "signature"])
def test_half_a_proof_is_none(name):
    transcript = signed(SIGNED)

    assert not replace(transcript, connect=replace(transcript.connect, **{name: None})).is_signed()


def test_a_proof_of_membership_is_good_for_its_secret_and_purpose_only():
    mac = SIGNED.realm_mac(SECRET, Purpose.DIALLER_MEMBERSHIP)

    assert len(mac) == 32
    assert SIGNED.is_member(SECRET, Purpose.DIALLER_MEMBERSHIP, mac)
    assert not SIGNED.is_member(b"another", Purpose.DIALLER_MEMBERSHIP, mac)
    assert not SIGNED.is_member(SECRET, Purpose.ACCEPTOR_MEMBERSHIP, mac)
    assert not SIGNED.is_member(SECRET, Purpose.DIALLER_MEMBERSHIP, mac[:31])


@pytest.mark.parametrize(("name", "value"), OF_CONNECTION.items())
def test_a_proof_of_membership_is_good_on_no_other_connection(name, value):
    mac = SIGNED.realm_mac(SECRET, Purpose.DIALLER_MEMBERSHIP)

    assert not replace(SIGNED, **{name: value}).is_member(SECRET, Purpose.DIALLER_MEMBERSHIP, mac)


@pytest.mark.parametrize(
    ("secret", "mac", "expected"), [(None, None, True), (SECRET, None, False), (None, bytes(32), False)]
)
def test_no_secret_goes_with_no_proof(secret, mac, expected):
    assert SIGNED.is_member(secret, Purpose.DIALLER_MEMBERSHIP, mac) is expected


def test_the_nonce_of_who_was_not_asked_has_the_length_of_others():
    assert len(NO_NONCE) == NONCE_BYTES
