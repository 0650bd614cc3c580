"""The command: ``python -m benchmarks.dht [--quick] [--only real|simulated]``."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.dht import kademlia_peer, ours
from benchmarks.dht.real import NODES, measure_real
from benchmarks.dht.simulated import SIZES, measure

__all__: list[str] = []

WIDE = 160  # columns, where the output is no terminal
QUICK_SIZES = SIZES[:1]
QUICK_NODES = 8


def main() -> None:
    """Measure, and print a table of each kind."""
    parser = argparse.ArgumentParser("python -m benchmarks.dht", description="What a find in the DHT costs.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--only", choices=("simulated", "real"), help="one of the two")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    if arguments.only != "real":
        sizes = QUICK_SIZES if arguments.quick else SIZES
        console.print(_table([measure(nodes, stopped) for nodes in sizes for stopped in (0.0, 0.5)]))
    if arguments.only != "simulated":
        _print_real(console, QUICK_NODES if arguments.quick else NODES)


def _print_real(console: Console, nodes: int) -> None:
    """Measure the systems over real sockets, each with all its nodes in this process."""
    costs = asyncio.run(measure_real("ours", ours.start, nodes))
    if find_spec("kademlia") is None:
        console.print("kademlia is not installed: pip install -e .[bench]")
    else:
        costs += asyncio.run(measure_real("kademlia", kademlia_peer.start, nodes))
    console.print(_table(costs))


def _table(costs: Sequence[Any]) -> Table:
    names = [field.name for field in fields(costs[0])]
    table = Table(*names, box=box.SIMPLE_HEAD)
    for cost in costs:
        table.add_row(*(str(getattr(cost, name)) for name in names))
    return table


if __name__ == "__main__":
    main()
