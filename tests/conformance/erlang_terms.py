"""What the original's functions were given and returned: Erlang terms, read from JSON."""

import json
import os
from pathlib import Path

import pytest

OWN_VECTORS = Path(__file__).parent / "vectors"
REFUSED = "refused"  # what a raised error and {error, Reason} have in common


def folder_in(environment):
    """Return the folder of vectors that ``environment`` names; ours, if it names none.

    Raises:
        NotADirectoryError: what it names is no folder.
    """
    folder = Path(environment.get("MACULA_VECTORS") or OWN_VECTORS)
    if not folder.is_dir():
        raise NotADirectoryError(f"MACULA_VECTORS is {str(folder)!r}; a folder with files like those in {OWN_VECTORS}")
    return folder


VECTORS = folder_in(os.environ)


class Atom(str):
    """An Erlang atom; binaries are bytes, so the two are never equal."""

    __slots__ = ()


class Chars(tuple):
    """An Erlang list that is a key of a map."""

    __slots__ = ()


class Opaque:
    """An Erlang term that nothing here stands for, a pid for one; equal to itself only."""


def read(name, folder=VECTORS):
    """Return the entries of the files ``name`` in ``folder`` and in its ``more``; none if there are no such files."""
    files = (folder / name, folder / "more" / name)
    return [entry for file in files if file.exists() for entry in json.loads(file.read_text())]


def each_of(names, params, *files):
    """Parametrize a test with ``params``, which are of ``files``; if there are none it is skipped, and says why."""
    why = pytest.mark.skip(reason=f"{VECTORS} has no entries for this in {' and '.join(files)}")
    absent = pytest.param(*(None for _ in names), marks=why, id="none")
    return pytest.mark.parametrize(names, list(params) or [absent])


def to_term(value):
    """Return the term that ``value`` writes: bytes, `Atom`, tuple, dict, list, int, float, bool, None or `Opaque`."""
    match value:
        case {"$bin": text}:
            return bytes.fromhex(text)
        case {"$atom": text}:
            return Atom(text)
        case {"$float": text}:
            return float(text)
        case {"$tuple": items}:
            return tuple(map(to_term, items))
        case {"$map": pairs}:
            return {to_key(to_term(key)): to_term(each) for key, each in pairs}
        case dict():
            return Opaque()
        case list():
            return list(map(to_term, value))
        case _:
            return value


def to_key(term):
    match term:
        case list() if all(isinstance(item, int) for item in term):
            return Chars(term)
        case list() | dict() | tuple():
            return Opaque()
        case _:
            return term


def text(term):
    """Return the string that a binary or a char list is.

    Raises:
        ValueError: it is neither, or no UTF-8.
    """
    match term:
        case bytes():
            return term.decode()
        case list() if all(isinstance(item, int) for item in term):
            return bytes(term).decode()
        case _:
            raise ValueError(f"{term!r} is no text")


def binary(term):
    """Return ``term``.

    Raises:
        ValueError: it is no binary.
    """
    if not isinstance(term, bytes):
        raise ValueError(f"{term!r} is no binary")
    return term


def outcome(entry):
    """Return what the original answered: REFUSED, or the value without the ``ok`` around it; of a bare ``ok``, None."""
    match to_term(entry.get("result", {"$tuple": [{"$atom": "error"}]})):
        case ("error", *_):
            return REFUSED
        case ("ok", value):
            return value
        case ("ok", *values):
            return tuple(values)
        case Atom("ok"):
            return None
        case value:
            return value
