"""The server of a system, in an OS process of its own: ``python -m benchmarks.quic.server MODULE LOOP``.

It prints where it can be reached, and ends when its standard input does, so that it never outlives who started it.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread

from benchmarks.quic.run_on import run_on
from benchmarks.quic.systems import SYSTEMS, Loop, System, load_module

__all__ = ["serving"]

READY = "ready "
GRACE = 5.0  # seconds


@contextmanager
def serving(system: System, loop: Loop) -> Generator[str]:
    """Give where the server of ``system`` is, which is another process; it ends with the context.

    Raises:
        ChildProcessError: it ended before it was ready; what it said is on stderr.
    """
    command = [sys.executable, "-m", "benchmarks.quic.server", system.module, loop]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = next((line for line in process.stdout if line.startswith(READY)), None)
        if ready is None:
            raise ChildProcessError(f"no server of {system.label}: it ended with {process.wait()}")
        try:
            yield ready.removeprefix(READY).strip()
        finally:
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            process.kill()  # nothing, where it has ended


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("loop", type=Loop)
    arguments = parser.parse_args()
    Thread(target=_end_with_input, daemon=True).start()
    run_on(arguments.loop, partial(load_module(SYSTEMS[arguments.system]).serve, _announce))


def _announce(where: str) -> None:
    print(f"{READY}{where}", flush=True)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)  # whatever the libraries' threads do


if __name__ == "__main__":
    main()
