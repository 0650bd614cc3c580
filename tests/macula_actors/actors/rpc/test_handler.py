"""RpcHandler and its workers, over real QUIC in a simulated network."""

import asyncio
import gc
import weakref
from contextlib import suppress
from dataclasses import replace

import pytest

from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.wire.messages import Call, Cancel, Reply, RpcRoute
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteCallError,
)
from macula_actors.messages import calling
from macula_actors.messages.gateway import CallForClient, Relay
from macula_actors.messages.names import (
    GATEWAY_MESH,
    GATEWAY_RPC,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    RPC_WORKERS,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import Abandoned
from macula_actors.simulation.link import Link
from supervisors import GenServer, NoReply, Refuse, ServerDownError, UnexpectedRequestError, sys
from supervisors import Reply as Answer
from tests.macula_actors.actors.rpc.nodes import ADD, rpc_mesh, undialled, until
from tests.macula_actors.peers import never as never_answered
from tests.support import kill, supervise

SLOW = "test.slow"


def add(args):
    return args["a"] + args["b"]


def echo(args):
    return args


async def nap(seconds):
    await asyncio.sleep(seconds)
    return seconds


async def never(args):
    await asyncio.get_running_loop().create_future()


async def outcome(coroutine):
    """Return what it returns, or the error of this package that it raises."""
    try:
        return await coroutine
    except MaculaError as error:
        return error


def calls(caller, count, args=None, **how):
    return [asyncio.create_task(outcome(caller.call(args, **how))) for _ in range(count)]


async def pair(mesh, handler=echo, **config):
    """Return two nodes, of which the first finds the other to provide ``handler``."""
    caller, provider = await mesh.node(), await mesh.node(**config)
    provider.provide(ADD, handler)
    caller.finds(ADD, provider)
    return caller, provider


async def busy(node, count=1):
    """Wait until ``count`` workers of ``node`` have something to do."""

    async def condition():
        return (await node.stats()).busy == count

    await until(condition)


async def restarted(node):
    """Kill the RpcHandler of ``node`` and wait for the next one."""
    handler = node.system.whereis(RPC_HANDLER)
    node.kill(RPC_HANDLER)

    async def condition():
        return node.system.whereis(RPC_HANDLER) not in {None, handler}

    await until(condition)


async def without_workers(node, seconds):
    """Wait, so many ``seconds`` at most, until no worker of ``node`` lives."""

    async def condition():
        return not node.workers()

    await until(condition, seconds)


# Workers


async def test_calls_one_after_the_other_are_all_done_by_one_worker():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)

        assert [await caller.call(number) for number in range(5)] == [0, 1, 2, 3, 4]
        assert len(provider.workers()) == 1


async def test_a_call_does_not_wait_for_another_one():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap)
        slow = asyncio.create_task(caller.call(2.0))
        await busy(provider)

        assert await caller.call(0.0, timeout=1.0) == 0.0
        assert not slow.done()
        assert await slow == 2.0


async def test_the_end_of_a_worker_costs_its_call_and_no_other():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap)
        first, second = calls(caller, 2, 0.5, paths=[Path.DIRECT])
        await busy(provider, 2)

        await kill(provider.workers()[0])

        results = [await first, await second]
        failed = [each for each in results if each != 0.5]
        assert [type(each) for each in failed] == [RefusedError]
        assert failed[0].code == "unavailable"
        assert await caller.call(0.1) == 0.1
        assert await provider.is_at_rest()


async def test_the_end_of_an_idle_worker_costs_nothing():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        await kill(provider.workers()[0])

        assert await caller.call(2) == 2
        assert await provider.is_at_rest()


