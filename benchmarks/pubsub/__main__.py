"""The command: ``python -m benchmarks.pubsub [--quick] [--rounds N] [--only PART...] [--write]``."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from rich.console import Console

from benchmarks.pubsub.length import FULL, QUICK, Length
from benchmarks.pubsub.match import match
from benchmarks.pubsub.shapes import shapes
from benchmarks.rpc.__main__ import WIDE, made
from benchmarks.rpc.table import Row, markdown, to_rich, write_readme

__all__ = ["PARTS"]

PARTS: Final[dict[str, tuple[str, Callable[[Length], Iterator[Row]]]]] = {
    "shapes": ("Events between nodes in four processes", shapes),
    "match": ("The patterns that match a topic", match),
}


def main() -> None:
    """Measure each part, and print a table of each."""
    parser = argparse.ArgumentParser("python -m benchmarks.pubsub", description="What publishing costs.")
    parser.add_argument("--rounds", type=int, default=FULL.rounds, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--write", action="store_true", help="update the tables in benchmarks/README.md")
    arguments = parser.parse_args()
    length = QUICK if arguments.quick else replace(FULL, rounds=arguments.rounds)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for name in arguments.only:
        option = "--quick" if arguments.quick else f"--rounds {length.rounds}"
        how = made("pubsub", name, option)
        title, measure = PARTS[name]
        rows = list(measure(length))
        console.print(to_rich(title, rows), how)
        if arguments.write:
            write_readme(name, f"{title}. {how}\n\n{markdown(rows)}", "pubsub")


if __name__ == "__main__":
    main()
