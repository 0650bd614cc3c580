"""Calls, over real QUIC in a simulated network."""

import asyncio
import sys
from dataclasses import replace

import pytest

from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.wire.messages import Call
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    RemoteCallError,
    RemoteProtocolError,
)
from macula_actors.messages import calling
from macula_actors.messages.names import RPC_HANDLER, SERVICE_REGISTRY
from macula_actors.messages.rpc import CallOptions, left_ms
from supervisors import GenServer, Reply, System
from supervisors import OverloadedError as MailboxFullError
from supervisors import call as ask
from tests.macula_actors.actors.rpc.nodes import ADD, rpc_mesh, undialled, until
from tests.macula_actors.peers import echo
from tests.support import kill


def add(args):
    return args["a"] + args["b"]


async def add_slowly(args):
    await asyncio.sleep(3.0)
    return add(args)


async def never(args):
    await asyncio.get_running_loop().create_future()


class Handling:
    """A handler that notes how often it began, and how often it came to its end, in whatever way."""

    def __init__(self):
        self.begun = 0
        self.ended = 0

    async def __call__(self, args):
        self.begun += 1
        try:
            await never(args)
        finally:
            self.ended += 1


def refuse(args):
    raise RemoteCallError("sold_out", "come back tomorrow")


def divide(args):
    return 1 / 0


async def now():
    return asyncio.get_running_loop().time()


@pytest.fixture
def sum_of():
    return {"a": 1, "b": 2}


# Ways


async def test_a_call_goes_straight_to_the_provider_and_brings_the_result(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, add)
        caller.finds(ADD, provider)

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths == {"direct": (1, 0)}
        assert await caller.reported() == []


async def test_an_own_handler_is_called_without_any_message_to_others(sum_of):
    async with rpc_mesh() as mesh:
        caller, other = await mesh.nodes(2)
        caller.provide(ADD, add)
        caller.finds(ADD, other)

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths == {"local": (1, 0)}
        assert caller.node.connections == []


async def test_own_handlers_see_arguments_as_those_of_other_nodes_do():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        for node in (caller, provider):
            node.provide(ADD, lambda args: [type(args["pair"]).__name__, (1, b"x")])
        caller.knows(provider)

        own = await caller.call({"pair": (1, 2)})
        others = await caller.call_node(provider, {"pair": (1, 2)})

        assert own == others == ["list", [1, b"x"]]


async def test_a_call_is_routed_when_the_provider_cannot_be_dialled(sum_of):
    async with rpc_mesh() as mesh:
        caller, first, second, provider = await mesh.chain(4)
        provider.provide(ADD, add)
        caller.finds(ADD, undialled(provider))

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths == {"routed": (1, 0)}
        assert [(await node.stats()).forwarded for node in (caller, first, second, provider)] == [0, 1, 1, 0]


async def test_an_error_over_several_hops_tells_the_nodes_in_order():
    async with rpc_mesh() as mesh:
        caller, first, second, provider = await mesh.chain(4)
        provider.provide(ADD, refuse)
        caller.finds(ADD, undialled(provider))

        with pytest.raises(RemoteCallError, match="sold_out: come back tomorrow") as caught:
            await caller.call()

        assert caught.value.path == (first.node_id, second.node_id, provider.node_id)


async def test_the_hop_that_counts_refuses_a_call_of_too_many_hops():
    async with rpc_mesh() as mesh:
        caller, first, second, provider = await mesh.chain(4)
        provider.provide(ADD, add)
        caller.finds(ADD, undialled(provider))

        with pytest.raises(MaxHopsExceededError) as caught:
            await caller.call(options=CallOptions(max_hops=1))

        assert caught.value.path == (first.node_id, second.node_id)
        assert caught.value.max_hops == 1
        assert provider.node.connections == []


async def test_a_call_that_has_arrived_is_not_refused_for_its_hops(sum_of):
    async with rpc_mesh() as mesh:
        caller, _, _, provider = await mesh.chain(4)
        provider.provide(ADD, add)
        caller.finds(ADD, undialled(provider))

        assert await caller.call(sum_of, options=CallOptions(max_hops=2)) == 3


