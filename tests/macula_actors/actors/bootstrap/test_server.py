import asyncio

import pytest

from macula_actors.actors.bootstrap.server import BootstrapServer
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.errors import LocalProtocolError
from macula_actors.messages.bootstrap import get_stats, handle_dht_query
from macula_actors.messages.names import BOOTSTRAP_REGISTRY, PEER_CONNECTOR, ROUTING_SERVER
from macula_actors.messages.peer import PeerDown, PeerUp
from supervisors import System, cast
from tests.macula_actors.actors.bootstrap.nodes import bootstrap_mesh, kill, server
from tests.macula_actors.actors.routing.mesh import KEY, identity, until


async def test_a_bootstrap_node_counts_what_the_network_asks_and_who_came():
    async with bootstrap_mesh(others=3) as (first, *others):
        before = await get_stats(server(first))
        for other in others:
            await other.store(KEY, {"n": 1})
        after = await get_stats(server(first))

    assert before.peers_discovered == 3
    assert before.queries_handled >= 3
    assert after.queries_handled >= before.queries_handled + 3
    assert (before.services_registered, after.services_registered) == (0, 3)


async def test_a_bootstrap_node_tells_since_when_it_is_up():
    async with bootstrap_mesh() as (first,):
        before = await get_stats(server(first))
        await asyncio.sleep(100.0)
        after = await get_stats(server(first))

    assert after.uptime_seconds - before.uptime_seconds == pytest.approx(100.0)
    assert before.uptime_start == after.uptime_start > 1_700_000_000_000


async def test_queries_are_answered_from_the_dht():
    async with bootstrap_mesh(others=2) as (first, *others):
        stored = await handle_dht_query(server(first), "store", (KEY, {"n": 1}))
        found = await handle_dht_query(server(first), "find_value", KEY)
        nodes = await handle_dht_query(server(first), "find_node", KEY)

        assert stored == 3
        assert [record.payload for record in found] == [{"n": 1}]
        assert {contact.node_id for contact in nodes} == {other.node_id for other in others}
        assert [await other.find(KEY) for other in others] == [[{"n": 1}]] * 2


@pytest.mark.parametrize(("kind", "data"), [("find_all", KEY), ("find_node", "a text"), ("store", KEY), ("", None)])
async def test_a_query_of_another_kind_is_refused_and_not_counted(kind, data):
    async with bootstrap_mesh() as (first,):
        with pytest.raises(LocalProtocolError, match="unknown_request"):
            await handle_dht_query(server(first), kind, data)

        assert (await get_stats(server(first))).queries_handled == 0


async def test_a_query_is_answered_though_who_answers_is_being_restarted():
    async with bootstrap_mesh() as (first,):
        for name in (ROUTING_SERVER, BOOTSTRAP_REGISTRY):
            kill(first, name)

            assert await handle_dht_query(server(first), "find_value", KEY) == ()
            assert await handle_dht_query(server(first), "find_node", KEY) == ()


async def test_counts_do_not_go_back_when_the_routing_server_is_restarted():
    async with bootstrap_mesh(others=2) as (first, other, _):
        await other.store(KEY, {"n": 1})
        before = await get_stats(server(first))
        kill(first, ROUTING_SERVER)
        between = await get_stats(server(first))
        await until(lambda: first.knows(other))
        await other.store(NodeId.of(b"another"), {"n": 2})
        after = await get_stats(server(first))

    assert 0 < before.queries_handled <= between.queries_handled < after.queries_handled


async def test_a_restarted_server_knows_the_peers_that_there_are():
    async with bootstrap_mesh(others=2) as (first, *_):
        kill(first, server(first)[0])

        async def knows_both():
            return (await get_stats(server(first))).peers_discovered == 2

        await until(knows_both, 5.0)


def up(number):
    node_id = None if number is None else identity(number).node_id
    peer = PeerInfo(node_id=node_id, public_key=None, endpoint=None, capabilities=(), verified=True)
    return PeerUp(peer, None, is_dialled=False)


async def count_of(*numbers, most=10):
    """Return how many peers are counted after those with ``numbers`` came."""
    async with System() as system:
        alone = await system.start(BootstrapServer, most)
        for number in numbers:
            cast(alone, up(number))
            cast(alone, PeerDown(None, None))
        assert system.whereis(PEER_CONNECTOR) is None
        return (await get_stats(alone)).peers_discovered


async def test_a_peer_counts_once_and_one_without_an_id_not_at_all():
    assert await count_of(1, 2, 1, None, 2, 1) == 2


async def test_of_more_peers_than_are_remembered_who_came_last_is():
    assert await count_of(1, 2, 3, 2, 3, most=2) == 3
    assert await count_of(1, 2, 3, 1, most=2) == 4
