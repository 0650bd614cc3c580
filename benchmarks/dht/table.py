"""The tables: on the screen, and in README.md. A row is a dataclass, its fields are the columns."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

__all__ = ["markdown", "to_rich", "write_readme"]

README = Path(__file__).parent.with_name("README.md")


def to_rich(costs: Sequence[Any]) -> Table:
    """Return the table for the screen."""
    table = Table(*_names(costs), box=box.SIMPLE_HEAD)
    for row in _rows(costs):
        table.add_row(*row)
    return table


def markdown(costs: Sequence[Any]) -> str:
    """Return the table for a README."""
    names = _names(costs)
    rows = [names, ["---", *["--:"] * (len(names) - 1)], *_rows(costs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def write_readme(text: str) -> None:
    """Put ``text`` between the markers in README.md."""
    readme = README.read_text(encoding="utf-8")
    marked = re.compile(r"(?<=<!-- dht table -->\n).*(?=<!-- end of dht table -->)", re.DOTALL)
    README.write_text(marked.sub(lambda _: f"\n{text}\n", readme), encoding="utf-8")


def _names(costs: Sequence[Any]) -> list[str]:
    return [field.name.replace("_", " ") for field in fields(costs[0])]


def _rows(costs: Sequence[Any]) -> list[list[str]]:
    return [[str(getattr(cost, field.name)) for field in fields(cost)] for cost in costs]
