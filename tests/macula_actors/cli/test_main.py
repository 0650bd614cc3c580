"""What a shell has to do with ``macula``: where it writes, and Ctrl-C."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
MACULA = (sys.executable, "-m", "macula_actors.cli")
KEYS = [("config", "--keys"), ("config", "--keys", "--json"), ("--help",)]

INTERRUPTED = """
import signal, sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it
sys.meta_path.insert(0, Interrupting())
from macula_actors.cli.__main__ import main
main()
"""


def macula(*args, stdout):
    return subprocess.run((*MACULA, *args), stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8", check=False)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("args", KEYS)
def test_a_full_disk_is_told_in_one_line(args):
    with FULL.open("wb") as full:
        done = macula(*args, stdout=full)

    assert (done.returncode, done.stderr) == (1, "macula: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("args", KEYS)
def test_a_pipe_that_nobody_reads_is_told_to_nobody(args):
    reader, writer = os.pipe()
    os.close(reader)
    done = macula(*args, stdout=writer)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_what_is_closed_is_written_nowhere(closed):
    command = f"exec {sys.executable} -m macula_actors.cli config --keys {closed}"
    done = subprocess.run(("sh", "-c", command), capture_output=True, encoding="utf-8", check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["macula_actors.cli.app", "typer", "macula_actors.node_config"])
def test_ctrl_c_while_it_is_loaded_ends_it_quietly(module):
    done = subprocess.run((sys.executable, "-c", INTERRUPTED, module), capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
