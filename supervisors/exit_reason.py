"""Why a process ended.

Erlang: the exit reasons of links, monitors and supervisors. Any value may be an exit reason; the ones here are
those that the runtime itself gives or understands.
"""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "AlreadyStarted",
    "Crashed",
    "ExitReason",
    "FailedToStartChild",
    "Kill",
    "Killed",
    "NoProcess",
    "Normal",
    "Shutdown",
    "is_abnormal",
    "to_exit_reason",
]

ExitReason: TypeAlias = object


@dataclass(frozen=True, slots=True)
class Normal:
    """The process had nothing more to do. Harmless to linked processes."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The process was told to end, by its supervisor as a rule.

    ``detail`` is Erlang's ``{shutdown, Term}``; None is the plain ``shutdown``.
    """

    detail: object = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Sent with `exit_signal`: cannot be trapped, and seen by others as `Killed`."""


@dataclass(frozen=True, slots=True)
class Killed:
    """The process was ended by a `Kill` signal."""


@dataclass(frozen=True, slots=True)
class NoProcess:
    """There is no such process: it ended before, or never was. Erlang: ``noproc``."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """A callback raised ``error`` and nobody caught it."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class AlreadyStarted:
    """The name wanted is held by ``ref``. Erlang: ``{already_started, Pid}``."""

    ref: object


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Child ``id`` of a supervisor did not start, for ``reason``; found in `Shutdown.detail`."""

    id: object
    reason: ExitReason


def is_abnormal(reason: ExitReason) -> bool:
    """Tell whether ``reason`` is a failure: whether a transient child that ends with it is restarted."""
    return not isinstance(reason, Normal | Shutdown)


def to_exit_reason(value: object) -> ExitReason:
    """Return ``value`` as an exit reason: an exception becomes `Crashed`.

    Raises:
        TypeError: ``value`` is None, or a class: the reason is an instance of it (``Normal()``, not ``Normal``).
    """
    if value is None:
        msg = "an exit reason is a value, such as Normal(), not None"
        raise TypeError(msg)
    if isinstance(value, BaseException):
        return Crashed(value)
    if isinstance(value, type):
        msg = f"an exit reason is a value: write {value.__name__}(), not {value.__name__}"
        raise TypeError(msg)
    return value