async def test_a_call_that_waits_has_the_place_of_a_worker_that_ends():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap, max_workers=1)
        provider.provide("fast", echo)
        (slow,) = calls(caller, 1, 3.0, paths=[Path.DIRECT])
        await busy(provider)
        fast = asyncio.create_task(caller.call_node(provider, 1, procedure="fast"))
        await asyncio.sleep(0.1)
        worker, now = provider.workers()[0], asyncio.get_running_loop().time()

        await kill(worker)

        assert await fast == 1
        assert asyncio.get_running_loop().time() - now < 0.03  # which it takes to get here
        assert isinstance(await slow, RefusedError)


async def test_no_more_workers_than_allowed_work_at_a_time():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap, max_workers=2)
        made = calls(caller, 6, 0.1)
        await busy(provider, 2)

        assert len(provider.workers()) == 2
        assert (await provider.stats()).queued == 4
        assert await asyncio.gather(*made) == [0.1] * 6
        assert await provider.is_at_rest()


async def test_one_call_more_than_may_wait_is_refused():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap, max_workers=1, max_queued=2)
        made = calls(caller, 5, 0.2, paths=[Path.DIRECT])

        results = await asyncio.gather(*made)

        assert sorted(type(each).__name__ for each in results) == ["OverloadedError"] * 2 + ["float"] * 3
        assert (await provider.stats()).refused == 2
        assert await caller.reported() == []  # it is there, and has too much to do


async def test_a_call_whose_time_is_over_in_the_queue_is_never_begun():
    begun = []

    async def note(args):
        begun.append(args)
        await nap(2.0)

    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, note, max_workers=1)
        first = asyncio.create_task(outcome(caller.call("first", timeout=3.0)))
        await busy(provider)

        late = await outcome(caller.call("late", timeout=0.5))

        assert isinstance(late, CallTimeoutError)
        assert await first is None
        await asyncio.sleep(0.5)
        assert begun == ["first"]
        assert await provider.is_at_rest()


async def test_a_call_that_is_cancelled_in_the_queue_is_never_begun():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap, max_workers=1)
        first, second = calls(caller, 1, 1.0, timeout=4.0) + calls(caller, 1, 2.0, timeout=4.0)
        await busy(provider)

        second.cancel()
        assert await first == 1.0
        await asyncio.sleep(0.1)

        assert await provider.is_at_rest()
        assert (await provider.stats()).cancelled == 1


async def test_a_handler_that_will_not_stop_at_its_deadline_is_stopped_soon_after():
    async def stubborn(args):
        while True:
            with suppress(asyncio.CancelledError):
                await never(args)

    async with rpc_mesh() as mesh:
        caller = await mesh.node()
        caller.provide(ADD, stubborn)

        own = await outcome(caller.call(timeout=1.0))
        await asyncio.sleep(1.0)

        assert isinstance(own, CallTimeoutError)
        assert await caller.is_at_rest()
        assert (await caller.stats()).late == 1


@pytest.mark.parametrize(("asked_ms", "expected"), [(None, 0.5), (60_000, 1.0), (200, 0.2)])
async def test_a_call_has_the_time_it_asks_for_or_the_nodes_own_and_none_more_than_allowed(asked_ms, expected):
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, never, timeout=0.5, max_timeout=1.0)
        provider.provide("fast", echo)
        call = Call(procedure=ADD, args=b"\xc0", call_id=bytes(16), timeout=asked_ms)
        loop = asyncio.get_running_loop()
        await caller.node.request(provider.node, replace(call, procedure="fast"))  # so that they are connected
        began = loop.time()

        answer = await caller.node.request(provider.node, call)

        assert answer.error.code == "timeout"
        assert loop.time() - began == pytest.approx(expected + 0.05, abs=0.02)


async def test_without_the_workers_supervisor_calls_wait_until_it_is_back():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        provider.kill(RPC_WORKERS)

        assert await caller.call(2) == 2


async def test_without_the_registry_a_call_is_unavailable_and_the_next_one_is_done():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        provider.system.unregister(SERVICE_REGISTRY)

        with pytest.raises(RemoteCallError) as caught:
            await caller.call(2, paths=[Path.DIRECT])

        assert caught.value.code == "unavailable"


