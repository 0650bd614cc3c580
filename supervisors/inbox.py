"""How Pykka's envelopes come into a mailbox."""

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from supervisors._pykka import ActorDeadError, ActorFuture, is_stop_message
from supervisors.exit_reason import ExitReason
from supervisors.messages import From

if TYPE_CHECKING:
    from supervisors.process import Process

__all__ = ["AskFrom", "Inbox"]


class AskFrom(From):
    """A caller that used Pykka's ``ask``: its future is one that any thread may wait for."""

    __slots__ = ("envelope",)

    def __init__(self, envelope: Any, server: "Process") -> None:
        future: ActorFuture[Any] = envelope.reply_to
        super().__init__(envelope.message, server.ref, future.promise, None)
        self.envelope = envelope

    @override
    def server_down(self, reason: ExitReason) -> None:
        if is_stop_message(self.envelope):
            self._settle(None, None)  # it stopped, which is what was asked for
        else:
            super().server_down(reason)

    @override
    def _down_error(self, reason: ExitReason) -> Exception:
        return ActorDeadError(f"{self._server} stopped before handling the message: {reason!r}")


class Inbox:
    """The door for Pykka's envelopes into a process's mailbox. Any thread may put."""

    __slots__ = ("_process",)

    def __init__(self, process: "Process") -> None:
        self._process = process

    def put(self, envelope: Any, /) -> None:
        """Deliver ``envelope``."""
        self._process.system.run_in_loop(self._process.receive_envelope, envelope)

    def get(self) -> Any:
        """Raise: the process takes its messages itself."""
        raise NotImplementedError

    def empty(self) -> bool:
        """Tell whether no message waits."""
        return self._process.mailbox_length == 0
