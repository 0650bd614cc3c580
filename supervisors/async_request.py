"""Calls whose answer is asked for later: one process asks many servers at once, or goes on with its work meanwhile.

Where Erlang returns ``{reply, R}``, ``timeout`` or ``{error, {Reason, _}}``, the reply is returned here, or
`CallTimeoutError` or `ServerDownError` raised, as `call` does. The answer to a process that asked comes into its
mailbox as a `Response`. A callback that awaits the answer takes it out of there; one left alone reaches
``handle_info``, which looks at it with `check_response`. Code outside processes awaits its answers.

Erlang: gen_server's send_request/2, receive_response/2, wait_response/2, check_response/2, reqids_new/0 and so on.
"""

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Generic, TypeVar

from typing_extensions import override

from supervisors.errors import CallTimeoutError, OverloadedError, ServerDownError
from supervisors.exit_reason import NoProcess
from supervisors.messages import NO_REPLY, From
from supervisors.names import Server, resolve
from supervisors.process import Process

__all__ = [
    "RequestId",
    "RequestIds",
    "Response",
    "check_response",
    "receive_response",
    "send_request",
    "wait_response",
]

Label = TypeVar("Label")

_arrivals = itertools.count(1)


class RequestId:
    """Names one request. Its answer can be awaited on the loop that ran when it was sent.

    Attributes:
        arrival: numbers the answers in the order they came; 0 while there is none.
    """

    __slots__ = (
        "_answered",
        "_asker",
        "_error",
        "_from",
        "_loop",
        "_thread",
        "_value",
        "arrival",
        "request",
        "server",
    )

    def __init__(self, server: Server, request: object) -> None:
        self.server = server
        self.request = request
        self.arrival = 0
        self._asker = asker = Process.caller()
        self._loop = asyncio.get_running_loop() if asker is None else asker.loop
        self._thread = get_ident()
        self._from: From | None = None
        self._value: Any = NO_REPLY
        self._error: BaseException | None = None
        self._answered: asyncio.Future[None] | None = None  # made for who waits

    @override
    def __repr__(self) -> str:
        return f"<RequestId to {self.server}>"

    def result(self) -> Any:
        """Return the answer that has come.

        Raises:
            ServerDownError: there was no such process, or it ended before it answered.
            OverloadedError: its mailbox was full.
            CallTimeoutError: the answer was abandoned.
            Exception: what ``handle_call`` refused the request with.
            TimeoutError: no answer has come.
        """
        if not self.arrival:
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value

    # What `From` does with a future, in the server's thread

    def done(self) -> bool:
        """Tell whether the answer has come, or the process that asked has ended."""
        return self.arrival > 0 or (self._asker is not None and not self._asker.ref.is_alive())

    def set_result(self, value: object) -> None:
        """Take the answer."""
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        """Take the error that is the answer."""
        self._settle(NO_REPLY, error)

    def _settle(self, value: object, error: BaseException | None) -> None:
        if get_ident() != self._thread:
            with suppress(RuntimeError):  # the asker's loop is closed
                self._loop.call_soon_threadsafe(self._settle, value, error)
        elif not self.arrival:
            self._value, self._error = value, error
            self.arrival = next(_arrivals)
            self._from = None
            if self._answered is not None and not self._answered.done():
                self._answered.set_result(None)
            if self._asker is not None:
                self._asker.deliver(Response(self))

    def _send(self, process: Process) -> None:
        """Deliver the request to ``process``; in its thread."""
        asker = self._asker
        self._from = from_ = From(self.request, process.ref, self, None if asker is None else asker.ref)
        bound = process.max_mailbox
        if not process.ref.is_alive():
            from_.server_down(NoProcess())
        elif bound is not None and process.mailbox_length >= bound:
            from_.refuse(OverloadedError(self.server, bound, self.request))
        else:
            process.deliver_call(from_, from_)

    def _waiter(self) -> asyncio.Future[None]:
        """Return what is done when the answer has come."""
        if self._answered is None:
            self._answered = self._loop.create_future()
            if self.arrival:
                self._answered.set_result(None)
        return self._answered

    def _take(self) -> None:
        """Take the answer out of the mailbox that it came into."""
        if self._asker is not None and self._asker is Process.caller():
            self._asker.take_out(lambda message: isinstance(message, Response) and message.reqid is self)

    def _abandon(self, error: CallTimeoutError) -> None:
        """Have an answer that has not come yet dropped when it does."""
        if self._from is not None:
            self._asker = None
            self._from.refuse(error)


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """The answer to ``reqid`` has come: given to ``handle_info`` of the process that asked, if it awaits none."""

    reqid: RequestId


