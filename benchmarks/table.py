"""The table: on the screen, and in README.md."""

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

from rich import box
from rich.table import Table

from benchmarks.plan import ROWS, Bar, Loop, Row, Subject, Unit
from benchmarks.running import Found

__all__ = ["Line", "judge", "markdown", "to_rich", "write_readme"]

README = Path(__file__).with_name("README.md")
NOT_MEASURED = "not installed"
DECIMALS = {Unit.PER_SECOND: 0, Unit.MICROSECONDS: 1, Unit.SECONDS: 2, Unit.BYTES: 0}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, as text; ``ok`` is empty where there is no bar."""

    metric: str
    on_asyncio: str
    on_uvloop: str
    peer: str
    peer_number: str
    ratio: str
    bar: str
    ok: str


HEADERS = ("metric", "ours on asyncio", "ours on uvloop", "peer", "peer's number", "ratio", "bar", "ok?")
assert len(HEADERS) == len(fields(Line))


def judge(found: Found) -> list[Line]:
    """Return the lines, in the order of ROWS. Numbers are medians, a ratio the median of each round's."""
    return [_line(row, found) for row in ROWS]


def _line(row: Row, found: Found) -> Line:
    loops = [loop for loop in (Loop.ASYNCIO, Loop.UVLOOP) if (Subject.OURS, loop) in found]
    ours = {loop: found[Subject.OURS, loop][row.key] for loop in loops}
    peers = {loop: _peer(row, loop, found) for loop in loops}
    ratios = [_ratio(row.unit, ours[loop], peers[loop]) for loop in loops if peers[loop]]
    return Line(
        row.metric,
        _number(ours.get(Loop.ASYNCIO, []), row.unit),
        _number(ours.get(Loop.UVLOOP, []), row.unit),
        row.doing,
        " / ".join(dict.fromkeys(_number(peer, row.unit) for peer in peers.values())) if row.peer else "",
        " / ".join(f"{ratio:.2f}" for ratio in ratios),
        _bar_text(row.bar, row.unit),
        _verdict(row.bar, ratios, [median(figures) for figures in ours.values()]),
    )


def _peer(row: Row, loop: Loop, found: Found) -> list[float]:
    """Return the peer's numbers on the same loop; those of threads where it has none."""
    if row.peer is None:
        return []
    on = Loop.THREADS if row.peer is Subject.PYKKA else loop
    return found.get((row.peer, on), {}).get(row.peer_key or row.key, [])


def _ratio(unit: Unit, ours: Sequence[float], peers: Sequence[float]) -> float:
    """Return how many times better ours is."""
    more_is_better = unit is Unit.PER_SECOND
    pairs = zip(ours, peers, strict=True)
    return median(one / other if more_is_better else other / one for one, other in pairs)


def _number(figures: Sequence[float], unit: Unit) -> str:
    return f"{median(figures):,.{DECIMALS[unit]}f} {unit}" if figures else NOT_MEASURED


def _bar_text(bar: Bar | None, unit: Unit) -> str:
    if bar is None:
        return ""
    return f">= {bar.ratio:g} x" if bar.ratio is not None else f"<= {bar.at_most:g} {unit}"


def _verdict(bar: Bar | None, ratios: Sequence[float], numbers: Sequence[float]) -> str:
    if bar is None:
        return ""
    enough = bar.ratio is None or all(ratio >= bar.ratio for ratio in ratios)
    little = bar.at_most is None or all(number <= bar.at_most for number in numbers)
    return "yes" if enough and little else "NO"


def to_rich(lines: Sequence[Line]) -> Table:
    """Return the table for the screen."""
    table = Table(*HEADERS, box=box.SIMPLE_HEAD)
    for line in lines:
        table.add_row(*astuple(line), style="bold red" if line.ok == "NO" else None)
    return table


def markdown(lines: Sequence[Line]) -> str:
    """Return the table for a README."""
    rows = [HEADERS, ["---", "--:", "--:", "---", "--:", "--:", "--:", "---"], *map(astuple, lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_readme(text: str) -> None:
    """Put ``text`` between the markers in README.md."""
    readme = README.read_text(encoding="utf-8")
    marked = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of table -->)", re.DOTALL)
    README.write_text(marked.sub(lambda _: f"\n{text}\n\n", readme), encoding="utf-8")
