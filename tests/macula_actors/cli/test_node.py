import asyncio
import json
import os
import signal
import sys

import pytest

from macula_actors.admin.client import ask
from macula_actors.cli.launch import is_node_variable

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

ENVIRON = {name: value for name, value in os.environ.items() if not is_node_variable(name)}


async def start(*args, **environ):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "macula_actors.cli", "node", "--listen", "127.0.0.1:0", *map(str, args)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**ENVIRON, **environ},
    )


async def stop(process, by=signal.SIGTERM):
    process.send_signal(by)
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_node_says_when_it_is_ready_and_stops_when_it_is_told(by, loop):
    process = await start("--mode", "edge", "--set", "name=ann", "--loop", loop)

    line = (await process.stdout.readline()).decode()
    code, errors = await stop(process, by)

    assert line.startswith("edge node ann ")
    assert " is ready at 127.0.0.1:" in line
    assert code == 0
    assert "Traceback" not in errors


async def test_a_node_is_asked_over_its_socket_and_keeps_its_key(tmp_path):
    first = await start("--mode", "edge", "--data-dir", tmp_path)
    await first.stdout.readline()
    before = await ask(tmp_path / "admin.sock", "status")
    await stop(first)

    second = await start("--data-dir", tmp_path, MACULA_MODE="edge", MACULA_REALM="com.example")
    await second.stdout.readline()
    after = await ask(tmp_path / "admin.sock", "status")
    await stop(second)

    assert (before["realm"], after["realm"], after["mode"]) == ("macula.default", "com.example", "edge")
    assert before["node_id"] == after["node_id"]
    assert not (tmp_path / "admin.sock").exists()


@pytest.mark.parametrize("option", ["--data-dir", "--admin"])
async def test_a_node_may_be_told_to_have_no_data_dir_and_no_socket(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)

    process = await start("--mode", "edge", option, "none")
    await process.stdout.readline()
    made = list(tmp_path.iterdir())
    code, _ = await stop(process)

    assert (code, made) == (0, [])


async def test_logs_and_the_ready_line_may_be_json():
    process = await start("--mode", "edge", "--json-logs", "--log-level", "DEBUG")

    ready = json.loads(await process.stdout.readline())["ready"]
    code, errors = await stop(process)

    assert (ready["mode"], len(ready["node_id"]), code) == ("edge", 64, 0)
    assert all(json.loads(line)["record"] for line in errors.splitlines())


async def test_a_node_that_cannot_start_says_why_in_one_line(tmp_path):
    first = await start("--mode", "edge", "--data-dir", tmp_path)
    await first.stdout.readline()

    second = await start("--mode", "edge", "--data-dir", tmp_path)
    _, errors = await second.communicate()
    await stop(first)

    assert second.returncode == 1
    assert errors.decode().count("\n") == 1
    assert f"a node of process {first.pid} has it" in errors.decode()


async def test_a_node_that_was_killed_leaves_its_data_dir_free(tmp_path):
    first = await start("--mode", "edge", "--data-dir", tmp_path)
    await first.stdout.readline()
    await stop(first, signal.SIGKILL)

    second = await start("--mode", "edge", "--data-dir", tmp_path)
    line = await second.stdout.readline()
    await stop(second)

    assert b" is ready at " in line


async def test_a_port_that_is_taken_is_told_in_one_line_that_names_key_and_address():
    first = await start("--mode", "edge")
    endpoint = (await first.stdout.readline()).decode().split()[-1]

    second = await start("--mode", "edge", "--listen", endpoint)
    _, errors = await second.communicate()
    await stop(first)

    assert second.returncode == 1
    assert errors.decode().startswith(f"macula: listen = '{endpoint}': ")
    assert errors.decode().count("\n") == 1


HEAVY = {
    "rich",
    "aiohttp",
    "prometheus_client",
    "qh3",
    "pydantic",
    "sqlite3",
    "macula_actors.admin.server",
    "macula_actors.cli.topology_run",
    "macula_actors.systems.bootstrap_system",
    "macula_actors.systems.gateway_system",
}


async def test_an_edge_loads_only_what_it_needs(tmp_path):
    log = tmp_path / "imports"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "importtime", "-m", "macula_actors.cli", "node", "--mode", "edge"),
            *("--listen", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            env=ENVIRON,
        )
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    loaded = {line.rpartition("|")[2].strip() for line in log.read_text().splitlines() if "import time:" in line}
    assert "macula_actors.systems.mesh_system" in loaded
    assert not loaded & HEAVY
