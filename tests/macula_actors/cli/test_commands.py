import asyncio
import json

import pytest
from typer.testing import CliRunner

from macula_actors.admin.commands import echo
from macula_actors.admin.system import start_admin
from macula_actors.cli.app import app
from supervisors import Supervisor, SupFlags
from tests.macula_actors.admin.stand_in import OTHER, StandIn

pytestmark = pytest.mark.real_clock


async def started(system, tmp_path, **options):
    node = await StandIn(system, **options).start()
    await start_admin(node, tmp_path / "admin.sock")
    return node


def run(*args, env=None):
    return CliRunner().invoke(app, [str(each) for each in args], env={"MACULA_ADMIN": None, **(env or {})})


async def macula(tmp_path, *args):
    """Run the command beside the node, which is on this thread's loop."""
    return await asyncio.to_thread(run, *args, "--data-dir", tmp_path)


async def told(tmp_path, *args):
    result = await macula(tmp_path, *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


async def json_of(tmp_path, *args):
    return json.loads(await told(tmp_path, *args, "--json"))


async def test_ping(system, tmp_path):
    await started(system, tmp_path)

    assert (await told(tmp_path, "ping")).startswith("ann (000000000000) answered in ")
    assert (await json_of(tmp_path, "ping"))["name"] == "ann"


async def test_status(system, tmp_path):
    await started(system, tmp_path, mode="edge", realm="com.example")

    text = await told(tmp_path, "status")

    assert "com.example" in text
    assert "0:00:0" in text
    assert (await json_of(tmp_path, "status"))["mode"] == "edge"


async def test_tree(system, tmp_path):
    await started(system, tmp_path)

    text = await told(tmp_path, "tree")

    assert "service_registry" in text
    assert "└── admin_server" in text
    assert (await json_of(tmp_path, "tree"))["kind"] == "system"


@pytest.mark.parametrize("name", ["[/x]", "[red]a", ":cat:"])
async def test_names_are_shown_as_they_are(system, tmp_path, name):
    await started(system, tmp_path, name=name)
    await system.start(Supervisor, SupFlags(), [], name=name)

    assert (await told(tmp_path, "ping")).startswith(f"{name} (000000000000) answered in ")
    assert f"── {name}  " in await told(tmp_path, "tree")
    assert ["name", name] in list(map(str.split, (await told(tmp_path, "status")).splitlines()))


async def test_peers(system, tmp_path):
    await started(system, tmp_path)

    text = await told(tmp_path, "peers")

    assert text.split()[:5] == ["node", "endpoint", "direction", "verified", "capabilities"]
    assert text.split()[5:] == [OTHER.hex()[:12], "127.0.0.1:1", "dialled", "yes", "rpc"]
    assert (await json_of(tmp_path, "peers"))[0]["node_id"] == OTHER.hex()


async def test_contacts(system, tmp_path):
    await started(system, tmp_path)

    rows = [line.split() for line in (await told(tmp_path, "contacts")).splitlines()]

    assert rows == [["node", "endpoint"], [OTHER.hex()[:12], "127.0.0.1:1"], ["0" * 12, "-"]]
    assert (await json_of(tmp_path, "contacts"))[0] == {"node_id": OTHER.hex(), "endpoint": "127.0.0.1:1"}


async def test_deny(system, tmp_path):
    node = await started(system, tmp_path)

    assert await told(tmp_path, "deny", "10.0.0.0/8", "::1") == "ended 2 connections\n"
    assert list(map(str, node.denied)) == ["10.0.0.0/8", "::1/128"]
    assert await json_of(tmp_path, "deny", "--nobody") == {"ended": 0}
    assert node.denied == []


@pytest.mark.parametrize("args", [[], ["10.0.0.0/8", "--nobody"], ["10.0.0.1/8"], ["example.org"]])
def test_deny_must_be_told_networks_or_nobody(args, tmp_path):
    result = run("deny", *args, "--data-dir", tmp_path)

    assert result.exit_code == 2
    assert "Usage: macula deny" in result.stderr


@pytest.mark.parametrize("args", [["contacts"], ["deny", "--nobody"]])
def test_without_a_node_they_fail(args, tmp_path):
    result = run(*args, "--data-dir", tmp_path)

    assert result.exit_code == 1
    assert result.stderr.startswith("macula: no node listens at ")


async def test_stats(system, tmp_path):
    await started(system, tmp_path)

    assert "peer_connector  dials" in await told(tmp_path, "stats")
    assert ["rpc_handler", "paths.direct.failed", "1"] in list(
        map(str.split, (await told(tmp_path, "stats")).splitlines())
    )
    assert (await json_of(tmp_path, "stats"))["peer_connector"] == {"dials": 3, "rtt": "inf"}


async def test_config(system, tmp_path):
    await started(system, tmp_path, realm_secret="hunter2")

    assert "option" in await told(tmp_path, "config")
    assert 'name = "ann"' in await told(tmp_path, "config", "--toml")
    assert "hunter2" not in await told(tmp_path, "config")
    assert len(await json_of(tmp_path, "config")) > 30


def test_config_lists_the_keys_without_a_node():
    result = run("config", "--keys")

    assert result.exit_code == 0
    assert "macula_gateway" in result.stdout


async def test_doctor(system, tmp_path):
    await started(system, tmp_path, bootstrap="127.0.0.1:4711")
    assert "this node itself" in await told(tmp_path, "doctor")


async def test_doctor_fails_if_something_does_not_work(system, tmp_path):
    await started(system, tmp_path, bootstrap="127.0.0.1:9")

    result = await macula(tmp_path, "doctor")

    assert (result.exit_code, result.stderr) == (1, "macula: failed: bootstrap 127.0.0.1:9\n")
    assert "see that it runs" in result.stdout


async def test_services_echo_and_call(system, tmp_path):
    await started(system, tmp_path)

    assert await told(tmp_path, "advertise-echo", "test.echo") == "test.echo is provided\n"
    assert (await told(tmp_path, "services")).split()[-3:] == ["test.echo", "echo", "-"]
    assert await told(tmp_path, "call", "test.echo", '{"a": [1, null]}') == '{"a": [1, null]}\n'
    assert await told(tmp_path, "call", "test.echo", '"hello"') == "hello\n"
    assert await json_of(tmp_path, "call", "test.echo", '"hello"') == "hello"
    assert await told(tmp_path, "advertise-echo", "test.echo", "--withdraw") == "test.echo is provided no more\n"


async def test_withdrawing_what_is_not_there_fails(system, tmp_path):
    await started(system, tmp_path)

    result = await macula(tmp_path, "advertise-echo", "test.echo", "--withdraw")

    assert (result.exit_code, result.stderr) == (1, "macula: test.echo is not provided here\n")


async def test_call_takes_a_node_paths_and_a_timeout(system, tmp_path):
    node = await started(system, tmp_path)
    node.services["x"] = echo

    options = ("--path", "relay", "--path", "direct", "--timeout", "2", "--node", "ab", "--max-hops", "3")
    await told(tmp_path, "call", "x", "1", *options)

    assert node.calls == [("x", 1, "ab", 2.0, ("direct", "relay"), 3)]


async def test_call_shows_which_way_it_went_if_asked(system, tmp_path):
    node = await started(system, tmp_path)
    node.services["x"] = echo

    text = await told(tmp_path, "call", "x", "1", "--trace")

    assert text == f"1\nby direct: {OTHER.hex()[:12]}\n"
    assert await json_of(tmp_path, "call", "x", "--trace") == {"result": None, "by": "direct", "path": [OTHER.hex()]}


async def test_a_call_that_fails_has_exit_code_1_and_one_line_on_stderr(system, tmp_path):
    await started(system, tmp_path)

    result = await macula(tmp_path, "call", "x")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "macula: no node provides 'x'\n")


