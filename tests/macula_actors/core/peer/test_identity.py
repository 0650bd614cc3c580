import hashlib
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, is_key, verify
from tests.macula_actors.core.refusal import unless_refused

seeds = st.binary(min_size=32, max_size=32)
identities = seeds.map(Identity.from_seed)

# RFC 8032, 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_keys_and_signatures_are_those_of_the_standard():
    identity = Identity.from_seed(SEED)

    assert identity.public_key == PUBLIC_KEY
    assert identity.sign(b"\x72") == SIGNATURE
    assert verify(PUBLIC_KEY, SIGNATURE, b"\x72")


@given(identities)
def test_the_node_id_is_the_sha_256_of_the_public_key(identity):
    assert identity.node_id == hashlib.sha256(identity.public_key).digest()


@given(identities, st.binary())
def test_a_signature_is_good_for_its_key_and_data(identity, data):
    signature = identity.sign(data)

    assert (len(identity.public_key), len(signature)) == (PUBLIC_KEY_BYTES, SIGNATURE_BYTES)
    assert verify(identity.public_key, signature, data)


@given(identities, st.binary(), st.binary())
def test_a_signature_is_good_for_no_other_data(identity, data, other):
    assert verify(identity.public_key, identity.sign(data), other) is (data == other)


@given(identities, identities)
def test_a_signature_is_good_for_no_other_key(identity, other):
    assert verify(other.public_key, identity.sign(b"data"), b"data") is (identity == other)


@given(st.binary(max_size=40), st.binary(max_size=80), st.binary(max_size=3))
def test_bytes_that_are_no_key_or_signature_verify_nothing(key, signature, data):
    assert not verify(key, signature, data)
    assert not verify(PUBLIC_KEY, signature, data)


# Points of order 1, 2, 4 and 8, some with a second encoding. From table 6 of Taming the many EdDSAs.
NOBODYS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


@pytest.mark.parametrize("key", NOBODYS)
def test_nobody_has_a_key_for_which_everybody_can_sign(key):
    key = bytes.fromhex(key)
    signature = b"\x01" + bytes(63)  # good for one text in as many as the order of the point

    assert not is_key(key)
    assert not any(verify(key, signature, b"%d" % number) for number in range(64))


@given(identities)
def test_every_key_that_is_made_is_one(identity):
    assert is_key(identity.public_key)


@given(identities)
def test_an_identity_is_read_from_the_pem_that_it_is_written_as(identity):
    read = Identity.from_pem(identity.to_pem())

    assert read == identity
    assert hash(read) == hash(identity)
    assert read.sign(b"data") == identity.sign(b"data")


def test_identities_are_equal_by_their_keys_only():
    assert Identity.from_seed(bytes(32)) != Identity.from_seed(SEED)
    assert Identity.from_seed(SEED) != SEED


def test_generated_identities_differ():
    assert Identity.generate() != Identity.generate()


@given(seeds)
def test_an_identity_shows_nothing_of_its_key(seed):
    identity = Identity.from_seed(seed)

    assert repr(identity) == str(identity) == f"<Identity of {identity.node_id}>"


@given(st.binary(max_size=64).filter(lambda seed: len(seed) != 32))
def test_a_seed_of_another_length_is_refused(seed):
    with pytest.raises(ValueError, match="32"):
        Identity.from_seed(seed)


@given(st.binary())
def test_bytes_are_an_identity_or_refused(data):
    begin, end = b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n"

    assert unless_refused(Identity.from_pem, data) is None
    assert unless_refused(Identity.from_pem, begin + data + end) is None


@given(st.integers(0, 110))
def test_a_truncated_pem_is_refused(length):
    assert unless_refused(Identity.from_pem, Identity.from_seed(SEED).to_pem()[:length]) is None


def test_a_key_of_another_kind_is_refused():
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(ValueError, match="one of Ed25519 is needed"):
        Identity.from_pem(pem)


def test_a_key_of_an_unknown_kind_is_refused():
    der = b64decode(b"".join(Identity.from_seed(SEED).to_pem().splitlines()[1:-1]))
    unknown = b64encode(der.replace(b"\x2b\x65\x70", b"\x2b\x65\x7e"))  # the object id of Ed25519, RFC 8410, 3

    with pytest.raises(ValueError, match="private key"):
        Identity.from_pem(b"-----BEGIN PRIVATE KEY-----\n" + unknown + b"\n-----END PRIVATE KEY-----\n")


def test_an_encrypted_key_is_refused():
    encryption = BestAvailableEncryption(b"password")
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    with pytest.raises(ValueError, match="encrypted"):
        Identity.from_pem(pem)
