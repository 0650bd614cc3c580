"""What it takes until a node is ready, and what it keeps: `macula node` in a fresh OS process, of each mode.

Each is configured as it is by default, but for its port and engine; those with a gateway serve HTTP at a free port.
"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Final

from benchmarks.rows import Row, verdict
from benchmarks.rpc.length import Length
from macula_actors.node_config import Mode

__all__ = ["starts"]

MOST_SECONDS: Final = 1.0  # of an edge
MOST_MB: Final = 60.0  # of an edge
SETTLING: Final = 0.5  # seconds after it is ready
GRACE: Final = 10.0  # seconds that a process has to end
KB_IN_MB: Final = 1e3
TICKS: Final = 100  # in a second of /proc/PID/stat
KINDS: Final[tuple[tuple[str, str], ...]] = (*((mode, "aioquic") for mode in Mode), (Mode.EDGE, "qh3"))


def starts(length: Length) -> Iterator[Row]:
    """Start each in turns, and yield a row for each."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for _ in range(length.rounds):
        for mode, engine in KINDS:
            print(f"a node of mode {mode} on {engine}", file=sys.stderr, flush=True)
            found[mode, engine].append(_measure(mode, engine))
    for (mode, engine), rounds in found.items():
        yield _row(mode, engine, rounds)


def _measure(mode: str, engine: str) -> tuple[float, ...]:
    """Return the seconds until it is ready, those of CPU time, the megabytes in memory, and those not of files."""
    options = ("--mode", mode, "--listen", "127.0.0.1:0", "--set", f"engine={engine}", "--json-logs")
    http = ("--set", "health_port=0") if Mode(mode).is_gateway else ()
    command = [sys.executable, "-m", "macula_actors.cli", "node", *options, *http]
    began = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        took = perf_counter() - began
        assert ready, "it has ended"
        cpu = _cpu(process.pid)
        sleep(SETTLING)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        process.terminate()
        process.wait(GRACE)
    return took, cpu, _mb(status, "VmRSS"), _mb(status, "RssAnon")


def _cpu(pid: int) -> float:
    """Return the seconds of CPU time of a process. Linux: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _mb(status: str, field: str) -> float:
    """Return one of the sizes in the file status of a process. Linux: proc_pid_status(5)."""
    return float(status.partition(f"{field}:")[2].split()[0]) / KB_IN_MB


def _row(mode: str, engine: str, rounds: Sequence[tuple[float, ...]]) -> Row:
    took, cpu, resident, anonymous = map(median, zip(*rounds, strict=True))
    is_edge = mode == Mode.EDGE
    return {
        "mode": str(mode),
        "engine": engine,
        "until ready": f"{took:.2f} s",
        "CPU until ready": f"{cpu:.2f} s",
        "resident": f"{resident:.0f} MB",
        "of it not of files": f"{anonymous:.0f} MB",
        "bars": f"<= {MOST_SECONDS:.0f} s, <= {MOST_MB:.0f} MB" if is_edge else "",
        "ok?": verdict(took <= MOST_SECONDS and resident <= MOST_MB) if is_edge else "",
    }
