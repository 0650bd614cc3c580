"""A small HTTP server that its process owns: GET only, a text each, one request a connection. RFC: 9110, 9112.

aiohttp runs each request in an asyncio task of its own, inside the context of the process that started the server: so
requests wait for other processes without holding that process up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

__all__ = ["Answer", "HttpServer", "Page"]

MAX_CONNECTIONS: Final = 64  # at once; for one more the oldest is closed
NOT_FOUND: Final = "Not found"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answers."""

    text: str
    status: int = 200
    content_type: str = "text/plain"


Page: TypeAlias = Callable[[], Awaitable[Answer]]


class HttpServer:
    """Serves ``pages``, by their paths. `start` it; `close` returns at once."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._http = web.Server(self._serve, access_log=None)
        self._listener: asyncio.Server | None = None
        self._seen: set[RequestHandler] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen at ``port``, 0 for a free one.

        Raises:
            OSError: the port is taken, or there is no such address here.
        """
        self._listener = await asyncio.get_running_loop().create_server(self._accept, host, port)
        self.port = self._listener.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and cut the connections there are."""
        if self._listener is not None:
            self._listener.close()
        for connection in self._http.connections:
            connection.force_close()

    def close_old(self) -> None:
        """Cut the connections that were there the last time already: who sends no request must not fill this up."""
        there = set(self._http.connections)
        for connection in there & self._seen:
            connection.force_close()
        self._seen = there

    def _accept(self) -> asyncio.BaseProtocol:
        """Take a connection; the oldest makes room for it: who sends no request must not keep out who asks."""
        connections = self._http.connections
        if len(connections) >= MAX_CONNECTIONS:
            connections[0].force_close()
        return self._http()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        page = self._pages.get(request.path) if request.method in {"GET", "HEAD"} else None
        answer = Answer(NOT_FOUND, 404) if page is None else await page()
        response = web.Response(
            body=answer.text.encode(), status=answer.status, headers={"Content-Type": answer.content_type}
        )
        response.force_close()
        return response
