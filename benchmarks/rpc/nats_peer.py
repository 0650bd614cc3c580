"""NATS: request and reply over nats-server, a broker in Go, which is a third process. Over TCP, not encrypted."""
# nats-py is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

import asyncio
import shutil
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import nats

from benchmarks.quic.systems import Request

__all__ = ["connect", "serve"]

SUBJECT: Final = "echo"
PATIENCE: Final = 100  # times that the broker is tried
PAUSE: Final = 0.05  # seconds between two tries
TIMEOUT: Final = 30.0  # seconds


async def serve(announce: Callable[[str], None]) -> None:
    """Start the broker, and answer until cancelled."""
    port = _free_port()
    command = shutil.which("nats-server")
    assert command is not None
    broker = await asyncio.create_subprocess_exec(
        command, "-a", "127.0.0.1", "-p", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        where = f"nats://127.0.0.1:{port}"
        client = await _connected(where)
        await client.subscribe(SUBJECT, cb=_answer)
        await client.flush()
        announce(where)
        await asyncio.Event().wait()
    finally:
        broker.kill()
        await broker.wait()


@asynccontextmanager
async def connect(where: str) -> AsyncGenerator[Request]:
    """Connect to the broker, and give the function that sends a request."""
    client = await _connected(where)

    async def ask(data: bytes) -> bytes:
        return bytes((await client.request(SUBJECT, data, timeout=TIMEOUT)).data)

    try:
        yield ask
    finally:
        await client.close()


async def _answer(message: Any) -> None:
    await message.respond(message.data)


async def _connected(where: str) -> Any:
    for _ in range(PATIENCE):
        try:
            return await nats.connect(where)
        except (OSError, nats.errors.NoServersError):
            await asyncio.sleep(PAUSE)
    raise ConnectionError(where)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
