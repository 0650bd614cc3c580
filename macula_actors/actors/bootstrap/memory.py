"""How much memory this process has."""

import resource
import sys
from pathlib import Path
from typing import Final

__all__ = ["memory_mb"]

_STATM: Final = Path("/proc/self/statm")
_MB: Final = 1_048_576
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # bytes


def memory_mb() -> float:
    """Return the resident memory in MB; where the system does not tell, the most that it was."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT / _MB
    return pages * resource.getpagesize() / _MB
