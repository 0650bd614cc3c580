"""What the original's functions were given and returned: Erlang terms, read from JSON."""

import json
import os
from pathlib import Path

OWN_VECTORS = Path(__file__).parent / "vectors"
VECTORS = Path(os.environ.get("MACULA_VECTORS", OWN_VECTORS))
REFUSED = "refused"  # what a raised error and {error, Reason} have in common


class Atom(str):
    """An Erlang atom; binaries are bytes, so the two are never equal."""

    __slots__ = ()


def read(name, folder=VECTORS):
    """Return the JSON of the file ``name``."""
    return json.loads((folder / name).read_text())


def to_term(value):
    """Return the term that ``value`` writes: bytes, `Atom`, tuple, dict, list, int, float, bool or None."""
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
            return {to_term(key): to_term(each) for key, each in pairs}
        case list():
            return list(map(to_term, value))
        case _:
            return value


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
