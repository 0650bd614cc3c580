"""One connection between two nodes, in virtual time: messages, time-outs, bounds, ends, crashes."""

import asyncio
import os
import random
from itertools import permutations

import pytest

from macula_actors.actors.peer.connection import BUSY_TICK
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.liveness import LivenessConfig
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Call, Cast, Connect, FindNode, Ping, Pong, Reply
from macula_actors.errors import (
    BadProofError,
    CallTimeoutError,
    ConnectionLostError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
)
from macula_actors.messages.names import ENDPOINT, PEER_CONNECTOR, PEERS_SUP
from macula_actors.messages.peer import GRACE, Abandoned, close_connection, send_message
from macula_actors.simulation import Link
from macula_actors.transport.connection import MAX_STREAMS
from supervisors import Kill, exit_signal
from supervisors.testing import wait_until, wait_until_idle
from tests.macula_actors.peers import CALL_ID, REALM, Mesh, a_call, echo, never, simulated

QUICK = {"liveness": LivenessConfig(keepalive=2.0, pong_timeout=1.0)}
MAYBE = {Call: lambda inbound: never(inbound) if inbound.message.procedure == "never" else echo(inbound)}


def now():
    return asyncio.get_running_loop().time()


async def outcome(awaitable):
    """Return the value or the error of the package, and how many seconds that took."""
    began = now()
    try:
        value = await awaitable
    except MaculaError as error:
        value = error
    return value, now() - began


async def outcomes(count, start):
    """Return the values and errors of ``count`` concurrent ``start()``."""
    return [value for value, _ in await asyncio.gather(*(outcome(start()) for _ in range(count)))]


def calls_never_answered(node, peer, count, timeout):
    return [
        asyncio.ensure_future(outcome(node.request(peer, a_call(procedure="never"), timeout))) for _ in range(count)
    ]


# Messages


async def test_both_nodes_call_over_one_connection():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)

        there = await one.call(other, b"there")
        back = await other.call(one, b"back")

        assert (there, back) == (b"there", b"back")
        assert (len(one.connections), len(other.connections)) == (1, 1)


async def test_both_nodes_know_whom_they_talk_to():
    seen = []
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers={Call: lambda inbound: seen.append(inbound.peer) or echo(inbound)})

        await one.call(other)
        await other.call(one)

        assert [peer.node_id for peer in seen] == [one.identity.node_id, other.identity.node_id]
        assert [peer.public_key for peer in seen] == [one.identity.public_key, other.identity.public_key]
        assert [peer.verified for peer in seen] == [True, True]


async def test_a_message_is_sent_once_it_was_handled():
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers={Cast: lambda _: None}, delay=1.0)
        message = Cast(procedure="note", args=b"x")

        _, seconds = await outcome(one.send(other, message))

        assert other.handled == [message]
        assert seconds >= 1.0


async def test_the_largest_message_goes_there_and_back():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        args = bytes(1_048_000)

        assert await one.call(other, args) == args


@pytest.mark.parametrize(
    ("raised", "told", "code"),
    [
        (OverloadedError("records", 5), OverloadedError, None),
        (RemoteProtocolError("bad_key", "it has 3 bytes"), RefusedError, "bad_key"),
        (BadProofError("stale"), RefusedError, "bad_proof"),
        (NoRouteError("somebody"), RefusedError, "internal"),
    ],
)
async def test_an_error_of_the_handler_is_the_caller_s(raised, told, code):
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers={Call: lambda _: raised})

        error, _ = await outcome(one.call(other))

        assert (type(error), getattr(error, "code", None)) == (told, code)
        assert other.connections[0].is_alive()


async def test_a_message_that_nobody_handles_is_refused():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)

        error, _ = await outcome(one.request(other, FindNode(target=bytes(32))))

        assert (type(error), error.code) == (RefusedError, "unsupported")


async def test_a_message_whose_handler_is_dead_is_refused():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        exit_signal(other.process("answering"), Kill())
        await wait_until_idle(other.system)

        error, _ = await outcome(one.call(other))

        assert (type(error), error.code) == (RefusedError, "unavailable")


