"""Our own nodes, with all that a node has: `Node.call` to a handler of a node that was found by its record."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from benchmarks.quic.systems import Request
from macula_actors.node import Node
from macula_actors.node_config import Mode, NodeConfig

__all__ = ["ECHO", "TIMEOUT", "config", "connect", "echo", "serve"]

ECHO: Final = "benchmark.echo"
TIMEOUT: Final = 30.0  # seconds of a call: a machine that is busy is no failure


def echo(args: Any) -> Any:
    """Return the arguments: the handler."""
    return args


def config(*, host: str = "127.0.0.1", **options: Any) -> NodeConfig:
    """Return the configuration of a node on loopback. What it has found it believes for as long as this takes."""
    given = {"mode": Mode.EDGE, "listen": f"{host}:0", "health_port": "none", "cache_ttl": 3600.0, **options}
    return NodeConfig(realm="com.example.benchmark", rpc_timeout=TIMEOUT, **given)


async def serve(engine: str, announce: Callable[[str], None]) -> None:
    """Provide the handler until cancelled."""
    async with Node(config(engine=engine)) as node:
        await node.advertise(ECHO, echo)
        announce(str(node.endpoint))
        await asyncio.Event().wait()


@asynccontextmanager
async def connect(engine: str, where: str) -> AsyncGenerator[Request]:
    """Start a node that joins there, and give a function that makes a call."""
    async with Node(config(engine=engine, bootstrap=[where])) as node:

        async def ask(data: bytes) -> bytes:
            return bytes(await node.call(ECHO, data))

        yield ask