# Cancellation


async def test_a_cancel_of_the_same_peer_ends_its_call():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, never)
        call = Call(procedure=ADD, args=b"\xc0", call_id=b"0123456789abcdef", timeout=30_000)
        made = asyncio.create_task(caller.node.request(provider.node, call, 30.0))
        await busy(provider)

        await caller.node.send(provider.node, Cancel(call_id=call.call_id))

        assert (await made).error.code == "cancelled"
        assert await provider.is_at_rest()


async def test_a_cancel_of_another_peer_ends_nothing():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap)
        stranger = await mesh.node()
        call = Call(procedure=ADD, args=b"\xcb\x3f\xe0" + bytes(6), call_id=b"0123456789abcdef")
        made = asyncio.create_task(caller.node.request(provider.node, call, 3.0))
        await busy(provider)

        await stranger.node.send(provider.node, Cancel(call_id=call.call_id))

        assert (await made).error is None


@pytest.mark.parametrize("hops", [0, 1])
async def test_the_end_of_the_connection_that_it_came_by_ends_a_call(hops):
    async with rpc_mesh() as mesh:
        caller, *others = await mesh.chain(2 + hops)
        provider = others[-1]
        provider.provide(ADD, never)
        made = asyncio.create_task(outcome(caller.call_node(provider, timeout=30.0, paths=[Path.ROUTED])))
        await busy(provider)

        await kill(caller.node.connections[0])

        assert isinstance(await made, NoRouteError)
        await asyncio.sleep(0.3 * (1 + hops))
        assert await provider.is_at_rest()


# A crash of it


async def test_killed_under_load_every_caller_has_a_result_or_an_error_by_its_deadline():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap, max_workers=16)
        loop = asyncio.get_running_loop()
        began = loop.time()
        made = calls(caller, 64, 0.2, timeout=3.0)
        for _ in range(4):
            await asyncio.sleep(0.15)
            provider.kill(RPC_HANDLER)
            caller.kill(RPC_HANDLER)

        results = await asyncio.gather(*made)

        assert loop.time() - began < 3.1
        assert {type(each) for each in results} <= {float, NoRouteError, CallTimeoutError, ConnectionLostError}
        assert results.count(0.2) >= 16
        assert await caller.call(0.1) == 0.1
        await asyncio.sleep(0.5)
        assert await provider.is_at_rest()
        assert await caller.is_at_rest()


async def test_calls_that_workers_do_outlive_it_and_the_next_one_has_the_workers():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, nap)
        made = calls(caller, 3, 0.5)
        await busy(provider, 3)
        workers = provider.workers()

        provider.kill(RPC_HANDLER)

        assert await asyncio.gather(*made) == [0.5] * 3
        assert await asyncio.gather(*calls(caller, 3, 0.1)) == [0.1] * 3
        assert provider.workers() == workers
        assert (await provider.stats()).idle == 3


async def test_a_call_that_a_worker_does_is_cancelled_by_the_next_one():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, never)
        (made,) = calls(caller, 1, timeout=30.0)
        await busy(provider)
        await restarted(provider)

        made.cancel()

        await without_workers(provider, 0.5)


async def test_a_handler_that_will_not_stop_is_stopped_by_the_next_one():
    async def stubborn(args):
        while True:
            with suppress(asyncio.CancelledError):
                await never(args)

    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh, stubborn)
        (made,) = calls(caller, 1, timeout=1.0)
        await busy(provider)

        await restarted(provider)

        assert isinstance(await made, CallTimeoutError)
        await without_workers(provider, 1.0)


async def test_workers_that_are_idle_when_it_ends_are_found_again():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        provider.kill(RPC_HANDLER)

        assert await caller.call(2) == 2
        assert (len(provider.workers()), (await provider.stats()).idle) == (1, 1)