async def test_a_call_is_relayed_by_the_gateway_that_the_provider_names(sum_of):
    async with rpc_mesh() as mesh:
        caller, gateway, provider = await mesh.nodes(3)
        provider.provide(ADD, add)
        gateway.knows(provider)
        caller.finds(ADD, undialled(provider, gateway))

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths == {"relay": (1, 0), "routed": (0, 1)}


async def test_a_gateway_that_is_gone_gives_way_to_the_next_one(sum_of):
    async with rpc_mesh() as mesh:
        caller, gone, gateway, provider = await mesh.nodes(4)
        provider.provide(ADD, add)
        gateway.knows(provider)
        caller.finds(ADD, undialled(provider, gone, gateway))
        await gone.node.stop()

        assert await caller.call(sum_of, paths=[Path.RELAY]) == 3


async def test_a_call_of_one_node_takes_its_address_from_the_routing_table(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider, other = await mesh.nodes(3)
        provider.provide(ADD, add)
        other.provide(ADD, divide)
        caller.finds(ADD, other)
        caller.knows(provider, other)

        assert await caller.call_node(provider, sum_of) == 3


async def test_a_call_of_one_node_takes_its_address_from_its_advertisement(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider, other = await mesh.nodes(3)
        provider.provide(ADD, add)
        caller.finds(ADD, other, provider)

        assert await caller.call_node(provider, sum_of) == 3


async def test_a_node_that_has_dialled_is_called_back_over_its_connection(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        for node in (caller, provider):
            node.provide(ADD, add)
        provider.knows(caller)
        await provider.call_node(caller, sum_of)
        caller.book.handlers.clear()
        caller.finds(ADD, undialled(provider))

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths["direct"] == (1, 0)
        assert len(caller.node.connections) == 1


async def test_a_node_that_is_only_to_be_reached_over_hops_is_not_looked_for(sum_of):
    async with rpc_mesh() as mesh:
        caller, _, provider = await mesh.chain(3)
        provider.provide(ADD, add)
        caller.system.unregister(SERVICE_REGISTRY)
        began = await now()

        assert await caller.call_node(provider, sum_of, paths=[Path.ROUTED]) == 3
        assert await now() - began < 0.5


@pytest.mark.parametrize("timeout", [1e308, 1e9])
async def test_a_timeout_may_be_longer_than_the_wire_carries(timeout, sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, add)
        caller.finds(ADD, provider)

        assert await caller.call(sum_of, timeout=timeout) == 3


async def test_a_node_calls_itself_by_its_id(sum_of):
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)
        caller.provide(ADD, add)

        assert await caller.call_node(caller, sum_of) == 3
        assert (await caller.stats()).paths == {"local": (1, 0)}


async def test_a_handler_calls_others_itself(sum_of):
    async def add_elsewhere(args):
        return await calling.call("elsewhere", args)  # of the node that it runs at

    async with rpc_mesh() as mesh:
        caller, middle, provider = await mesh.nodes(3)
        middle.provide(ADD, add_elsewhere)
        provider.provide("elsewhere", add)
        caller.finds(ADD, middle)
        middle.finds("elsewhere", provider)

        assert await caller.call(sum_of) == 3


async def test_nodes_that_prove_nothing_send_json_as_the_original_does():
    seen = []

    def note(inbound):
        seen.append(inbound.message)
        return replace(echo(inbound), result=b'{"sum": 3}')

    is_open = {"security": Security.OPEN}
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2, handshake=is_open, **is_open)
        original = await mesh.mesh.node(answers={Call: note}, **is_open)
        provider.provide(ADD, lambda args: {"sum": add(args)})
        caller.finds(ADD, provider)
        caller.knows(provider)
        options = CallOptions(json=True)

        assert await caller.call({"a": 1, "b": 2}, options=options) == {"sum": 3}
        assert await caller.call_node(provider, {"a": 1, "b": 2}, paths=[Path.ROUTED], options=options) == {"sum": 3}
        caller.finds(ADD, Provider(procedure=ADD, node_id=original.identity.node_id, endpoint=original.endpoint))
        assert await caller.call({"a": 1}, options=options) == {"sum": 3}
        assert seen[0].args == b'{"a":1}'


async def test_who_was_dialled_calls_its_dialler_in_json_though_only_its_own_id_is_proven():
    is_open = {"security": Security.OPEN}
    async with rpc_mesh() as mesh:
        gateway, edge = await mesh.nodes(2, handshake=is_open, **is_open)
        edge.provide(ADD, add)
        edge.knows(gateway)
        await edge.node.request(gateway.node)

        for path in (Path.DIRECT, Path.ROUTED):
            assert await gateway.call_node(edge, {"a": 1, "b": 2}, paths=[path], options=CallOptions(json=True)) == 3


# Errors


async def test_nobody_to_call_is_an_error_of_its_own():
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)

        with pytest.raises(NoProviderError, match=ADD):
            await caller.call()


