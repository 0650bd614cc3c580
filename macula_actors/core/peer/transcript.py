"""What the proofs in CONNECT and CONNECTED are made over: all that the two nodes must agree on, as bytes.

The acceptor's certificate is among it, as each side sees it: who is in between has another one, and what was proven
to one of the two is worth nothing at the other. RFC: 8446, 4.4.3 (labels), 9266, 1 (why to bind to the TLS channel).
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from macula_actors.core.peer.identity import Identity, verify
from macula_actors.core.wire.messages import Connect

__all__ = ["NONCE_BYTES", "NO_NONCE", "Purpose", "Transcript"]

NONCE_BYTES: Final = 32
NO_NONCE: Final = bytes(NONCE_BYTES)  # for a proof that nobody asked for with a `Challenge`

_LENGTH_BYTES: Final = 4


class Purpose(Enum):
    """What a proof is for; its value, a label in front, makes it worthless for another."""

    SIGNATURE = b"macula CONNECT signature 1"
    DIALLER_MEMBERSHIP = b"macula CONNECT realm_mac 1"
    ACCEPTOR_MEMBERSHIP = b"macula CONNECTED realm_mac 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One handshake. ``connect`` counts without its ``signature`` and ``realm_mac``, which are made of this."""

    fingerprint: bytes  # SHA-256 of the acceptor's certificate, DER
    acceptor: bytes  # its node id
    nonce: bytes  # the acceptor's, 32 bytes
    connect: Connect

    def to_bytes(self, purpose: Purpose) -> bytes:
        """Return the bytes of everything, each field after its length: no two transcripts or purposes share them."""
        connect = self.connect
        return b"".join([
            _field(purpose.value),
            _field(connect.version.encode()),
            _field(self.fingerprint),
            _field(self.acceptor),
            _field(connect.node_id),
            _fields(() if connect.public_key is None else (connect.public_key,)),
            _field(connect.realm_id.encode()),
            _field(self.nonce),
            _fields(() if connect.endpoint is None else (connect.endpoint.encode(),)),
            _fields(capability.encode() for capability in connect.capabilities),
        ])

    def signature(self, identity: Identity) -> bytes:
        """Return the proof that the dialler is ``identity``."""
        return identity.sign(self.to_bytes(Purpose.SIGNATURE))

    def is_signed(self) -> bool:
        """Tell whether `connect` has the signature that belongs to its public key."""
        key, signature = self.connect.public_key, self.connect.signature
        return key is not None and signature is not None and verify(key, signature, self.to_bytes(Purpose.SIGNATURE))

    def realm_mac(self, secret: bytes | None, purpose: Purpose) -> bytes | None:
        """Return the proof of membership, HMAC-SHA256, of who knows the realm's ``secret``; None if it has none."""
        return None if secret is None else hmac.digest(secret, self.to_bytes(purpose), hashlib.sha256)

    def is_member(self, secret: bytes | None, purpose: Purpose, mac: bytes | None) -> bool:
        """Tell whether ``mac`` is the `realm_mac`, in a time that does not depend on it. None must meet None."""
        expected = self.realm_mac(secret, purpose)
        if expected is None or mac is None:
            return expected is mac
        return hmac.compare_digest(expected, mac)


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES) + data


def _fields(items: Iterable[bytes]) -> bytes:
    written = [_field(item) for item in items]
    return len(written).to_bytes(_LENGTH_BYTES) + b"".join(written)