async def test_own_calls_wait_for_it_to_be_there():
    async with rpc_mesh() as mesh:
        caller = await mesh.node()
        caller.provide(ADD, echo)
        handler = caller.system.whereis(RPC_HANDLER)
        caller.system.unregister(RPC_HANDLER)
        made = asyncio.create_task(caller.call(1))
        await asyncio.sleep(0.2)

        caller.system.register(RPC_HANDLER, handler)

        assert await made == 1


async def test_own_calls_of_a_node_without_it_end_at_their_deadline():
    async with rpc_mesh() as mesh:
        caller = await mesh.node()
        caller.provide(ADD, echo)
        caller.system.unregister(RPC_HANDLER)

        with pytest.raises(ConnectionLostError):
            await caller.call(1, timeout=0.5)


async def test_a_new_one_knows_the_connections_that_there_are():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        caller.kill(RPC_HANDLER)
        caller.finds(ADD, undialled(provider))

        assert await caller.call(2, paths=[Path.DIRECT]) == 2


async def test_a_connection_that_has_ended_is_no_way_to_a_node():
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        await kill(caller.node.connections[0])
        caller.finds(ADD, undialled(provider))

        with pytest.raises(NoRouteError, match="routed"):
            await caller.call(2)


# Routes


def a_route(source, destination, *, hop_count=0, call_id=b"0123456789abcdef"):
    call = Call(procedure=ADD, args=b"\xc0", call_id=call_id, timeout=1000)
    return RpcRoute(
        destination_node_id=destination.node_id,
        source_node_id=source.node_id,
        payload_type="call",
        payload=call,
        hop_count=hop_count,
    )


async def test_a_route_that_claims_another_source_than_who_sends_it_is_refused():
    async with rpc_mesh() as mesh:
        liar, victim, node = await mesh.nodes(3)

        with pytest.raises(RefusedError) as caught:
            await liar.node.request(node.node, a_route(victim, node))

        assert caught.value.code == "not_permitted"


async def test_a_route_that_carries_a_reply_is_refused():
    async with rpc_mesh() as mesh:
        peer, node = await mesh.nodes(2)
        reply = replace(a_route(peer, node), payload_type="reply", payload=Reply(call_id=bytes(16), result=b""))

        with pytest.raises(RefusedError) as caught:
            await peer.node.request(node.node, reply)

        assert caught.value.code == "unsupported"


async def test_the_reply_to_a_route_is_for_its_source():
    async with rpc_mesh() as mesh:
        peer, node = await mesh.nodes(2)
        node.provide(ADD, echo)

        answer = await peer.node.request(node.node, a_route(peer, node))

        assert (answer.destination_node_id, answer.source_node_id) == (peer.node_id, node.node_id)
        assert answer.payload == Reply(call_id=b"0123456789abcdef", result=b"\xc0", path=(node.node_id,))


async def test_a_node_that_knows_nobody_nearer_says_so():
    async with rpc_mesh() as mesh:
        nodes = await mesh.chain(3)
        nodes[1].book.contacts = [nodes[0].contact]  # the way back

        with pytest.raises(NoRouteError) as caught:
            await nodes[0].call_node(nodes[2], paths=[Path.ROUTED])

        assert caught.value.__cause__.path == (nodes[1].node_id,)


async def test_a_next_hop_that_is_gone_gives_way_to_another_one():
    async with rpc_mesh() as mesh:
        caller, other, gone, provider = await mesh.chain(4)
        provider.provide(ADD, echo)
        caller.book.contacts = [gone.contact, other.contact]
        other.book.contacts = [provider.contact]
        await gone.node.stop()

        assert await caller.call_node(provider, 1, paths=[Path.ROUTED]) == 1


async def test_a_next_hop_that_is_silent_leaves_time_for_another_one():
    async with rpc_mesh() as mesh:
        caller, other, silent, provider = await mesh.chain(4)
        provider.provide(ADD, echo)
        caller.book.contacts = [silent.contact, other.contact]
        other.book.contacts = [provider.contact]
        mesh.mesh.network.cut(caller.system.name, silent.system.name)

        assert await caller.call_node(provider, 1, paths=[Path.ROUTED], timeout=4.0) == 1


