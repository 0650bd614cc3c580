"""What is measured of whom, and what a number has to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["FAMILIES", "ROWS", "Bar", "Loop", "Row", "Subject", "Unit"]


class Subject(StrEnum):
    """Who is measured; the value is the name of the function that does it, in the family's module."""

    OURS = "ours"
    BARE = "bare"
    PYKKA = "pykka_actor"
    OTPYLIB = "otpylib"  # all in one module, one function a family


class Loop(StrEnum):
    """What it runs on."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    THREADS = "threads"


class Unit(StrEnum):
    """What is counted. More is better per second, less otherwise."""

    PER_SECOND = "/s"
    MICROSECONDS = "us"
    SECONDS = "s"
    BYTES = "B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What has to hold, on every loop.

    Args:
        ratio: so many times better than the peer, at least.
        at_most: the number itself, in the row's unit.
    """

    ratio: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        metric: what is measured, in words.
        key: by which a measurement gives it.
        unit: of the number.
        peer: with whom it is compared.
        doing: what the peer does.
        peer_key: by which the peer's measurement gives its number, if not the same.
        bar: what has to hold.
    """

    metric: str
    key: str
    unit: Unit
    peer: Subject | None = None
    doing: str = ""
    peer_key: str = ""
    bar: Bar | None = None


# A family is a module; each of its subjects is measured in an OS process of its own.
FAMILIES: Final[Mapping[str, Sequence[Subject]]] = {
    "calls": (Subject.OURS, Subject.BARE, Subject.PYKKA, Subject.OTPYLIB),
    "casts": (Subject.OURS, Subject.BARE, Subject.PYKKA, Subject.OTPYLIB),
    "starts": (Subject.OURS, Subject.BARE, Subject.PYKKA, Subject.OTPYLIB),
    "restarts": (Subject.OURS, Subject.OTPYLIB),
    "memory": (Subject.OURS, Subject.BARE, Subject.PYKKA, Subject.OTPYLIB),
    "traced_memory": (Subject.OURS, Subject.BARE, Subject.OTPYLIB),
    "population": (Subject.OURS, Subject.BARE),
}

THREADING_ACTOR: Final = "Pykka ThreadingActor"
KIB: Final = 1024

ROWS: Final[Sequence[Row]] = (
    Row("call", "call", Unit.PER_SECOND, Subject.PYKKA, f"{THREADING_ACTOR}, ask", bar=Bar(ratio=3.0)),
    Row("call", "call", Unit.PER_SECOND, Subject.BARE, "asyncio, queue and future", bar=Bar(ratio=0.6)),
    Row("call", "call", Unit.PER_SECOND, Subject.OTPYLIB, "otpylib, call"),
    Row("call, async callback", "call_async", Unit.PER_SECOND, Subject.OTPYLIB, "otpylib, call"),
    Row("call, 64 callers", "call_many", Unit.PER_SECOND, Subject.PYKKA, f"{THREADING_ACTOR}, ask"),
    Row("call, 64 callers", "call_many", Unit.PER_SECOND, Subject.BARE, "asyncio, queue and future"),
    Row("call, 64 callers", "call_many", Unit.PER_SECOND, Subject.OTPYLIB, "otpylib, call"),
    Row("cast", "cast", Unit.PER_SECOND, Subject.PYKKA, f"{THREADING_ACTOR}, tell"),
    Row("cast", "cast", Unit.PER_SECOND, Subject.BARE, "asyncio, queue"),
    Row("cast", "cast", Unit.PER_SECOND, Subject.OTPYLIB, "otpylib, cast"),
    Row("start", "start", Unit.MICROSECONDS, Subject.PYKKA, f"{THREADING_ACTOR}, not awaited"),
    Row("start", "start", Unit.MICROSECONDS, Subject.BARE, "asyncio, task"),
    Row("start", "start", Unit.MICROSECONDS, Subject.OTPYLIB, "otpylib, start"),
    Row("start and stop", "start_stop", Unit.MICROSECONDS, Subject.PYKKA, f"{THREADING_ACTOR}, stop"),
    Row("start and stop", "start_stop", Unit.MICROSECONDS, Subject.BARE, "asyncio, cancel"),
    Row("kill to init done and seen, median", "restart_p50", Unit.MICROSECONDS, bar=Bar(at_most=200.0)),
    Row("kill to init done and seen, 99 %", "restart_p99", Unit.MICROSECONDS),
    Row("kill to time stamp in init, median", "restart_init_p50", Unit.MICROSECONDS, bar=Bar(at_most=200.0)),
    Row("kill to time stamp in init, 99 %", "restart_init_p99", Unit.MICROSECONDS),
    Row("crash to init, median", "crash_init_p50", Unit.MICROSECONDS, Subject.OTPYLIB, "otpylib, one_for_one"),
    Row("crash to init, 99 %", "crash_init_p99", Unit.MICROSECONDS, Subject.OTPYLIB, "otpylib, one_for_one"),
    Row("one_for_all of 10: kill to last init, median", "one_for_all_p50", Unit.MICROSECONDS),
    Row("one_for_all of 10: kill to last init, 99 %", "one_for_all_p99", Unit.MICROSECONDS),
    Row(
        "last 100 of 5,000 restarts in a window",
        "restart_last",
        Unit.PER_SECOND,
        Subject.OURS,
        "the first 100",
        peer_key="restart_first",
        bar=Bar(ratio=0.5),
    ),
    Row("idle process, resident", "resident", Unit.BYTES, Subject.PYKKA, THREADING_ACTOR, bar=Bar(at_most=3 * KIB)),
    Row("idle process, resident", "resident", Unit.BYTES, Subject.BARE, "asyncio, task and queue"),
    Row("idle process, resident", "resident", Unit.BYTES, Subject.OTPYLIB, "otpylib, not supervised"),
    Row("the same without its child spec", "resident_net", Unit.BYTES),
    Row(
        "idle process, tracemalloc",
        "traced",
        Unit.BYTES,
        Subject.BARE,
        "asyncio, task and queue",
        bar=Bar(at_most=3 * KIB),
    ),
    Row("idle process, tracemalloc", "traced", Unit.BYTES, Subject.OTPYLIB, "otpylib, not supervised"),
    Row("the same without its child spec", "traced_net", Unit.BYTES),
    Row("Supervisor: 100,000 start", "static_start", Unit.SECONDS, bar=Bar(at_most=10.0)),
    Row("Supervisor: 100,000 stop in reverse order", "static_stop", Unit.SECONDS, bar=Bar(at_most=10.0)),
    Row(
        "DynamicSupervisor: 100,000 start",
        "dynamic_start",
        Unit.SECONDS,
        Subject.BARE,
        "asyncio, tasks not awaited",
        bar=Bar(at_most=10.0),
    ),
    Row(
        "DynamicSupervisor: 100,000 stop",
        "dynamic_stop",
        Unit.SECONDS,
        Subject.BARE,
        "asyncio, cancel all",
        bar=Bar(at_most=10.0),
    ),
)
