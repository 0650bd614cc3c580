"""What nodes of v0.8 send to an open node, in virtual time: streams, ends of streams, no CONNECT, broken messages."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import (
    Call,
    Connect,
    Error,
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    Ping,
    Pong,
    Reply,
    RpcRoute,
    Store,
)
from macula_actors.messages import peer
from supervisors.testing import wait_until, wait_until_idle
from tests.macula_actors.peers import CALL_ID, REALM, a_call, echo, simulated

CONNECT = Connect(node_id=NodeId(bytes(32)), realm_id=REALM, capabilities=("rpc",), endpoint="https://10.0.0.9:9443")
STREAMS = 300  # more than twice as many as a peer may have open at once
STORE = Store(key=b"k", value={b"node_id": b"n"})
ROUTE = RpcRoute(destination_node_id=b"d", source_node_id=b"s", payload_type="call", payload=a_call())
UNKNOWN = bytes.fromhex("0199000000000000")
NOT_A_MAP = bytes.fromhex("01030000 00000001 05")
NO_KEY = bytes.fromhex("01430000 00000001 80")

ANSWERS = {
    Call: echo,
    Store: lambda inbound: None,
    FindNode: lambda inbound: FindNodeReply(nodes=()),
    FindValue: lambda inbound: FindValueReply(result="value", value=()),
    RpcRoute: lambda inbound: Reply(call_id=CALL_ID, result=b"routed"),
}


async def an_open_node(mesh, **how):
    return await mesh.node(**{"security": Security.OPEN, "answers": ANSWERS, **how})


async def a_line(mesh, node, *, connects=True):
    """Return a line to ``node``, and the stream of its CONNECT."""
    line = await mesh.attacker().dial(node)
    stream = line.send(CONNECT, end=False) if connects else None
    if connects:
        await line.answers(stream, 1)
    return line, stream


def is_ended(line, stream_id):
    return any(at == stream_id and end for at, _, end in line.messages)


async def ask_on_many_streams(line, message, *, end):
    """Send ``message`` on `STREAMS` streams, one after the other, and end each; return how many the node ended."""
    ended = 0
    for _ in range(STREAMS):
        stream = line.send(message, end=end)
        line.send(b"", stream_id=stream, end=True)
        await line.until(lambda stream=stream: is_ended(line, stream))
        ended += 1
    return ended


# Streams


@pytest.mark.parametrize("end", [True, False], ids=["with its FIN", "before its FIN"])
@pytest.mark.parametrize(
    "message",
    [Ping(timestamp=1), a_call(), STORE, FindNode(target=b"t"), CONNECT],
    ids=lambda each: type(each).__name__,
)
async def test_every_stream_that_a_peer_ends_is_ended(message, end):
    async with simulated() as mesh:
        line, _ = await a_line(mesh, await an_open_node(mesh))

        assert await ask_on_many_streams(line, message, end=end) == STREAMS


async def test_a_connect_that_ends_its_stream_has_the_answer_end_it():
    async with simulated() as mesh:
        line, _ = await a_line(mesh, await an_open_node(mesh), connects=False)

        stream = line.send(CONNECT, end=True)

        await line.until(lambda: is_ended(line, stream))
        assert [type(message) for message in line.on_stream(stream)] == [Pong]


async def test_the_end_of_a_stream_comes_after_the_last_answer_on_it():
    async with simulated() as mesh:
        line, _ = await a_line(mesh, await an_open_node(mesh, delay=1.0))

        stream = line.send(a_call(b"1"), a_call(b"2"), a_call(b"3"), end=True)

        await line.until(lambda: is_ended(line, stream), timeout=10.0)
        assert [answer.result for answer in line.on_stream(stream)] == [b"1", b"2", b"3"]


# Without CONNECT


@pytest.mark.parametrize(
    ("message", "answer"),
    [(FindNode(target=b"t"), FindNodeReply), (FindValue(key=b"k"), FindValueReply), (ROUTE, Reply), (Ping(), Pong)],
    ids=["FindNode", "FindValue", "RpcRoute", "Ping"],
)
async def test_what_v08_asks_without_a_connect_is_answered(message, answer):
    async with simulated() as mesh:
        line, _ = await a_line(mesh, await an_open_node(mesh), connects=False)

        assert isinstance(await line.ask(message), answer)


async def test_a_store_of_v08_alone_on_its_connection_is_handled_and_not_answered():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)

        stream = line.send(STORE, end=False)
        await wait_until(lambda: node.handled == [STORE])
        await asyncio.sleep(0.1)
        line.send(b"", stream_id=stream, end=True)

        await line.until(lambda: is_ended(line, stream))
        assert line.on_stream(stream) == [None]


async def test_who_sends_no_connect_is_nobody_s_peer():
    seen = []
    async with simulated() as mesh:
        node = await an_open_node(mesh, answers={Store: lambda inbound: seen.append(inbound.peer)})
        line, _ = await a_line(mesh, node, connects=False)

        line.send(STORE)
        await wait_until(lambda: seen)

        assert [(each.node_id, each.verified, each.endpoint.host) for each in seen] == [
            (None, False, mesh.hosts["attacker1"].ipv4)
        ]
        assert await peer.peers(node.connector) == ()


async def test_a_connection_without_a_connect_goes_on_as_long_as_the_peer_wants():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)
        await line.ask(FindNode(target=b"t"))

        await asyncio.sleep(60.0)

        assert isinstance(await line.ask(FindNode(target=b"t")), FindNodeReply)


async def test_a_peer_may_say_who_it_is_after_it_has_asked():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)
        await line.ask(FindNode(target=b"t"))

        assert isinstance(await line.ask(CONNECT), Pong)
        assert isinstance(await line.ask(a_call()), Reply)
        await wait_until_idle(node.system)
        assert [up.peer.node_id for up in await peer.peers(node.connector)] == [CONNECT.node_id]


@pytest.mark.parametrize("before", [(), (STORE,)], ids=["at first", "after a STORE"])
async def test_what_needs_a_connect_is_refused_without_one(before):
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)
        for message in before:
            line.send(message)

        line.send(a_call())

        assert (await line.lost_error()).code == CloseCode.NOT_CONNECTED
        assert a_call() not in node.handled


async def test_a_connection_on_which_nothing_comes_is_still_closed_in_time():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)

        assert (await line.lost_error(timeout=11.0)).code == CloseCode.HANDSHAKE_TIMEOUT


async def test_what_the_node_of_a_client_of_v08_is_asked_goes_to_its_gateway():
    async with simulated() as mesh:
        node, gateway = await an_open_node(mesh), mesh.attacker()
        client = await mesh.attacker().dial(node)
        await client.ask(replace(CONNECT, endpoint=gateway.endpoint.url))
        asking = asyncio.ensure_future(node.request(Contact(gateway.endpoint, CONNECT.node_id), FindNode(target=b"t")))

        line = await gateway.next_accepted()
        line.send(Pong(timestamp=1, server_time=1), stream_id=(await line.first(Connect))[0], end=False)
        line.send(FindNodeReply(nodes=()), stream_id=(await line.first(FindNode))[0], end=False)

        assert isinstance(await asking, FindNodeReply)
        assert [type(message) for _, message, _ in client.messages] == [Pong]


# Broken messages


@pytest.mark.parametrize("connects", [True, False], ids=["after CONNECT", "without CONNECT"])
@pytest.mark.parametrize(
    ("data", "code"), [(NOT_A_MAP, "not_a_map"), (NO_KEY, "missing_field")], ids=["no map", "no key"]
)
async def test_what_the_original_crashes_over_is_answered_with_an_error_and_counted(data, code, connects):
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, stream = await a_line(mesh, node, connects=connects)

        stream = line.send(data, Ping(timestamp=3), stream_id=stream, end=False)

        answers = (await line.answers(stream, 2 + connects))[connects:]
        assert [type(answer) for answer in answers] == [Error, Pong]
        assert (answers[0].code, node.counted[code]) == (code, 1)


async def test_garbage_without_a_connect_gets_no_answer_and_its_stream_stays_usable():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, _ = await a_line(mesh, node, connects=False)

        stream = line.send(UNKNOWN, Ping(timestamp=3), end=False)

        assert [answer.timestamp for answer in await line.answers(stream, 1)] == [3]
        assert node.counted["unknown_type"] == 1


async def test_a_broken_message_that_ends_its_stream_has_it_ended():
    async with simulated() as mesh:
        line, _ = await a_line(mesh, await an_open_node(mesh))

        streams = {line.send(data, end=True) for data in (UNKNOWN, NOT_A_MAP)}

        for stream in streams:
            await line.until(lambda stream=stream: is_ended(line, stream))


async def test_broken_messages_now_and_then_cost_nobody_its_connection():
    async with simulated() as mesh:
        node = await an_open_node(mesh)
        line, stream = await a_line(mesh, node)

        for _ in range(100):
            line.send(UNKNOWN, stream_id=stream, end=False)
            await asyncio.sleep(2.0)

        assert isinstance(await line.ask(Ping(timestamp=1)), Pong)
        assert node.counted == node.counted | Counter(unknown_type=100)


async def test_a_flood_of_broken_messages_is_left():
    async with simulated() as mesh:
        line, stream = await a_line(mesh, await an_open_node(mesh))

        line.send(*[UNKNOWN] * 20, stream_id=stream, end=False)

        assert (await line.lost_error()).code == CloseCode.PROTOCOL_VIOLATION


# The same in a verified mesh, where a stream is one exchange


async def test_streams_without_a_message_do_not_use_up_those_that_a_peer_may_open():
    async with simulated() as mesh:
        line = await mesh.attacker().join(await mesh.node())

        assert await ask_on_many_streams(line, b"", end=True) == STREAMS


async def test_a_second_message_on_a_stream_is_refused_and_counted_and_the_first_one_answered():
    async with simulated() as mesh:
        node = await mesh.node()
        line = await mesh.attacker().join(node)

        stream = line.send(a_call(b"1"), end=False)
        await line.answers(stream, 1)
        line.send(encode(a_call(b"2")), stream_id=stream, end=True)
        await line.ask(a_call(b"3"))

        assert [answer.result for answer in line.on_stream(stream)] == [b"1"]
        assert [message.args for message in node.handled] == [b"1", b"3"]
        assert node.counted["second_message"] == 1


async def test_who_goes_on_with_second_messages_is_left():
    async with simulated() as mesh:
        line = await mesh.attacker().join(await mesh.node())

        line.send(*[a_call()] * 20, end=False)

        assert (await line.lost_error()).code == CloseCode.PROTOCOL_VIOLATION
