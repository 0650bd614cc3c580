"""Tells who holds a node that it has ended. Ours; the original's programs learn nothing of it."""

from collections.abc import Callable

from typing_extensions import override

from macula_actors.messages.names import ROOT
from supervisors import Down, ExitReason, GenServer, Normal, Stop, UnexpectedRequestError, monitor

__all__ = ["RootWatch"]


class RootWatch(GenServer):
    """Calls ``ended`` when the System is stopped, or the root has ended by itself. It starts after the root, beside it.

    Args of `init`:
        ended: must return at once, and raise nothing.
    """

    trap_exit = True  # to be told of its own end

    @override
    def init(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        monitor(ROOT)

    @override
    def handle_info(self, info: object) -> Stop:
        match info:
            case Down():
                return Stop(Normal())
            case _:
                raise UnexpectedRequestError(info)

    @override
    def terminate(self, reason: ExitReason) -> None:
        self._ended()
