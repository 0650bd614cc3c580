"""Messages to bytes. Erlang: macula_protocol_encoder, macula_routing_protocol."""

from typing import Any, Final

from macula_actors.core.wire.codec import codec_of
from macula_actors.core.wire.frame import encode_frame
from macula_actors.core.wire.messages import CLASSES, Message
from macula_actors.core.wire.values import pack, pack_plain
from macula_actors.errors import LocalProtocolError

__all__ = ["encode"]

_TYPES: Final = {cls: message_type for message_type, cls in CLASSES.items()}


def encode(message: Message) -> bytes:
    """Return the frame with ``message``. Its keys and texts are sent as bin, its None fields not at all.

    The values of `Store` and `FindValueReply` are sent as they are: those for the original are to be made with
    `macula_actors.core.wire.values.as_bin`, because it reads a str as a list of code points.

    Raises:
        LocalProtocolError: ``missing_field``, ``bad_field`` or ``bad_value``: the message holds what it must not;
            ``frame_too_large``; ``not_a_message``.
    """
    cls: Any = type(message)
    type_id = _TYPES.get(cls)
    if type_id is None:
        raise LocalProtocolError("not_a_message", f"a {cls.__name__}")
    codec = codec_of(cls)
    fields = codec.write(message)
    if codec.is_plain:
        return encode_frame(type_id, pack_plain(fields))
    return encode_frame(type_id, pack(fields))
