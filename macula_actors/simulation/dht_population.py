"""Thousands of simulated DHT nodes: made, joined or given full tables, stopped, replaced one after the other."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address
from random import Random
from typing import Final, TypeVar

from macula_actors.core.endpoint import DEFAULT_PORT, Endpoint
from macula_actors.core.kademlia.node_id import ID_BITS, NodeId
from macula_actors.core.kademlia.record import DEFAULT_TTL
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.values import Value
from macula_actors.simulation.dht_malice import Malice, MaliciousNode
from macula_actors.simulation.dht_node import DhtNode, Found, Published
from macula_actors.simulation.dht_settings import DhtSettings
from macula_actors.simulation.message_network import MessageNetwork
from macula_actors.simulation.node_infos import NodeInfos

__all__ = ["DhtPopulation", "fill_tables", "find", "publish"]

T = TypeVar("T")

_FIRST_ADDRESS: Final = int(IPv4Address("10.0.0.0"))
_MINUTE: Final = 60.0  # seconds


class DhtPopulation:
    """The nodes of one network, those that were stopped too.

    Args:
        network: where they live.
        settings: of all of them.
        seed: of their keys and of all choices.
        seeds: how many of the first nodes are the bootstrap nodes of all; churn spares them.
    """

    def __init__(
        self, network: MessageNetwork, *, settings: DhtSettings | None = None, seed: int = 0, seeds: int = 4
    ) -> None:
        self.network: Final = network
        self.settings: Final = settings or DhtSettings()
        self.rng: Final = Random(seed)
        self.nodes: Final[list[DhtNode]] = []
        self._seed = seed
        self._seeds = seeds
        self._infos = NodeInfos()

    @property
    def live(self) -> list[DhtNode]:
        """The nodes that run."""
        return [each for each in self.nodes if each.is_up]

    @property
    def joined(self) -> list[DhtNode]:
        """The nodes that run and have joined."""
        return [each for each in self.nodes if each.has_joined]

    @property
    def bootstrap(self) -> Sequence[Contact]:
        """The contacts of the bootstrap nodes."""
        return [each.contact for each in self.nodes[: self._seeds]]

    def add(self, count: int, malice: Malice | None = None) -> list[DhtNode]:
        """Make nodes, that know nobody yet."""
        made = [self._make(malice) for _ in range(count)]
        self.nodes.extend(made)
        return made

    def stay(self) -> None:
        """Have all nodes refresh from now on."""
        for node in self.live:
            node.stay(self.bootstrap)

    async def join(self, nodes: Iterable[DhtNode]) -> None:
        """Have all ``nodes`` join at once, and wait until each has been answered."""
        loop = asyncio.get_running_loop()
        waiting = []
        for node in nodes:
            joined: asyncio.Future[None] = loop.create_future()
            node.join(self.bootstrap, partial(_settle, joined, None))
            waiting.append(joined)
        await asyncio.gather(*waiting)

    def stop(self, fraction: float) -> list[DhtNode]:
        """Stop a part of the nodes that run, at random and at once, and return them."""
        live = self.live
        going = self.rng.sample(live, int(len(live) * fraction))
        for node in going:
            node.stop()
        return going

    async def churn(self, per_minute: float, minutes: float) -> int:
        """Replace a part of the nodes each minute, one after the other; return how many."""
        count = int(len(self.live) * per_minute * minutes)
        for _ in range(count):
            await asyncio.sleep(minutes * _MINUTE / count)
            self.rng.choice([each for each in self.nodes[self._seeds :] if each.is_up]).stop()
            self.nodes[:] = [each for each in self.nodes if each.is_up]
            self.add(1)[0].join(self.bootstrap)
        return count

    def _make(self, malice: Malice | None) -> DhtNode:
        identity = Identity.from_seed(self.rng.randbytes(32))
        number = self.network.attached + 1
        endpoint = Endpoint(str(IPv4Address(_FIRST_ADDRESS + number)), DEFAULT_PORT)
        if malice is None:
            return DhtNode(self.network, identity, endpoint, settings=self.settings, infos=self._infos, seed=self._seed)
        return MaliciousNode(
            self.network,
            identity,
            endpoint,
            settings=self.settings,
            infos=self._infos,
            seed=self._seed,
            malice=malice,
        )


async def find(node: DhtNode, key: NodeId, *, stop_after: float | None = None) -> Found:
    """Return what ``node`` finds under ``key``."""
    return await _outcome(lambda done: node.find(key, done, stop_after=stop_after))


async def publish(node: DhtNode, key: NodeId, payload: Value, *, ttl: int = DEFAULT_TTL) -> Published:
    """Have ``node`` publish, and return how that went the first time."""
    return await _outcome(lambda done: node.publish(key, payload, ttl=ttl, on_end=done))


def fill_tables(nodes: Sequence[DhtNode], rng: Random, now: float) -> None:
    """Give each node the table that joins and refreshes lead to: buckets as full as they can be, of random nodes."""
    by_number = sorted((int.from_bytes(node.node_id), node.contact) for node in nodes)
    numbers = [number for number, _ in by_number]
    for node in nodes:
        number = int.from_bytes(node.node_id)
        first, last = 0, len(numbers)  # of the nodes that share all bits so far
        for bit in reversed(range(ID_BITS)):
            middle = bisect_left(numbers, ((number >> bit) | 1) << bit, first, last)
            is_high = number >> bit & 1
            others = range(first, middle) if is_high else range(middle, last)
            first, last = (middle, last) if is_high else (first, middle)
            for place in rng.sample(others, min(node.table.k, len(others))):
                node.table.seen(by_number[place][1], now)
            if last - first == 1:
                break


async def _outcome(begin: Callable[[Callable[[T], None]], None]) -> T:
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    begin(partial(_settle, outcome))
    return await outcome


def _settle(outcome: asyncio.Future[T], result: T) -> None:
    if not outcome.done():  # its waiter was cancelled
        outcome.set_result(result)
