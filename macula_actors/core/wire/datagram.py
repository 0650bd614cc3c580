"""Datagrams of ours beside QUIC's on the same socket. RFC: 9443, section 2: QUIC's have bit 0x40 set, these have not.

A `Reset` says: a packet came here for a connection that is not known. Nobody signs it, so it proves nothing: who gets
one asks the peer at once whether it is still there.
"""

from dataclasses import dataclass
from typing import Final

from macula_actors.errors import RemoteProtocolError

__all__ = ["FIXED_BIT", "MAX_CONNECTION_ID_BYTES", "Reset", "decode_datagram", "encode_reset"]

FIXED_BIT: Final = 0x40  # RFC 9000, 17.2 and 17.3
MAX_CONNECTION_ID_BYTES: Final = 20  # RFC 9000, 17.2

_MAGIC: Final = b"\x0dmacula"
_RESET: Final = 1


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection whose id at the sender is ``connection_id`` (1 to 20 bytes) is not known there."""

    connection_id: bytes


def encode_reset(reset: Reset) -> bytes:
    """Return ``reset`` as a datagram, shorter than any packet that it answers: no loop and no amplification."""
    return _MAGIC + bytes([_RESET]) + reset.connection_id


def decode_datagram(data: bytes) -> Reset:
    """Return what the datagram ``data``, which is not QUIC's, says.

    Raises:
        RemoteProtocolError: ``unknown_datagram``: it says nothing that is known here.
    """
    kind, rest = data[len(_MAGIC) : len(_MAGIC) + 1], data[len(_MAGIC) + 1 :]
    if data.startswith(_MAGIC) and kind == bytes([_RESET]) and 1 <= len(rest) <= MAX_CONNECTION_ID_BYTES:
        return Reset(rest)
    raise RemoteProtocolError("unknown_datagram", f"{len(data)} bytes that are neither QUIC's nor ours")
