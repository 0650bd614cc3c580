"""Arguments and results of calls as bytes: MessagePack between our nodes, JSON for v0.8.

Erlang: macula_gateway_rpc_router, macula_rpc_handler (JSON). RFC: 8259.
"""

from json import dumps, loads
from math import isfinite
from typing import Final, NoReturn

from macula_actors.core.wire.values import Value, pack, unpack
from macula_actors.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

__all__ = ["MAX_BYTES", "decode", "encode"]

MAX_BYTES: Final = 1_000_000  # of arguments or a result; below the frame's limit


def encode(value: Value, *, json: bool, max_bytes: int = MAX_BYTES) -> bytes:
    """Return ``value`` as bytes. Tuples become lists.

    JSON has no bytes, no map keys but `str`, and no floats that are not finite.

    Args:
        value: nested at most `macula_actors.core.wire.values.MAX_DEPTH` deep.
        json: whether it is for v0.8.
        max_bytes: that it may take.

    Raises:
        LocalProtocolError: ``bad_value``, which names the type that can't be encoded, or ``too_large``.
    """
    packed = pack(value)  # JSON has the same bounds
    data = _to_json(value) if json else packed
    if len(data) > max_bytes:
        raise LocalProtocolError("too_large", f"{len(data)} bytes; allowed are {max_bytes}")
    return data


def decode(data: bytes, *, json: bool, max_bytes: int = MAX_BYTES) -> Value:
    """Return the one value that ``data`` holds, lists as `list`, maps as `dict`.

    Args:
        data: what `encode` with the same ``json``, or v0.8, made.
        json: whether it came from v0.8.
        max_bytes: that it may have.

    Raises:
        RemoteProtocolError: ``bad_args``: it holds none, or one larger, deeper or of other types than `encode` makes.
    """
    if len(data) > max_bytes:
        raise RemoteProtocolError("bad_args", f"{len(data)} bytes; allowed are {max_bytes}")
    try:
        return _from_json(data) if json else unpack(data)
    except ProtocolError as error:
        raise RemoteProtocolError("bad_args", error.detail) from error


def _to_json(value: Value) -> bytes:
    try:
        return dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:  # its text names the type, or the float
        raise LocalProtocolError("bad_value", str(error)) from error


def _from_json(data: bytes) -> Value:
    try:
        value: Value = loads(data.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("bad_args", "it is no JSON, or nested too deep") from error
    pack(value)  # which has the bounds of MessagePack
    return value


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _refuse(_text: str) -> NoReturn:
    raise ValueError
