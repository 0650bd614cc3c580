"""One subject on one loop, measured in an OS process of its own.

``python -m benchmarks.measure SUBJECT LOOP FAMILY...`` prints the figures as one line of JSON.
"""

import argparse
import asyncio
import json
from collections.abc import Callable
from importlib import import_module

from benchmarks.plan import FAMILIES, Loop, Subject
from benchmarks.size import FULL, QUICK, Figures, Size

__all__: list[str] = []


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", type=Subject)
    parser.add_argument("loop", type=Loop)
    parser.add_argument("families", nargs="+", choices=FAMILIES)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    figures: Figures = {}
    for family in arguments.families:
        function = _function(family, arguments.subject)
        figures |= _run(function, arguments.loop, QUICK if arguments.quick else FULL)
    print(json.dumps(figures))


def _function(family: str, subject: Subject) -> Callable[[Size], object]:
    if subject is Subject.OTPYLIB:
        module, name = "otpylib_peer", family
    else:
        module, name = family, str(subject)
    function: Callable[[Size], object] = getattr(import_module(f"benchmarks.{module}"), name)
    return function


def _run(function: Callable[[Size], object], loop: Loop, size: Size) -> Figures:
    if loop is Loop.THREADS:
        return function(size)  # type: ignore[return-value]
    factory = import_module("uvloop").new_event_loop if loop is Loop.UVLOOP else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(function(size))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
