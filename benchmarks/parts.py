"""The command of a benchmark in parts.

``python -m benchmarks.NAME [--quick] [--rounds N] [--only PART...] [--write]``.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol, TypeAlias, TypeVar

from rich.console import Console

from benchmarks.rows import Row, markdown, to_rich, write_readme

__all__ = ["Parts", "run_parts"]

WIDE: Final = 240  # columns, where the output is no terminal
DISTRIBUTIONS: Final = ("aioquic", "qh3", "uvloop", "nats-py", "eclipse-zenoh")
NATS: Final = "nats-server"


class _Rounds(Protocol):
    """How long it takes: a dataclass with these, and what else the parts need."""

    @property
    def rounds(self) -> int:
        """How often each is measured."""


L = TypeVar("L", bound=_Rounds)

Parts: TypeAlias = Mapping[str, tuple[str, Callable[[L], Iterator[Row]]]]
"""By name: the title of the table, and what yields its rows."""


def run_parts(name: str, description: str, parts: Parts[L], full: L, quick: L) -> None:
    """Measure the parts that the command line asks for, and print a table of each."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--rounds", type=int, default=full.rounds, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="some of the parts")
    parser.add_argument("--write", action="store_true", help="update the tables in benchmarks/README.md")
    arguments = parser.parse_args()
    length = quick if arguments.quick else replace(full, rounds=arguments.rounds)  # type: ignore[type-var]
    option = "--quick" if arguments.quick else f"--rounds {length.rounds}"
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for part in arguments.only:
        how = _made(f"python -m benchmarks.{name} --only {part} {option}")
        title, measure = parts[part]
        rows = list(measure(length))
        console.print(to_rich(title, rows), how)
        if arguments.write:
            write_readme(name, part, f"{title}. {how}\n\n{markdown(rows)}")


def _made(command: str) -> str:
    """Return how, when and with what a table is made."""
    machine = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(f"{each} {found}" for each in DISTRIBUTIONS if (found := _version(each)))
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
