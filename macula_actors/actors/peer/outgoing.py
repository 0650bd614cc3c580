"""The exchanges that this node began over one connection: each on a stream of its own, or waiting for one."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from macula_actors.core.peer.close_codes import CloseCode, message_refused
from macula_actors.core.wire.messages import Error, Message, Subscribe
from macula_actors.errors import MaculaError, OverloadedError, RemoteProtocolError
from macula_actors.messages.peer import Exchange
from macula_actors.transport.connection import Connection
from supervisors import From

__all__ = ["Outgoing"]


class _Open(NamedTuple):
    exchange: Exchange
    from_: From

    def is_wanted(self, now: float) -> bool:
        return self.from_.is_waiting and now < self.exchange.deadline


class Outgoing:
    """The exchanges in flight and in the queue.

    Args:
        link: the connection.
        max_queued: how many may wait for a stream.
        max_queued_bytes: how many bytes they may have.
        ends_requests: whether a stream is ended with the request, as ours are; v0.8 ends it after the answer.
    """

    def __init__(self, link: Connection, *, max_queued: int, max_queued_bytes: int, ends_requests: bool) -> None:
        self._link = link
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._ends_requests = ends_requests
        self._open: dict[int, _Open] = {}
        self._queue: deque[_Open] = deque()
        self._queued_bytes = 0
        self._event_stream: int | None = None  # of a client of v0.8

    def __len__(self) -> int:
        return len(self._open) + len(self._queue)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._open

    def begin(self, exchange: Exchange, from_: From) -> None:
        """Send ``exchange`` on a stream now or when there is one. ``from_`` gets the outcome, a refusal at once.

        What asks for an answer is not sent if who asked has ended meanwhile. Other messages are: they may be of use.
        """
        if exchange.wants_reply and not from_.is_waiting:
            from_.close()
            return
        waiting = _Open(exchange, from_)
        if not self._queue and self._start(waiting):
            return
        if len(self._queue) >= self._max_queued:
            from_.refuse(OverloadedError("exchanges that wait for a stream", self._max_queued))
        elif self._queued_bytes + len(exchange.frame) > self._max_queued_bytes:
            from_.refuse(OverloadedError("bytes that wait for a stream", self._max_queued_bytes))
        else:
            self._queue.append(waiting)
            self._queued_bytes += len(exchange.frame)

    def pump(self, now: float) -> None:
        """Begin what waits, as far as there are streams; what nobody waits for is dropped."""
        while self._queue:
            first = self._queue[0]
            if not first.is_wanted(now):
                first.from_.close()
            elif not self._start(first):
                return
            self._queued_bytes -= len(self._queue.popleft().exchange.frame)

    def answer(self, stream_id: int, message: Message | None, *, end_stream: bool) -> bool:
        """Take what came on a stream; None is the stream's end without a message. False: it is no exchange's."""
        if message is None and not end_stream:
            return stream_id in self._open
        done = self._open.pop(stream_id, None)
        if done is None:
            return False
        if not (end_stream and self._ends_requests):
            self._link.finish_stream(stream_id)
        if isinstance(message, Error):
            done.from_.refuse(message_refused(message.code, message.message))
        elif message is None and done.exchange.wants_reply:
            done.from_.refuse(RemoteProtocolError("no_answer", "the peer ended the stream without an answer"))
        else:
            done.from_.reply(message)
        return True

    def heard(self, stream_id: int, message: Message | None, *, end_stream: bool) -> None:
        """Take note of what a peer of v0.8 asks on a stream, or that it ends it: where it is to be sent its events."""
        if end_stream:
            self.cut(stream_id)
        elif isinstance(message, Subscribe):
            self._event_stream = stream_id

    def cut(self, stream_id: int) -> None:
        """Take note that nothing more can be sent on a stream of the peer's."""
        if stream_id == self._event_stream:
            self._event_stream = None

    def fail(self, stream_id: int, error: MaculaError) -> None:
        """Give the exchange on a stream up because of ``error``."""
        self._open.pop(stream_id).from_.refuse(error)

    def expire(self, now: float) -> None:
        """Stop the exchanges that nobody waits for any more: the peer hears of it, and may stop its work."""
        for stream_id in [stream_id for stream_id, open_ in self._open.items() if not open_.is_wanted(now)]:
            self._open.pop(stream_id).from_.close()  # who has ended without a word can't do it itself
            self._link.abandon_stream(stream_id, CloseCode.NORMAL)

    def fail_all(self, error: MaculaError) -> None:
        """Give every exchange up because of ``error``."""
        for open_ in self._all():
            open_.from_.refuse(error)
        self._open.clear()
        self._queue.clear()
        self._queued_bytes = 0

    def _all(self) -> Iterator[_Open]:
        yield from self._open.values()
        yield from self._queue

    def _start(self, waiting: _Open) -> bool:
        """Begin an exchange; False if it must wait."""
        link = self._link
        if not link.has_room():
            return False
        exchange = waiting.exchange
        if exchange.is_event and self._event_stream is not None:
            link.send(self._event_stream, exchange.frame, end_stream=False)
            waiting.from_.reply(None)
            return True
        stream_id = link.open_stream()
        if stream_id is None:
            return False
        # RFC 896: with others under way it may wait to share a packet
        link.send(stream_id, exchange.frame, end_stream=self._ends_requests, at_once=not self._open)
        if self._ends_requests or exchange.wants_reply:
            self._open[stream_id] = waiting
        else:
            link.finish_stream(stream_id)  # v0.8 answers nothing, not even that it has taken it
            waiting.from_.reply(None)
        return True
