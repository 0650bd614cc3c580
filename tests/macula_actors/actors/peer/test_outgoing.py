import asyncio

import pytest

from macula_actors.actors.peer.outgoing import Outgoing
from macula_actors.messages.peer import Exchange
from supervisors import From, GenServer, Kill, NoReply, exit_signal, send_request
from tests.macula_actors.transport.nodes import HELLO, World

NOTHING = b"nothing was sent"


def begin(outgoing, link):
    """Begin an exchange; return whether it was sent at once."""
    link.peer_connection_id = NOTHING
    caller = asyncio.get_running_loop().create_future()
    outgoing.begin(Exchange(HELLO, 60.0, wants_reply=True), From("x", None, caller, None))
    return link.peer_connection_id != NOTHING


@pytest.mark.parametrize("engine_name", ["aioquic", "qh3"])
async def test_an_exchange_is_sent_at_once_unless_another_is_under_way(engine_name):
    async with World(engine_name, is_simulated=True) as world:
        owner, _ = await world.pair()
        await asyncio.sleep(1.0)
        outgoing = Outgoing(owner.link, max_queued=8, max_queued_bytes=1000, ends_requests=True)

        sent_at_once = [begin(outgoing, owner.link) for _ in range(3)]
        await owner.until(lambda owner: len(owner.items) == 3)

        assert sent_at_once == [True, False, False]


class Connected(GenServer):
    """Begins an exchange for each call, as a connection's process does, and drops what nobody waits for."""

    def init(self, link):
        self.outgoing = Outgoing(link, max_queued=1000, max_queued_bytes=100_000, ends_requests=True)

    def handle_call(self, request, from_):
        self.outgoing.begin(request, from_)
        return NoReply()

    def handle_cast(self, _request):
        self.outgoing.expire(0.0)
        self.outgoing.pump(0.0)


class Caller(GenServer):
    def init(self, server):
        for _ in range(100):
            send_request(server, Exchange(HELLO, 60.0, wants_reply=True))


async def test_exchanges_of_a_caller_that_has_ended_are_kept_nowhere(system):
    async with World("aioquic", is_simulated=True) as world:
        owner, _ = await world.pair()
        server = await system.start(Connected, owner.link)
        caller = await system.start(Caller, server)
        outgoing, calls = server._process.server.outgoing, server._process._calls
        assert (len(outgoing), len(calls)) == (100, 100)

        exit_signal(caller, Kill())
        server.cast("expire")
        await asyncio.sleep(1.0)

        assert (len(outgoing), len(calls)) == (0, 0)


@pytest.mark.parametrize(("wants_reply", "expected"), [(True, False), (False, True)])
async def test_who_has_ended_before_it_is_sent_asks_nothing_but_what_it_tells_is_told(wants_reply, expected):
    async with World("aioquic", is_simulated=True) as world:
        owner, _ = await world.pair()
        outgoing = Outgoing(owner.link, max_queued=8, max_queued_bytes=1000, ends_requests=True)
        ended = asyncio.get_running_loop().create_future()
        ended.cancel()

        outgoing.begin(Exchange(HELLO, 60.0, wants_reply=wants_reply), From("x", None, ended, None))

        assert bool(len(outgoing)) == expected
