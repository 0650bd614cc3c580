"""Node ids and DHT keys: 256-bit numbers, measured by the XOR metric.

Erlang: macula_routing_nodeid. Paper: Maymounkov and Mazieres, Kademlia (2002), section 2.1.
"""

import binascii
import hashlib
from typing import Final, Self

from typing_extensions import override

__all__ = ["ID_BITS", "ID_BYTES", "NodeId"]

ID_BYTES: Final = 32
ID_BITS: Final = 8 * ID_BYTES


class NodeId(bytes):
    """A node's id, or a key that is stored at the nodes nearest to it: 32 bytes, big-endian.

    ``sorted(ids, key=target.distance)`` puts the nearest to ``target`` first, and never has a tie: of two ids,
    one is nearer.
    """

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        """Make an id of 32 bytes.

        Raises:
            ValueError: ``value`` has another length.
        """
        if len(value) != ID_BYTES:
            raise ValueError(f"a node id has {ID_BYTES} bytes, this one {len(value)}")
        return super().__new__(cls, value)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the SHA-256 of ``data``: of a public key its node's id, of a name its key."""
        return cls(hashlib.sha256(data).digest())

    @classmethod
    def normalize(cls, value: bytes) -> Self:
        """Return the id under which v0.8 places ``value``: itself if it has 32 bytes, else its SHA-256.

        For what such a peer sends, whose id may be any bytes; our own ids are never hashed a second time.
        """
        return cls(value) if len(value) == ID_BYTES else cls.of(value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Return the id written as 64 hexadecimal digits, in either case.

        Raises:
            ValueError: ``text`` is anything else.
        """
        try:
            return cls(binascii.unhexlify(text))
        except ValueError as error:
            raise ValueError(f"a node id is written as {2 * ID_BYTES} hexadecimal digits, not {text[:80]!r}") from error

    def distance(self, other: "NodeId") -> int:
        """Return how far ``other`` is: 0, for itself only, to 2**256 - 1."""
        return int.from_bytes(self) ^ int.from_bytes(other)

    def bucket_index(self, other: "NodeId") -> int:
        """Return how many leading bits the two have in common: 0, half of all ids, to 255; 256 for itself."""
        return ID_BITS - self.distance(other).bit_length()

    @override
    def __str__(self) -> str:
        return self.hex()

    @override
    def __repr__(self) -> str:
        return f"NodeId({self.hex()!r})"
