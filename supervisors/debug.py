"""What may be hung around a process, to look at it or to break it.

Erlang: the debug functions of sys.
"""

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from supervisors.process import Process

__all__ = ["Debug"]


class Debug(Protocol):
    """Looks at, or meddles with, what a process does; see `sys` and `faults`."""

    def arriving(self, process: "Process", message: object) -> Iterable[tuple[float, object]]:
        """Return what is to be put into the mailbox instead of ``message``, each after so many seconds."""

    def before(self, process: "Process", callback: str, message: object) -> "Awaitable[None] | None":
        """Run before ``callback``; what it raises, the callback raises; what it returns is awaited first."""

    def after(self, process: "Process", callback: str, message: object, result: object) -> None:
        """Run after ``callback`` returned ``result``."""