def send_request(server: Server, request: object) -> RequestId:
    """Send ``request`` to ``server``'s ``handle_call`` and do not wait. Never fails: its `RequestId` tells."""
    reqid = RequestId(server, request)
    ref = resolve(server)
    process = None if ref is None else ref._process
    if process is None:
        reqid.set_exception(ServerDownError(NoProcess(), server, request))
    else:
        process.system.run_in_loop(reqid._send, process)
    return reqid


async def wait_response(reqid: RequestId, timeout: float | None = None) -> Any:
    """Wait up to ``timeout`` seconds, None for ever, for the answer; it may be waited for again. Safe to cancel.

    Raises:
        CallTimeoutError: it has not come in time.
        ServerDownError: there was no such process, or it ended before it answered.
        OverloadedError: its mailbox was full.
        Exception: what ``handle_call`` refused the request with.
    """
    await asyncio.wait([reqid._waiter()], timeout=timeout)
    if not reqid.arrival:
        raise CallTimeoutError(reqid.server, reqid.request, timeout or 0.0)
    reqid._take()
    return reqid.result()


async def receive_response(reqid: RequestId, timeout: float | None = None) -> Any:
    """Wait for the answer as `wait_response` does; one that has not come in time is dropped when it comes."""
    try:
        return await wait_response(reqid, timeout)
    except CallTimeoutError as error:
        reqid._abandon(error)
        raise


def check_response(message: object, reqid: RequestId) -> Any:
    """Return the answer to ``reqid`` if ``message``, a ``handle_info`` argument, is that; else `NO_REPLY`.

    Raises:
        ServerDownError: there was no such process, or it ended before it answered.
        OverloadedError: its mailbox was full.
        Exception: what ``handle_call`` refused the request with.
    """
    return reqid.result() if isinstance(message, Response) and message.reqid is reqid else NO_REPLY


class RequestIds(Generic[Label]):
    """Requests under way, each with a label. ``len`` counts them; one whose answer was taken is in it no more.

    The answer itself, or the error, is that of ``reqid.result()``. Erlang: a request id collection.
    """

    def __init__(self) -> None:
        self._labels: dict[RequestId, Label] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, reqid: RequestId, label: Label) -> None:
        """Put ``reqid`` in.

        Raises:
            ValueError: it is in already.
        """
        if reqid in self._labels:
            msg = f"{reqid} is in already"
            raise ValueError(msg)
        self._labels[reqid] = label

    async def wait(self, timeout: float | None = None) -> tuple[Label, RequestId] | None:
        """Wait up to ``timeout`` seconds for the next answer, and take the first that came. Safe to cancel.

        Returns:
            Its label and request id; None when no request is in, at once.

        Raises:
            CallTimeoutError: none came in time.
        """
        if not self._labels:
            return None
        waiting = [reqid._waiter() for reqid in self._labels]
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        answered = [reqid for reqid in self._labels if reqid.arrival]
        if not answered:
            servers, requests = zip(*((reqid.server, reqid.request) for reqid in self._labels), strict=True)
            raise CallTimeoutError(servers, requests, timeout or 0.0)
        return self._take(min(answered, key=lambda reqid: reqid.arrival))

    async def receive(self, timeout: float | None = None) -> tuple[Label, RequestId] | None:
        """Wait as `wait` does; when none came in time, all are abandoned, and none is in any more."""
        try:
            return await self.wait(timeout)
        except CallTimeoutError as error:
            for reqid in self._labels:
                reqid._abandon(error)
            self._labels.clear()
            raise

    def check(self, message: object) -> tuple[Label, RequestId] | None:
        """Take the answer that ``message``, a ``handle_info`` argument, is; None when it answers none of these."""
        if isinstance(message, Response) and message.reqid in self._labels:
            return self._take(message.reqid)
        return None

    def _take(self, reqid: RequestId) -> tuple[Label, RequestId]:
        reqid._take()
        return self._labels.pop(reqid), reqid
