"""A value as bytes that are always the same for the same value, so that they can be signed.

MessagePack leaves the order of a map's keys open, and the original has another one in each version of OTP. All else is
one way only here: see `macula_actors.core.wire.values`.
"""

from typing import Final

from macula_actors.core.wire.values import MAX_DEPTH, Value, pack
from macula_actors.errors import LocalProtocolError

__all__ = ["canonical"]

_AROUND: Final = 4  # maps and lists around a payload in FIND_VALUE_REPLY: message, list, record, "value"


def canonical(value: Value) -> bytes:
    """Return ``value`` as MessagePack with the keys of each map in order: bin first, then str, each by its bytes.

    Raises:
        LocalProtocolError: ``bad_value``: it is no value of MessagePack, or nested too deep to travel in a message.
    """
    return pack(_ordered(value, MAX_DEPTH - _AROUND))


def _ordered(value: Value, depth: int) -> Value:
    match value:
        case dict() | list() | tuple() if depth == 0:
            raise LocalProtocolError("bad_value", "a value is nested too deep")
        case dict():
            return {key: _ordered(value[key], depth - 1) for key in sorted(value, key=_rank)}
        case list() | tuple():
            return [_ordered(item, depth - 1) for item in value]
        case _:
            return value


def _rank(key: object) -> tuple[bool, bytes]:
    match key:
        case str():
            return True, key.encode("utf-8", "surrogatepass")
        case bytes():
            return False, key
        case _:
            raise LocalProtocolError("bad_value", f"a {type(key).__name__} is a map key; only texts are")
