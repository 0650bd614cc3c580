"""Events for clients of v0.8, which read one stream only."""

import asyncio

import pytest

from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Connect, Ping, Publish, Subscribe
from macula_actors.errors import OverloadedError
from macula_actors.messages.peer import Exchange
from macula_actors.transport.connection import MAX_UNSENT_BYTES
from macula_actors.transport.interface import QuicSettings
from supervisors.testing import wait_until
from tests.macula_actors.peers import REALM, simulated


async def subscribed_v08(mesh, *, end=False):
    """Return a node, and the line of one of v0.8 that has subscribed, with the stream of its Subscribe."""
    node, old = await mesh.node(security=Security.OPEN, answers={Subscribe: lambda _: None}), mesh.attacker()
    line = await old.dial(node)
    connect = Connect(node_id=bytes(32), realm_id=REALM, capabilities=(), endpoint="https://10.0.0.9:9443")
    await line.answers(line.send(connect, end=False), 1)
    stream = line.send(Subscribe(topics=("a",)), end=end)
    await wait_until(lambda: node.handled)
    await asyncio.sleep(0.1)
    return node, line, stream


async def send_event(node, payload=b"1"):
    message = Publish(topic="a", payload=payload, message_id=bytes(16))
    exchange = Exchange(encode(message), node.system.now() + 1.0, wants_reply=False, is_event=True)
    await node.connections[-1].call(exchange)


async def test_a_client_of_v08_gets_its_events_on_the_stream_of_its_subscribe_which_stays_open():
    async with simulated() as mesh:
        node, line, stream = await subscribed_v08(mesh)

        for payload in (b"1", b"2", b"x" * 100_000):
            await send_event(node, payload)

        events = await line.answers(stream, 3)
        assert [event.payload for event in events] == [b"1", b"2", b"x" * 100_000]
        assert not any(end for at, _, end in line.messages if at == stream)
        line.send(Ping(timestamp=7), stream_id=stream, end=False)
        assert (await line.answers(stream, 4))[3].timestamp == 7


@pytest.mark.parametrize("end", [False, True])
async def test_a_client_of_v08_that_has_ended_that_stream_gets_events_on_streams_of_their_own(end):
    async with simulated() as mesh:
        node, line, stream = await subscribed_v08(mesh, end=end)
        line.link.finish_stream(stream)
        await asyncio.sleep(0.5)

        await send_event(node)

        at, event = await line.first(Publish)
        assert (at != stream, event.payload) == (True, b"1")


async def test_a_client_of_v08_that_reads_nothing_is_sent_no_more_than_a_connection_holds():
    async with simulated() as mesh:
        node, line, _ = await subscribed_v08(mesh)
        line.link.pause_reading()
        big = bytes(1_000_000)

        results = await asyncio.gather(*[send_event(node, big) for _ in range(40)], return_exceptions=True)

        refused = [each for each in results if isinstance(each, OverloadedError)]
        sent = results.count(None)
        assert len(refused) + sent < len(results)  # the others have waited in vain
        assert refused
        assert sent * len(big) <= QuicSettings().max_data + MAX_UNSENT_BYTES + len(big)
