"""The command: ``python -m benchmarks.rpc [--quick] [--rounds N] [--only PART...] [--write]``."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from rich.console import Console

from benchmarks.rpc.crowd import crowd
from benchmarks.rpc.direct import direct
from benchmarks.rpc.discovery import discovery
from benchmarks.rpc.length import FULL, QUICK, Length
from benchmarks.rpc.routes import routes
from benchmarks.rpc.starts import starts
from benchmarks.rpc.table import Row, markdown, to_rich, write_readme

__all__ = ["PARTS", "WIDE", "made"]

WIDE: Final = 240  # columns, where the output is no terminal
DISTRIBUTIONS: Final = ("aioquic", "qh3", "uvloop", "nats-py", "eclipse-zenoh")
NATS: Final = "nats-server"

PARTS: Final[dict[str, tuple[str, Callable[[Length], Iterator[Row]]]]] = {
    "direct": ("Calls of a node in another process", direct),
    "routes": ("Calls over several nodes, each in a process, and through a gateway", routes),
    "discovery": ("First calls, of nodes in five processes", discovery),
    "crowd": ("Many callers", crowd),
    "starts": ("A node in a fresh process", starts),
}


def main() -> None:
    """Measure each part, and print a table of each."""
    parser = argparse.ArgumentParser("python -m benchmarks.rpc", description="What calls cost.")
    parser.add_argument("--rounds", type=int, default=FULL.rounds, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--write", action="store_true", help="update the tables in benchmarks/README.md")
    arguments = parser.parse_args()
    length = QUICK if arguments.quick else replace(FULL, rounds=arguments.rounds)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for name in arguments.only:
        how = made("rpc", name, "--quick" if arguments.quick else f"--rounds {length.rounds}")
        title, measure = PARTS[name]
        rows = list(measure(length))
        console.print(to_rich(title, rows), how)
        if arguments.write:
            write_readme(name, f"{title}. {how}\n\n{markdown(rows)}")


def made(benchmark: str, part: str, option: str) -> str:
    """Return how, when and with what a table is made."""
    command = f"python -m benchmarks.{benchmark} --only {part} {option}"
    machine = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(f"{name} {found}" for name in DISTRIBUTIONS if (found := _version(name)))
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, {load}; {versions}{_broker()}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _broker() -> str:
    """Return which nats-server there is."""
    command = shutil.which(NATS)
    if command is None:
        return ""
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout
    return f", {NATS} {said.split()[-1]}" if said else ""


if __name__ == "__main__":
    main()
