import asyncio
import json
import socket
import stat

import pytest
from loguru import logger

from macula_actors.admin.client import AdminClient, ask
from macula_actors.admin.commands import echo
from macula_actors.admin.protocol import MAX_REQUEST_BYTES, AdminError
from macula_actors.admin.server import MAX_CLIENTS, MAX_IN_FLIGHT
from macula_actors.admin.system import ADMIN_REQUESTS, ADMIN_SERVER, start_admin
from macula_actors.node_config import NodeConfig
from supervisors import StartError, System, peek
from supervisors.faults import kill
from supervisors.testing import wait_until

from .stand_in import OTHER, StandIn

CARRIED = {"carried": 2, "failed": 1}

pytestmark = pytest.mark.real_clock


async def started(system, tmp_path, **options):
    node = await StandIn(system, **options).start()
    await start_admin(node, tmp_path / "admin.sock")
    return node, tmp_path / "admin.sock"


async def failure(path, command, **arguments):
    with pytest.raises(AdminError) as caught:
        await ask(path, command, **arguments)
    return caught.value


async def never(args):
    await asyncio.Event().wait()


async def test_the_socket_is_its_owners_alone(system, tmp_path):
    _, path = await started(system, tmp_path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_socket_is_gone_when_the_node_stops(tmp_path):
    async with System() as system:
        _, path = await started(system, tmp_path)

    assert not path.exists()
    assert (await failure(path, "ping")).kind == "not_running"


async def test_a_socket_left_by_a_killed_node_is_taken_over(system, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "admin.sock"))

    _, path = await started(system, tmp_path)

    assert (await ask(path, "ping"))["name"] == "ann"


async def test_a_socket_of_a_running_node_is_not_taken_over(system, tmp_path):
    _, path = await started(system, tmp_path)

    async with System("other") as other:
        with pytest.raises(StartError, match="another node listens there"):
            await started(other, tmp_path)

    assert (await ask(path, "ping"))["name"] == "ann"


async def test_a_socket_that_cannot_be_made_is_a_start_error(system, tmp_path):
    with pytest.raises(StartError, match="a socket cannot be made there: No such file"):
        await started(system, tmp_path / "nowhere")


async def test_the_server_comes_back_after_a_crash(system, tmp_path):
    _, path = await started(system, tmp_path)
    first = system.whereis(ADMIN_SERVER)

    kill(ADMIN_SERVER)
    await wait_until(lambda: system.whereis(ADMIN_SERVER) not in {None, first})

    assert (await ask(path, "ping"))["name"] == "ann"


async def test_ping_tells_who_is_there(system, tmp_path):
    node, path = await started(system, tmp_path)

    assert await ask(path, "ping") == {"name": "ann", "node_id": node.node_id.hex()}


async def test_status_tells_what_the_node_is(system, tmp_path):
    _, path = await started(system, tmp_path, mode="edge", realm="com.example", bootstrap="127.0.0.1:1")

    status = await ask(path, "status")

    assert (status["mode"], status["realm"], status["endpoint"]) == ("edge", "com.example", "127.0.0.1:4711")
    assert (status["peers"], status["services"], status["has_joined"]) == (1, 0, True)
    assert (status["paths"], status["carried"]) == (["direct", "routed", "relay"], {"direct": CARRIED})
    assert status["uptime"] >= 0
    assert status["memory_mb"] > 1


async def test_tree_shows_the_processes(system, tmp_path):
    _, path = await started(system, tmp_path)

    tree = await ask(path, "tree")

    names = [each["name"] for each in tree["children"]]
    assert names == ["service_registry", "advertisement_manager", "endpoint", "macula_routing_server", "macula_admin"]
    assert [each["id"] for each in tree["children"][-1]["children"]] == [ADMIN_REQUESTS, ADMIN_SERVER]
    assert tree["children"][0]["state"] == "running"


async def test_peers_are_listed(system, tmp_path):
    _, path = await started(system, tmp_path)

    assert await ask(path, "peers") == [
        {
            "node_id": OTHER.hex(),
            "endpoint": "127.0.0.1:1",
            "direction": "dialled",
            "verified": True,
            "capabilities": ["rpc"],
        }
    ]


async def test_an_echo_is_advertised_called_and_withdrawn(system, tmp_path):
    node, path = await started(system, tmp_path)

    assert await ask(path, "advertise_echo", procedure="test.echo") == {"advertised": "test.echo"}
    assert await ask(path, "services") == [{"procedure": "test.echo", "handler": "echo", "metadata": {}}]
    assert await ask(path, "call", procedure="test.echo", args={"data": b"\0"}) == {"data": {"$hex": "00"}}
    assert await ask(path, "advertise_echo", procedure="test.echo", withdraw=True) == {"withdrawn": True}
    assert node.services == {}


