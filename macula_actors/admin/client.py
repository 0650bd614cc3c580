"""Who asks a node over its admin socket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from macula_actors.admin.protocol import MAX_ANSWER_BYTES, AdminError, More, Request, decode_answer, encode_request

__all__ = ["AdminClient", "ask"]

_CONNECT_TIMEOUT: Final = 5.0  # seconds


class AdminClient:
    """A connection to the node whose admin socket is at ``path``; an async context manager. One request at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count(1)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            AdminError: ``not_running``: nobody listens there.
        """
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                self._streams = await asyncio.open_unix_connection(str(self._path), limit=MAX_ANSWER_BYTES + 1)
        except OSError as error:  # a time-out is one too
            reason = error.strerror or "it does not answer"
            raise AdminError("not_running", f"no node listens at {self._path}: {reason}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def stream(self, command: str, /, **arguments: Any) -> AsyncIterator[Any]:
        """Have ``command`` carried out and yield what it tells, until it is done. Close the client to give it up.

        Raises:
            AdminError: as `ask`.
        """
        if self._streams is None:
            raise AdminError("disconnected", "the client is not connected")
        reader, writer = self._streams
        request = Request(next(self._ids), command, arguments)
        writer.write(encode_request(request))
        try:
            while isinstance(answer := await _answer(reader, request.id), More):
                yield answer.value
        except (OSError, EOFError) as error:
            raise AdminError("disconnected", f"the node at {self._path} hung up") from error
        if isinstance(answer, AdminError):
            raise answer

    async def ask(self, command: str, /, *, wait: float | None = 30.0, **arguments: Any) -> Any:
        """Have ``command`` carried out and return its result. If cancelled, close the client: that gives it up.

        Args:
            command: its name.
            wait: seconds for all of it; None: for ever.
            arguments: those of the command.

        Raises:
            AdminError: it failed, as ``kind`` says; or ``disconnected``, ``timeout``, ``too_large``.
        """
        if self._streams is None:
            raise AdminError("disconnected", "the client is not connected")
        reader, writer = self._streams
        request = Request(next(self._ids), command, arguments)
        try:
            async with asyncio.timeout(wait):
                writer.write(encode_request(request))
                answer = await _answer(reader, request.id)
        except TimeoutError as error:
            raise AdminError("timeout", f"the node did not answer {command} within {wait:g} s") from error
        except (OSError, EOFError) as error:
            raise AdminError("disconnected", f"the node at {self._path} hung up") from error
        if isinstance(answer, AdminError):
            raise answer
        return answer


async def ask(path: Path, command: str, /, *, wait: float | None = 30.0, **arguments: Any) -> Any:
    """Ask once: see `AdminClient.ask`."""
    async with AdminClient(path) as client:
        return await client.ask(command, wait=wait, **arguments)


async def _answer(reader: asyncio.StreamReader, wanted: int | str | None) -> Any:
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise AdminError("too_large", f"an answer of more than {MAX_ANSWER_BYTES} bytes") from error
        answered, result = decode_answer(line)
        # an answer without an id is about the connection; one with another id was given up
        if answered in {wanted, None}:
            return result
