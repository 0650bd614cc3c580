"""Our lookups against the size of the network, over a simulated one with a round trip of 50 ms."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from time import perf_counter

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.simulation.dht_node import Found
from macula_actors.simulation.dht_population import DhtPopulation, fill_tables, find, publish
from macula_actors.simulation.message_network import MessageNetwork
from supervisors.testing import run

__all__ = ["SIZES", "Cost", "measure"]

SIZES = (100, 1_000, 10_000)
KEYS = 200
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What finds come to. Times are milliseconds: virtual, but for ``wall``, of this machine for a whole find.

    ``messages`` are queries and answers; those of a store are its lookup's and its STOREs'.
    """

    nodes: int
    log2: float
    stopped: str
    found: str
    rounds: int
    messages: float
    store_messages: float
    p50: float
    p99: float
    wall: float


def measure(nodes: int, stopped: float) -> Cost:
    """Return what finds cost among ``nodes``, of which a part has stopped after all was stored."""
    return run(_measure(nodes, stopped))


async def _measure(nodes: int, stopped: float) -> Cost:
    with MessageNetwork(seed=SEED) as network:
        population = DhtPopulation(network, seed=SEED)
        fill_tables(population.add(nodes), population.rng, network.now)
        keys = [NodeId.of(b"%d" % number) for number in range(KEYS)]
        choose = population.rng.choice
        stored = await asyncio.gather(*(publish(choose(population.nodes), key, {b"a": 1}) for key in keys))
        population.stop(stopped)
        live, before, began = population.live, network.counters.messages, perf_counter()
        found = await asyncio.gather(*(find(choose(live), key) for key in keys))
        wall = perf_counter() - began
        seconds = sorted(each.seconds for each in found)
        return Cost(
            nodes=nodes,
            log2=round(log2(nodes), 1),
            stopped=f"{stopped:.0%}",
            found=f"{_found(found):.1%}",
            rounds=max(each.hops for each in found),
            messages=round((network.counters.messages - before) / KEYS, 1),
            store_messages=round(2 * sum(each.messages for each in stored) / KEYS, 1),
            p50=round(1000 * seconds[len(seconds) // 2]),
            p99=round(1000 * seconds[int(0.99 * len(seconds))]),
            wall=round(1000 * wall / KEYS, 2),
        )


def _found(found: Sequence[Found]) -> float:
    return sum(bool(each.records) for each in found) / len(found)