@pytest.mark.parametrize("is_local", [True, False])
async def test_a_handlers_exception_is_the_callers_error(is_local):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        (caller if is_local else provider).provide(ADD, divide)
        caller.finds(ADD, provider)

        with pytest.raises(RemoteCallError, match="ZeroDivisionError: division by zero") as caught:
            await caller.call()

        assert caught.value.code == "handler_error"


async def test_an_async_handlers_exception_is_the_callers_error():
    async def fail(args):
        await asyncio.sleep(0.1)
        raise RemoteCallError("sold_out", "come back tomorrow")

    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, fail)
        caller.finds(ADD, provider)

        with pytest.raises(RemoteCallError) as caught:
            await caller.call()

        assert (caught.value.code, caught.value.path) == ("sold_out", (provider.node_id,))
        assert (await caller.stats()).paths == {"direct": (1, 0)}


async def wait_for_what_is_cancelled(args):
    waited_for = asyncio.ensure_future(never(args))
    asyncio.get_running_loop().call_soon(waited_for.cancel)
    await waited_for


def say_that_it_was_cancelled(args):
    raise asyncio.CancelledError


async def leave_the_program_later(args):
    await asyncio.sleep(0.1)
    sys.exit(3)


def leave_the_program(args):
    sys.exit(3)


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize(
    "handler",
    [wait_for_what_is_cancelled, say_that_it_was_cancelled, leave_the_program_later, leave_the_program],
)
async def test_whatever_a_handler_ends_with_it_ran_once_and_ends_nothing_else(handler, is_local):
    begun = []

    def begin(args):
        begun.append(args)
        return handler(args)

    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        (caller if is_local else provider).provide(ADD, begin)
        caller.finds(ADD, provider)
        caller.knows(provider)

        with pytest.raises(RemoteCallError, match=r"handler_error: (CancelledError|SystemExit)"):
            await caller.call("once")

        assert begun == ["once"]
        assert await caller.is_at_rest()
        assert await provider.is_at_rest()


@pytest.mark.parametrize("count", [1, 2])
async def test_if_no_provider_has_such_a_handler_after_all_there_is_none(count):
    async with rpc_mesh() as mesh:
        caller, *providers = await mesh.nodes(1 + count)
        caller.finds(ADD, *providers)

        with pytest.raises(NoProviderError):
            await caller.call()

        assert {node_id for _, node_id in await caller.reported()} == {each.node_id for each in providers}


async def test_if_the_known_provider_has_no_such_handler_any_more_another_one_is_looked_for(sum_of):
    async with rpc_mesh() as mesh:
        caller, former, provider = await mesh.nodes(3)
        caller.finds(ADD, former)
        caller.book.afresh[ADD] = provider
        provider.provide(ADD, add)

        assert await caller.call(sum_of) == 3


async def test_of_one_node_that_has_no_such_handler_the_caller_is_told_just_that():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        caller.knows(provider)

        with pytest.raises(RemoteCallError, match="no_handler"):
            await caller.call_node(provider)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"timeout": "x"}, "timeout is 'x'"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"paths": []}, r"paths is \[\]"),
        ({"paths": ["foo"]}, "paths has 'foo'"),
        ({"options": CallOptions(max_hops="x")}, "max_hops is 'x'"),
        ({"options": CallOptions(max_hops=1.5)}, r"max_hops is 1\.5"),
    ],
)
async def test_an_argument_that_is_none_hurts_the_caller_only(how, message, sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, add)
        caller.finds(ADD, provider)
        handler = caller.system.whereis(RPC_HANDLER)

        with pytest.raises(ValueError, match=message):
            await caller.call(sum_of, **how)

        assert await caller.call(sum_of) == 3
        assert caller.system.whereis(RPC_HANDLER) is handler


