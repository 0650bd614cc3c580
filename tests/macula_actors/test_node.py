"""Whole nodes over real sockets on loopback: what programs do with them."""

import asyncio
import socket

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.errors import (
    CallTimeoutError,
    MaculaError,
    NoProviderError,
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


async def test_a_node_that_does_not_start_says_why_and_leaves_nothing():
    async with Node(config(mode=Mode.BOOTSTRAP)) as first:
        second = Node(config(listen=str(first.endpoint)))

        with pytest.raises(StartError):
            await second.start()

        assert second.system.tree().children == ()


async def test_a_node_without_its_bootstrap_starts_and_joins_when_it_comes():
    endpoint = config_endpoint()
    late = Node(config(mode=Mode.BOOTSTRAP, listen=endpoint))
    async with Node(config(bootstrap=[endpoint])) as lonely, late:
        await wait_until(lambda: lonely.stats()["macula_routing_server"].contacts == 1, timeout=20.0)
        await late.advertise("test.calculator.add", add)

        assert await lonely.call("test.calculator.add", {"a": 1, "b": 2}) == 3


async def test_who_calls_in_vain_again_and_again_lets_others_work():
    async with Node(config(mode=Mode.BOOTSTRAP)) as node:
        with pytest.raises(NoProviderError):
            await node.call("no.such")
        worked = asyncio.Event()
        asyncio.get_running_loop().call_soon(worked.set)

        with pytest.raises(NoProviderError):
            await node.call("no.such")  # it is known that there is none

        assert worked.is_set()
