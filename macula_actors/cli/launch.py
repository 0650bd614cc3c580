"""Nodes that `macula up` has started: each an operating system process, or all in this one."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from macula_actors.admin.client import ask
from macula_actors.admin.protocol import AdminError
from macula_actors.cli.loops import Loop
from macula_actors.config_sources import PREFIX, toml_line
from macula_actors.errors import MaculaError
from macula_actors.node_config import NodeConfig
from supervisors import SupervisorsError

__all__ = [
    "InProcessNode",
    "LaunchError",
    "Launched",
    "ProcessNode",
    "is_node_variable",
    "until_answering",
    "until_ended",
]

_UPSTREAM: Final = frozenset({"GATEWAY_PORT", "HEALTH_PORT", "NODE_HOST", "NODE_ID", "NODE_NAME"})
_POLL: Final = 0.05  # seconds between two questions whether a node is there
_KILL_AFTER: Final = 12.0  # seconds; the node's own limit is 10
_OWNER_ONLY: Final = 0o600

ShowLine = Callable[[str, str], None]
"""Shows a line of a node's output: the node's name, and the line."""


class LaunchError(MaculaError):
    """The node ``name`` could not be started, or ended by itself. Its output says why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"node {name} {problem}")
        self.name = name


class Launched(Protocol):
    """A node that was started."""

    name: str
    admin: Path

    async def start(self) -> None:
        """Begin; it need not be ready when this returns."""

    async def wait(self) -> str:
        """Wait until it ends by itself, and return how."""

    async def stop(self) -> None:
        """Stop it in order, or else by force. Twice is once."""


def is_node_variable(name: str) -> bool:
    """Tell whether the environment variable ``name`` would configure a node."""
    return name.startswith(PREFIX) or name in _UPSTREAM


async def until_answering(node: Launched, timeout: float) -> dict[str, Any]:
    """Wait until ``node`` answers at its admin socket, and return its status.

    Raises:
        LaunchError: it did not within ``timeout`` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    status: dict[str, Any] = await ask(node.admin, "status")
                except AdminError:
                    await asyncio.sleep(_POLL)
                else:
                    return status
    except TimeoutError as error:
        raise LaunchError(node.name, f"did not answer within {timeout:g} s") from error


class _Ends(Protocol):
    async def wait_stopped(self) -> object: ...


async def until_ended(node: _Ends, stopping: asyncio.Event) -> str:
    """Wait until ``stopping`` is set, or ``node`` gives up; return why it did, nothing if it did not."""
    waited: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in (stopping.wait(), node.wait_stopped())]
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waited:
            each.cancel()
    return "" if stopping.is_set() else f"gave up: {waited[1].result()}"


class ProcessNode:
    """A node in an operating system process of its own: ``macula node`` with a configuration file in ``directory``.

    It has the environment of this process, less what would configure it.
    """

    def __init__(
        self, name: str, options: Mapping[str, Any], directory: Path, admin: Path, *, loop: Loop, show: ShowLine
    ) -> None:
        self.name = name
        self.admin = admin
        self._options = options
        self._directory = directory
        self._loop = loop
        self._show = show
        self._process: Process | None = None

    async def start(self) -> None:
        """Write its configuration, and start it."""
        path = self._directory / f"{self.name}.toml"
        _write_private(path, "".join(f"{toml_line(key, value)}\n" for key, value in self._options.items()))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "macula_actors.cli", "node", "--config", str(path), "--loop", self._loop.value),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={name: value for name, value in os.environ.items() if not is_node_variable(name)},
            start_new_session=True,  # a terminal's Ctrl-C is for us, who stop them in order
        )

    async def wait(self) -> str:
        """Show its output until it ends; return its exit code."""
        process = self._running()
        assert process.stdout is not None  # noqa: S101 -- asked for
        async for line in process.stdout:
            self._show(self.name, line.decode(errors="replace").rstrip())
        return f"ended with exit code {await process.wait()}"

    async def stop(self) -> None:
        """Have it stop; kill it if it doesn't."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_KILL_AFTER):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _running(self) -> Process:
        if self._process is None:
            raise LaunchError(self.name, "is not started")
        return self._process


class InProcessNode:
    """A node in this operating system process, on the running loop, in a task that starts it and stops it."""

    def __init__(self, name: str, options: Mapping[str, Any], admin: Path) -> None:
        self.name = name
        self.admin = admin
        self._config = NodeConfig(**options)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[str] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(self._run())

    async def wait(self) -> str:
        """Wait until its root supervisor gives up, or it does not start; return why."""
        if self._task is None:
            raise LaunchError(self.name, "is not started")
        await asyncio.wait({self._task})
        return self._task.result()

    async def stop(self) -> None:
        """Stop it."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> str:
        from macula_actors.node import Node  # noqa: PLC0415 -- only who runs nodes needs all of the mesh

        try:
            async with Node(self._config) as node:
                return await until_ended(node, self._stopping)
        except (MaculaError, SupervisorsError, OSError) as error:
            return f"did not start: {error}"


def _write_private(path: Path, text: str) -> None:
    # it may have the realm's secret
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
