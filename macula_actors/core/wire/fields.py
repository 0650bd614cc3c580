"""What a field of a message may hold, and maps of fields read into messages and written from them.

A message is a frozen dataclass whose fields are annotated with their kind: ``qos: Annotated[int, Integer(0, 2)]``. A
field whose default is None may be left out on the wire, and is when it is None; every other field must be there. Fields
that a message does not know are ignored: a later version may add some.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from macula_actors.core.wire.codec import codec_of
from macula_actors.core.wire.values import Value

__all__ = ["AnyValue", "Boolean", "Choice", "Integer", "Kind", "ListOf", "Octets", "Record", "Text", "read", "write"]


class Kind(ABC):
    """What a field may hold; its ``str`` says so. A kind reads back what it has written.

    Both methods raise ValueError if the field cannot hold ``value``, which is never the None of a whole field.
    """

    @abstractmethod
    def read(self, value: Value) -> Any:
        """Return the field for ``value``, which MessagePack gave."""

    def write(self, value: Any) -> Value:
        """Return what to give to MessagePack for the field ``value``."""
        written: Value = self.read(value)
        return written

    @property
    def is_plain(self) -> bool:
        """Whether all that `write` returns is a value of MessagePack, with no `str` in it."""
        return True


def read(cls: Any, fields: Mapping[str | bytes, Value]) -> Any:
    """Return the message of class ``cls`` that ``fields``, with keys as str or bin, hold.

    Raises:
        LocalProtocolError: ``missing_field`` or ``bad_field``; who reads for a peer makes it the peer's error.
    """
    return codec_of(cls).read(fields)


def write(message: object) -> dict[str | bytes, Value]:
    """Return the fields of ``message`` under their names as bin, in the order of its class.

    Raises:
        LocalProtocolError: ``missing_field`` or ``bad_field``.
    """
    cls: Any = type(message)
    return codec_of(cls).write(message)


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number, both bounds included; by default all that MessagePack has."""

    low: int = -(2**63)
    high: int = 2**64 - 1

    @override
    def read(self, value: Value) -> int:
        """Return ``value``. True and False are no numbers here."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError
        return value

    @override
    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Boolean(Kind):
    """True or False."""

    @override
    def read(self, value: Value) -> bool:
        """Return ``value``."""
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 -- the one error of kinds
        return value

    @override
    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Octets(Kind):
    """Bytes, ``low`` to ``high`` of them, both included."""

    low: int
    high: int

    @override
    def read(self, value: Value) -> bytes:
        """Return ``value``; a str is its UTF-8, for peers that send text as what it is."""
        if isinstance(value, bytes) and self.low <= len(value) <= self.high:
            return value
        return self.write(value.encode() if isinstance(value, str) else value)

    @override
    def write(self, value: object) -> bytes:
        """Return ``value``."""
        if not isinstance(value, bytes) or not self.low <= len(value) <= self.high:
            raise ValueError
        return value

    @override
    def __str__(self) -> str:
        return f"{self.low} to {self.high} bytes"


class _Textual(Kind):
    """Unicode text, sent as bin because the original does not understand str, read from both."""

    @override
    def read(self, value: Value) -> str:
        """Return the text in ``value``."""
        text = value.decode() if isinstance(value, bytes) else value
        if not isinstance(text, str):
            raise ValueError  # noqa: TRY004 -- the one error of kinds
        self.write(text)
        return text


@dataclass(frozen=True)
class Text(_Textual):
    """Text whose UTF-8 has ``low`` to ``high`` bytes, both included."""

    low: int
    high: int

    @override
    def read(self, value: Value) -> str:
        """Return the text in ``value``."""
        if isinstance(value, bytes) and self.low <= len(value) <= self.high:
            return value.decode()
        return super().read(value)

    @override
    def write(self, value: object) -> bytes:
        """Return the UTF-8 of ``value``."""
        if not isinstance(value, str) or not self.low <= len(octets := value.encode()) <= self.high:
            raise ValueError
        return octets

    @override
    def __str__(self) -> str:
        return f"text of {self.low} to {self.high} bytes"


class Choice(_Textual):
    """One of a few texts."""

    def __init__(self, *texts: str) -> None:
        self._texts = {text: text.encode() for text in texts}

    @override
    def write(self, value: object) -> bytes:
        """Return the UTF-8 of ``value``."""
        if not isinstance(value, str) or value not in self._texts:
            raise ValueError
        return self._texts[value]

    @override
    def __str__(self) -> str:
        return "one of " + ", ".join(self._texts)


@dataclass(frozen=True)
class ListOf(Kind):
    """At most ``most`` items of one kind; a tuple here."""

    kind: Kind
    most: int

    @override
    def read(self, value: Value) -> tuple[object, ...]:
        """Return the items of ``value``. An empty str is how the original sends the empty list."""
        if isinstance(value, str | bytes) and not value:
            return ()
        if not isinstance(value, list) or len(value) > self.most:
            raise ValueError
        return tuple(self.kind.read(item) for item in value)

    @override
    def write(self, value: object) -> list[Value]:
        """Return the items of ``value``."""
        if not isinstance(value, tuple | list) or len(value) > self.most:
            raise ValueError
        return [self.kind.write(item) for item in value]

    @property
    @override
    def is_plain(self) -> bool:
        """Whether its items are."""
        return self.kind.is_plain

    @override
    def __str__(self) -> str:
        return f"a list of at most {self.most}, each {self.kind}"


class Record(Kind):
    """A message, or part of one, as a map inside another: of the first of ``classes`` whose required fields it has."""

    def __init__(self, *classes: Any) -> None:
        self._classes = classes

    @override
    def read(self, value: Value) -> Any:
        """Return the fields of the map ``value`` as an instance of one of the classes."""
        if not isinstance(value, dict):
            raise ValueError  # noqa: TRY004 -- the one error of kinds
        return codec_of(self._fitting(value)).read(value)

    def _fitting(self, fields: Mapping[str | bytes, Value]) -> Any:
        for cls in self._classes if len(self._classes) > 1 else ():
            for key, name in codec_of(cls).required:
                if key not in fields and name not in fields:
                    break
            else:
                return cls
        return self._classes[0]

    @override
    def write(self, value: object) -> Value:
        """Return the fields of ``value``, an instance of one of the classes."""
        if not isinstance(value, self._classes):
            raise ValueError  # noqa: TRY004 -- the one error of kinds
        return write(value)

    @property
    @override
    def is_plain(self) -> bool:
        """Whether the fields of all its classes are."""
        return all(map(_is_plain, self._classes))

    @override
    def __str__(self) -> str:
        return "a map with the fields of " + " or ".join(cls.__name__ for cls in self._classes)


def _is_plain(cls: Any) -> bool:
    return codec_of(cls).is_plain


class AnyValue(Kind):
    """Any value that MessagePack carries, as it is: `values.pack` and `values.unpack` refuse the others."""

    @override
    def read(self, value: Value) -> Value:
        """Return ``value``."""
        return value

    @property
    @override
    def is_plain(self) -> bool:
        """False: nothing is looked at."""
        return False

    @override
    def __str__(self) -> str:
        return "a value of MessagePack"
