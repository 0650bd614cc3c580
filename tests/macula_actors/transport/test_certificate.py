import hashlib
import ssl
from datetime import UTC, datetime
from functools import cache

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.identity import Identity
from macula_actors.errors import RemoteProtocolError
from macula_actors.transport.certificate import fingerprint, public_key_of, self_signed

identities = st.binary(min_size=32, max_size=32).map(Identity.from_seed)
ALICE = Identity.from_seed(b"a" * 32)


@cache
def certificate_of(identity):
    return x509.load_pem_x509_certificate(self_signed(identity).certificate)


def der_of(identity):
    return certificate_of(identity).public_bytes(Encoding.DER)


def der_with_key(key, algorithm):
    """Return a certificate with the public half of ``key``."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def unless_refused(data):
    try:
        return public_key_of(data)
    except RemoteProtocolError as error:
        assert error.code == "bad_certificate"
        return None


@given(identities)
def test_the_key_of_a_certificate_is_the_identitys(identity):
    assert public_key_of(der_of(identity)) == identity.public_key


@given(identities)
def test_the_same_key_makes_the_same_certificate(identity):
    again = Identity.from_pem(identity.to_pem())

    assert self_signed(again) == self_signed(identity)


@given(identities, identities)
def test_different_keys_make_different_certificates(a, b):
    same = fingerprint(der_of(a)) == fingerprint(der_of(b))

    assert same is (certificate_of(a).serial_number == certificate_of(b).serial_number) is (a == b)


@given(identities)
def test_a_certificate_is_signed_by_itself(identity):
    certificate_of(identity).verify_directly_issued_by(certificate_of(identity))


def test_a_certificate_names_the_node_and_the_host():
    certificate = certificate_of(ALICE)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert certificate.subject.rfc4514_string() == f"CN={ALICE.node_id}"
    assert names.get_values_for_type(x509.DNSName) == ["macula"]


@pytest.mark.parametrize("clock", [datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_certificate_is_valid_whatever_the_clock_says(clock):
    certificate = certificate_of(ALICE)

    assert certificate.not_valid_before_utc <= clock <= certificate.not_valid_after_utc


@given(identities)
def test_a_serial_number_is_positive_and_has_at_most_20_octets(identity):
    assert 0 < certificate_of(identity).serial_number < 2**159


def test_the_private_key_belongs_to_the_certificate():
    key = load_pem_private_key(self_signed(ALICE).private_key, password=None)

    assert key.public_key() == certificate_of(ALICE).public_key()


def test_a_fingerprint_is_the_sha_256_of_the_certificate():
    assert fingerprint(der_of(ALICE)) == hashlib.sha256(der_of(ALICE)).digest()


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ec.generate_private_key(ec.SECP256R1()), SHA256()), (ed448.Ed448PrivateKey.generate(), None)],
    ids=["ec", "ed448"],
)
def test_a_key_of_another_kind_is_refused(key, algorithm):
    with pytest.raises(RemoteProtocolError, match="not of Ed25519"):
        public_key_of(der_with_key(key, algorithm))


def test_a_key_that_is_nobodys_is_refused():
    everybodys = b"\x01" + bytes(31)

    with pytest.raises(RemoteProtocolError, match="nobody's"):
        public_key_of(der_of(ALICE).replace(ALICE.public_key, everybodys))


def test_a_certificate_of_somebody_elses_making_has_its_key_too():
    key = Ed25519PrivateKey.generate()

    assert public_key_of(der_with_key(key, None)) == key.public_key().public_bytes_raw()


@given(st.binary())
def test_bytes_are_no_certificate(data):
    assert unless_refused(data) is None


def test_a_certificate_of_an_unknown_version_is_refused():
    version_3, version_6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"

    assert unless_refused(der_of(ALICE).replace(version_3, version_6)) is None


@given(st.integers(0, len(der_of(ALICE)) - 1), st.binary(max_size=4))
def test_a_damaged_certificate_has_a_key_or_is_refused(position, damage):
    der = der_of(ALICE)

    key = unless_refused(der[:position] + damage + der[position + len(damage) :])

    assert key is None or len(key) == 32


def test_it_is_what_a_quic_dialler_gets_to_see():
    client, _ = quic_pair(self_signed(ALICE))

    shown = client.tls._peer_certificate.public_bytes(Encoding.DER)

    assert (public_key_of(shown), shown) == (ALICE.public_key, der_of(ALICE))


def test_who_has_the_certificate_without_its_key_gets_nowhere():
    credentials = self_signed(ALICE)
    other = self_signed(Identity.from_seed(b"m" * 32))

    client, _ = quic_pair(type(credentials)(credentials.certificate, other.private_key))

    assert client._close_event is not None


def quic_pair(credentials):
    """Return a dialler that verifies nothing and an acceptor with ``credentials``, after their handshake."""
    accepting = QuicConfiguration(is_client=False, alpn_protocols=["macula"])
    accepting.certificate = x509.load_pem_x509_certificate(credentials.certificate)
    accepting.private_key = load_pem_private_key(credentials.private_key, password=None)
    client = QuicConnection(
        configuration=QuicConfiguration(
            is_client=True, alpn_protocols=["macula"], verify_mode=ssl.CERT_NONE, server_name="macula"
        )
    )
    client.connect(("127.0.0.1", 1), now=0.0)
    server = QuicConnection(
        configuration=accepting, original_destination_connection_id=client.original_destination_connection_id
    )
    for now in (0.1, 0.2, 0.3, 0.4):
        carry(client, server, now)
        carry(server, client, now)
    return client, server


def carry(source, target, now):
    for data, _address in source.datagrams_to_send(now):
        target.receive_datagram(data, ("127.0.0.1", 1), now)