async def test_a_result_that_cannot_be_sent_is_a_failure_of_the_handler():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, lambda args: object())
        caller.finds(ADD, provider)

        with pytest.raises(RemoteCallError) as caught:
            await caller.call()

        assert caught.value.code == "handler_error"


class Odd:
    """A value, or an error, that fails to say what it is."""

    def __getattr__(self, name):
        raise RuntimeError(name)


class OddMap(dict):
    def items(self):
        raise RuntimeError("items")


class SoldOutError(RemoteCallError):
    def __init__(self):
        """Leave out what the one above needs."""


def refuse_oddly(args):
    raise SoldOutError


async def ask_who_has_ended(args):
    ended = await System.current().start(Adder)
    await kill(ended)
    return await ask(ended, args)


async def find_a_mailbox_full(args):
    raise MailboxFullError("a mailbox", 3, None)


@pytest.mark.parametrize(
    "handler",
    [lambda args: Odd(), lambda args: OddMap(a=1), refuse_oddly, ask_who_has_ended, find_a_mailbox_full],
)
async def test_however_odd_a_handler_fails_it_ran_once_and_the_caller_is_told(handler):
    begun = []

    def begin(args):
        begun.append(args)
        return handler(args)

    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, begin)
        caller.finds(ADD, provider)
        caller.knows(provider)

        with pytest.raises(RemoteCallError, match="handler_error"):
            await caller.call("once")

        assert begun == ["once"]


async def test_arguments_that_cannot_be_sent_hurt_the_caller_only():
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)

        with pytest.raises(LocalProtocolError):
            await caller.call({"a": object()})


async def test_a_name_that_is_none_is_refused_at_once():
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)

        with pytest.raises(ValueError, match="procedure"):
            await caller.call(procedure="")


async def test_a_call_ends_at_its_deadline_and_so_does_the_handler():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        handling = Handling()
        provider.provide(ADD, handling)
        caller.finds(ADD, provider)
        began = await now()

        with pytest.raises(CallTimeoutError):
            await caller.call(timeout=1.0)

        assert 1.0 <= await now() - began < 1.1
        await asyncio.sleep(0.3)
        assert (handling.begun, handling.ended) == (1, 1)


async def test_no_route_tells_what_was_tried():
    async with rpc_mesh() as mesh:
        caller, provider, gateway = await mesh.nodes(3)
        caller.finds(ADD, undialled(provider, gateway))

        with pytest.raises(NoRouteError) as caught:
            await caller.call()

        assert [path.split()[0] for path, _ in caught.value.tried] == ["routed", "relay"]
        assert await caller.reported() == [(ADD, provider.node_id)]


async def test_no_route_tells_why_an_allowed_path_leads_nowhere():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        caller.finds(ADD, undialled(provider))

        with pytest.raises(NoRouteError, match="it tells nobody where to dial it") as caught:
            await caller.call(paths=[Path.DIRECT])

        assert [path.split()[0] for path, _ in caught.value.tried] == ["direct"]


async def test_an_address_that_another_node_has_is_no_way_to_the_provider():
    async with rpc_mesh() as mesh:
        caller, provider, other = await mesh.nodes(3)
        other.provide(ADD, add)
        mistaken = Provider(procedure=ADD, node_id=provider.node_id, endpoint=other.contact.endpoint)
        caller.finds(ADD, mistaken)

        with pytest.raises(NoRouteError, match="answered"):
            await caller.call()


async def test_an_answer_to_another_call_is_none():
    def confuse(inbound):
        return replace(echo(inbound), call_id=bytes(16))

    async with rpc_mesh() as mesh:
        caller = await mesh.node()
        confused = await mesh.mesh.node(answers={Call: confuse})
        caller.finds(ADD, Provider(procedure=ADD, node_id=confused.identity.node_id, endpoint=confused.endpoint))

        with pytest.raises(RemoteProtocolError, match="bad_answer"):
            await caller.call(paths=[Path.DIRECT])


