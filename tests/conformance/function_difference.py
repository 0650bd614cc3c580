"""What it takes to name a difference between a function of the original's and ours."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance.function_ports import PORTS


@dataclass(frozen=True)
class Difference:
    """Some of the arguments that ``functions`` may be given, and why the original's answer to them is not ours."""

    functions: frozenset
    defect: str
    reason: str
    applies: Callable  # (args, the original's outcome) -> bool


def of(*named):
    """Return the ported functions among ``named``: "module" or "module:function"."""
    return frozenset(key for key in PORTS if key[0] in named or ":".join(key) in named)