async def test_a_next_hop_that_is_connected_comes_before_one_that_has_to_be_dialled():
    async with rpc_mesh() as mesh:
        caller, other, silent, provider = await mesh.chain(4)
        provider.provide(ADD, echo)
        other.provide(ADD, echo)
        caller.book.contacts = [silent.contact, other.contact]
        other.book.contacts = [provider.contact]
        await caller.call_node(other, 1)
        mesh.mesh.network.cut(caller.system.name, silent.system.name)

        assert await caller.call_node(provider, 2, paths=[Path.ROUTED], timeout=0.5) == 2
        assert (await silent.stats()).forwarded == 0


async def test_a_destination_that_is_connected_needs_no_routing_table():
    async with rpc_mesh() as mesh:
        caller, hop, provider = await mesh.chain(3)
        hop.provide(ADD, echo)
        provider.provide(ADD, echo)
        provider.knows(hop)
        await provider.call_node(hop, 1)
        hop.book.contacts = []
        hop.system.unregister(ROUTING_SERVER)

        assert await caller.call_node(provider, 2, paths=[Path.ROUTED]) == 2


async def test_a_destination_without_room_is_asked_once_and_its_refusal_passed_back():
    async with rpc_mesh() as mesh:
        caller, hop, provider = await mesh.chain(3, max_workers=1, max_queued=0)
        provider.provide(ADD, never)
        provider.knows(hop)
        await outcome(provider.call_node(hop))  # that hop is connected to it
        under_way = asyncio.create_task(outcome(provider.call_node(provider)))
        await busy(provider)

        refusal = await outcome(caller.call_node(provider, paths=[Path.ROUTED]))

        assert isinstance(refusal, OverloadedError)
        assert refusal.__cause__.path == (hop.node_id,)
        assert (await provider.stats()).refused == 1
        under_way.cancel()


async def test_killing_the_worker_that_passes_a_call_on_costs_that_call_and_cancels_it():
    async with rpc_mesh() as mesh:
        caller, hop, provider = await mesh.chain(3)
        provider.provide(ADD, never)
        made = asyncio.create_task(outcome(caller.call_node(provider, paths=[Path.ROUTED], timeout=5.0)))
        await busy(provider)

        await kill(hop.workers()[0])

        assert isinstance(await made, NoRouteError)
        await asyncio.sleep(0.4)
        assert await provider.is_at_rest()


async def test_a_call_that_is_cancelled_before_there_is_a_connection_is_never_begun():
    async with rpc_mesh(link=Link(latency=0.3)) as mesh:
        caller, provider = await mesh.nodes(2)
        begun = []
        provider.provide(ADD, begun.append)
        caller.knows(provider)
        made = asyncio.create_task(caller.call_node(provider, "late", paths=[Path.ROUTED], timeout=9.0))
        await busy(caller)

        made.cancel()
        await asyncio.sleep(6.0)

        assert len(caller.node.connections) == 1
        assert begun == []


async def test_a_call_that_is_cancelled_while_its_hop_carries_nothing_is_never_begun():
    async with rpc_mesh() as mesh:
        caller, hop, provider = await mesh.chain(3)
        begun = []
        provider.provide(ADD, begun.append)
        await caller.call_node(provider, "first", paths=[Path.ROUTED])
        connector = hop.system.whereis(PEER_CONNECTOR)
        await sys.suspend(connector)
        made = asyncio.create_task(caller.call_node(provider, "late", paths=[Path.ROUTED], timeout=9.0))
        await busy(hop)

        made.cancel()
        await asyncio.sleep(1.0)
        await sys.resume(connector)
        await asyncio.sleep(1.0)

        assert begun == ["first"]


