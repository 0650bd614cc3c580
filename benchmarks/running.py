"""Runs the measurements: each in an OS process of its own, one at a time, in turns so that all see the same weather."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from rich.progress import Progress

from benchmarks.plan import FAMILIES, Loop, Subject
from benchmarks.size import Figures

__all__ = ["Found", "Run", "plan_runs", "run_all"]


@dataclass(frozen=True, slots=True)
class Run:
    """One OS process: a subject on a loop, in some families."""

    subject: Subject
    loop: Loop
    families: Sequence[str]


Found: TypeAlias = dict[tuple[Subject, Loop], dict[str, list[float]]]  # by key of a row; one number a round


def plan_runs(rounds: int, *, quick: bool) -> list[Run]:
    """Return what is to be run, in order: family by family in turns; ``quick`` all families of a subject in one."""
    if quick:
        return [
            Run(subject, loop, [family for family, measured in FAMILIES.items() if subject in measured])
            for subject, loop in _turns(list(Subject))
        ]
    return [
        Run(subject, loop, [family])
        for family, subjects in FAMILIES.items()
        for _ in range(rounds)
        for subject, loop in _turns(subjects)
    ]


def _turns(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Loop]]:
    for loop in Loop:
        for subject in subjects:
            threads = subject is Subject.PYKKA
            if _installed(subject) and _installed(loop) and threads == (loop is Loop.THREADS):
                yield subject, loop


def _installed(what: Subject | Loop) -> bool:
    return what not in {Subject.OTPYLIB, Loop.UVLOOP} or find_spec(what) is not None


def run_all(runs: Sequence[Run], progress: Progress, *, quick: bool) -> Found:
    """Run them one after the other and gather their figures.

    Raises:
        subprocess.CalledProcessError: one failed; what it said is on stderr.
    """
    found: Found = defaultdict(lambda: defaultdict(list))
    task = progress.add_task("", total=len(runs))
    for run in runs:
        doing = f"{', '.join(run.families)}: {run.subject} on {run.loop}"
        progress.update(task, description=doing)
        if not progress.console.is_terminal:
            progress.console.print(doing)
        for key, figure in _measure(run, quick=quick).items():
            found[run.subject, run.loop][key].append(figure)
        progress.advance(task)
    return found


def _measure(run: Run, *, quick: bool) -> Figures:
    command = [sys.executable, "-m", "benchmarks.measure", run.subject, run.loop, *run.families]
    done = subprocess.run([*command, *(["--quick"] * quick)], stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures
