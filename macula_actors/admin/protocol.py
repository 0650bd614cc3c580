"""What is said over the admin socket: a line of JSON each way for each request, in UTF-8.

A request is ``{"id": .., "command": "..", "arguments": {..}}``, the answer to it ``{"id": .., "result": ..}`` or
``{"id": .., "error": {"type": "..", "message": ".."}}``. A command that tells of things as they happen has before
its answer any number of ``{"id": .., "more": true, "result": ..}``. Answers may come in another order than requests.
Who hangs up gives up what has not been answered. Bytes are ``{"$hex": ".."}`` in both directions. Erlang: none.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.errors import MaculaError

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_REQUEST_BYTES",
    "AdminError",
    "More",
    "Request",
    "decode_answer",
    "decode_request",
    "encode_error",
    "encode_more",
    "encode_request",
    "encode_result",
    "from_json",
    "to_json",
]

MAX_REQUEST_BYTES: Final = 2 * 1_048_576  # the arguments of a call, as JSON
MAX_ANSWER_BYTES: Final = 16 * 1_048_576

_HEX: Final = "$hex"
_MAX_MESSAGE: Final = 2000  # characters


class AdminError(MaculaError):
    """A command failed. ``kind`` is the name of the error at the node, or one of this protocol's in lower case.

    Those are ``bad_request``, ``bad_arguments``, ``unknown_command``, ``overloaded``, ``too_large``, ``crashed``,
    ``not_running``, ``disconnected`` and ``timeout``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """Carry out ``command`` and answer with ``id``."""

    id: int | str | None
    command: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class More:
    """A part of an answer: another one follows."""

    value: Any


def encode_request(request: Request) -> bytes:
    """Return the line for ``request``.

    Raises:
        AdminError: ``too_large``.
    """
    line = _line({"id": request.id, "command": request.command, "arguments": to_json(request.arguments)})
    if len(line) > MAX_REQUEST_BYTES:
        raise AdminError("too_large", f"a request of {len(line)} bytes; allowed are {MAX_REQUEST_BYTES}")
    return line


def decode_request(line: bytes) -> Request:
    """Return the request that ``line`` is.

    Raises:
        AdminError: ``bad_request``: it is none.
    """
    match _json(line):
        case {"id": (int() | str() | None) as id_, "command": str(command), **rest} if not rest.keys() - {"arguments"}:
            arguments = rest.get("arguments", {})
            if isinstance(arguments, dict):
                return Request(id_, command, from_json(arguments))
    raise AdminError("bad_request", 'a request is {"id": .., "command": "..", "arguments": {..}} on one line')


def encode_result(id_: int | str | None, result: object) -> bytes:
    """Return the line that answers the request ``id_``; an error if it were too long."""
    line = _line({"id": id_, "result": to_json(result)})
    if len(line) > MAX_ANSWER_BYTES:
        return encode_error(id_, AdminError("too_large", f"an answer of {len(line)} bytes; allowed {MAX_ANSWER_BYTES}"))
    return line


def encode_more(id_: int | str | None, value: object) -> bytes:
    """Return the line that is a part of the answer to the request ``id_``; an error if it were too long."""
    line = _line({"id": id_, "more": True, "result": to_json(value)})
    return line if len(line) <= MAX_ANSWER_BYTES else encode_error(id_, AdminError("too_large", "a part of an answer"))


def encode_error(id_: int | str | None, error: Exception) -> bytes:
    """Return the line that tells that the request ``id_`` failed with ``error``."""
    kind = error.kind if isinstance(error, AdminError) else type(error).__name__
    return _line({"id": id_, "error": {"type": kind, "message": _one_line(str(error))}})


def decode_answer(line: bytes) -> tuple[int | str | None, Any]:
    """Return the id and the result that ``line`` is; an `AdminError` in place of the result if it failed.

    A part of an answer is a `More`.

    Raises:
        AdminError: ``bad_request``: it is no answer.
    """
    match _json(line):
        case {"id": id_, "error": {"type": str(kind), "message": str(message)}}:
            return id_, AdminError(kind, message)
        case {"id": id_, "more": True, "result": result}:
            return id_, More(result)
        case {"id": id_, "result": result}:
            return id_, result
        case _:
            raise AdminError("bad_request", "what answered speaks another protocol")


def to_json(value: object) -> Any:
    """Return ``value`` as JSON has it: what has named fields as a map, bytes as ``{"$hex": ..}``, the rest as text."""
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case float():
            return value if isfinite(value) else str(value)
        case NodeId():
            return value.hex()
        case bytes():
            return {_HEX: value.hex()}
        case Mapping():
            return {_key(key): to_json(each) for key, each in value.items()}
        case tuple() if hasattr(value, "_fields"):
            return {name: to_json(each) for name, each in zip(value._fields, value, strict=True)}
        case list() | tuple() | AbstractSet():
            return [to_json(each) for each in value]
        case Enum():
            return to_json(value.value)
        case _ if is_dataclass(value) and type(value).__str__ is object.__str__:
            return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
        case _:
            return str(value)


def from_json(value: Any) -> Any:
    """Return ``value`` with the bytes in it as bytes.

    Raises:
        AdminError: ``bad_request``: what should be bytes in hexadecimal is something else.
    """
    match value:
        case {"$hex": str(digits)} if len(value) == 1:
            try:
                return bytes.fromhex(digits)
            except ValueError as error:
                raise AdminError("bad_request", f"{digits[:40]!r} is not hexadecimal") from error
        case dict():
            return {key: from_json(each) for key, each in value.items()}
        case list():
            return [from_json(each) for each in value]
        case _:
            return value


def _key(key: object) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) and not isinstance(key, NodeId) else str(to_json(key))


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _json(line: bytes) -> object:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_MESSAGE]