async def test_a_worker_that_has_ended_is_kept_by_no_error_that_it_was_told():
    async with rpc_mesh() as mesh:
        caller, provider, other = await mesh.nodes(3)
        caller.book.contacts = [Contact(other.contact.endpoint, provider.node_id)]  # which the connector remembers
        for _ in range(2):
            await outcome(caller.call_node(provider, paths=[Path.ROUTED]))
        (ref,) = caller.workers()
        worker = weakref.ref(ref._process.server)

        await kill(ref)
        gc.collect()

        assert worker() is None


async def test_a_hop_that_lets_a_call_wait_takes_that_from_its_time():
    async with rpc_mesh() as mesh:
        caller, hop = await mesh.chain(2, max_workers=1)
        provider = await mesh.mesh.node(answers={RpcRoute: never_answered})
        hop.book.contacts = [provider.contact]
        hop.provide(SLOW, nap)
        slow = asyncio.create_task(caller.call_node(hop, 0.5, procedure=SLOW))
        await busy(hop)

        with pytest.raises(CallTimeoutError):
            await calling.call_node(provider.contact.node_id, ADD, None, timeout=1.0, system=caller.system)

        assert await slow == 0.5
        (route,) = provider.handled
        assert 400 < route.payload.timeout < 600
        assert route.hop_count == 1


# Gateways


class GatewayMesh(GenServer):
    """Stands in for GatewayMesh: relays to itself, for ``sessions``."""

    def init(self, sessions, relayed):
        self.sessions = sessions
        self.relayed = relayed

    def handle_call(self, request, from_):
        assert isinstance(request, Relay)
        route = request.route
        self.relayed.append((request.sender, route.hop_count))
        if self.sessions is None:
            return Refuse(OverloadedError("messages relayed", 1))
        if route.destination_node_id not in self.sessions:
            return Refuse(NoRouteError("x"))
        reply = Reply(call_id=route.payload.call_id, result=b"\x07")
        return Answer(replace(route, payload_type="reply", payload=reply))


async def start_gateway_mesh(node, sessions):
    relayed = []
    await supervise(node.system, [GatewayMesh.child_spec(sessions, relayed, name=GATEWAY_MESH)])
    return relayed


async def test_a_gateway_relays_to_a_node_that_has_a_session_with_it():
    async with rpc_mesh() as mesh:
        caller, gateway, provider = await mesh.nodes(3)
        relayed = await start_gateway_mesh(gateway, {provider.node_id})
        caller.finds(ADD, undialled(provider, gateway))

        assert await caller.call(paths=[Path.RELAY]) == 7
        assert relayed == [(caller.node_id, 1)]


async def test_a_gateway_calls_its_own_sessions_itself():
    async with rpc_mesh() as mesh:
        gateway, provider = await mesh.nodes(2)
        relayed = await start_gateway_mesh(gateway, {provider.node_id})

        assert await gateway.call_node(provider) == 7
        assert relayed == [(gateway.node_id, 0)]


async def test_a_gateway_routes_to_a_node_that_has_no_session_with_it():
    async with rpc_mesh() as mesh:
        caller, gateway, provider = await mesh.chain(3)
        await start_gateway_mesh(gateway, set())
        provider.provide(ADD, echo)

        assert await caller.call_node(provider, 1, paths=[Path.ROUTED]) == 1


async def test_a_gateway_that_relays_too_much_says_so():
    async with rpc_mesh() as mesh:
        caller, gateway, provider = await mesh.chain(3)
        await start_gateway_mesh(gateway, None)
        provider.provide(ADD, echo)

        with pytest.raises(OverloadedError, match="messages relayed"):
            await caller.call_node(provider, 1, paths=[Path.ROUTED])


