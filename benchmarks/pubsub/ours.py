"""Our own nodes, with all that a node has."""

from collections.abc import Callable
from typing import Final

from benchmarks.rpc.ours import config
from macula_actors.core.pubsub.event import Event
from macula_actors.messages.events import Subscription
from macula_actors.node import Node

__all__ = ["Peer"]

TOPIC: Final = "benchmark.kitchen.temperature"
PATTERN: Final = "benchmark.*.temperature"
TIMEOUT: Final = 30.0  # seconds


class Peer:
    """A node on ``engine``."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._subscriptions: list[Subscription] = []

    async def start(self, where: str) -> str:
        """Start the node."""
        bootstrap = [where] if where else []
        self._node = Node(config(engine=self._engine, bootstrap=bootstrap, admin="none"))
        await self._node.start()
        return str(self._node.endpoint)

    async def subscribe(self, got: Callable[[bytes], None]) -> None:
        """Subscribe by a wildcard, as the example of the README does."""

        def take(event: Event) -> None:
            got(event.payload)

        self._subscriptions.append(await self._node.subscribe(PATTERN, take))

    async def unsubscribe(self) -> None:
        """Cancel all."""
        while self._subscriptions:
            await self._subscriptions.pop().cancel()

    async def publish(self, data: bytes, qos: int) -> None:
        """Publish."""
        await self._node.publish(TOPIC, data, qos=qos, timeout=TIMEOUT)

    async def close(self) -> None:
        """Stop the node."""
        await self._node.stop()