async def test_a_message_whose_handler_dies_over_it_is_refused():
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers={Call: never})
        (waiting,) = calls_never_answered(one, other, 1, 5.0)
        await wait_until(lambda: other.handled)

        exit_signal(other.process("answering"), Kill())

        error, _ = await waiting
        assert (type(error), error.code) == (RefusedError, "unavailable")


async def test_an_answer_that_cannot_be_sent_is_refused():
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers={Call: lambda inbound: Reply(call_id=CALL_ID, result=bytes(2_000_000))})

        error, _ = await outcome(one.call(other))

        assert (type(error), error.code) == (RefusedError, "internal")


async def test_a_handler_that_answers_nothing_is_no_answer():
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers={Call: lambda _: None})

        error, _ = await outcome(one.call(other))

        assert (type(error), error.code) == (RemoteProtocolError, "no_answer")


# Time-outs and bounds


async def test_a_call_is_given_up_at_its_deadline_and_so_is_its_stream():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)

        ((error, seconds),) = await asyncio.gather(*calls_never_answered(one, other, 1, 2.0))
        await wait_until(lambda: other.counted["stream_stopped"], timeout=2 * BUSY_TICK)

        assert isinstance(error, CallTimeoutError)
        assert 2.0 <= seconds <= 2.0 + 2 * GRACE


async def test_calls_that_time_out_leave_room_for_others():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)

        given_up = await asyncio.gather(*calls_never_answered(one, other, MAX_STREAMS, 1.0))

        assert {type(error) for error, _ in given_up} == {CallTimeoutError}
        assert await one.call(other) == b"x"


async def test_two_hundred_calls_at_once_are_all_answered():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        arguments = [number.to_bytes(2) for number in range(200)]

        results = await asyncio.gather(*(one.call(other, args) for args in arguments))

        assert results == arguments
        assert len(one.connections) == 1


async def test_calls_over_a_bad_link_are_all_answered():
    link = Link(latency=0.02, jitter=0.01, loss=0.05, duplication=0.02, reordering=0.05)
    async with simulated(link=link) as mesh:
        one, other = await mesh.nodes(2)
        arguments = [number.to_bytes(2) * 500 for number in range(200)]

        results = await asyncio.gather(*(one.call(other, args, 30.0) for args in arguments))

        assert results == arguments


async def test_ten_nodes_all_call_one_another():
    async with simulated() as mesh:
        nodes = await mesh.nodes(10)

        results = await asyncio.gather(*(one.call(other) for one, other in permutations(nodes, 2)))

        assert results == [b"x"] * 90


async def test_one_call_more_than_the_queue_takes_is_refused_at_once():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE, peer={"max_queued": 4})
        await one.call(other)

        ends = await asyncio.gather(*calls_never_answered(one, other, MAX_STREAMS + 4 + 2, 5.0))

        refused = [(error.limit, seconds) for error, seconds in ends if isinstance(error, OverloadedError)]
        assert refused == [(4, 0.0)] * 2


async def test_one_byte_more_than_the_queue_takes_is_refused_at_once():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE, peer={"max_queued_bytes": 1000})
        await one.call(other)
        waiting = calls_never_answered(one, other, MAX_STREAMS, 5.0)
        await wait_until_idle(one.system)

        error, _ = await outcome(one.call(other, bytes(1000)))

        assert (type(error), error.limit) == (OverloadedError, 1000)
        await asyncio.gather(*waiting)


async def test_one_message_more_than_are_handled_at_once_is_refused():
    async with simulated() as mesh:
        one = await mesh.node()
        other = await mesh.node(answers=MAYBE, peer={"max_handling": 8})
        waiting = calls_never_answered(one, other, 8, 5.0)
        await wait_until(lambda: len(other.handled) == 8)

        error, _ = await outcome(one.call(other))

        assert isinstance(error, OverloadedError)
        await asyncio.gather(*waiting)


# Ends


