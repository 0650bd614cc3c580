"""Has something asked of another server each time that server has started anew. Erlang: the wiring that D-06 lacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

from macula_actors.errors import MaculaError
from supervisors import CallError, Down, MonitorRef, RequestId, Response, current, monitor, send_after, send_request
from supervisors import whereis as find

__all__ = ["Follower"]

RESTART_TIME: Final = 0.1  # seconds that the other server is given to be restarted
RETRY_AFTER: Final = 1.0  # seconds until a server that has refused is asked again


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """Time to look for the server again."""

    follower: "Follower"


class Follower:
    """Sends ``requests()`` to the server named ``server``, now and whenever there is a new process of that name.

    It belongs to the current process, which gives `takes` what comes to its ``handle_info``.

    Args:
        server: its name.
        requests: what is asked of it.
        answered: called with each answer.
    """

    def __init__(
        self,
        server: str,
        requests: Callable[[], Sequence[object]],
        answered: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._server = server
        self._requests = requests
        self._answered = answered
        self._monitor: MonitorRef | None = None
        self._asked: set[RequestId] = set()
        self._is_retrying = False
        self._has_failed = False
        self.is_done = False
        self._begin()

    def takes(self, info: object) -> bool:
        """Do what ``info`` asks for, if it is for this one; return whether it was."""
        match info:
            case Down(monitor=down) if down is self._monitor:
                self._ended()
            case Response(request) if request in self._asked:
                self._asked.discard(request)
                self._take(request)
            case _TryAgain(follower) if follower is self:
                self._is_retrying = False
                self._begin()
            case _:
                return False
        return True

    def _begin(self) -> None:
        server = find(self._server)
        if server is None:
            self._try_again(RESTART_TIME)
            return
        if self._monitor is None:
            self._monitor = monitor(server)
        self._has_failed = False
        self._asked = {send_request(server, request) for request in self._requests()}

    def _ended(self) -> None:
        self._monitor = None
        self._asked.clear()
        self.is_done = False
        self._try_again(RESTART_TIME)

    def _try_again(self, delay: float) -> None:
        if not self._is_retrying:
            self._is_retrying = True
            send_after(delay, current(), _TryAgain(self))

    def _take(self, request: RequestId) -> None:
        try:
            answer = request.result()
        except (CallError, MaculaError) as error:
            logger.warning("{} does not take what is asked of it at each start: {}", self._server, error)
            self._has_failed = True
        else:
            self._answered(answer)
        if self._asked:
            return
        self.is_done = not self._has_failed
        if self._has_failed:
            self._try_again(RETRY_AFTER)