async def test_discover(system, tmp_path):
    await started(system, tmp_path)

    assert OTHER.hex()[:12] in await told(tmp_path, "discover", "x", "--refresh")
    assert (await json_of(tmp_path, "discover", "x"))[0]["node_id"] == OTHER.hex()


async def test_store_and_find(system, tmp_path):
    await started(system, tmp_path)

    assert await told(tmp_path, "store", "k", '{"a": 1}', "--ttl", "60") == "kept by 3 nodes\n"
    assert await told(tmp_path, "find", "k") == '{"a": 1}\n'
    assert await json_of(tmp_path, "find", "k") == {"values": [{"a": 1}]}


async def test_finding_nothing_fails(system, tmp_path):
    await started(system, tmp_path)

    result = await macula(tmp_path, "find", "k")

    assert (result.exit_code, result.stderr) == (1, "macula: nothing is stored under k\n")


async def test_kill(system, tmp_path):
    await started(system, tmp_path)
    victim = system.whereis("service_registry")

    assert (await told(tmp_path, "kill", "service_registry")).startswith("killed ")
    await victim.wait_exit()


def test_a_node_that_does_not_run_is_told(tmp_path):
    result = run("ping", "--admin", tmp_path / "none")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"macula: no node listens at {tmp_path}/none: No such file or directory\n"