async def test_a_connection_is_closed_when_what_is_in_flight_is_done():
    async with simulated() as mesh:
        one, other = await mesh.node(), await mesh.node(delay=2.0)
        await one.call(other)
        call = asyncio.ensure_future(outcome(one.call(other)))
        await wait_until_idle(one.system)

        assert await close_connection(one.connector, other.contact)

        assert (await call)[0] == b"x"
        assert (await one.end_of()).code == CloseCode.NORMAL
        assert (await other.end_of()).by == "peer"
        assert not await close_connection(one.connector, other.contact)


async def test_a_node_that_closes_a_connection_still_answers_over_it():
    async with simulated() as mesh:
        one, other = await mesh.node(), await mesh.node(delay=1.0)
        await one.call(other)
        call = asyncio.ensure_future(outcome(one.call(other, bytes(100_000))))
        await asyncio.sleep(0.5)

        await close_connection(other.connector, one.contact)

        assert (await call)[0] == bytes(100_000)


async def test_a_call_after_a_close_has_a_new_connection():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)

        await close_connection(one.connector, other.contact)

        assert await one.call(other) == b"x"


async def test_a_silent_peer_is_lost_in_time_and_calls_in_flight_with_it():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE, peer=QUICK)
        await one.call(other)
        (waiting,) = calls_never_answered(one, other, 1, 60.0)
        await wait_until_idle(one.system)

        mesh.network.cut("node1", "node2")

        error, seconds = await waiting
        assert (type(error), error.code) == (ConnectionLostError, CloseCode.UNRESPONSIVE)
        assert seconds <= 2.0 + 2 * 1.0 + 0.2
        assert (await other.end_of()).code == CloseCode.UNRESPONSIVE


async def test_a_peer_restarted_on_its_address_is_noticed_within_a_second():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)
        await one.call(other)
        (waiting,) = calls_never_answered(one, other, 1, 60.0)
        await wait_until(lambda: len(other.handled) == 2)
        crashed_at = now()

        mesh.hosts["node2"].crash()
        await other.stop()
        again = await mesh.node("node2", identity=other.identity)
        first, seconds = await outcome(one.call(again))

        error, _ = await waiting
        assert (type(error), now() - crashed_at <= 1.0) == (ConnectionLostError, True)
        assert (type(first), seconds <= 1.0) == (ConnectionLostError, True)
        assert await one.call(again) == b"x"


async def test_a_peer_that_is_gone_is_noticed_within_a_second_of_the_next_message():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)
        await one.call(other)
        (waiting,) = calls_never_answered(one, other, 1, 60.0)
        await wait_until(lambda: len(other.handled) == 2)

        mesh.hosts["node2"].crash()
        lost, seconds = await outcome(one.call(other))
        error, _ = await waiting

        assert (type(lost), type(error)) == (ConnectionLostError, ConnectionLostError)
        assert seconds <= 1.0


async def test_a_peer_that_is_gone_is_noticed_soon_after_the_next_ping():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE, peer=QUICK)
        await one.call(other)
        (waiting,) = calls_never_answered(one, other, 1, 60.0)
        await wait_until(lambda: len(other.handled) == 2)

        mesh.hosts["node2"].crash()

        error, seconds = await waiting
        assert isinstance(error, ConnectionLostError)
        assert seconds <= 2.0 + 1.0


async def test_a_node_that_stops_says_so():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)
        (waiting,) = calls_never_answered(one, other, 1, 60.0)
        await wait_until(lambda: other.handled)

        await other.stop()

        error, _ = await waiting
        assert (error.by, error.code) == ("peer", CloseCode.SHUTDOWN)


async def test_a_call_while_a_connection_drains_has_a_new_one():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)
        await one.call(other)
        (waiting,) = calls_never_answered(one, other, 1, 3.0)
        await wait_until(lambda: len(other.handled) == 2)

        await close_connection(one.connector, other.contact)

        assert await one.call(other) == b"x"
        await waiting


# Crashes


