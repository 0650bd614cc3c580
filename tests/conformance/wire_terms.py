"""Payloads, as the original understands them and as we do, such that the two can be compared."""

from dataclasses import fields

from macula_actors.core.wire.fields import AnyValue, Boolean, Integer, ListOf, Record

NIL = (type(None), None)


def comparable(term):
    """Return a term of the vectors such that only equal ones are equal, whatever the order of keys."""
    match term:
        case {"$bin": text}:
            return bytes.fromhex(text)
        case {"$float": text}:
            return "float", repr(float(text))
        case {"$atom": name}:  # the only ones that the original's decoder makes, of floats that Erlang has not
            return "float", {"positive_infinity": "inf", "negative_infinity": "-inf", "nan": "nan"}[name]
        case {"$map": pairs}:
            return frozenset((comparable(key), comparable(value)) for key, value in pairs)
        case list():
            return tuple(map(comparable, term))
        case _:
            return type(term), term


def as_original(value):
    """Return our ``value`` as the original understands it: a str is its code points, the empty one the empty list."""
    match value:
        case bytes():
            return value
        case str():
            return tuple((int, ord(char)) for char in value)
        case float():
            return "float", repr(value)
        case dict():
            return frozenset((as_original(key), as_original(each)) for key, each in value.items())
        case list():
            return tuple(map(as_original, value))
        case _:
            return type(value), value


def known(message, payload):
    """Return what ``message`` has of ``payload``, told of it, as we send it on.

    That is the fields that its class has and that are not nil, which here is the same as not there. A key that came as
    str, which the original does not understand, is the same key here, if it did not come as bin too.
    """
    told = {key: value for key, value in payload if value != NIL}
    found = {
        field: told.get(field.name.encode(), told.get(as_original(field.name), NIL)) for field in fields(type(message))
    }
    return frozenset(
        (field.name.encode(), meant(field.type.__metadata__[0], value, getattr(message, field.name)))
        for field, value in found.items()
        if value != NIL
    )


def meant(kind, value, ours):
    """Return ``value``, told of a field of this ``kind`` that is ``ours`` here, as we send it on: texts are bin."""
    match kind:
        case AnyValue() | Integer() | Boolean():
            return value
        case ListOf():
            return tuple(meant(kind.kind, item, each) for item, each in zip(value, ours, strict=True))
        case Record():
            return known(ours, value)
        case _:
            return value if isinstance(value, bytes) else "".join(chr(char) for _, char in value).encode()
