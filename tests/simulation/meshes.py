"""Meshes of simulated DHT nodes with records in them, and what finds in them come to."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.simulation.dht_population import DhtPopulation, fill_tables, find, publish
from macula_actors.simulation.message_link import MessageLink
from macula_actors.simulation.message_network import MessageNetwork

HOUR = 3600  # seconds
ROUND_TRIP = 0.05  # seconds


def keys_of(count):
    return [NodeId.of(b"key %d" % number) for number in range(count)]


def state(text):
    """Say what a test has measured; ``pytest -rP`` shows it."""
    print(text)  # noqa: T201


@dataclass(frozen=True)
class Outcome:
    """What many finds came to; times are seconds of virtual time."""

    finds: list
    p50: float
    p99: float
    rounds: int  # the most
    queries: float  # the mean

    @property
    def found(self):
        return sum(bool(each.records) for each in self.finds) / len(self.finds)

    def __str__(self):
        return (
            f"{len(self.finds)} finds: {self.found:.2%} found, p50 {self.p50 * 1000:.0f} ms, "
            f"p99 {self.p99 * 1000:.0f} ms, {self.rounds} rounds at most, {self.queries:.1f} queries on average"
        )


def outcome_of(finds):
    seconds = sorted(each.seconds for each in finds)
    return Outcome(
        finds,
        seconds[len(seconds) // 2],
        seconds[int(len(seconds) * 0.99)],
        max(each.hops for each in finds),
        sum(each.queries for each in finds) / len(finds),
    )


@asynccontextmanager
async def mesh(nodes, *, seed=1, records=100, settings=None, link=None, ttl=2 * HOUR, malicious=()):
    """Yield a population with full tables, and the keys of its records; ``malicious`` are counts by kind."""
    with MessageNetwork(seed=seed, link=link or MessageLink(latency=ROUND_TRIP / 2)) as network:
        population = DhtPopulation(network, settings=settings, seed=seed)
        honest = population.add(nodes)
        for malice, count in malicious:
            population.add(count, malice)
        fill_tables(population.nodes, population.rng, 0.0)
        keys = keys_of(records)
        owners = [population.rng.choice(honest) for _ in keys]
        await asyncio.gather(
            *(publish(owner, key, {b"a": 1}, ttl=ttl) for owner, key in zip(owners, keys, strict=True))
        )
        yield population, keys


async def finds(population, keys, nodes=None, **options):
    """Have a random one of ``nodes``, else of all that have joined, find each of ``keys``, all at once."""
    askers = nodes or population.joined or population.live
    found = await asyncio.gather(*(find(population.rng.choice(askers), key, **options) for key in keys))
    return outcome_of(found)


async def finds_meanwhile(population, keys, seconds, every=1.0):
    """Begin a find ``every`` so many seconds, for so long, and return what they came to."""
    begun = []
    async with asyncio.TaskGroup() as group:
        for _ in range(int(seconds / every)):
            await asyncio.sleep(every)
            asker = population.rng.choice(population.joined)
            begun.append(group.create_task(_find(asker, population.rng.choice(keys))))
    done = [each.result() for each in begun]
    return outcome_of([each for each in done if each is not None])


async def _find(asker, key):
    try:
        async with asyncio.timeout(60.0):
            return await find(asker, key)
    except TimeoutError:
        return None  # who asked is gone itself
