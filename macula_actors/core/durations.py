"""Durations that a program gives, looked at where they come in: a process that met a bad one would crash."""

from math import ceil, inf
from typing import Final

from macula_actors.core.kademlia.record import MAX_TTL
from macula_actors.errors import BadArgumentError

__all__ = ["lifetime", "patience"]

_SHOWN: Final = 80  # characters of a value that is none


def patience(timeout: float) -> float:
    """Return ``timeout``, in seconds. One that is not above 0 is over before it begins.

    Raises:
        ValueError: it is no finite number.
    """
    if not _is_number(timeout):
        raise ValueError(f"timeout is {_shown(timeout)}; allowed is a finite number of seconds")
    return float(timeout)


def lifetime(ttl: float) -> int:
    """Return the whole seconds, none fewer than ``ttl``, for which a record is to live.

    Raises:
        BadArgumentError: ``bad_ttl``: it is no number above 0, or more than MAX_TTL.
    """
    if not _is_number(ttl) or not 0 < ttl <= MAX_TTL:
        detail = f"ttl is {_shown(ttl)}; allowed is a number of seconds above 0, at most {MAX_TTL}"
        raise BadArgumentError("bad_ttl", detail)
    return ceil(ttl)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < inf


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]
