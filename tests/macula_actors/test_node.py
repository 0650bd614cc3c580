"""Whole nodes over real sockets on loopback: what programs do with them."""

import asyncio
import socket

import pytest

from macula_actors import Mode, Node, NodeConfig, time_left
from macula_actors import node as node_module
from macula_actors.admin.client import ask
from macula_actors.errors import (
    CallTimeoutError,
    ConfigError,
    MaculaError,
    NodeStartedError,
    NoProviderError,
    NotRunningError,
    RemoteCallError,
)
from macula_actors.messages.names import RPC_HANDLER
from supervisors import Kill, StartError, exit_signal
from supervisors.testing import wait_until

pytestmark = pytest.mark.real_clock

REALM = "com.example"


def config(*bootstrap, mode=Mode.EDGE, **values):
    settings = {"mode": mode, "realm": REALM, "listen": "127.0.0.1:0", "health_port": 0}
    return NodeConfig(**{**settings, "bootstrap": [str(node.endpoint) for node in bootstrap], **values})


def config_endpoint():
    """Return an endpoint where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def add(args):
    return args["a"] + args["b"]


async def test_a_node_calls_what_another_one_advertises():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.calculator.add", add)

        assert await second.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_edges_find_and_call_one_another_without_a_gateway():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as one, Node(config(first)) as other:
        await one.advertise("test.calculator.add", add, metadata={"version": 2})

        (provider,) = await other.discover("test.calculator.add")
        assert (provider.node_id, provider.metadata) == (one.node_id, {"version": 2})
        assert await other.call("test.calculator.add", {"a": 1, "b": 2}) == 3
        assert {up.peer.node_id for up in other.peers()} == {first.node_id, one.node_id}


async def test_a_call_of_what_nobody_provides_says_so():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        with pytest.raises(NoProviderError, match=r"no node provides 'no\.such'"):
            await second.call("no.such")


async def test_what_a_handler_raises_is_told_to_the_caller():
    async def fail(args):
        raise RemoteCallError("out_of_stock", f"no more {args}")

    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("shop.buy", fail)
        await first.advertise("shop.divide", lambda args: 1 / args)

        with pytest.raises(RemoteCallError) as refused:
            await second.call("shop.buy", "tea")
        with pytest.raises(RemoteCallError) as failed:
            await second.call("shop.divide", 0)

        assert (refused.value.code, refused.value.message) == ("out_of_stock", "no more tea")
        assert (failed.value.code, failed.value.message) == ("handler_error", "ZeroDivisionError: division by zero")


async def test_a_handler_that_takes_too_long_is_given_up_at_both_ends():
    given_up = asyncio.Event()

    async def forever(args):
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.forever", forever)

        with pytest.raises(CallTimeoutError):
            await second.call("test.forever", timeout=0.3)
        await asyncio.wait_for(given_up.wait(), 2.0)


async def test_a_handler_sees_what_is_left_of_the_time_of_its_call():
    async def all_ways(args):
        begun = time_left()
        await asyncio.sleep(0.1)
        return [begun, time_left(), await asyncio.to_thread(time_left), await asyncio.create_task(left_later())]

    async def left_later():
        return time_left()

    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.left", lambda _: time_left())
        await first.advertise("test.left_in_all_ways", all_ways)

        plain = await second.call("test.left", timeout=20.0)
        own = await first.call("test.left", timeout=20.0)
        begun, *later = await second.call("test.left_in_all_ways", timeout=30.0)

    assert 15.0 < min(plain, own) <= max(plain, own) <= 20.0
    assert 25.0 < max(later) <= begun - 0.1 < 30.0
    assert time_left() is None


async def test_a_cancelled_call_cancels_the_handler():
    began, ended = asyncio.Event(), asyncio.Event()

    async def forever(args):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.forever", forever)
        calling = asyncio.create_task(second.call("test.forever", timeout=30.0))
        await began.wait()

        calling.cancel()
        await asyncio.wait_for(ended.wait(), 2.0)


async def test_a_service_that_is_cancelled_is_found_no_more():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        service = await first.advertise("test.calculator.add", add)
        assert await second.discover("test.calculator.add")

        assert await service.cancel()

        assert not await second.discover("test.calculator.add", refresh=True)


async def test_values_are_found_by_all():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        assert await second.store("config.colour", {"colour": "blue"}) == 2

        assert await first.find("config.colour") == [{"colour": "blue"}]
        assert await first.find("config.size") == []


async def test_a_node_of_another_realm_is_not_let_in():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first, realm="com.other")) as second:
        await first.advertise("test.calculator.add", add)

        with pytest.raises(MaculaError):
            await second.call("test.calculator.add", {"a": 1, "b": 2}, timeout=1.0)
        assert (first.peers(), second.peers()) == ([], [])


async def test_a_killed_part_is_back_and_calls_go_on():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.calculator.add", add)
        await second.call("test.calculator.add", {"a": 1, "b": 2})

        exit_signal(first.system.whereis(RPC_HANDLER), Kill())

        assert await second.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_two_nodes_in_one_program_do_not_mix():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:

        async def through_second(args):
            return await second.call("inner.who")

        await first.advertise("inner.who", lambda _: "first")
        await second.advertise("outer.who", through_second)

        assert await first.call("outer.who") == "first"


async def test_a_node_tells_what_it_counts():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        await first.advertise("test.calculator.add", add)
        await second.call("test.calculator.add", {"a": 1, "b": 2})

        await wait_until(lambda: "direct" in second.stats()["rpc_handler"].paths)
        counts = second.stats()

        assert counts["rpc_handler"].paths["direct"].carried == 1
        assert counts["macula_routing_server"].contacts == 1
        assert second.tree().id == "macula_root"


async def test_a_node_may_be_stopped_by_another_task_than_the_one_that_started_it():
    node = Node(config(mode=Mode.BOOTSTRAP))

    await asyncio.create_task(node.start())
    await asyncio.create_task(node.stop())

    assert node.system.tree().children == ()


async def test_a_node_that_has_stopped_is_found_by_nobody():
    async with (
        Node(config(mode=Mode.BOOTSTRAP)) as first,
        Node(config(bootstrap=[str(first.endpoint)])) as caller,
        Node(config(bootstrap=[str(first.endpoint)])) as staying,
    ):
        async with Node(config(bootstrap=[str(first.endpoint)])) as leaving:
            for node in (staying, leaving):
                await node.advertise("test.calculator.add", add)
            for number in range(20):
                await leaving.advertise(f"test.number{number}", add)
            assert len(await caller.discover("test.calculator.add")) == 2

        found = await caller.discover("test.calculator.add", refresh=True)

        assert [each.node_id for each in found] == [staying.node_id]
        assert await caller.discover("test.number19") == []


async def test_a_node_that_does_not_start_says_why_and_leaves_nothing():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first:
        second = Node(config(listen=str(first.endpoint)))

        with pytest.raises(ConfigError, match=rf"^listen = '{first.endpoint}': .*in use.*; name .* port 0 ") as refused:
            await second.start()

        assert refused.value.key == "listen"
        assert second.system.tree().children == ()


@pytest.mark.parametrize("host", ["10.255.255.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_of_this_machine_is_refused_by_name(host):
    with pytest.raises(ConfigError, match=f"^listen = '{host}:0': ") as refused:
        await Node(config(listen=f"{host}:0")).start()

    assert refused.value.key == "listen"


async def test_a_port_for_http_that_is_taken_is_refused_by_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.* or none to have no HTTP") as refused:
            await Node(config(mode=Mode.GATEWAY, health_port=port)).start()

    assert (refused.value.key, refused.value.value) == ("health_port", port)


async def test_a_host_for_http_that_is_not_this_machine_is_refused_by_name():
    with pytest.raises(ConfigError) as refused:
        await Node(config(mode=Mode.GATEWAY, health_host="10.255.255.1")).start()

    assert (refused.value.key, refused.value.value) == ("health_host", "10.255.255.1")


async def test_an_admin_socket_that_another_node_has_is_refused_by_name(tmp_path):
    path = tmp_path / "admin.sock"
    async with Node(config(admin=path)):
        with pytest.raises(ConfigError) as refused:
            await Node(config(admin=path)).start()
        assert (await ask(path, "ping"))["name"] == "node"

    assert (refused.value.key, refused.value.value) == ("admin", path)


async def nothing_is_taken_yet(config, network):
    return config.listen_endpoint


async def test_an_address_that_is_taken_in_between_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(node_module, "preflight", nothing_is_taken_yet)
    async with Node(config(listen=config_endpoint())) as first:
        with pytest.raises(ConfigError, match=f"^listen = '{first.endpoint}': "):
            await Node(config(listen=str(first.endpoint))).start()


async def test_what_a_process_has_against_the_configuration_is_the_error_of_the_start(monkeypatch):
    monkeypatch.setattr(node_module, "preflight", nothing_is_taken_yet)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            await Node(config(mode=Mode.GATEWAY, listen=config_endpoint(), health_port=port)).start()

    assert refused.value.key == "health_port"
    assert isinstance(refused.value.__cause__, StartError)


async def test_a_second_node_on_a_data_dir_is_refused_and_leaves_the_first_alone(tmp_path):
    async with Node(config(mode=Mode.BOOTSTRAP, data_dir=tmp_path)) as first:
        with pytest.raises(ConfigError) as refused:
            await Node(config(data_dir=tmp_path, admin="none")).start()

        assert (refused.value.key, refused.value.value) == ("data_dir", tmp_path)
        assert await first.store("config.colour", "blue") == 1


async def test_a_data_dir_is_free_when_its_node_has_stopped_or_has_not_started(tmp_path):
    async with Node(config(data_dir=tmp_path)) as first:
        pass
    with pytest.raises(ConfigError):
        await Node(config(data_dir=tmp_path, listen="10.255.255.1:0")).start()

    async with Node(config(data_dir=tmp_path)) as second:
        assert second.node_id == first.node_id


async def test_a_second_start_is_refused_and_hurts_nobody():
    async with Node(config(mode=Mode.BOOTSTRAP)) as node:
        await node.advertise("test.calculator.add", add)

        with pytest.raises(NodeStartedError):
            await node.start()

        assert await node.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_of_two_starts_at_once_one_is_refused():
    node = Node(config(mode=Mode.BOOTSTRAP))

    results = await asyncio.gather(node.start(), node.start(), return_exceptions=True)
    found = await node.find("config.colour")
    await node.stop()

    assert (results[0], type(results[1]), found) == (None, NodeStartedError, [])


async def test_a_node_that_was_stopped_is_not_started_again():
    node = Node(config(mode=Mode.BOOTSTRAP))
    await node.start()
    await node.stop()

    with pytest.raises(NodeStartedError, match="make another Node"):
        await node.start()


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.3])
async def test_who_starts_a_node_is_told_that_it_was_stopped_meanwhile(delay):
    node = Node(config(bootstrap=[config_endpoint()]))
    starting = asyncio.create_task(node.start())
    await asyncio.sleep(delay)

    await node.stop()

    with pytest.raises(NotRunningError):
        await starting
    assert node.system.tree().children == ()


ASKED = [
    lambda node: node.call("a.b"),
    lambda node: node.call_node(bytes(32), "a.b"),
    lambda node: node.advertise("a.b", add),
    lambda node: node.discover("a.b"),
    lambda node: node.publish("a.b", 1),
    lambda node: node.publish("a.b", 1, qos=1),
    lambda node: node.subscribe("a.b", print),
    lambda node: anext(node.subscription("a.b")),
    lambda node: node.store("a", 1),
    lambda node: node.find("a"),
    lambda node: node.delete("a"),
    lambda node: node.deny([]),
    lambda node: asyncio.to_thread(node.tree),
]


async def answers(node):
    """Return what becomes of each question."""
    return [await _answer(ask, node) for ask in ASKED]


async def _answer(ask, node):
    try:
        return await ask(node)
    except MaculaError as error:
        return type(error)


@pytest.mark.timeout(5)
async def test_a_node_that_is_not_running_says_so_at_once():
    node = Node(config(mode=Mode.BOOTSTRAP))
    before = await answers(node)

    async with node:
        pass

    assert before == await answers(node) == [NotRunningError] * len(ASKED)
    assert (node.peers(), node.stats()) == ([], {})


@pytest.mark.timeout(5)
async def test_a_subscription_of_a_node_that_was_stopped_says_so_at_once():
    async with Node(config(mode=Mode.BOOTSTRAP)) as node:
        subscription = await node.subscribe("a.b", print)

    with pytest.raises(NotRunningError):
        await subscription.cancel()


async def test_a_node_has_no_endpoint_before_it_is_started():
    node = Node(config(mode=Mode.BOOTSTRAP))

    with pytest.raises(NotRunningError, match="async with Node"):
        _ = node.endpoint


async def test_a_node_without_its_bootstrap_starts_and_joins_when_it_comes():
    endpoint = config_endpoint()
    late = Node(config(mode=Mode.BOOTSTRAP, listen=endpoint))
    async with Node(config(bootstrap=[endpoint])) as lonely, late:
        await wait_until(lambda: lonely.stats()["macula_routing_server"].contacts == 1, timeout=20.0)
        await late.advertise("test.calculator.add", add)

        assert await lonely.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_a_start_that_found_no_bootstrap_leaves_no_task():
    before = asyncio.all_tasks()

    async with Node(config(bootstrap=[config_endpoint(), config_endpoint()])):
        left = asyncio.all_tasks() - before

    assert [task for task in left if "add_node" in repr(task)] == []


async def test_who_calls_in_vain_again_and_again_lets_others_work():
    async with Node(config(mode=Mode.BOOTSTRAP)) as node:
        with pytest.raises(NoProviderError):
            await node.call("no.such")
        worked = asyncio.Event()
        asyncio.get_running_loop().call_soon(worked.set)

        with pytest.raises(NoProviderError):
            await node.call("no.such")

        assert worked.is_set()


async def test_a_call_after_an_advertise_has_returned_arrives_though_one_before_it_was_in_vain():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        with pytest.raises(NoProviderError):
            await second.call("test.calculator.add", {"a": 1, "b": 2})

        await first.advertise("test.calculator.add", add)

        assert await second.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_the_first_call_after_a_service_was_cancelled_says_that_nobody_provides_it():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        service = await first.advertise("test.calculator.add", add)
        await second.call("test.calculator.add", {"a": 1, "b": 2})

        await service.cancel()

        with pytest.raises(NoProviderError):
            await second.call("test.calculator.add", {"a": 1, "b": 2})


async def test_cancelling_an_advertisement_leaves_a_later_one_of_the_same_procedure():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first, Node(config(first)) as second:
        former = await first.advertise("test.answer", lambda _: 41)
        latter = await first.advertise("test.answer", lambda _: 42)

        assert not await former.cancel()
        assert await second.call("test.answer") == 42
        assert await latter.cancel()
