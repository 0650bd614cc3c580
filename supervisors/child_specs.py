"""What a supervisor must know of a child, checked when it is written down.

Erlang: ``supervisor:child_spec()``.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any, Final, TypeAlias

from typing_extensions import override

from supervisors.errors import ChildSpecError

__all__ = [
    "BRUTAL_KILL",
    "DEFAULT_SHUTDOWN",
    "INFINITY",
    "BrutalKill",
    "ChildSpec",
    "ChildType",
    "Class",
    "Patience",
    "Restart",
    "Start",
    "check_childspecs",
    "child_key",
]

INFINITY: Final = math.inf
DEFAULT_SHUTDOWN: Final = 5.0  # seconds; supervisor(3erl), shutdown

Class: TypeAlias = type[Any]  # a field named `type` hides the builtin
Start: TypeAlias = Callable[..., Awaitable[Any]]


class BrutalKill(Enum):
    """The type of BRUTAL_KILL."""

    BRUTAL_KILL = "brutal_kill"

    @override
    def __repr__(self) -> str:
        return "BRUTAL_KILL"


BRUTAL_KILL: Final = BrutalKill.BRUTAL_KILL
Patience: TypeAlias = float | BrutalKill


class Restart(StrEnum):
    """When an ended child is started again: always, after a failure, never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class ChildType(StrEnum):
    """Whether a child supervises others; counted apart, and given all the time it needs to stop."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child.

    Args:
        id: names the child among its siblings; hashable. 1, 1.0 and True are three different ids.
        start: called in the supervisor's process, awaited there, and so links the child to it. Returns its
            ref, ``(ref, extra)``, or None when the child's ``init`` returned `Ignore`.
        restart: see `Restart`.
        shutdown: seconds given to the child to end before it is killed, 0 for none at all; INFINITY; or BRUTAL_KILL.
            Default: 5 s for a worker, INFINITY for a supervisor.
        type: see `ChildType`.
        significant: the child's own end may end the supervisor, see `AutoShutdown`.
        modules: the classes that the child is made of; information only.

    Raises:
        ChildSpecError: a field has a value that it cannot have.
    """

    id: object
    start: Start = None  # type: ignore[assignment]  # checked below, so that the error is ours
    restart: Restart = Restart.PERMANENT
    shutdown: Patience = None  # type: ignore[assignment]  # the default depends on type
    type: ChildType = ChildType.WORKER
    significant: bool = False
    modules: "Sequence[Class]" = ()

    def __post_init__(self) -> None:
        _require_hashable(self.id)
        if not callable(self.start):
            raise ChildSpecError("start", self.start, "must be a function that returns an awaitable ref")
        _require("restart", self.restart, Restart)
        _require("type", self.type, ChildType)
        if not isinstance(self.significant, bool):
            raise ChildSpecError("significant", self.significant, "must be a bool")
        if self.significant and self.restart is Restart.PERMANENT:
            raise ChildSpecError("significant", self.significant, "a permanent child cannot be significant")
        if not isinstance(self.modules, Sequence) or not all(isinstance(m, type) for m in self.modules):
            raise ChildSpecError("modules", self.modules, "must be a sequence of classes")
        if self.shutdown is None:
            default = INFINITY if self.type is ChildType.SUPERVISOR else DEFAULT_SHUTDOWN
            object.__setattr__(self, "shutdown", default)
        elif self.shutdown is not BRUTAL_KILL and not _is_duration(self.shutdown):
            raise ChildSpecError("shutdown", self.shutdown, "must be seconds >= 0, INFINITY or BRUTAL_KILL")

    def with_args(self, args: Sequence[object]) -> "ChildSpec":
        """Return this spec, its ``start`` called with ``args`` after its own."""
        start = self.start
        return replace(self, start=lambda: start(*args))


def check_childspecs(specs: Iterable[ChildSpec]) -> None:
    """Check a list of child specs as a supervisor would; nothing is started.

    Raises:
        ChildSpecError: ``specs`` is no list of `ChildSpec`, or two have the same id.
    """
    if isinstance(specs, str | bytes) or not isinstance(specs, Iterable):
        raise ChildSpecError("child specs", specs, "must be a list of ChildSpec")
    seen = set()
    for spec in specs:
        if not isinstance(spec, ChildSpec):
            raise ChildSpecError("child spec", spec, "must be a ChildSpec; a class has one: its child_spec()")
        key = child_key(spec.id)
        if key in seen:
            raise ChildSpecError("id", spec.id, "is given to two children")
        seen.add(key)


def child_key(id: object) -> object:  # noqa: A002 -- the field's word
    """Return what tells ids apart by value and type, as Erlang's ``=:=`` does."""
    if isinstance(id, tuple):
        return tuple(map(child_key, id))
    return (id.__class__, id)


def _require(field: str, value: object, kind: type[Enum]) -> None:
    if not isinstance(value, kind):
        names = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise ChildSpecError(field, value, f"must be one of {names}")


def _require_hashable(id: object) -> None:  # noqa: A002
    try:
        hash(id)
    except TypeError:
        raise ChildSpecError("id", id, "must be hashable") from None


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
