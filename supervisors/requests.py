"""What is asked of a supervisor, and what it asks of itself."""

from dataclasses import dataclass

from supervisors.child_specs import ChildSpec

__all__ = [
    "CountChildren",
    "DeleteChild",
    "GetChildSpec",
    "RestartChild",
    "StartChild",
    "TerminateChild",
    "TryAgain",
    "WhichChildren",
]


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start ``spec``; under simple_one_for_one, the template with these arguments after its own."""

    spec: ChildSpec | object


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Stop the child ``id``."""

    id: object


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start the stopped child ``id``."""

    id: object


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Forget the stopped child ``id``."""

    id: object


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """List the children."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Count the children."""


@dataclass(frozen=True, slots=True)
class GetChildSpec:
    """Return the spec of the child ``id``."""

    id: object


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Go on with the restart of the child kept as ``key``."""

    key: object
