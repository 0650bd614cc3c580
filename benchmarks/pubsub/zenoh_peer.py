"""Zenoh (Rust): peers over TCP, not encrypted, found through the first. Subscribers run in its threads; no qos 1."""
# zenoh is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

import json
import socket
from collections.abc import Callable
from typing import Any, Final

import zenoh

__all__ = ["Peer"]

KEY: Final = "benchmark/kitchen/temperature"
PATTERN: Final = "benchmark/*/temperature"


class Peer:
    """A peer. Its publisher waits where a receiver is slow."""

    def __init__(self) -> None:
        self._subscribers: list[Any] = []

    async def start(self, where: str) -> str:
        """Open the session."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
        settings = {
            "mode": "peer",
            "scouting/multicast/enabled": False,
            "transport/shared_memory/enabled": False,  # else large events would not go over the network
            "listen/endpoints": [endpoint],
            "connect/endpoints": [where] if where else [],
        }
        config = zenoh.Config()
        for path, value in settings.items():
            config.insert_json5(path, json.dumps(value))
        self._session = zenoh.open(config)
        self._publisher = self._session.declare_publisher(KEY, congestion_control=zenoh.CongestionControl.BLOCK)
        return where or endpoint

    async def subscribe(self, got: Callable[[bytes], None]) -> None:
        """Subscribe."""

        def take(sample: Any) -> None:
            got(sample.payload.to_bytes())

        self._subscribers.append(self._session.declare_subscriber(PATTERN, take))

    async def unsubscribe(self) -> None:
        """Cancel all."""
        while self._subscribers:
            self._subscribers.pop().undeclare()

    async def publish(self, data: bytes, qos: int) -> None:
        """Publish, in this thread."""
        self._publisher.put(data)

    async def close(self) -> None:
        """Close the session."""
        self._session.close()
