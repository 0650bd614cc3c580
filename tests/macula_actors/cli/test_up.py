import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from macula_actors.admin.client import ask

EXAMPLES = Path(__file__).parents[3] / "examples" / "topologies"

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

TWO = """
[defaults]
mode = "edge"
listen = "127.0.0.1:0"
[[node]]
name = "ann"
[[node]]
name = "bob"
bootstrap = ["@ann"]
[[check]]
name = "bob provides test.echo"
from = "bob"
do = "advertise_echo"
procedure = "test.echo"
[[check]]
name = "ann calls it"
from = "ann"
do = "call"
procedure = "test.echo"
args = 1
expect = 1
within = 5
"""


async def up(*args):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "macula_actors.cli", "up", *map(str, args)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def outcome(*args):
    process = await up(*args)
    out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


def write(tmp_path, text):
    (tmp_path / "two.toml").write_text(text)
    return tmp_path / "two.toml"


def last_line(errors):
    return errors.decode().splitlines()[-1]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [(), ("--in-process", "--loop", "asyncio")])
async def test_checks_that_hold_end_with_exit_code_0(tmp_path, how):
    code, out, errors = await outcome(write(tmp_path, TWO), "--check", *how)

    assert (code, errors) == (0, "")
    assert "two: 2 nodes are up" in out
    assert out.count("ok      ") == 2


async def test_a_check_that_does_not_hold_ends_with_exit_code_1(tmp_path):
    code, out, errors = await outcome(
        write(tmp_path, TWO.replace("expect = 1\nwithin = 5", "expect = 2")), "--check", "--in-process"
    )

    assert (code, errors) == (1, "macula: 1 of 2 checks failed: ann calls it\n")
    assert "1; expected was 2" in out


async def test_programs_are_told_in_json(tmp_path):
    code, out, _ = await outcome(write(tmp_path, TWO), "--check", "--json", "--in-process")

    nodes, checks = map(json.loads, out.splitlines())
    assert code == 0
    assert [each["name"] for each in nodes["nodes"]] == ["ann", "bob"]
    assert [each["ok"] for each in checks["checks"]] == [True, True]


MARKUP = """
[topology]
name = "[/x]"
[[node]]
name = "ann"
mode = "edge"
listen = "127.0.0.1:0"
[[check]]
from = "ann"
do = "store"
key = "a[/b]"
value = 1
[[check]]
name = "[red]c"
from = "ann"
do = "status"
expect = { name = "[/d]" }
"""


async def test_names_are_shown_as_they_are(tmp_path):
    _, out, errors = await outcome(write(tmp_path, MARKUP), "--check", "--in-process")

    assert "[/x]: 1 nodes are up" in out
    assert "ann: store a[/b] 1" in out
    assert "expected was {'name': '[/d]'}" in out
    assert errors == "macula: 1 of 2 checks failed: [red]c\n"


@pytest.mark.parametrize("how", [(), ("--in-process",)])
async def test_a_wrong_log_level_is_told_before_anything_is_started(tmp_path, how):
    code, out, errors = await outcome(write(tmp_path, TWO), "--log-level", "zz", *how)

    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("macula: log_level = 'zz': allowed: TRACE, DEBUG, ")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_all_are_stopped_when_it_is_told_to(tmp_path, by):
    process = await up(write(tmp_path, TWO), "--json")
    nodes = json.loads(await process.stdout.readline())["nodes"]
    asked = await ask(Path(nodes[1]["admin"]), "ping")

    process.send_signal(by)
    _, errors = await process.communicate()

    assert (process.returncode, asked["name"]) == (0, "bob")
    assert b"macula: " not in errors
    assert not any(is_running(each["pid"]) for each in nodes)
    assert not Path(nodes[0]["admin"]).parent.exists()


async def test_logs_are_shown_with_the_name_of_the_node(tmp_path):
    _, out, _ = await outcome(write(tmp_path, TWO), "--check", "--log-level", "INFO")

    assert any(line.startswith("ann | ") and "admin socket" in line for line in out.splitlines())


async def test_a_node_that_ends_by_itself_ends_all(tmp_path):
    process = await up(write(tmp_path, TWO), "--json")
    nodes = json.loads(await process.stdout.readline())["nodes"]

    os.kill(nodes[0]["pid"], signal.SIGKILL)
    _, errors = await process.communicate()

    assert (process.returncode, last_line(errors)) == (1, "macula: node ann ended with exit code -9")
    assert not any(is_running(each["pid"]) for each in nodes)


async def test_a_node_that_cannot_start_ends_all_and_its_output_says_why(tmp_path):
    text = TWO.replace('name = "bob"', 'name = "bob"\nrealm_secret_file = "/nowhere/secret"')

    code, out, errors = await outcome(write(tmp_path, text))

    assert (code, errors) == (1, "macula: node bob ended with exit code 1\n")
    assert "bob | macula: realm_secret_file = '/nowhere/secret': allowed: a file that can be read" in out


async def test_nodes_that_do_not_join_in_time_end_all(tmp_path):
    text = TWO.replace('name = "bob"', 'name = "bob"\nrealm = "org.other"')

    code, _, errors = await outcome(write(tmp_path, text), "--timeout", "3", "--in-process", "--log-level", "CRITICAL")

    assert (code, errors) == (1, "macula: node bob did not join within 3 s\n")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
async def test_the_checks_of_the_examples_hold(path):
    code, out, errors = await outcome(path, "--check", "--in-process", "--log-level", "CRITICAL")

    assert (code, errors) == (0, ""), out


async def test_the_seed_runs_as_five_processes():
    code, out, errors = await outcome(EXAMPLES / "seed.toml", "--check")

    assert (code, errors) == (0, ""), out
    assert "seed: 5 nodes are up" in out
