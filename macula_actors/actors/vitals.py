"""What the operating system and the runtime say of this program. Erlang: erlang:memory/1, erlang:system_info/1."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supervisors import System

__all__ = ["Vitals", "memory_mb", "vitals"]

_STATM: Final = Path("/proc/self/statm")  # pages: all, resident, shared ...
_KIB: Final = 1024
_MIB: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """``memory_bytes`` are in RAM; ``own_memory_bytes`` of them are shared with no other program or file."""

    process_count: int  # of the System
    memory_bytes: int
    own_memory_bytes: int


def vitals() -> Vitals:
    """Return them as of now. Where there is no ``/proc``, both memories are the most that there ever was."""
    resident, shared = _memory()
    return Vitals(
        process_count=len(System.current().processes), memory_bytes=resident, own_memory_bytes=resident - shared
    )


def memory_mb() -> float:
    """Return how many MB this program has in RAM."""
    return _memory()[0] / _MIB


def _memory() -> tuple[int, int]:
    try:
        _, resident, shared, *_ = (int(pages) for pages in _STATM.read_text(encoding="ascii").split())
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else _KIB), 0
    page = os.sysconf("SC_PAGE_SIZE")
    return resident * page, shared * page
