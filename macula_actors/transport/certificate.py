"""X.509 certificates as envelopes of Ed25519 keys: nobody signs them, their key is what counts.

RFC: 5280 (fields), 8410 (Ed25519 in X.509). The same key makes the same certificate, at any time and on any machine,
so only the key needs to be kept.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from macula_actors.core.peer.identity import Identity, is_key
from macula_actors.errors import RemoteProtocolError
from macula_actors.transport.credentials import Credentials

__all__ = ["fingerprint", "public_key_of", "self_signed", "to_der"]

_HOST: Final = "macula"  # the name that is dialled: node ids are too long for SNI

# A clock that was never set must not make the certificate invalid. RFC 5280, 4.1.2.5: the end means that there is none.
_NOT_BEFORE: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

# The last one is raised for a serial number below 1 where warnings are errors.
_UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, CryptographyDeprecationWarning)

_SERIAL_BYTES: Final = 19  # RFC 5280, 4.1.2.2: at most 20, and no negative number


def self_signed(identity: Identity) -> Credentials:
    """Return the certificate of ``identity``, its common name the node id in hexadecimal digits, and its key."""
    pem = identity.to_pem()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(identity.node_id))])
    certificate = (
        x509
        .CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(Ed25519PublicKey.from_public_bytes(identity.public_key))
        .serial_number(int.from_bytes(identity.node_id[:_SERIAL_BYTES]) | 1)  # not 0
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False)
        .sign(cast(Ed25519PrivateKey, load_pem_private_key(pem, password=None)), algorithm=None)
    )
    return Credentials(certificate.public_bytes(Encoding.PEM), pem)


def public_key_of(certificate_der: bytes) -> bytes:
    """Return the Ed25519 key, 32 bytes, in a peer's certificate. Nothing else of it is looked at.

    Raises:
        RemoteProtocolError: ``bad_certificate``: it is none, or has a key of another kind, or one that is nobody's.
    """
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except _UNREADABLE as error:
        raise RemoteProtocolError("bad_certificate", "the certificate cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RemoteProtocolError("bad_certificate", "the certificate's key is not of Ed25519")
    public_key = key.public_bytes_raw()
    if not is_key(public_key):
        raise RemoteProtocolError("bad_certificate", "the certificate's key is nobody's: everybody can sign for it")
    return public_key


def to_der(certificate_pem: bytes) -> bytes:
    """Return a certificate as it is sent in the handshake."""
    return x509.load_pem_x509_certificate(certificate_pem).public_bytes(Encoding.DER)


def fingerprint(certificate_der: bytes) -> bytes:
    """Return the SHA-256 of a certificate, 32 bytes."""
    return hashlib.sha256(certificate_der).digest()
