"""Bytes to messages. Erlang: macula_protocol_decoder, macula_routing_protocol."""

from typing import Any

from macula_actors.core.wire.codec import codec_of
from macula_actors.core.wire.frame import MAX_PAYLOAD_BYTES, Frame, first_frame
from macula_actors.core.wire.messages import CLASSES, Message
from macula_actors.core.wire.values import unpack
from macula_actors.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["decode", "decode_frame"]


def decode(data: bytes, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Message:
    """Return the message in the frame that ``data`` begins with; what follows the frame is ignored.

    Raises:
        RemoteProtocolError: And nothing else, whatever ``data`` is: what `first_frame` raises, then what `decode_frame`
            does.
    """
    return decode_frame(first_frame(data, max_payload_bytes))


def decode_frame(frame: Frame) -> Message:
    """Return the message in ``frame``, each of its fields checked.

    Raises:
        RemoteProtocolError: The first of these that is so: ``unknown_type``; ``msgpack_decode_error``; ``not_a_map``;
            ``missing_field`` or ``bad_field``.
    """
    cls: Any = CLASSES.get(frame.type_id)
    if cls is None:
        raise RemoteProtocolError("unknown_type", f"type id {frame.type_id:#04x}")
    fields = unpack(frame.payload)
    if not isinstance(fields, dict):
        raise RemoteProtocolError("not_a_map", f"the payload of {cls.__name__} is of type {type(fields).__name__}")
    try:
        message: Message = codec_of(cls).read(fields)
    except LocalProtocolError as error:
        raise RemoteProtocolError(error.code, error.detail) from error
    return message
