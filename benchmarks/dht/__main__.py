"""The command: ``python -m benchmarks.dht [--quick] [--only PART...] [--write]``."""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from rich.console import Console

from benchmarks.dht import kademlia_peer, ours
from benchmarks.dht.processes import LAYOUTS, SECONDS, measure_processes
from benchmarks.dht.real import NODES, measure_real
from benchmarks.dht.simulated import SIZES, measure
from benchmarks.dht.table import markdown, to_rich, write_readme

__all__: list[str] = []

WIDE: Final = 160  # columns, where the output is no terminal
QUICK_SIZES: Final = SIZES[:1]
QUICK_NODES: Final = 8
QUICK_SECONDS: Final = 0.3
DISTRIBUTIONS: Final = ("aioquic", "qh3", "kademlia")


def main() -> None:
    """Measure, and print a table of each kind."""
    parser = argparse.ArgumentParser("python -m benchmarks.dht", description="What the DHT costs.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--write", action="store_true", help="update the tables in benchmarks/README.md")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    made = _made(sys.argv[1:])
    texts = []
    for name in arguments.only:
        costs = list(PARTS[name](arguments.quick))
        console.print(to_rich(costs))
        texts.append(f"{TITLES[name]}\n\n{markdown(costs)}")
    console.print(made)
    if arguments.write:
        write_readme("\n".join([f"{made}\n", *texts]))


def _simulated(is_quick: bool) -> Iterator[Any]:
    for nodes in QUICK_SIZES if is_quick else SIZES:
        yield from (measure(nodes, stopped) for stopped in (0.0, 0.5))


def _real(is_quick: bool) -> Iterator[Any]:
    """Measure the systems over real sockets, each with all its nodes in this process."""
    nodes = QUICK_NODES if is_quick else NODES
    yield from asyncio.run(measure_real("ours", ours.start, nodes))
    if find_spec("kademlia") is None:
        print("kademlia is not installed: pip install -e .[bench]", file=sys.stderr)
    else:
        yield from asyncio.run(measure_real("kademlia", kademlia_peer.start, nodes))


def _processes(is_quick: bool) -> Iterator[Any]:
    for engine in ("aioquic", "qh3"):
        if find_spec(engine) is not None:
            for layout in LAYOUTS[: 1 if is_quick else None]:
                yield from measure_processes(layout, engine, seconds=QUICK_SECONDS if is_quick else SECONDS)


PARTS: Final[dict[str, Callable[[bool], Iterator[Any]]]] = {
    "simulated": _simulated,
    "real": _real,
    "processes": _processes,
}
TITLES: Final = {
    "simulated": "Finds against the size of the network, simulated, with a round trip of 50 ms:",
    "real": "Finds over loopback, all nodes in one process, half of them stopped at once:",
    "processes": "Stores and finds of one node, the others in processes of their own, on loopback:",
}


def _made(options: Sequence[str]) -> str:
    command = " ".join(["python -m benchmarks.dht", *(each for each in options if each != "--write")])
    machine = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(f"{name} {found}" for name in DISTRIBUTIONS if (found := _version(name)))
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, {load}; {versions}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
