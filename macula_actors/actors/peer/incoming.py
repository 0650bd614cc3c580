"""What the peer sends over one connection: given to the server that handles it, whose answer goes back."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from macula_actors.core.peer.close_codes import CloseCode, code_of
from macula_actors.core.peer.peer_streams import PeerStreams
from macula_actors.core.peer.v08 import is_told_to_v08
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Call, Error, Message, Ping, Pong, RpcRoute
from macula_actors.errors import (
    LocalProtocolError,
    MaculaError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    RemoteProtocolError,
)
from macula_actors.messages.peer import Abandoned, Inbound
from macula_actors.transport.connection import Connection
from supervisors import CallError, RequestId, cast, send_request

__all__ = ["Incoming"]


class _Handling(NamedTuple):
    stream_id: int
    length: int  # of the payload, in bytes
    since: float
    server: str


class Incoming:
    """The messages of the peer that are being handled.

    One whose stream the peer has cut counts until its server has answered: else a peer that gives up at once could keep
    the servers busy without bound.

    Args:
        link: the connection.
        routes: which server handles which message.
        max_handling: how many may be handled at once; one more is refused.
        max_handling_bytes: how many bytes their payloads may have together.
        handling_timeout: seconds that a server may take.
        is_open: whether the peer may be of v0.8: it asks again on the same stream, and bears few errors.
        now: the System's clock.
        wall_clock_ms: the time of day, for who asks.
    """

    def __init__(
        self,
        link: Connection,
        routes: Mapping[type[Message], str],
        *,
        max_handling: int,
        max_handling_bytes: int,
        handling_timeout: float,
        is_open: bool,
        now: Callable[[], float],
        wall_clock_ms: Callable[[], int],
    ) -> None:
        self._link = link
        self._routes = routes
        self._max_handling = max_handling
        self._max_handling_bytes = max_handling_bytes
        self._bytes = 0
        self._is_open = is_open
        self._streams = PeerStreams(is_shared=is_open)
        self._handling_timeout = handling_timeout
        self._now = now
        self._wall_clock_ms = wall_clock_ms
        self._handling: dict[RequestId, _Handling] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._handling)

    def handle(self, stream_id: int, inbound: Inbound, length: int, *, end_stream: bool) -> bool:
        """Have a message, whose payload had ``length`` bytes, handled and answered on its stream.

        Returns:
            False: nothing is done, since the stream has had its one message.
        """
        if not self._streams.asked(stream_id, end_stream=end_stream):
            return False
        self._dispatch(stream_id, inbound, length)
        return True

    def ended(self, stream_id: int) -> None:
        """Answer the end of a stream, without a message, with its end: after the last answer on it."""
        if self._streams.ended(stream_id):
            self._link.finish_stream(stream_id)

    def refuse(self, stream_id: int, error: RemoteProtocolError, *, end_stream: bool) -> None:
        """Tell the peer what is wrong with what it sent on a stream, unless v0.8 would not."""
        is_told = not self._is_open or is_told_to_v08(error)
        ends = not self._is_open or (end_stream and self._streams.ended(stream_id))
        self._send(stream_id, encode(error_message(error)) if is_told else b"", ends=ends)

    def _dispatch(self, stream_id: int, inbound: Inbound, length: int) -> None:
        message = inbound.message
        if isinstance(message, Ping):
            clock_ms = self._wall_clock_ms()
            timestamp = clock_ms if message.timestamp is None else message.timestamp
            self.answer(stream_id, Pong(timestamp=timestamp, server_time=clock_ms))
            return
        server = self._routes.get(type(message))
        if server is None:
            self.answer(stream_id, _error("unsupported", f"this node handles no {type(message).__name__}"))
        elif len(self._handling) >= self._max_handling:
            self.answer(stream_id, error_message(OverloadedError("messages being handled", self._max_handling)))
        elif self._bytes + length > self._max_handling_bytes:
            self.answer(stream_id, error_message(OverloadedError("bytes being handled", self._max_handling_bytes)))
        else:
            self._bytes += length
            request = send_request(server, inbound)
            self._handling[request] = _Handling(stream_id, length, self._now(), server)

    def abandoned(self, stream_id: int) -> None:
        """Tell who works for the peer's requests on a stream, which was cut, that nobody waits for the answers."""
        self._streams.failed(stream_id)
        for request, handling in self._handling.items():
            if handling.stream_id == stream_id and (call := _call_in(request.request)) is not None:
                cast(handling.server, call)

    def answered(self, request: RequestId) -> None:
        """Send what the server of ``request`` answered, or why it did not."""
        handling = self._handling.pop(request, None)
        if handling is None:
            return
        self._bytes -= handling.length
        try:
            self.answer(handling.stream_id, request.result())
        except LocalProtocolError as error:
            self.answer(handling.stream_id, _error("internal", f"an answer that can't be sent: {error.code}"))
        except MaculaError as error:
            self.answer(handling.stream_id, error_message(error))
        except CallError:
            self.answer(handling.stream_id, _error("unavailable", "what handles this is not there at present"))
        except Exception as error:  # whatever the server refused the message with
            self.answer(handling.stream_id, _error("handler_error", type(error).__name__))

    def expire(self) -> None:
        """Answer for servers that take too long; what they answer later is dropped."""
        while self._handling:
            request, handling = next(iter(self._handling.items()))
            if self._now() - handling.since < self._handling_timeout:
                return
            del self._handling[request]
            self._bytes -= handling.length
            self.answer(handling.stream_id, _error("timeout", f"no answer within {self._handling_timeout:g} s"))

    def answer(self, stream_id: int, message: Message | None) -> None:
        """Answer what the peer has asked on a stream with ``message``, or only with the end of the stream.

        Raises:
            LocalProtocolError: ``message`` holds what it must not; the peer is still to be answered.
        """
        frame = b"" if message is None else encode(message)
        self._send(stream_id, frame, ends=self._streams.answered(stream_id))

    def _send(self, stream_id: int, frame: bytes, *, ends: bool) -> None:
        """Send ``frame``, which may be empty. A peer that reads nothing gets none."""
        if not self._link.has_room():
            self._streams.failed(stream_id)
            self._link.abandon_stream(stream_id, CloseCode.OVERLOADED)
        elif frame or ends:
            # RFC 896, as for requests: with others being handled it may wait to share a packet
            self._link.send(stream_id, frame, end_stream=ends, at_once=bool(frame) and not self._handling)


def _call_in(request: object) -> Abandoned | None:
    match request:
        case Inbound(_, Call(call_id=call_id) | RpcRoute(payload=Call(call_id=call_id)), connection):
            return Abandoned(connection, call_id)
        case _:
            return None


def error_message(error: MaculaError) -> Error:
    """Return ``error`` as the peer is told of it."""
    if isinstance(error, ProtocolError | RefusedError):
        return _error(error.code, error.detail)
    return _error(code_of(error).label, str(error))


def _error(code: str, text: str) -> Error:
    return Error(code=code, message=text[:1024])