VICTIMS = {
    "endpoint": lambda node: node.process(ENDPOINT),
    "connection": lambda node: node.connections[-1],
    "connector": lambda node: node.process(PEER_CONNECTOR),
    "supervisor of connections": lambda node: node.process(PEERS_SUP),
}


@pytest.mark.parametrize("is_dialler", [True, False], ids=["of the dialler", "of the acceptor"])
@pytest.mark.parametrize("victim", VICTIMS)
async def test_whoever_is_killed_each_caller_gets_an_answer_in_time_and_the_next_call_succeeds(victim, is_dialler):
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, delay=0.01)
        await one.call(other)
        traffic = [asyncio.ensure_future(outcome(one.call(other, timeout=3.0))) for _ in range(100)]
        await wait_until(lambda: len(other.handled) > 20)

        exit_signal(VICTIMS[victim](one if is_dialler else other), Kill())

        ends = await asyncio.gather(*traffic)
        assert {type(value) for value, _ in ends} <= {bytes, ConnectionLostError}
        assert max(seconds for _, seconds in ends) <= 3.0 + 2 * GRACE
        await wait_until(lambda: one.process(PEER_CONNECTOR) and other.process(PEER_CONNECTOR))
        assert await one.call(other) == b"x"
        assert other.quic.address[1] == other.endpoint.port


@pytest.mark.real_clock
async def test_a_node_whose_socket_is_closed_beneath_it_opens_another_at_the_same_port():
    async with Mesh() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)
        broken = one.process(ENDPOINT)
        os.close(one.quic._socket._socket.fileno())

        await outcome(one.call(other))

        assert isinstance((await broken.wait_exit()).error, OSError)
        await wait_until(lambda: one.process(ENDPOINT) and one.process(PEER_CONNECTOR))
        assert await one.call(other) == b"x"
        assert await other.call(one) == b"x"
        assert one.quic.address[1] == one.endpoint.port


async def test_nodes_whose_processes_are_killed_again_and_again_go_on():
    rng = random.Random(1)
    async with simulated() as mesh:
        nodes = await mesh.nodes(3, delay=0.01)
        stopped = asyncio.Event()
        traffic = [asyncio.ensure_future(call_on(*pair, stopped)) for pair in permutations(nodes, 2)]

        for _ in range(10):
            await asyncio.sleep(10.0)
            victim = VICTIMS[rng.choice([*VICTIMS])](rng.choice(nodes))
            exit_signal(victim, Kill())
        stopped.set()

        ends = [end for ends in await asyncio.gather(*traffic) for end in ends]
        assert {type(value) for value, _ in ends} == {bytes, ConnectionLostError}
        assert max(seconds for _, seconds in ends) <= 3.0 + 2 * GRACE
        assert sum(isinstance(value, bytes) for value, _ in ends) > 0.95 * len(ends)


async def call_on(one, other, stopped):
    ends = []
    while not stopped.is_set():
        ends.append(await outcome(one.call(other, timeout=3.0)))
        await asyncio.sleep(0.3)
    return ends


@pytest.mark.parametrize("is_dialler", [True, False], ids=["of the dialler", "of the acceptor"])
async def test_a_connection_outlives_a_killed_connector(is_dialler):
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)
        killed = one if is_dialler else other
        before = killed.process(PEER_CONNECTOR)

        exit_signal(before, Kill())
        await wait_until(lambda: killed.process(PEER_CONNECTOR) not in {None, before})

        assert (await one.call(other), await other.call(one)) == (b"x", b"x")
        assert (len(one.connections), len(other.connections)) == (1, 1)


async def test_a_connection_is_idle_after_its_connector_was_killed_too():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, mesh={"pool": PoolLimits(idle_timeout=5.0)})
        await one.call(other)

        exit_signal(one.process(PEER_CONNECTOR), Kill())

        assert (await one.end_of(timeout=10.0)).code == CloseCode.IDLE