class GatewayRpc(GenServer):
    """Stands in for GatewayRpc: answers nothing but the procedure ``fast``."""

    def init(self, abandoned):
        self.abandoned = abandoned

    def handle_call(self, request, from_):
        assert isinstance(request, CallForClient)
        call = request.inbound.message
        return Answer(Reply(call_id=call.call_id, result=b"\x07")) if call.procedure == "fast" else NoReply()

    def handle_cast(self, request):
        assert isinstance(request, Abandoned)
        self.abandoned.append(request.call_id)


def a_call(procedure):
    return Call(procedure=procedure, args=b"\xc0", call_id=bytes(16), timeout=9000)


async def test_a_gateway_makes_plain_calls_for_its_clients():
    async with rpc_mesh() as mesh:
        client, gateway = await mesh.nodes(2)
        abandoned = []
        await supervise(gateway.system, [GatewayRpc.child_spec(abandoned, name=GATEWAY_RPC)])
        gateway.provide(ADD, echo)

        assert (await client.node.request(gateway.node, a_call("fast"))).result == b"\x07"
        assert (await client.node.request(gateway.node, a_call(ADD))).result == b"\xc0"  # its own handler comes first
        assert (await gateway.stats()).busy == 0


async def test_a_gateway_that_is_called_by_its_id_calls_nobody_else():
    async with rpc_mesh() as mesh:
        client, gateway = await mesh.nodes(2)
        await supervise(gateway.system, [GatewayRpc.child_spec([], name=GATEWAY_RPC)])
        client.knows(gateway)

        with pytest.raises(RemoteCallError) as caught:
            await client.call_node(gateway, procedure="fast")

        assert caught.value.code == "no_handler"


async def test_who_makes_a_call_for_a_client_hears_that_it_is_given_up():
    async with rpc_mesh() as mesh:
        client, gateway = await mesh.nodes(2)
        abandoned = []
        await supervise(gateway.system, [GatewayRpc.child_spec(abandoned, name=GATEWAY_RPC)])
        made = asyncio.create_task(client.node.request(gateway.node, a_call("slow"), 9.0))
        await asyncio.sleep(0.5)

        made.cancel()
        await asyncio.sleep(0.5)

        assert len(abandoned) == 1


async def test_a_routed_call_of_what_a_gateway_does_not_provide_has_no_handler():
    async with rpc_mesh() as mesh:
        client, gateway = await mesh.chain(2)
        await supervise(gateway.system, [GatewayRpc.child_spec([], name=GATEWAY_RPC)])

        with pytest.raises(RemoteCallError) as caught:
            await client.call_node(gateway, procedure="fast", paths=[Path.ROUTED])

        assert caught.value.code == "no_handler"


# What it does not know


async def tell(ref):
    ref.cast("nonsense")


async def send(ref):
    ref.send("nonsense")


async def ask(ref):
    with suppress(ServerDownError):
        await ref.call("nonsense")


@pytest.mark.parametrize("say", [tell, send, ask])
async def test_nonsense_ends_it_and_the_next_one_goes_on(say):
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        handler = provider.system.whereis(RPC_HANDLER)

        await say(handler)

        assert isinstance((await handler.wait_exit()).error, UnexpectedRequestError)
        assert await caller.call(2) == 2


@pytest.mark.parametrize("say", [tell, send, ask])
async def test_nonsense_ends_a_worker_and_another_one_goes_on(say):
    async with rpc_mesh() as mesh:
        caller, provider = await pair(mesh)
        await caller.call(1)
        (worker,) = provider.workers()

        await say(worker)

        assert isinstance((await worker.wait_exit()).error, UnexpectedRequestError)
        assert await caller.call(2) == 2


async def test_it_starts_without_connector_and_workers():
    async with rpc_mesh() as mesh:
        caller = await mesh.node()
        caller.provide(ADD, echo)
        for name in (PEER_CONNECTOR, RPC_WORKERS):
            caller.system.unregister(name)
        await kill(caller.system.whereis(RPC_HANDLER))

        with pytest.raises(CallTimeoutError):
            await caller.call(1, timeout=0.5)
