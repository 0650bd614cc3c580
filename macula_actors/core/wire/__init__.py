"""The wire protocol: typed messages to frames and back, and nothing of how they travel. Spec: spec/wire.md.

`encode` and `decode` turn a `Message` into a frame and back; `FrameReader` and `decode_frame` do so for a stream.
"""

from macula_actors.core.wire.decoder import decode, decode_frame
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.frame import Frame, FrameReader
from macula_actors.core.wire.messages import Message
from macula_actors.core.wire.types import MessageType

__all__ = ["Frame", "FrameReader", "Message", "MessageType", "decode", "decode_frame", "encode"]
