"""bmuller's kademlia: asyncio, UDP without encryption, values without owners or signatures."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["KademliaNode", "start"]

HOST = "127.0.0.1"
SEEDS = 3  # nodes that each newcomer is told of


@dataclass(frozen=True, slots=True)
class KademliaNode:
    """One of its servers."""

    server: Any

    async def store(self, key: str, value: str) -> None:
        """Store at the k closest."""
        await self.server.set(key, value)

    async def find(self, key: str) -> str | None:
        """Find."""
        found: str | None = await self.server.get(key)
        return found

    async def stop(self) -> None:
        """Close its socket."""
        self.server.stop()


async def start(count: int) -> Sequence[KademliaNode]:
    """Start ``count`` servers, each of which joins through the first ones."""
    for name in ("kademlia", "rpcudp"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # each query to a stopped node is a line
    network = import_module("kademlia.network")  # an extra
    servers: list[Any] = []
    for _ in range(count):
        server = network.Server()
        await server.listen(0, HOST)
        seeds = [each.transport.get_extra_info("sockname") for each in servers[:SEEDS]]
        if seeds:
            await server.bootstrap(seeds)
        servers.append(server)
    await asyncio.sleep(0.5)
    return [KademliaNode(server) for server in servers]
