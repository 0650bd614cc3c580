"""Calls on their way over v0.8, which sends each, and its reply, on a connection of its own and without a CONNECT."""

import asyncio
from dataclasses import replace

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import Call, Connect, Error, Pong, Reply, RpcRoute
from macula_actors.messages.names import RPC_HANDLER
from macula_actors.messages.rpc import RouteOut
from supervisors import call
from tests.macula_actors.actors.rpc.nodes import ADD, rpc_mesh
from tests.macula_actors.peers import PATIENCE

OLD = NodeId.of(b"a node of v0.8")
CALL = Call(procedure=ADD, args=b"[1]", call_id=bytes(16), timeout=2000)


async def an_open_node(mesh):
    return await mesh.node(handshake={"security": Security.OPEN}, security=Security.OPEN)


def a_route(destination, message=CALL, source=OLD):
    return RpcRoute(
        destination_node_id=destination,
        source_node_id=source,
        payload_type=type(message).__name__.lower(),
        payload=message,
    )


async def routed_out(node, old):
    """Begin a call of ``node`` to `OLD`, which ``old`` is; return it, and the message that has come there."""
    node.book.contacts.append(Contact(old.endpoint, OLD))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    route_out = RouteOut(OLD, CALL, deadline, json=True, max_hops=10)
    calling = asyncio.ensure_future(call((RPC_HANDLER, node.system), route_out, None))
    line = await old.next_accepted()
    stream, _ = await line.first(Connect)
    line.send(Pong(timestamp=1, server_time=1), stream_id=stream, end=False)
    return calling, (await line.first(RpcRoute))[1]


async def test_a_route_that_comes_without_a_connect_is_answered():
    async with rpc_mesh() as mesh:
        node = await an_open_node(mesh)
        node.provide(ADD, lambda args: [*args, 2])
        line = await mesh.mesh.attacker().dial(node.node)

        answer = await line.ask(a_route(node.node_id))

        reply = Reply(call_id=CALL.call_id, result=b"[1,2]", path=(node.node_id,))
        assert answer == a_route(OLD, reply, source=node.node_id)


async def test_a_reply_that_comes_on_a_connection_of_its_own_is_the_caller_s():
    async with rpc_mesh() as mesh:
        node, old = await an_open_node(mesh), mesh.mesh.attacker()
        calling, route = await routed_out(node, old)
        reply = Reply(call_id=route.payload.call_id, result=b"3")

        line = await old.dial(node.node)
        line.send(a_route(node.node_id, reply), end=False)

        assert await calling == reply
        assert (await node.stats()).busy == 0


@pytest.mark.parametrize(
    "change",
    [{"destination_node_id": OLD}, {"payload": Reply(call_id=bytes([1]) * 16, result=b"")}],
    ids=["for another node", "to no call"],
)
async def test_a_reply_that_nobody_waits_for_is_refused_and_the_call_goes_on(change):
    async with rpc_mesh() as mesh:
        node, old = await an_open_node(mesh), mesh.mesh.attacker()
        calling, route = await routed_out(node, old)
        reply = a_route(node.node_id, Reply(call_id=route.payload.call_id, result=b"3"))

        line = await old.dial(node.node)
        answer = await line.ask(replace(reply, **change))
        line.send(reply)

        assert (type(answer), answer.code) == (Error, "unsupported")
        assert (await calling).result == b"3"


async def test_a_reply_ends_no_call_that_a_handler_of_this_node_does():
    async with rpc_mesh() as mesh:
        node = await an_open_node(mesh)
        node.provide(ADD, lambda args: asyncio.sleep(1.0, "done"))
        deadline = asyncio.get_running_loop().time() + PATIENCE
        route_out = RouteOut(node.node_id, CALL, deadline, json=True, max_hops=10)
        calling = asyncio.ensure_future(call((RPC_HANDLER, node.system), route_out, None))
        line = await mesh.mesh.attacker().dial(node.node)

        answer = await line.ask(a_route(node.node_id, Reply(call_id=CALL.call_id, result=b"3")))

        assert (type(answer), answer.code) == (Error, "unsupported")
        assert (await calling).result == b'"done"'
