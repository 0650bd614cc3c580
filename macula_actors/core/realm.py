"""Realms: the names, such as ``com.example.mesh``, that keep one mesh's members, calls and topics from another's.

Erlang: macula_realm. Two realms are the same if their names are equal, letter by letter.
"""

import hashlib

from macula_actors.core import names

__all__ = ["from_bytes", "normalize", "realm_id", "to_bytes", "validate"]

_LENGTH_BYTES = 2


def validate(realm: str) -> None:
    """Check that ``realm`` names one.

    Raises:
        ValueError: it does not.
    """
    names.validate(realm, "realm")


def normalize(realm: str) -> str:
    """Return ``realm`` in lower case and without white space around it. Not validated."""
    return names.trimmed_lower(realm)


def realm_id(realm: str) -> bytes:
    """Return the 32 bytes that stand for ``realm`` where a name would be too long: its SHA-256."""
    return hashlib.sha256(realm.encode()).digest()


def to_bytes(realm: str) -> bytes:
    """Return ``realm`` in UTF-8 after its length, 16 bits big-endian.

    Raises:
        ValueError: it is longer than 65535 bytes.
    """
    data = realm.encode()
    if len(data) >= 1 << 8 * _LENGTH_BYTES:
        raise ValueError(f"realm of {len(data)} bytes; allowed are 65535")
    return len(data).to_bytes(_LENGTH_BYTES) + data


def from_bytes(data: bytes) -> str:
    """Return the realm that `to_bytes` made ``data`` of.

    Raises:
        ValueError: bytes are missing or left over, or it is no realm.
    """
    length, text = data[:_LENGTH_BYTES], data[_LENGTH_BYTES:]
    if len(length) < _LENGTH_BYTES or int.from_bytes(length) != len(text):
        raise ValueError(f"realm of {len(text)} bytes after the length {length.hex()!r}; the two must agree")
    realm = text.decode()
    validate(realm)
    return realm
