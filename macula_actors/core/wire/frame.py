"""Frames: a header of eight bytes, then the payload. Erlang: macula_protocol_encoder, macula_connection."""

import struct
from typing import Final, NamedTuple

from macula_actors.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "VERSION",
    "Frame",
    "FrameReader",
    "encode_frame",
    "first_frame",
    "whole_frame",
]

VERSION: Final = 1
MAX_PAYLOAD_BYTES: Final = 1_048_576  # the original has no limit (D-54)

_HEADER: Final = struct.Struct(">BBBBI")  # version, type id, flags, reserved, length of the payload
HEADER_BYTES: Final = _HEADER.size


class Frame(NamedTuple):
    """A frame that came in; ``type_id`` may be of no known type. Flags and reserved are ignored, as in the original."""

    type_id: int
    payload: bytes


def encode_frame(type_id: int, payload: bytes) -> bytes:
    """Return the frame with ``payload``.

    Raises:
        LocalProtocolError: ``frame_too_large``: the payload is longer than `MAX_PAYLOAD_BYTES`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError("frame_too_large", f"payload of {len(payload)} bytes; {MAX_PAYLOAD_BYTES} at most")
    return _HEADER.pack(VERSION, type_id, 0, 0, len(payload)) + payload


def first_frame(data: bytes, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Frame:
    """Return the frame that ``data`` begins with; what follows it is ignored.

    Raises:
        RemoteProtocolError: The first of these that is so: ``invalid_header`` (fewer than eight bytes),
            ``unsupported_version``, ``frame_too_large``, ``incomplete_payload``.
    """
    if len(data) < HEADER_BYTES:
        raise RemoteProtocolError("invalid_header", f"{len(data)} bytes; a header has {HEADER_BYTES}")
    version, type_id, _flags, _reserved, length = _HEADER.unpack_from(data)
    _check_version(version)
    if length > max_payload_bytes:
        raise _too_large(length, max_payload_bytes)
    payload = data[HEADER_BYTES : HEADER_BYTES + length]
    if len(payload) < length:
        raise RemoteProtocolError("incomplete_payload", f"{len(payload)} bytes of {length}")
    return Frame(type_id, payload)


def whole_frame(data: bytes, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Frame | None:
    """Return the frame that ``data`` is, whole and nothing else; None if it is not, for `FrameReader` to see why."""
    if len(data) < HEADER_BYTES:
        return None
    version, type_id, _flags, _reserved, length = _HEADER.unpack_from(data)
    if version != VERSION or length != len(data) - HEADER_BYTES or length > max_payload_bytes:
        return None
    return Frame(type_id, data[HEADER_BYTES:])


class FrameReader:
    """Finds the frames in a stream of bytes, however it is cut. Call `receive`, then `next_frame` until it is None.

    A frame that is too large ends that, too: from then on each `next_frame` raises ``frame_too_large``, and `receive`
    takes nothing. Holds at most one frame and what one `receive` brought.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._fatal: RemoteProtocolError | None = None

    @property
    def unread(self) -> bytes:
        """What came and is of no whole frame yet. Not empty when the stream ends: it was cut off."""
        return bytes(self._buffer)

    @property
    def unread_bytes(self) -> int:
        """How much that is."""
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises:
            LocalProtocolError: ``frames_not_taken``: frames of the time before are still there.
        """
        if len(self._buffer) >= HEADER_BYTES + self._max_payload_bytes:
            raise LocalProtocolError("frames_not_taken", "call next_frame until it returns None")
        if self._fatal is None:
            self._buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next frame, or None until more has been received.

        Raises:
            RemoteProtocolError: ``unsupported_version``: that frame is left out, the next call goes on behind it.
                ``frame_too_large``, as soon as its header is there: nothing behind can be read, and every call raises.
        """
        if self._fatal is not None:
            raise self._fatal
        if len(self._buffer) < HEADER_BYTES:
            return None
        version, type_id, _flags, _reserved, length = _HEADER.unpack_from(self._buffer)
        if length > self._max_payload_bytes:
            self._buffer.clear()
            self._fatal = _too_large(length, self._max_payload_bytes)
            raise self._fatal
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        _check_version(version)
        return Frame(type_id, payload)


def _check_version(version: int) -> None:
    if version != VERSION:
        raise RemoteProtocolError("unsupported_version", f"version {version}; {VERSION} is the only one")


def _too_large(length: int, most: int) -> RemoteProtocolError:
    return RemoteProtocolError("frame_too_large", f"payload of {length} bytes announced; {most} at most")