async def test_a_service_of_the_program_is_not_replaced_by_an_echo(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["test.own"] = never

    error = await failure(path, "advertise_echo", procedure="test.own", withdraw=True)

    assert str(error) == "procedure: test.own is provided by this node's program"
    assert node.services == {"test.own": never}


async def test_a_call_takes_a_timeout_paths_and_a_node(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = echo

    await ask(path, "call", procedure="x", args=1, timeout=2, paths=["relay", "direct"], node_id="ab", max_hops=3)
    await ask(path, "call", procedure="x")

    assert node.calls == [("x", 1, "ab", 2.0, ("direct", "relay"), 3), ("x", None, None, 5.0, None, None)]


async def test_a_call_tells_which_way_it_went_if_asked(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = echo

    answer = await ask(path, "call", procedure="x", args=1, trace=True)

    assert answer == {"result": 1, "by": "direct", "path": [OTHER.hex()]}


async def test_networks_are_denied(system, tmp_path):
    _, path = await started(system, tmp_path)

    assert await ask(path, "deny", networks=["10.0.0.0/8"]) == {"ended": 1}
    error = await failure(path, "deny", networks=["x"])
    assert error.kind == "bad_arguments"
    assert "networks: 'x' does not appear" in error.message


async def test_status_goes_without_what_is_being_restarted(system, tmp_path):
    _, path = await started(system, tmp_path, start_gateway=True)
    kill("endpoint")

    status = await ask(path, "status")

    assert (status["name"], status["denied"], status["health_port"]) == ("ann", None, None)


async def test_values_are_stored_and_found(system, tmp_path):
    _, path = await started(system, tmp_path)

    assert await ask(path, "store", key="k", value=[1, {"a": None}]) == {"nodes": 3}
    assert await ask(path, "find", key="k") == {"values": [[1, {"a": None}]]}


async def test_providers_are_discovered(system, tmp_path):
    _, path = await started(system, tmp_path)

    (provider,) = await ask(path, "discover", procedure="x")

    assert (provider["node_id"], provider["endpoint"]) == (OTHER.hex(), "127.0.0.1:1")


async def test_a_process_is_killed_by_name(system, tmp_path):
    _, path = await started(system, tmp_path)
    victim = system.whereis("service_registry")

    await ask(path, "kill", name="service_registry")

    await victim.wait_exit()
    error = await failure(path, "kill", name="nobody")
    assert error.kind == "NotFoundError"


async def test_the_configuration_is_shown_without_secrets(system, tmp_path):
    _, path = await started(system, tmp_path, realm_secret="hunter2")

    settings = {each["key"]: each for each in await ask(path, "config")}

    assert settings.keys() == set(NodeConfig.keys())
    assert (settings["name"]["value"], settings["name"]["origin"]) == ("ann", "option")
    assert "hunter2" not in json.dumps(settings)


async def test_counts_are_shown(system, tmp_path):
    _, path = await started(system, tmp_path)

    stats = await ask(path, "stats")

    assert stats["peer_connector"] == {"dials": 3, "rtt": "inf"}
    assert (stats["rpc_handler"]["paths"], stats["rpc_handler"]["late"]) == ({"direct": CARRIED}, 0)


async def test_a_failure_of_the_node_is_told_by_its_type(system, tmp_path):
    _, path = await started(system, tmp_path)

    error = await failure(path, "call", procedure="x")

    assert (error.kind, error.message) == ("NoProviderError", "no node provides 'x'")


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("call", {}, "procedure: a text is needed"),
        ("call", {"procedure": 1}, "procedure: a text is needed"),
        ("call", {"procedure": "x", "timeout": True}, "timeout: a number of seconds above 0 is needed"),
        ("call", {"procedure": "x", "timeout": -1}, "timeout: a number of seconds above 0 is needed"),
        ("call", {"procedure": "x", "paths": ["fly"]}, "paths: a list of direct, routed, relay is needed"),
        ("call", {"procedure": "x", "paths": "direct"}, "paths: a list of direct, routed, relay is needed"),
        ("call", {"procedure": "x", "max_hops": -1}, "max_hops: a number of at least 0 is needed"),
        ("deny", {"networks": "10.0.0.0/8"}, "networks: a list of texts is needed"),
        ("discover", {"procedure": "x", "refresh": 1}, "refresh: true or false is needed"),
        ("ping", {"loud": 1}, "there is no argument 'loud'"),
    ],
)
async def test_wrong_arguments_are_named(system, tmp_path, command, arguments, message):
    _, path = await started(system, tmp_path)

    error = await failure(path, command, **arguments)

    assert (error.kind, error.message) == ("bad_arguments", message)


async def test_an_unknown_command_is_told_which_there_are(system, tmp_path):
    _, path = await started(system, tmp_path)

    error = await failure(path, "reboot")

    assert error.kind == "unknown_command"
    assert "status, tree" in error.message


async def test_a_command_that_crashes_is_told_and_the_server_goes_on(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = lambda args: 1 / 0
    serving = system.whereis(ADMIN_SERVER)

    error = await failure(path, "call", procedure="x")

    assert error.kind == "crashed"
    assert system.whereis(ADMIN_SERVER) is serving


async def test_who_hangs_up_gives_up_his_call(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = never
    error = await failure(path, "call", procedure="x", wait=0.1)

    await wait_until(lambda: node.given_up == 1)

    assert error.kind == "timeout"


async def test_who_hangs_up_is_no_error(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = never
    idle, errors = len(system.processes), []
    sink = logger.add(errors.append, level="ERROR", format="{message}")
    logger.enable("supervisors")

    await failure(path, "call", procedure="x", wait=0.1)
    await wait_until(lambda: node.given_up and len(system.processes) == idle)
    logger.disable("supervisors")
    logger.remove(sink)

    assert errors == []


async def test_a_slow_command_holds_up_no_other(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = never

    async with AdminClient(path) as client:
        with pytest.raises(AdminError):
            await client.ask("call", procedure="x", wait=0.1)
        assert (await client.ask("ping"))["name"] == "ann"


async def test_requests_may_be_sent_together_and_in_pieces(system, tmp_path):
    _, path = await started(system, tmp_path)
    reader, writer = await asyncio.open_unix_connection(str(path))

    writer.write(b'{"id": 1, "command": "ping"}\n\n{"id": 2, "comm')
    await reader.readline()
    writer.write(b'and": "ping"}\n')
    second = json.loads(await reader.readline())
    writer.close()

    assert second["id"] == 2
    assert second["result"]["name"] == "ann"


async def test_what_is_no_request_is_answered_and_the_next_one_too(system, tmp_path):
    _, path = await started(system, tmp_path)
    reader, writer = await asyncio.open_unix_connection(str(path))

    writer.write(b'hello\n{"id": 1, "command": "ping"}\n')
    first, second = json.loads(await reader.readline()), json.loads(await reader.readline())
    writer.close()

    assert (first["id"], first["error"]["type"]) == (None, "bad_request")
    assert second["id"] == 1


async def test_a_line_that_is_too_long_ends_the_connection(system, tmp_path):
    _, path = await started(system, tmp_path)
    reader, writer = await asyncio.open_unix_connection(str(path))

    writer.write(b"x" * (MAX_REQUEST_BYTES + 1))
    answer = json.loads(await reader.readline())
    writer.close()

    assert answer["error"]["type"] == "too_large"
    assert await reader.read() == b""


async def test_no_more_clients_are_served_than_allowed(system, tmp_path):
    _, path = await started(system, tmp_path)
    connected = [await asyncio.open_unix_connection(str(path)) for _ in range(MAX_CLIENTS)]

    reader, writer = await asyncio.open_unix_connection(str(path))
    answer = json.loads(await reader.readline())
    writer.close()
    connected[0][1].close()
    await wait_until(lambda: peek(ADMIN_SERVER, lambda server: len(server._listener.clients)) < MAX_CLIENTS)
    name = (await ask(path, "ping"))["name"]
    for _, other in connected:
        other.close()

    assert (answer["error"]["type"], name) == ("overloaded", "ann")


async def test_one_client_has_so_many_requests_under_way(system, tmp_path):
    node, path = await started(system, tmp_path)
    node.services["x"] = never
    reader, writer = await asyncio.open_unix_connection(str(path))

    writer.write(b'{"id": 1, "command": "call", "arguments": {"procedure": "x"}}\n' * MAX_IN_FLIGHT)
    writer.write(b'{"id": 2, "command": "ping"}\n')
    answer = json.loads(await reader.readline())
    writer.close()

    assert (answer["id"], answer["error"]["type"]) == (2, "overloaded")


async def test_a_server_that_says_nothing_is_not_waited_for(tmp_path):
    path = tmp_path / "dumb.sock"
    async with await asyncio.start_unix_server(lambda reader, writer: writer.close(), str(path)):
        error = await failure(path, "ping")

    assert error.kind == "disconnected"


async def test_a_client_that_is_not_connected_says_so(tmp_path):
    with pytest.raises(AdminError, match="not connected"):
        await AdminClient(tmp_path / "x").ask("ping")
