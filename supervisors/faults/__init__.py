"""Faults put into a running System on purpose: in tests, in examples, from the command line.

Kill a process by name or place (`kill`); have it `crash` in a callback, `delay`, `drop` or `duplicate` what it is
sent, `stall` its end; let a `Monkey` kill at random. Where there is no fault, none of it costs anything.
"""

from supervisors.faults.fault import Fault, InjectedFault, crash, delay, drop, duplicate, stall
from supervisors.faults.monkey import Monkey, MonkeyKill, kills, replay
from supervisors.faults.target import Path, Target, find, kill, walk

__all__ = [
    "Fault",
    "InjectedFault",
    "Monkey",
    "MonkeyKill",
    "Path",
    "Target",
    "crash",
    "delay",
    "drop",
    "duplicate",
    "find",
    "kill",
    "kills",
    "replay",
    "stall",
    "walk",
]
