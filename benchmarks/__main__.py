"""The command: ``python -m benchmarks [--quick] [--rounds N] [--write]``."""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.running import plan_runs, run_all
from benchmarks.table import judge, markdown, to_rich, write_readme

__all__: list[str] = []

WIDE = 200  # columns, where the output is no terminal


def main() -> int:
    """Measure everything, print the table; return 1 when a bar is missed, but for a smoke run."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure this runtime beside its peers.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; medians are taken")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--write", action="store_true", help="update the table in benchmarks/README.md")
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        runs = plan_runs(arguments.rounds, quick=arguments.quick)
        lines = judge(run_all(runs, progress, quick=arguments.quick))
    option = "--quick" if arguments.quick else f"--rounds {arguments.rounds}"
    machine = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
    made = f"`python -m benchmarks {option}`, {datetime.now(UTC):%Y-%m-%d}, {machine}"
    Console(width=None if sys.stdout.isatty() else WIDE).print(to_rich(lines), made)
    if arguments.write:
        write_readme(f"{made}.\n\n{markdown(lines)}")
    return int(not arguments.quick and any(line.ok == "NO" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
