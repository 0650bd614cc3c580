"""The command: ``python -m benchmarks.quic [--quick] [--rounds N] [--only MODULE...] [--write]``."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from benchmarks.quic.measure import Figures
from benchmarks.quic.systems import SYSTEMS, Loop, System, is_installed
from benchmarks.quic.table import Found, lines, markdown, to_rich, write_readme

__all__: list[str] = []

WIDE = 240  # columns, where the output is no terminal
PATIENCE = 300.0  # seconds, for one system on one loop
DISTRIBUTIONS = ("aioquic", "qh3", "libp2p", "iroh", "eclipse-zenoh", "uvloop")


def main() -> None:
    """Measure all in turns, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.quic", description="Request and reply over QUIC.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; medians are taken")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one round, and the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="some of the systems")
    parser.add_argument("--write", action="store_true", help="update the table in benchmarks/README.md")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    systems = [SYSTEMS[name] for name in arguments.only]
    table = lines(_measure_all(systems, rounds, quick=arguments.quick), systems)
    made = _made("--quick" if arguments.quick else f"--rounds {rounds}")
    Console(width=None if sys.stdout.isatty() else WIDE).print(to_rich(table), made)
    if arguments.write:
        write_readme(f"{made}\n\n{markdown(table)}")


def _measure_all(systems: Sequence[System], rounds: int, *, quick: bool) -> Found:
    """Measure one at a time, each in a process of its own, in turns so that all see the same weather."""
    found: dict[tuple[System, Loop], list[Figures]] = defaultdict(list)
    for _ in range(rounds):
        for system in systems:
            for loop in system.loops:
                if is_installed(system, loop):
                    print(f"{system.label} on {loop}", file=sys.stderr, flush=True)
                    found[system, loop].append(_measure(system, loop, quick=quick))
    return found


def _measure(system: System, loop: Loop, *, quick: bool) -> Figures:
    command = [sys.executable, "-m", "benchmarks.quic.measure", system.module, loop, *(["--quick"] * quick)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _made(option: str) -> str:
    machine = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(f"{name} {found}" for name in DISTRIBUTIONS if (found := _version(name)))
    return f"`python -m benchmarks.quic {option}`, {datetime.now(UTC):%Y-%m-%d}, {machine}; {versions}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