async def test_the_environment_names_the_node(system, tmp_path):
    await started(system, tmp_path)

    for name, value in (("MACULA_DATA_DIR", tmp_path), ("MACULA_ADMIN", tmp_path / "admin.sock")):
        result = await asyncio.to_thread(run, "ping", env={name: str(value)})
        assert result.exit_code == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("ping",), "which node?"),
        (("ping", "--loud"), "No such option"),
        (("reboot",), "No such command"),
        (("call",), "Missing argument"),
        (("call", "x", "{1}", "-d", "."), "is not JSON"),
        (("store", "k", "hello", "-d", "."), "a text is written '\"hello\"'"),
        (("call", "x", "--path", "fly"), "fly"),
        (("call", "x", "--timeout", "inf", "-d", "."), "'inf' is not a number of seconds above 0"),
        (("find", "x", "--timeout", "nan", "-d", "."), "'nan' is not a number of seconds"),
        (("store", "k", "1", "--ttl", "soon", "-d", "."), "'soon' is not a number of seconds"),
        (("publish", "a.b", "--timeout", "-1", "-d", "."), "'-1' is not a number of seconds"),
        (("up", __file__, "--timeout", "0"), "'0' is not a number of seconds"),
        (("node", "--set", "x"), "KEY=VALUE is needed"),
        (("up", "/nowhere"), "/nowhere"),
    ],
)
def test_wrong_use_has_exit_code_2(args, text):
    result = run(*args, env={"COLUMNS": "1000"})

    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--mode", "Edge"), "macula: mode = 'Edge': allowed: bootstrap, gateway, edge, hybrid\n"),
        (("--set", "mode=Edge"), "macula: mode = 'Edge': allowed: bootstrap, gateway, edge, hybrid\n"),
        (("--data-dir", ""), "macula: data_dir = '': allowed: a path, none\n"),
        (("--admin", ""), "macula: admin = '': allowed: a path, auto, none\n"),
        (("--config", ""), "macula: config = '': allowed: a TOML file\n"),
        (("--config", "/"), "macula: config = '/': allowed: a TOML file that can be read (Is a directory)\n"),
        (("--set", "dht_k=0"), "macula: dht_k = '0': allowed: a whole number from 1 to 1000000000\n"),
        (("--set", "environ=0"), "macula: environ = '0': no such key; did you mean engine?\n"),
        (("--listen", "x:y"), "macula: listen = 'x:y': allowed: host:port, [IPv6]:port, port 0 for a free one, auto\n"),
        (
            ("--config", "/nowhere"),
            "macula: config = '/nowhere': allowed: a TOML file that can be read (No such file or",
        ),
    ],
)
def test_a_wrong_configuration_has_exit_code_1_and_is_told_in_one_line(args, line):
    result = run("node", *args)

    assert result.exit_code == 1
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("option", "key"), [("--admin", "admin"), ("--data-dir", "data_dir")])
@pytest.mark.parametrize("command", [("status",), ("subscribe", "a.b")])
def test_an_empty_path_of_the_node_to_ask_is_told_in_one_line(command, option, key):
    result = run(*command, option, "")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"macula: {key} = '': allowed: a path")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--admin", "--data-dir"])
def test_a_node_without_a_socket_is_none_to_ask(option):
    result = run("ping", option, "none", env={"COLUMNS": "1000"})

    assert result.exit_code == 2
    assert "which node?" in result.stderr


def test_a_wrong_topology_is_told_in_one_line(tmp_path):
    (tmp_path / "t.toml").write_text("[[nodes]]")

    result = run("up", tmp_path / "t.toml")

    assert result.exit_code == 1
    assert result.stderr.startswith("macula: nodes = ")