async def test_an_own_handler_whose_worker_is_killed_is_not_run_again():
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)
        handling = Handling()
        caller.provide(ADD, handling)
        call = asyncio.create_task(caller.call())
        await until(lambda: _is_busy(caller))

        await kill(caller.workers()[0])

        with pytest.raises(ConnectionLostError):
            await call
        assert (handling.begun, handling.ended) == (1, 1)


# Fail-over and deadlines


async def test_a_provider_that_does_not_answer_leaves_time_for_the_second_one(sum_of):
    async with rpc_mesh() as mesh:
        caller, first, second = await mesh.nodes(3)
        handling = Handling()
        first.provide(ADD, handling)
        second.provide(ADD, add)
        caller.finds(ADD, first, second)

        assert await caller.call(sum_of, timeout=2.0, paths=[Path.DIRECT]) == 3
        await asyncio.sleep(0.5)
        assert (handling.begun, handling.ended) == (1, 1)


async def test_a_slow_provider_is_not_asked_again_before_the_second_one(sum_of):
    async with rpc_mesh() as mesh:
        caller, first, second = await mesh.nodes(3)
        handling = Handling()
        first.provide(ADD, handling)
        second.provide(ADD, add)
        caller.finds(ADD, first, second)
        caller.knows(first)

        assert await caller.call(sum_of, timeout=2.0) == 3
        assert handling.begun == 1


async def test_a_second_attempt_at_the_same_node_outlives_the_first_one(sum_of):
    """A handler that cleans up for long: the first attempt is given up when the second one is under way."""
    begun = []

    async def clean_up(args):
        begun.append(args)
        if len(begun) == 2:
            await asyncio.sleep(0.5)
            return "second"
        try:
            await never(args)
        finally:
            await asyncio.sleep(0.6)

    async with rpc_mesh() as mesh:
        caller, provider, former = await mesh.nodes(3)
        provider.provide(ADD, clean_up)
        caller.finds(ADD, provider, former)
        caller.knows(provider)

        assert await caller.call(timeout=4.0) == "second"


async def test_providers_that_no_path_is_known_to_are_looked_up_afresh(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, add)
        caller.finds(ADD, undialled(provider))
        caller.book.afresh[ADD] = provider

        assert await caller.call(sum_of, paths=[Path.DIRECT]) == 3


async def test_a_provider_that_is_reached_by_its_second_path_stays_cached(sum_of):
    async with rpc_mesh() as mesh:
        caller, _, provider = await mesh.chain(3)
        gone = await mesh.node()
        provider.provide(ADD, add)
        caller.finds(ADD, Provider(procedure=ADD, node_id=provider.node_id, endpoint=gone.contact.endpoint))
        await gone.node.stop()

        assert await caller.call(sum_of) == 3
        assert (await caller.stats()).paths == {"direct": (0, 1), "routed": (1, 0)}
        assert await caller.reported() == []


async def test_the_second_provider_answers_within_the_deadline_when_the_first_is_dead(sum_of):
    async with rpc_mesh() as mesh:
        caller, dead, provider = await mesh.nodes(3)
        provider.provide(ADD, add)
        caller.finds(ADD, dead, provider)
        mesh.mesh.network.cut(caller.node.system.name, dead.node.system.name)

        assert await caller.call(sum_of, timeout=4.0) == 3
        assert await caller.reported() == [(ADD, dead.node_id)]


async def test_the_second_provider_answers_when_the_first_has_died_in_the_middle_of_calls(sum_of):
    async with rpc_mesh() as mesh:
        caller, dying, provider = await mesh.nodes(3)
        provider.provide(ADD, add)
        dying.provide(ADD, never)
        caller.finds(ADD, dying, provider)
        call = asyncio.create_task(caller.call(sum_of, timeout=4.0))
        await until(lambda: _is_busy(dying))

        await dying.node.stop()

        assert await call == 3


async def test_a_handlers_error_is_not_tried_again_elsewhere():
    async with rpc_mesh() as mesh:
        caller, first, second = await mesh.nodes(3)
        handling = []
        first.provide(ADD, divide)
        second.provide(ADD, handling.append)
        caller.finds(ADD, first, second)

        with pytest.raises(RemoteCallError):
            await caller.call()

        assert handling == []


async def test_a_slow_handler_of_the_only_provider_has_all_the_time_though_it_must_be_dialled_first(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, add_slowly)
        caller.finds(ADD, provider)

        assert await caller.call(sum_of, timeout=4.0) == 3


