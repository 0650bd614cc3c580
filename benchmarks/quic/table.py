"""The table: on the screen, and in README.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from rich import box
from rich.markup import escape
from rich.table import Table

from benchmarks.quic.measure import DIALS, IN_FLIGHT, Figures
from benchmarks.quic.systems import SYSTEMS, Loop, System

__all__ = ["HEADERS", "NOT_INSTALLED", "Found", "lines", "markdown", "to_rich", "write_readme"]

Found = Mapping[tuple[System, Loop], Sequence[Figures]]  # one a round

README = Path(__file__).parent.with_name("README.md")
NOT_INSTALLED = "not installed: pip install -e .[bench]"

HEADERS = (
    "system",
    "loop",
    *(f"{in_flight} in flight" for in_flight in IN_FLIGHT),
    "1 MiB messages",
    *("dials" if at_once == 1 else f"dials, {at_once} at once" for at_once in DIALS),
)


def lines(found: Found, systems: Iterable[System] = SYSTEMS.values()) -> list[Sequence[str]]:
    """Return a line for each of ``systems`` and its loops, in order. Numbers are medians of the rounds."""
    return [(system.label, loop, *_cells(found.get((system, loop), ()))) for system in systems for loop in system.loops]


def _cells(rounds: Sequence[Figures]) -> Sequence[str]:
    if not rounds:
        return (NOT_INSTALLED, *[""] * (len(HEADERS) - 3))
    middle = {key: median(figures[key] for figures in rounds) for key in rounds[0]}
    return (
        *(_load(middle, in_flight) for in_flight in IN_FLIGHT),
        f"{middle['bulk MB/s']:,.0f} MB/s",
        *(f"{middle[key]:,.0f} /s" if (key := f"dials {at_once}") in middle else "" for at_once in DIALS),
    )


def _load(figures: Figures, in_flight: int) -> str:
    rate, p50, p99 = (figures[f"{in_flight} {name}"] for name in ("rate", "p50", "p99"))
    return f"{rate:,.0f} /s, {p50:,.0f} / {p99:,.0f} us"


def to_rich(table_lines: Sequence[Sequence[str]]) -> Table:
    """Return the table for the screen."""
    table = Table(*HEADERS, box=box.SIMPLE_HEAD)
    for line in table_lines:
        table.add_row(*map(escape, line))
    return table


def markdown(table_lines: Sequence[Sequence[str]]) -> str:
    """Return the table for a README."""
    rows = [HEADERS, ["---", "---", *["--:"] * (len(HEADERS) - 2)], *table_lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_readme(text: str) -> None:
    """Put ``text`` between the markers in README.md."""
    readme = README.read_text(encoding="utf-8")
    marked = re.compile(r"(?<=<!-- quic table -->\n).*(?=<!-- end of quic table -->)", re.DOTALL)
    README.write_text(marked.sub(lambda _: f"\n{text}\n\n", readme), encoding="utf-8")
