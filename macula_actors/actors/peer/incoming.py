"""What the peer sends over one connection: given to the server that handles it, whose answer goes back."""

from collections.abc import Mapping

from macula_actors.core.peer.close_codes import CloseCode, code_of
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Error, Message, Ping, Pong
from macula_actors.errors import LocalProtocolError, MaculaError, OverloadedError, ProtocolError
from macula_actors.messages.peer import Inbound
from macula_actors.transport.connection import Connection
from supervisors import CallError, Ref, RequestId, send_request

__all__ = ["Incoming"]


class Incoming:
    """The messages of the peer that are being handled.

    Args:
        link: the connection.
        routes: which server handles which message.
        max_handling: how many may be handled at once; one more is refused.
        ends_answers: whether a stream is ended with the answer, as ours are; v0.8 asks again on the same stream.
    """

    def __init__(
        self, link: Connection, routes: Mapping[type[Message], str], *, max_handling: int, ends_answers: bool
    ) -> None:
        self._link = link
        self._routes = routes
        self._max_handling = max_handling
        self._ends_answers = ends_answers
        self._streams: dict[RequestId, int] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def handle(self, stream_id: int, message: Message, peer: PeerInfo, connection: Ref, clock_ms: int) -> None:
        """Have ``message`` handled, and answered on its stream."""
        if isinstance(message, Ping):
            timestamp = clock_ms if message.timestamp is None else message.timestamp
            self.answer(stream_id, Pong(timestamp=timestamp, server_time=clock_ms))
            return
        server = self._routes.get(type(message))
        if server is None:
            self.answer(stream_id, _error("unsupported", f"this node handles no {type(message).__name__}"))
        elif len(self._streams) >= self._max_handling:
            self.answer(stream_id, error_message(OverloadedError("messages being handled", self._max_handling)))
        else:
            self._streams[send_request(server, Inbound(peer, message, connection))] = stream_id

    def answered(self, request: RequestId) -> None:
        """Send what the server of ``request`` answered, or why it did not."""
        stream_id = self._streams.pop(request, None)
        if stream_id is None:
            return
        try:
            self.answer(stream_id, request.result())
        except LocalProtocolError as error:
            self.answer(stream_id, _error("internal", f"an answer that can't be sent: {error.code}"))
        except MaculaError as error:
            self.answer(stream_id, error_message(error))
        except CallError:
            self.answer(stream_id, _error("unavailable", "what handles this is not there at present"))

    def answer(self, stream_id: int, message: Message | None) -> None:
        """Send ``message``, or only the end of the stream. A peer that reads nothing gets none.

        Raises:
            LocalProtocolError: ``message`` holds what it must not.
        """
        if not self._link.has_room():
            self._link.abandon_stream(stream_id, CloseCode.OVERLOADED)
        elif message is not None:
            self._link.send(stream_id, encode(message), end_stream=self._ends_answers)
        elif self._ends_answers:
            self._link.send(stream_id, b"", end_stream=True)


def error_message(error: MaculaError) -> Error:
    """Return ``error`` as the peer is told of it."""
    if isinstance(error, ProtocolError):
        return _error(error.code, error.detail)
    return _error(code_of(error).label, str(error))


def _error(code: str, text: str) -> Error:
    return Error(code=code, message=text[:1024])
