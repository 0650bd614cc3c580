"""The tables: on the screen, and in README.md. A row has its cells by column."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rich import box
from rich.markup import escape
from rich.table import Table

__all__ = ["Row", "markdown", "to_rich", "verdict", "write_readme"]

README = Path(__file__).with_name("README.md")

Row: TypeAlias = Mapping[str, str]


def verdict(is_met: bool) -> str:
    """Return whether a bar is met."""
    return "yes" if is_met else "NO"


def to_rich(title: str, rows: Sequence[Row]) -> Table:
    """Return the table for the screen."""
    table = Table(*rows[0], title=title, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row.values()))
    return table


def markdown(rows: Sequence[Row]) -> str:
    """Return the table for a README."""
    names = list(rows[0])
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_readme(benchmark: str, part: str, text: str) -> None:
    """Put ``text`` between the markers of ``part`` of ``benchmark`` in README.md."""
    readme = README.read_text(encoding="utf-8")
    marked = re.compile(rf"(?<=<!-- {benchmark} {part} -->\n).*(?=<!-- end of {benchmark} {part} -->)", re.DOTALL)
    README.write_text(marked.sub(lambda _: f"\n{text}\n", readme), encoding="utf-8")
