"""What it takes until a node is ready, and what it keeps: `macula node` in a fresh OS process, of each mode."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Final

from benchmarks.rpc.length import Length
from benchmarks.rpc.table import Row, verdict
from macula_actors.config_sources import toml_line
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
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for _ in range(length.rounds):
        for mode, engine in KINDS:
            print(f"a node of mode {mode} on {engine}", file=sys.stderr, flush=True)
            found[mode, engine].append(_measure(mode, engine))
    for (mode, engine), rounds in found.items():
        yield _row(mode, engine, rounds)


def _measure(mode: str, engine: str) -> tuple[float, float, float]:
    """Return the seconds until it is ready, those of CPU time, and the megabytes in memory."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "node.toml")
        options = {"mode": mode, "engine": engine, "listen": "127.0.0.1:0", "health_port": 0, "data_dir": directory}
        path.write_text("".join(f"{toml_line(key, value)}\n" for key, value in options.items()), encoding="utf-8")
        command = [sys.executable, "-m", "macula_actors.cli", "node", "--config", str(path), "--json-logs"]
        began = perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            took = perf_counter() - began
            assert ready, "it has ended"
            cpu = _cpu(process.pid)
            sleep(SETTLING)
            resident = _resident_mb(process.pid)
            process.terminate()
            process.wait(GRACE)
    return took, cpu, resident


def _cpu(pid: int) -> float:
    """Return the seconds of CPU time of a process. Linux: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return float(status.partition("VmRSS:")[2].split()[0]) / KB_IN_MB


def _row(mode: str, engine: str, rounds: Sequence[tuple[float, float, float]]) -> Row:
    took, cpu, resident = (median(each[at] for each in rounds) for at in range(3))
    is_edge = mode == Mode.EDGE
    return {
        "mode": str(mode),
        "engine": engine,
        "until ready": f"{took:.2f} s",
        "CPU until ready": f"{cpu:.2f} s",
        "resident": f"{resident:.0f} MB",
        "bars": f"<= {MOST_SECONDS:.0f} s, <= {MOST_MB:.0f} MB" if is_edge else "",
        "ok?": verdict(took <= MOST_SECONDS and resident <= MOST_MB) if is_edge else "",
    }
