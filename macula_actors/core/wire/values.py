"""Values of any shape, as MessagePack carries them. MessagePack: github.com/msgpack/msgpack, spec.md.

Integers take the shortest form, floats are always 64 bits long, `str` and `bytes` are distinct (str and bin). The
original is different there (spec/wire.md): it writes every text as bin, and a str is its list of code points, of
which the empty one is the empty list. So a value meant for it goes through `as_bin` first; one that came from it is
best passed on untouched.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import msgpack  # type: ignore[import-untyped]

from macula_actors.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "Value", "as_bin", "pack", "pack_plain", "unpack"]

Value: TypeAlias = "None | bool | int | float | str | bytes | Sequence[Value] | Mapping[str | bytes, Value]"

T = TypeVar("T")

MAX_DEPTH: Final = 32  # maps and lists inside one another
MAX_ITEMS: Final = 65_536  # in one list or map, and lists and maps in all; a header may claim four thousand million

_ATOMS: Final = frozenset({bytes, bool, float, type(None)})  # that are always all right, and most often there
_UNPACKED_ATOMS: Final = _ATOMS | {int, str}  # which msgpack itself has looked at


def pack(value: Value) -> bytes:
    """Return ``value`` as MessagePack. Tuples become lists.

    Raises:
        LocalProtocolError: ``bad_value``: a part of it is of no type that MessagePack has, an integer beyond 64 bits,
            a text that is not Unicode, a map key other than a text, nested too deep, or too many lists and maps.
    """
    try:
        _check(value)
        packed = pack_plain(value)
        _check_containers(packed)
    except ValueError as error:
        raise LocalProtocolError("bad_value", str(error)) from error
    return packed


def pack_plain(value: Value) -> bytes:
    """Return ``value``, whose parts are known to be what `pack` allows, as MessagePack."""
    packed: bytes = msgpack.Packer().pack(value)  # as packb does, which takes half as long again
    return packed


def unpack(data: bytes) -> Value:
    """Return the one value that ``data`` holds, lists as `list`.

    Map keys are texts, as str or bin: other keys could be chosen to collide, which makes a large map take minutes.

    Raises:
        RemoteProtocolError: ``msgpack_decode_error``: ``data`` is not one whole MessagePack value of the types here.
    """
    most = min(len(data), MAX_ITEMS)
    hooks = _counting() if len(data) > MAX_ITEMS else {}
    try:
        value: Value = msgpack.unpackb(data, max_array_len=most, max_map_len=most, ext_hook=_refuse_extension, **hooks)
        if value.__class__ not in _UNPACKED_ATOMS:
            _check_unpacked(value)
    except ValueError as error:  # all of msgpack's own errors for bad input are ValueErrors
        raise RemoteProtocolError("msgpack_decode_error", str(error)) from error
    return value


def as_bin(value: Value) -> Value:
    """Return ``value`` with each `str` in it, keys included, as UTF-8 bytes: what the original reads as text."""
    match value:
        case str():
            return value.encode()
        case list() | tuple():
            return [as_bin(item) for item in value]
        case dict():
            return {key.encode() if isinstance(key, str) else key: as_bin(item) for key, item in value.items()}
        case _:
            return value


def _check(value: object, depth: int = MAX_DEPTH) -> None:
    """Return if ``value`` can be sent as it is, at most ``depth`` maps and lists inside one another.

    Raises:
        ValueError: It cannot; the message says why, in a few words.
    """
    match value:
        case dict() if depth > 0 and len(value) <= MAX_ITEMS:
            for key, item in value.items():
                if key.__class__ is not bytes:
                    _check_key(key)
                if item.__class__ not in _ATOMS:
                    _check(item, depth - 1)
        case None | bool() | float() | bytes():
            return
        case str():
            value.encode()
        case int() if -(2**63) <= value < 2**64:
            return
        case list() | tuple() if depth > 0 and len(value) <= MAX_ITEMS:
            for item in value:
                if item.__class__ not in _ATOMS:
                    _check(item, depth - 1)
        case int() | list() | tuple() | dict():
            raise ValueError(f"a {type(value).__name__} is too large, or nested too deep")
        case _:
            raise ValueError(f"a {type(value).__name__} is not a value of MessagePack")


def _check_containers(packed: bytes) -> None:
    """Return if there are no more lists and maps in ``packed`` than `unpack` takes; else raise ValueError."""
    if len(packed) > MAX_ITEMS:
        msgpack.unpackb(packed, **_counting())


def _counting() -> dict[str, Callable[[T], T]]:
    """Return what has msgpack raise ValueError at one list or map too many: a million of them take a second."""
    left = iter(range(MAX_ITEMS))

    def count(container: T) -> T:
        if next(left, None) is None:
            raise ValueError(f"more than {MAX_ITEMS} lists and maps")
        return container

    return {"list_hook": count, "object_hook": count}


def _check_unpacked(value: Any, depth: int = MAX_DEPTH) -> None:
    """Return if `_check` would of what msgpack has unpacked, which has looked at keys, lengths and most else itself."""
    is_map = value.__class__ is dict
    if not depth or not (is_map or value.__class__ is list):
        raise ValueError(f"a {type(value).__name__} is no value here, or nested too deep")
    for item in value.values() if is_map else value:
        if item.__class__ not in _UNPACKED_ATOMS:
            _check_unpacked(item, depth - 1)


def _check_key(key: object) -> None:
    match key:
        case bytes():
            return
        case str():
            key.encode()
        case _:
            raise ValueError(f"a {type(key).__name__} is a map key; only texts are")


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")
