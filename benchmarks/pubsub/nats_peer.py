"""NATS: nats-py over nats-server, a broker in Go, which is one process more. Over TCP, not encrypted; no qos 1."""
# nats-py is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

import asyncio
import shutil
import socket
from collections.abc import Callable
from typing import Any, Final

import nats

__all__ = ["Peer"]

SUBJECT: Final = "benchmark.kitchen.temperature"
PATTERN: Final = "benchmark.*.temperature"
FLUSH_AFTER: Final = 16  # events, after which the broker is waited for: else they pile up in the client
TIMEOUT: Final = 30  # seconds that the broker may take for them
PATIENCE: Final = 100  # times that the broker is tried
PAUSE: Final = 0.05  # seconds between two tries


class Peer:
    """A client; that of the first process starts the broker."""

    def __init__(self) -> None:
        self._broker: asyncio.subprocess.Process | None = None
        self._subscriptions: list[Any] = []
        self._unflushed = 0

    async def start(self, where: str) -> str:
        """Connect."""
        if not where:
            where = await self._start_broker()
        self._client = await nats.connect(where)
        return where

    async def subscribe(self, got: Callable[[bytes], None]) -> None:
        """Subscribe."""

        async def take(message: Any) -> None:
            got(message.data)

        self._subscriptions.append(await self._client.subscribe(PATTERN, cb=take))
        await self._client.flush()

    async def unsubscribe(self) -> None:
        """Cancel all."""
        while self._subscriptions:
            await self._subscriptions.pop().unsubscribe()

    async def publish(self, data: bytes, qos: int) -> None:
        """Publish."""
        await self._client.publish(SUBJECT, data)
        self._unflushed += 1
        if self._unflushed >= FLUSH_AFTER:
            self._unflushed = 0
            await self._client.flush(TIMEOUT)

    async def close(self) -> None:
        """Leave, and stop the broker."""
        await self._client.close()
        if self._broker is not None:
            self._broker.kill()
            await self._broker.wait()

    async def _start_broker(self) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        command = shutil.which("nats-server")
        assert command is not None
        self._broker = await asyncio.create_subprocess_exec(
            command, "-a", "127.0.0.1", "-p", str(port), stderr=asyncio.subprocess.DEVNULL
        )
        await _listening(port)
        return f"nats://127.0.0.1:{port}"


async def _listening(port: int) -> None:
    for _ in range(PATIENCE):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(PAUSE)
        else:
            writer.close()
            return
    raise ConnectionError(port)