async def test_each_hop_has_no_more_time_than_is_left(sum_of):
    async with rpc_mesh() as mesh:
        nodes = await mesh.chain(4)
        caller, provider = nodes[0], nodes[-1]
        caller.finds(ADD, undialled(provider))
        provider.provide(ADD, add)
        await caller.call(sum_of)  # so that all are connected
        handling = Handling()
        provider.provide(ADD, handling)
        began = await now()

        with pytest.raises(CallTimeoutError):
            await caller.call(timeout=1.0)
        assert 1.0 <= await now() - began < 1.1
        await asyncio.sleep(0.1)  # as the call was on its way

        assert (handling.begun, handling.ended) == (1, 1)
        assert all([await node.is_at_rest() for node in nodes])


async def test_who_is_too_slow_is_reported_though_what_makes_calls_is_gone_meanwhile():
    async with rpc_mesh() as mesh:
        caller, _, provider = await mesh.chain(3)
        provider.provide(ADD, never)
        caller.finds(ADD, undialled(provider))
        call = asyncio.create_task(caller.call(timeout=1.0, paths=[Path.ROUTED]))
        await until(lambda: _is_busy(provider))
        caller.system.unregister(RPC_HANDLER)

        with pytest.raises(CallTimeoutError, match=f"no answer from {undialled(provider).contact} "):
            await call

        assert await caller.reported() == [(ADD, provider.node_id)]


# Cancellation


@pytest.mark.parametrize("hops", [1, 2, 4])
async def test_cancelling_a_call_ends_the_handler(hops):
    async with rpc_mesh() as mesh:
        nodes = await mesh.chain(hops + 1)
        caller, provider = nodes[0], nodes[-1]
        handling = Handling()
        provider.provide(ADD, handling)
        caller.finds(ADD, undialled(provider))
        call = asyncio.create_task(caller.call(timeout=30.0))
        await until(lambda: _is_busy(provider))

        call.cancel()
        await asyncio.sleep(0.5 * hops)

        assert (handling.begun, handling.ended) == (1, 1)
        assert all([await node.is_at_rest() for node in nodes])


async def test_cancelling_a_direct_call_ends_the_handler_in_half_a_second():
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        handling = Handling()
        provider.provide(ADD, handling)
        caller.finds(ADD, provider)
        call = asyncio.create_task(caller.call(timeout=30.0))
        await until(lambda: _is_busy(provider))

        call.cancel()
        await asyncio.sleep(0.5)

        assert handling.ended == 1


async def test_cancelling_a_call_of_an_own_handler_ends_it_at_once():
    async with rpc_mesh() as mesh:
        (caller,) = await mesh.nodes(1)
        handling = Handling()
        caller.provide(ADD, handling)
        call = asyncio.create_task(caller.call(timeout=30.0))
        await until(lambda: _is_busy(caller))

        call.cancel()
        await asyncio.sleep(0.01)

        assert handling.ended == 1
        assert await caller.is_at_rest()


# Processes as handlers


class Adder(GenServer):
    def handle_call(self, request, from_):
        return Reply(add(request))


async def test_a_process_is_called_with_the_arguments(sum_of):
    async with rpc_mesh() as mesh:
        caller, provider = await mesh.nodes(2)
        provider.provide(ADD, await provider.system.start(Adder))
        caller.finds(ADD, provider)

        assert await caller.call(sum_of) == 3


async def test_a_process_that_has_ended_is_no_handler(sum_of):
    async with rpc_mesh() as mesh:
        caller, first, second = await mesh.nodes(3)
        ended = await first.system.start(Adder)
        first.provide(ADD, ended)
        second.provide(ADD, add)
        caller.finds(ADD, first, second)
        await kill(ended)

        assert await caller.call(sum_of) == 3


async def _is_busy(node):
    return (await node.stats()).busy > 0


@pytest.mark.parametrize(("left", "expected"), [(1.5, 1500), (0.0, 0), (-1.0, 0), (1e12, 2**32 - 1)])
def test_what_is_left_is_whole_milliseconds_that_the_wire_carries(left, expected):
    assert left_ms(10.0 + left, 10.0) == expected
