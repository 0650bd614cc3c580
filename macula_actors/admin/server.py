"""The server of the admin socket. Erlang: none; it takes the place of a remote shell.

It starts a task for each request, so that a slow one holds up nobody. A client that hangs up has its tasks ended.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from loguru import logger
from typing_extensions import override

from macula_actors.admin.protocol import (
    MAX_REQUEST_BYTES,
    AdminError,
    decode_request,
    encode_error,
    encode_more,
    encode_result,
)
from macula_actors.errors import ConfigError, MaculaError
from supervisors import Down, GenServer, MonitorRef, Ref, Shutdown, SupervisorsError, demonitor, exit_signal, open_port
from supervisors.task_supervisor import Task, TaskDone, TaskSupervisor

__all__ = ["MAX_CLIENTS", "MAX_IN_FLIGHT", "AdminServer", "Command", "check_socket"]

MAX_CLIENTS: Final = 32
MAX_IN_FLIGHT: Final = 64  # requests of one client

_OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 16
_MAX_UNREAD_BYTES: Final = 64 * 1_048_576  # of answers that a client does not take

Command: TypeAlias = Callable[[str, Any, Callable[[object], None]], Awaitable[Any]]
"""Carries out a command, by its name and arguments, and returns the result; what it gives the function is told at once.
"""


def check_socket(path: Path) -> None:
    """Check that a socket can be made at ``path``; nothing is left there.

    Raises:
        ConfigError: it can't, or another node listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        _bind(probe, path)
        path.unlink()


class _Client(asyncio.Protocol):
    """One connection: cuts what comes into lines, which it sends to ``server``."""

    def __init__(self, server: Ref, clients: "set[_Client]") -> None:
        self._server = server
        self._clients = clients
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no such base
        self._transport.set_write_buffer_limits(high=_MAX_UNREAD_BYTES)
        if len(self._clients) >= MAX_CLIENTS:
            self.refuse(AdminError("overloaded", f"there are {MAX_CLIENTS} clients already"))
        else:
            self._clients.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._buffer += line
            self._take_line()
        self._buffer += rest
        if len(self._buffer) > MAX_REQUEST_BYTES:
            self.refuse(AdminError("too_large", f"a request has at most {MAX_REQUEST_BYTES} bytes"))

    @override
    def pause_writing(self) -> None:
        self.close()  # it asks, and does not read

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._clients.discard(self)
        self._server.send(_Gone(self))

    def answer(self, line: bytes) -> None:
        """Send ``line``, if there is still somebody to read it."""
        if self._transport is not None:
            self._transport.write(line)

    def refuse(self, error: AdminError) -> None:
        """Say why, and hang up."""
        self._buffer.clear()
        self.answer(encode_error(None, error))
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take_line(self) -> None:
        line = bytes(self._buffer)
        self._buffer.clear()
        if line.strip() and self._transport is not None:
            self._server.send(_Line(self, line))


@dataclass(frozen=True, slots=True)
class _Line:
    """A request came in."""

    client: _Client
    line: bytes


@dataclass(frozen=True, slots=True)
class _Gone:
    """A client hung up."""

    client: _Client


@dataclass(frozen=True, slots=True)
class _Told:
    """A part of the answer to the request ``id`` is there."""

    client: _Client
    id: int | str | None
    value: object


@dataclass(frozen=True, slots=True)
class _Job:
    client: _Client
    id: int | str | None
    task: Task


@dataclass(slots=True)
class _Listener:
    """The socket and its clients: a port of the server's process."""

    path: Path
    inode: int
    server: asyncio.Server
    clients: set[_Client] = field(default_factory=set)

    def close(self) -> None:
        """Hang up on all, and take the socket's name away if it is still ours."""
        self.server.close()
        for client in list(self.clients):
            client.close()
        with suppress(OSError):
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()


class AdminServer(GenServer):
    """Serves the socket at ``path``.

    Args of `init`:
        path: of the socket; its directory is there.
        command: what carries out a command, in a process of its own below ``tasks``.
        tasks: a TaskSupervisor.

    A `MaculaError`, `SupervisorsError` or ``ValueError`` of a command is told to the client; any other crashes the
    command's process, and the client is told so.
    """

    @override
    async def init(self, path: Path, command: Command, tasks: str) -> None:
        self._command = command
        self._tasks = tasks
        self._jobs: dict[MonitorRef, _Job] = {}
        self._listener = open_port(await _listen(path, self.actor_ref))
        logger.info("admin socket at {}", path)

    @override
    async def handle_info(self, info: object) -> None:
        match info:
            case _Line(client, line):
                await self._begin(client, line)
            case _Gone(client):
                self._abandon(client)
            case _Told(client, id_, value):
                client.answer(encode_more(id_, value))
            case TaskDone(monitor=monitor, value=answer):
                self._finish(monitor, answer)
            case Down(monitor=monitor, reason=reason):
                error = AdminError("crashed", f"the command ended before it had a result: {reason}")
                self._finish(monitor, error)
            case _:
                super().handle_info(info)

    async def _begin(self, client: _Client, line: bytes) -> None:
        if client not in self._listener.clients:
            return
        try:
            request = decode_request(line)
        except AdminError as error:
            client.answer(encode_error(None, error))
            return
        try:
            if sum(job.client is client for job in self._jobs.values()) >= MAX_IN_FLIGHT:
                raise AdminError("overloaded", f"{MAX_IN_FLIGHT} requests of this client are under way")
            server = self.actor_ref
            tell = lambda value: server.send(_Told(client, request.id, value))  # noqa: E731 -- of this request
            task = await TaskSupervisor.async_nolink(
                self._tasks, _attempt, self._command, request.command, request.arguments, tell
            )
        except (MaculaError, SupervisorsError) as error:
            client.answer(encode_error(request.id, error))
            return
        self._jobs[task.monitor] = _Job(client, request.id, task)

    def _finish(self, monitor: MonitorRef, answer: object) -> None:
        job = self._jobs.pop(monitor, None)
        if job is None:
            return
        if isinstance(answer, Exception):
            job.client.answer(encode_error(job.id, answer))
        else:
            job.client.answer(encode_result(job.id, answer))

    def _abandon(self, client: _Client) -> None:
        for monitor, job in list(self._jobs.items()):
            if job.client is client:
                del self._jobs[monitor]
                demonitor(monitor, flush=True)
                exit_signal(job.task.ref, Shutdown())


async def _attempt(command: Command, name: str, arguments: Any, tell: Callable[[object], None]) -> Any:
    try:
        return await command(name, arguments, tell)
    except (MaculaError, SupervisorsError, ValueError) as error:
        return error


async def _listen(path: Path, server: Ref) -> _Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(sock, path)
        clients: set[_Client] = set()
        listening = await asyncio.get_running_loop().create_unix_server(
            lambda: _Client(server, clients), sock=sock, backlog=_BACKLOG
        )
    except BaseException:
        sock.close()
        raise
    return _Listener(path, path.stat().st_ino, listening, clients)  # noqa: ASYNC240 -- it is there, in memory


def _bind(sock: socket.socket, path: Path) -> None:
    try:
        if path.is_socket():
            if _is_served(path):
                raise ConfigError("admin", path, "another node listens there; give this one another data_dir")
            path.unlink()  # of a node that was killed
        sock.bind(str(path))
        # nobody can connect before it listens
        os.chmod(path, _OWNER_ONLY)  # noqa: PTH101 -- as bind took it
    except OSError as error:
        raise ConfigError("admin", path, f"a socket cannot be made there: {error.strerror or error}") from error


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.0)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full
        except OSError:
            return False
        return True
