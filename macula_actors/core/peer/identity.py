"""Who a node is: an Ed25519 key, whose public half names the node. RFC: 8032 (Ed25519), 5958 (PKCS8), 7468 (PEM)."""

from typing import Final, Self, final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from typing_extensions import override

from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["PUBLIC_KEY_BYTES", "SIGNATURE_BYTES", "Identity", "is_key", "verify"]

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_SIGN_BIT: Final = 255  # of x; the bits below are y
_P: Final = 2**255 - 19
_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})  # y of the points of order 1, 2, 4 and 8


def is_key(public_key: bytes) -> bool:
    """Tell whether ``public_key`` may be somebody's.

    One of a small order is nobody's: signatures for it can be made without a private key, and OpenSSL takes them. So is
    a second encoding of a key, which would be a second name of its node. RFC: 8032, 5.1.3; Chalkias and others, Taming
    the many EdDSAs (2020), table 6.
    """
    y = int.from_bytes(public_key, "little") & (1 << _SIGN_BIT) - 1
    return y < _P and y not in _SMALL_ORDER


def verify(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` is that of ``data`` by the owner of ``public_key``; of no key, it is not."""
    if not is_key(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@final
class Identity:
    """A node's private key. It shows itself by its node id only; `to_pem` alone gives the key away."""

    __slots__ = ("_key", "node_id", "public_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key: Final = key.public_key().public_bytes_raw()  # 32 bytes
        self.node_id: Final = NodeId.of(self.public_key)

    @classmethod
    def generate(cls) -> Self:
        """Return a new one, by the randomness of the operating system."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the one whose private key is ``seed``: always the same.

        Raises:
            ValueError: ``seed`` has not 32 bytes.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Return the one whose key `to_pem` wrote.

        Raises:
            ValueError: ``pem`` is no private key in PEM, is encrypted, or the key is not of Ed25519.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except TypeError as error:
            raise ValueError("the private key is encrypted; one without a password is needed") from error
        except UnsupportedAlgorithm as error:
            raise ValueError("the private key is of an unknown kind; one of Ed25519 is needed") from error
        except ValueError as error:
            raise ValueError("it is no private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("the private key is of another kind; one of Ed25519 is needed")  # noqa: TRY004 -- of the text
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the private key in PEM (PKCS8), not encrypted."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``: 64 bytes, always the same for the same data.

        Who signs for another purpose begins ``data`` with another label, or one signature would serve for both.
        """
        return self._key.sign(data)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.public_key == other.public_key

    @override
    def __hash__(self) -> int:
        return hash(self.public_key)

    @override
    def __repr__(self) -> str:
        return f"<Identity of {self.node_id}>"
