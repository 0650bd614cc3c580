import asyncio

import pytest

from macula_actors.actors.peer.outgoing import Outgoing
from macula_actors.messages.peer import Exchange
from supervisors import From
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
