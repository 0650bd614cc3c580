"""One process that publishes and subscribes. For `Far`."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic
from typing import Final, Protocol

__all__ = ["Bus", "Published", "Side"]

PAUSE: Final = 0.003  # seconds between two events that are published for their latency: each is alone on its way

_STAMP: Final = struct.Struct(">BId")  # 1, the event's number, the instant at which it was published


class Bus(Protocol):
    """One system's part in this process."""

    async def start(self, where: str) -> str:
        """Join the others ``where`` one of them is, or nobody; return where that is."""

    async def subscribe(self, got: Callable[[bytes], None]) -> None:
        """Have ``got`` called with each event that is published from now on, by whichever process."""

    async def unsubscribe(self) -> None:
        """Undo all of that."""

    async def publish(self, data: bytes, qos: int) -> None:
        """Publish an event; return when the next one may be."""

    async def close(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class Published:
    """How many events were published, and from when on: an instant that all processes of this machine share."""

    events: int
    began: float


@dataclass(slots=True)
class _Log:
    """What one subscriber has got. Its own, for some libraries call it in threads."""

    count: int = 0
    last: float = 0.0
    latencies: dict[int, float] = field(default_factory=dict)

    def got(self, data: bytes) -> None:
        self.count += 1
        self.last = monotonic()
        if data[0]:
            _, number, published = _STAMP.unpack_from(data)
            self.latencies[number] = self.last - published


class Side:
    """The ``Peer`` of a module, which is a `Bus`, and what its subscribers get."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._bus: Bus = import_module(module).Peer(*arguments)
        self._logs: list[_Log] = []

    async def start(self, where: str) -> str:
        """Join, and return where others can."""
        return await self._bus.start(where)

    async def subscribe(self, count: int) -> None:
        """Have so many subscribers, in place of those before."""
        await self._bus.unsubscribe()
        self._logs = [_Log() for _ in range(count)]
        for log in self._logs:
            await self._bus.subscribe(log.got)

    async def got(self) -> tuple[int, float]:
        """Return how many events all subscribers have had together, and when the last one came."""
        return sum(log.count for log in self._logs), max((log.last for log in self._logs), default=0.0)

    async def load(self, in_flight: int, length: int, qos: int, seconds: float) -> Published:
        """Publish again and again, so many at once."""
        data, began = bytes(length), monotonic()
        published = 0

        async def work() -> None:
            nonlocal published
            while monotonic() - began < seconds:
                await self._bus.publish(data, qos)
                published += 1

        await asyncio.gather(*[work() for _ in range(in_flight)])
        return Published(published, began)

    async def publish_alone(self, count: int, length: int, qos: int) -> None:
        """Publish so many, one after the other."""
        for number in range(count):
            await self._bus.publish(_STAMP.pack(1, number, monotonic()).ljust(length, b"\0"), qos)
            await asyncio.sleep(PAUSE)

    async def first(self) -> dict[int, float]:
        """Return the latencies of those, to the first subscriber here, in seconds; forget them."""
        found: dict[int, float] = {}
        for log in self._logs:
            for number, latency in log.latencies.items():
                found[number] = min(latency, found.get(number, latency))
            log.latencies.clear()
        return found

    async def close(self) -> None:
        """End."""
        await self._bus.close()
