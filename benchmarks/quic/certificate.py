"""A self-signed Ed25519 certificate, as the mesh's nodes have."""
# cryptography comes with the engines.
# mypy: disable-error-code="import-not-found"

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, DNSName, Name, NameAttribute, SubjectAlternativeName
from cryptography.x509.oid import NameOID

__all__ = ["NAME", "make_certificate"]

NAME = "macula"
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
UNTIL = datetime(2090, 1, 1, tzinfo=UTC)


def make_certificate() -> tuple[bytes, bytes]:
    """Return a certificate for `NAME` and its new private key, both PEM."""
    key = Ed25519PrivateKey.generate()
    name = Name([NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(SINCE).not_valid_after(UNTIL)
    certificate = builder.add_extension(SubjectAlternativeName([DNSName(NAME)]), critical=False).sign(key, None)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), key_pem
