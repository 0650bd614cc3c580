"""One system on one loop, measured: its client in this process, its server in another.

``python -m benchmarks.quic.measure MODULE LOOP`` prints the figures as one line of JSON.
"""

import argparse
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from benchmarks.quic.load import Load, measure_load, measure_load_in_threads
from benchmarks.quic.run_on import run_on, together_on
from benchmarks.quic.server import serving
from benchmarks.quic.systems import SYSTEMS, Loop, Module, load_module

__all__ = ["DIALS", "IN_FLIGHT", "Figures"]

Figures: TypeAlias = dict[str, float]  # "16 rate", "16 p50", "16 p99"; "bulk MB/s"; "dials 8"

IN_FLIGHT: Final = (1, 16, 64, 256)
DIALS: Final = (1, 8)  # at once
MESSAGE: Final = bytes(range(100))
BULK_MESSAGE: Final = MESSAGE + bytes(1_000_000 - len(MESSAGE))
BULK_IN_FLIGHT: Final = 4
MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long it takes, in seconds.

    Attributes:
        warm_up: before anything is counted.
        measured: each number.
    """

    warm_up: float
    measured: float


FULL: Final = Length(warm_up=0.5, measured=2.0)
QUICK: Final = Length(warm_up=0.02, measured=0.05)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("loop", type=Loop)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    loop: Loop = arguments.loop
    system = SYSTEMS[arguments.system]
    length = QUICK if arguments.quick else FULL
    measure: Callable[..., Any] = _in_threads if loop is Loop.THREADS else _on_loop
    with serving(system, loop) as where:
        print(json.dumps(run_on(loop, partial(measure, load_module(system), where, loop, length))))


async def _on_loop(module: Module, where: str, loop: Loop, length: Length) -> Figures:
    def load(operation: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> Awaitable[Load]:
        return measure_load(operation, in_flight=in_flight, seconds=seconds, together=together_on(loop))

    figures: Figures = {}
    async with module.connect(where) as request:
        assert await request(MESSAGE) == await request(BULK_MESSAGE) == MESSAGE
        for in_flight in IN_FLIGHT:
            await load(lambda: request(MESSAGE), in_flight, length.warm_up)
            figures |= _figures(in_flight, await load(lambda: request(MESSAGE), in_flight, length.measured))
        bulk = await load(lambda: request(BULK_MESSAGE), BULK_IN_FLIGHT, length.measured)
        figures["bulk MB/s"] = bulk.rate * len(BULK_MESSAGE) / MEGABYTE
    if hasattr(module, "dialling"):
        async with module.dialling(where) as dial:
            for at_once in DIALS:
                figures[f"dials {at_once}"] = (await load(dial, at_once, length.measured)).rate
    return figures


def _in_threads(module: Any, where: str, _: Loop, length: Length) -> Figures:
    load = measure_load_in_threads
    figures: Figures = {}
    with module.connect(where) as request:
        assert request(MESSAGE) == request(BULK_MESSAGE) == MESSAGE
        for in_flight in IN_FLIGHT:
            load(lambda: request(MESSAGE), in_flight=in_flight, seconds=length.warm_up)
            counted = load(lambda: request(MESSAGE), in_flight=in_flight, seconds=length.measured)
            figures |= _figures(in_flight, counted)
        bulk = load(lambda: request(BULK_MESSAGE), in_flight=BULK_IN_FLIGHT, seconds=length.measured)
        figures["bulk MB/s"] = bulk.rate * len(BULK_MESSAGE) / MEGABYTE
    return figures


def _figures(in_flight: int, load: Load) -> Figures:
    return {f"{in_flight} {name}": number for name, number in asdict(load).items()}


if __name__ == "__main__":
    main()