async def test_an_open_connection_outlives_a_killed_connector():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, security=Security.OPEN)
        await one.call(Contact(other.endpoint))
        before = one.process(PEER_CONNECTOR)

        exit_signal(before, Kill())
        await wait_until(lambda: one.process(PEER_CONNECTOR) not in {None, before})

        assert await one.call(Contact(other.endpoint)) == b"x"
        assert len(one.connections) == 1


# Open nodes, and those of v0.8


async def test_two_open_nodes_talk():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, security=Security.OPEN)

        assert await one.call(Contact(other.endpoint)) == b"x"
        assert len(await outcomes(100, lambda: one.call(Contact(other.endpoint)))) == 100
        assert len(one.connections) == 1


async def test_an_open_node_sends_to_an_open_node_without_waiting():
    async with simulated() as mesh:
        one = await mesh.node(security=Security.OPEN)
        other = await mesh.node(security=Security.OPEN, answers={Cast: lambda _: None}, delay=1.0)

        _, seconds = await outcome(send_message(one.connector, Contact(other.endpoint), Cast(procedure="p", args=b"")))
        await wait_until(lambda: other.handled)

        assert seconds < 1.0


def v08_connect():
    return Connect(node_id=bytes(32), realm_id=REALM, capabilities=("rpc",), endpoint="https://10.0.0.9:9443")


async def test_a_node_of_v08_asks_many_times_on_one_stream():
    async with simulated() as mesh:
        node, old = await mesh.node(security=Security.OPEN), mesh.attacker()
        line = await old.dial(node)

        stream = line.send(v08_connect(), end=False)
        await line.answers(stream, 1)
        for message in (Ping(timestamp=1), a_call(b"1"), a_call(b"2")):
            line.send(message, stream_id=stream, end=False)
        answers = await line.answers(stream, 4)

        assert isinstance(answers[0], Pong)
        assert {answer.result for answer in answers if isinstance(answer, Reply)} == {b"1", b"2"}
        assert [answer.timestamp for answer in answers[1:] if isinstance(answer, Pong)] == [1]


async def test_a_node_of_v08_may_send_all_in_one_write():
    async with simulated() as mesh:
        node, old = await mesh.node(security=Security.OPEN), mesh.attacker()
        line = await old.dial(node)

        stream = line.send(v08_connect(), Ping(timestamp=1), a_call(b"1"), Ping(timestamp=2), end=False)

        answers = await line.answers(stream, 4)
        assert [answer.timestamp for answer in answers if isinstance(answer, Pong)][1:] == [1, 2]
        assert [answer.result for answer in answers if isinstance(answer, Reply)] == [b"1"]


async def test_a_node_of_v08_may_send_all_in_pieces():
    async with simulated() as mesh:
        node, old = await mesh.node(security=Security.OPEN), mesh.attacker()
        line = await old.dial(node)
        data = encode(v08_connect()) + encode(Ping(timestamp=1)) + encode(a_call(b"1"))

        stream = line.link.open_stream()
        for at in range(0, len(data), 7):
            line.send(data[at : at + 7], stream_id=stream, end=False)
            await asyncio.sleep(0.001)

        answers = await line.answers(stream, 3)
        assert [type(answer) for answer in answers] == [Pong, Pong, Reply]


async def test_a_node_of_v08_gets_no_error_and_keeps_its_connection():
    async with simulated() as mesh:
        node, old = await mesh.node(security=Security.OPEN), mesh.attacker()
        line = await old.dial(node)

        stream = line.send(v08_connect(), b"\x01\x77\x00\x00\x00\x00\x00\x00", Ping(timestamp=3), end=False)

        answers = await line.answers(stream, 2)
        assert [type(answer) for answer in answers] == [Pong, Pong]
        assert node.counted["unknown_type"] == 1


async def test_who_handles_a_call_hears_that_its_caller_has_given_up():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, answers=MAYBE)
        (calling,) = calls_never_answered(one, other, 1, 30.0)
        await asyncio.sleep(1.0)

        calling.cancel()
        await asyncio.sleep(1.0)

        assert [type(each) for each in other.handled] == [Call, Abandoned]
        assert other.handled[1].call_id == CALL_ID
