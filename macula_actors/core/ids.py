"""Ids of messages and calls, by which an answer finds its request and a duplicate is known.

Erlang: macula_id, macula_utils:next_message_id/1.
"""

import binascii
from random import Random
from typing import Final, NewType
from uuid import UUID

__all__ = ["MESSAGE_ID_BYTES", "MessageId", "from_hex", "from_uuid", "message_id", "to_uuid"]

MESSAGE_ID_BYTES: Final = 16

MessageId = NewType("MessageId", bytes)


def message_id(rng: Random) -> MessageId:
    """Return 16 random bytes: unlike a counter, unique over all nodes and all their restarts."""
    return MessageId(rng.randbytes(MESSAGE_ID_BYTES))


def from_hex(text: str) -> bytes:
    """Return the bytes written as ``text``, two hexadecimal digits each, in either case.

    Raises:
        ValueError: there are other characters in it, white space too, or an odd number.
    """
    return binascii.unhexlify(text)


def to_uuid(value: bytes) -> str:
    """Return the first 16 bytes of ``value`` written as 8-4-4-4-12 hexadecimal digits.

    Raises:
        ValueError: there are fewer.
    """
    return str(UUID(bytes=value[:MESSAGE_ID_BYTES]))


def from_uuid(text: str) -> MessageId:
    """Return the id that `to_uuid` writes as ``text``, digits in either case.

    Raises:
        ValueError: ``text`` is written in another way.
    """
    value = UUID(text)
    if str(value) != text.lower():
        raise ValueError(f"an id is written as 8-4-4-4-12 hexadecimal digits, not {text!r}")
    return MessageId(value.bytes)
