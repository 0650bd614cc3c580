"""Packets that an endpoint reads and answers before it keeps anything of their connection.

RFC: 8999 (what every version of QUIC has in common); 9000, sections 5.2.2, 6.1 (version negotiation), 8.1.2 (Retry),
17.2.5. For both engines: what is on the wire is the same.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aioquic.buffer import Buffer, BufferReadError  # type: ignore[attr-defined]
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

from macula_actors.errors import RemoteProtocolError
from macula_actors.transport.interface import Address

__all__ = ["CONNECTION_ID_BYTES", "MIN_INITIAL_BYTES", "Initial", "RetryTokens", "pull_initial", "refuse_initial"]

CONNECTION_ID_BYTES: Final = 8  # of the ids that are given out here
MIN_INITIAL_BYTES: Final = 1200  # RFC 9000, 14.1: a shorter datagram with an Initial packet is discarded

_MIN_CONNECTION_ID_BYTES: Final = 8  # RFC 9000, 7.2: of the first destination id
_CLOSE_BYTES: Final = 64  # room for a CONNECTION_CLOSE frame and its reason


@dataclass(frozen=True, slots=True)
class Initial:
    """The header of an Initial packet. ``token`` is empty in the first one of a connection."""

    version: int
    destination_cid: bytes
    source_cid: bytes
    token: bytes


def pull_initial(datagram: bytes, versions: Sequence[int]) -> Initial | bytes:
    """Return the header of the Initial packet that ``datagram`` begins with.

    Returns:
        Or, when the packet is of a version that is not among ``versions``, the datagram that says so.

    Raises:
        RemoteProtocolError: ``not_an_initial``: it begins no connection; answer nothing.
    """
    try:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=CONNECTION_ID_BYTES)
    except (ValueError, BufferReadError) as error:
        raise RemoteProtocolError("not_an_initial", f"{len(datagram)} bytes with no header of QUIC's") from error
    if (
        len(datagram) < MIN_INITIAL_BYTES
        or not header.version
        or len(header.destination_cid) < _MIN_CONNECTION_ID_BYTES
    ):
        raise RemoteProtocolError("not_an_initial", f"{len(datagram)} bytes that can begin no connection")
    if header.version not in versions:
        return encode_quic_version_negotiation(
            source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=list(versions)
        )
    if header.packet_type is not QuicPacketType.INITIAL:
        raise RemoteProtocolError("not_an_initial", f"a packet of type {header.packet_type.name}")
    return Initial(header.version, header.destination_cid, header.source_cid, header.token)


def refuse_initial(initial: Initial, code: QuicErrorCode, reason: str) -> bytes:
    """Return the datagram that closes the connection that ``initial`` would begin."""
    crypto = CryptoPair()
    crypto.setup_initial(cid=initial.destination_cid, is_client=False, version=initial.version)
    builder = QuicPacketBuilder(
        host_cid=initial.destination_cid,
        is_client=False,
        max_datagram_size=MIN_INITIAL_BYTES,
        peer_cid=initial.source_cid,
        version=initial.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    frame = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=_CLOSE_BYTES)
    frame.push_uint_var(code)
    frame.push_uint_var(QuicFrameType.PADDING)  # caused by no frame in particular
    text = reason.encode()[: _CLOSE_BYTES // 2]
    frame.push_uint_var(len(text))
    frame.push_bytes(text)
    datagrams, _ = builder.flush()
    return datagrams[0]


class RetryTokens:
    """Makes and checks Retry tokens. They are encrypted, bound to an address, and good for half a minute."""

    def __init__(self) -> None:
        self._handler = QuicRetryTokenHandler()

    def retry(self, initial: Initial, address: Address, now: float) -> bytes:
        """Return the Retry packet for ``initial``: who gets it at ``address`` begins again with the token in it."""
        source_cid = os.urandom(CONNECTION_ID_BYTES)
        token = self._handler.create_token(
            address=address,
            original_destination_connection_id=initial.destination_cid,
            retry_source_connection_id=source_cid,
            now=now,
        )
        return encode_quic_retry(
            version=initial.version,
            source_cid=source_cid,
            destination_cid=initial.source_cid,
            original_destination_cid=initial.destination_cid,
            retry_token=token,
        )

    def original_destination_cid(self, initial: Initial, address: Address, now: float) -> bytes:
        """Return the destination id of the first Initial, from the token in ``initial``.

        Raises:
            RemoteProtocolError: ``invalid_token``: not made here, for another address, or too old.
        """
        try:
            return self._handler.validate_token(
                address=address, destination_cid=initial.destination_cid, token=initial.token, now=now
            )
        except (ValueError, BufferReadError) as error:
            raise RemoteProtocolError("invalid_token", "not made here, for another address, or too old") from error
