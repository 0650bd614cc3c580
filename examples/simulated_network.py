"""A mesh of 200 simulated DHT nodes in virtual time: finds while nodes come and go, then after half has stopped.

Writes plots of rounds, success and load per node as PNG into the temporary folder, if matplotlib is there.
"""

import asyncio
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.simulation.dht_node import Found
from macula_actors.simulation.dht_population import DhtPopulation, fill_tables, find, publish
from macula_actors.simulation.message_network import MessageNetwork
from supervisors.testing import run

NODES = 200
KEYS = [NodeId.of(b"service %d" % number) for number in range(100)]
MINUTES = 1.0


async def finds(population: DhtPopulation) -> list[Found]:
    """Have a random node find each key, all at once."""
    nodes = population.joined
    return await asyncio.gather(*(find(population.rng.choice(nodes), key) for key in KEYS))


def show(label: str, found: list[Found]) -> None:
    """Print what finds came to."""
    rounds, success = max(each.hops for each in found), sum(bool(each.records) for each in found)
    half = sorted(each.seconds for each in found)[len(found) // 2] * 1000
    print(f"{label}: {success} of {len(found)} found in {rounds} rounds at most, half of them within {half:.0f} ms")


def plot(series: dict[str, list[Found]], loads: list[int], folder: Path) -> None:
    """Write a plot of the rounds of finds, one of their success, and one of the requests that each node got."""
    try:
        drawing = import_module("matplotlib.figure")
    except ImportError:
        print("no plots: matplotlib is not installed; pip install -e .[plots]")
        return
    rounds = Counter(each.hops for found in series.values() for each in found)
    success = {label: sum(bool(each.records) for each in found) / len(found) for label, found in series.items()}
    for name, bars in (("hops", rounds), ("success", success), ("load", dict(enumerate(sorted(loads))))):
        figure = drawing.Figure()
        figure.subplots().bar(list(bars), list(bars.values()))
        figure.savefig(folder / f"{name}.png")
    print("plots:", *sorted(str(each) for each in folder.glob("*.png")))


async def main() -> None:
    """Store, find, replace a tenth of the nodes, find, stop half of them, find."""
    series: dict[str, list[Found]] = {}
    with MessageNetwork(seed=4) as network:
        population = DhtPopulation(network, seed=4)
        fill_tables(population.add(NODES), population.rng, network.now)
        population.stay()
        await asyncio.gather(*(publish(population.rng.choice(population.nodes), key, {b"port": 9443}) for key in KEYS))
        series["all there"] = await finds(population)
        replaced = await population.churn(0.1, MINUTES)
        series[f"{replaced} replaced"] = await finds(population)
        loads = [each.port.received for each in population.live]
        population.stop(0.5)
        series["half stopped"] = await finds(population)
        for label, found in series.items():
            show(label, found)
        print(f"{network.counters.messages} messages in {network.now:.0f} s of virtual time")
        plot(series, loads, Path(tempfile.mkdtemp(prefix="macula-")))


if __name__ == "__main__":
    run(main())
