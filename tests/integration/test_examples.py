"""Every example runs, ends by itself, and shows what it says it shows."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "__init__")
PATIENCE = 55.0  # s; the demo takes 20, the others 10 at most, on a machine that has nothing else to do

SHOWS = {
    "bank": "nothing was lost, nothing done twice: {'alice': 40, 'bob': 60}",
    "calculator": "1 / 0: division_by_zero: 1 can't be divided by 0",
    "chaos": "every job was done once",
    "chat": "bob hears: Who wants some?",
    "counter": "1000 callers at once got 1000 different numbers up to 1015",
    "crash_and_restart": "processes left: []",
    "dashboard": "6 values were there before anything new was published",
    "embedded": "['hsem', 'rotca', 'level']",
    "erlang_port": "[none,bob]",
    "failover": "provider 1 has stopped",
    "five_nodes": "  ok     edge2 keeps the record that edge3 provides test.calculator.add",
    "hello_mesh": "Hello, mesh!",
    "kills": "9 of 9 kills were answered as they should be",
    "relay_edge": "messages that the gateway relayed: 1",
    "sensors": "  sensors.kitchen.temperature    22.0 of 3 readings",
    "simulated_network": "all there: 100 of 100 found in 2 rounds at most, half of them within 50 ms",
    "supervision_tree": "    ├── till  Part#8  running  1 restart",
    "two_peers": "eve is told: RealmMismatchError",
    "thread_worker": "    └── hasher  Hasher#4  running  2 restarts",
    "worker_pool": "100 // 9: (11, 'Worker#5')",
}


def run(*command, cwd=ROOT):
    """Return the lines that ``command`` prints; it has to succeed and to be silent about errors."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=PATIENCE, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_shows_what_it_is_for(name):
    assert SHOWS[name] in run(sys.executable, "-X", "utf8", f"examples/{name}.py")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("erlc") is None, reason="needs Erlang")
def test_erlang_text_of_the_port_prints_what_the_port_prints(tmp_path):
    doc = importlib.import_module("examples.erlang_port").__doc__
    (tmp_path / "sessions.erl").write_text(doc[doc.index("-module") :], encoding="utf-8")
    run("erlc", "-Wall", "-Werror", "sessions.erl", cwd=tmp_path)

    erlang = run("erl", "-noshell", "-s", "sessions", "main", "-s", "init", "stop", cwd=tmp_path)

    assert erlang == run(sys.executable, "examples/erlang_port.py")
