"""Names of procedures, topics and realms: segments of ASCII letters, digits, ``_`` and ``-``, joined by dots.

Erlang: macula_names.
"""

import re
from typing import Final

__all__ = [
    "MAX_NAME_LENGTH",
    "is_segment",
    "namespace",
    "normalize",
    "require_length",
    "segment_count",
    "trimmed_lower",
    "validate",
]

MAX_NAME_LENGTH: Final = 255  # characters; as a DNS name (RFC 1035, 2.3.4), and it leaves room in a v0.8 frame
SEPARATOR: Final = "."

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")
_WHITE_SPACE: Final = "\t\n\v\f\r \x85\u200e\u200f\u2028\u2029"  # Unicode's Pattern_White_Space, as in Erlang


def validate(name: str, what: str = "name") -> None:
    """Check that ``name`` is one; upper and lower case are different names.

    Raises:
        ValueError: it is not. The message calls it ``what``.
    """
    require_length(name, what)
    for segment in name.split(SEPARATOR):
        if not is_segment(segment):
            raise ValueError(
                f"{what} {name!r} has the segment {segment!r}; "
                "allowed are ASCII letters, digits, '_' and '-' between dots, at least one"
            )


def require_length(name: str, what: str) -> None:
    """Check the length of ``name``, before anything else is done with it.

    Raises:
        ValueError: it is no text, empty, or longer than MAX_NAME_LENGTH.
    """
    if not isinstance(name, str):
        raise ValueError(f"{what} is a {type(name).__name__}; allowed is a text")  # noqa: TRY004 -- as of all arguments
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"{what} has {len(name)} characters; allowed are 1 to {MAX_NAME_LENGTH}")


def is_segment(text: str) -> bool:
    """Tell whether ``text`` may stand between two dots."""
    return _SEGMENT.fullmatch(text) is not None


def normalize(name: str) -> str:
    """Return ``name`` in lower case, without white space around it and with runs of dots made one. Not validated."""
    return re.sub(r"\.+", SEPARATOR, trimmed_lower(name))


def trimmed_lower(text: str) -> str:
    """Return ``text`` without white space around it, each character in lower case whatever is beside it."""
    # of the whole text, Python would make a final sigma another letter than one that a dot follows
    return "".join(map(str.lower, text.strip(_WHITE_SPACE)))


def namespace(name: str) -> str:
    """Return the first segment of ``name``; of an empty name, the empty string."""
    return name.partition(SEPARATOR)[0]


def segment_count(name: str) -> int:
    """Return how many segments ``name`` has, empty ones counted; none if it is empty itself."""
    return name.count(SEPARATOR) + 1 if name else 0
