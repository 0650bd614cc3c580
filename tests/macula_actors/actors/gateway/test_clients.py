import pytest

from macula_actors.actors.gateway.clients import GatewayClients
from macula_actors.core.endpoint import Endpoint
from macula_actors.errors import OverloadedError
from macula_actors.messages import gateway
from macula_actors.messages.gateway import ClientDisconnected, ClientStats
from macula_actors.messages.peer import CloseWhenDone
from supervisors.testing import wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import config, connections, info, node_id
from tests.support import kill

AT = Endpoint("10.0.0.7", 443)
MOVED = Endpoint("10.0.0.8", 443)


async def counted(clients):
    return (await gateway.get_client_stats(clients)).clients


async def test_a_client_is_found_by_connection_node_and_endpoint(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)
    about = info(2, endpoint=AT)

    await gateway.client_connected(clients, connection, about)

    assert await gateway.get_client_info(clients, connection) == about
    assert await gateway.get_all_clients(clients) == ((connection, about),)
    assert await gateway.get_client_by_node(clients, node_id(2)) is connection
    assert await gateway.get_client_by_endpoint(clients, AT) is connection
    assert await gateway.is_client_alive(clients, connection)


async def test_the_end_of_a_connection_releases_everything_of_its_client(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)
    await gateway.client_connected(clients, connection, info(2, endpoint=AT))

    await kill(connection)

    assert await gateway.get_all_clients(clients) == ()
    assert await gateway.get_client_by_node(clients, node_id(2)) is None
    assert await gateway.get_client_by_endpoint(clients, AT) is None
    assert not await gateway.is_client_alive(clients, connection)


async def test_a_connection_that_has_ended_before_it_is_registered_leaves_nothing(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)
    await kill(connection)

    await gateway.client_connected(clients, connection, info(2))

    assert await counted(clients) == 0


async def test_one_client_too_many_is_refused_and_known_ones_are_updated(system):
    clients = await system.start(GatewayClients, config(max_clients=2))
    first, second, third = await connections(system, 3)
    await gateway.client_connected(clients, first, info(2))
    await gateway.client_connected(clients, second, info(3))

    with pytest.raises(OverloadedError) as refused:
        await gateway.client_connected(clients, third, info(4))
    await gateway.client_connected(clients, first, info(2, endpoint=MOVED))

    assert refused.value.limit == 2
    assert await gateway.get_client_by_endpoint(clients, MOVED) is first
    assert await gateway.get_client_stats(clients) == ClientStats(clients=2, max_clients=2, registered=2, refused=1)


async def test_a_client_that_goes_makes_room(system):
    clients = await system.start(GatewayClients, config(max_clients=1))
    first, second = await connections(system, 2)
    await gateway.client_connected(clients, first, info(2))

    await kill(first)
    await gateway.client_connected(clients, second, info(3))

    assert await gateway.get_client_by_node(clients, node_id(3)) is second


async def test_an_update_forgets_where_the_client_was(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)
    await gateway.client_connected(clients, connection, info(2, endpoint=AT))

    await gateway.client_connected(clients, connection, info(3, endpoint=MOVED))

    assert await gateway.get_client_by_node(clients, node_id(2)) is None
    assert await gateway.get_client_by_endpoint(clients, AT) is None
    assert await gateway.get_client_by_node(clients, node_id(3)) is connection


async def test_of_two_connections_of_a_node_the_newest_is_found_then_the_other(system):
    clients = await system.start(GatewayClients, config())
    older, newer = await connections(system, 2)
    await gateway.client_connected(clients, older, info(2))
    await gateway.client_connected(clients, newer, info(2))

    assert await gateway.get_client_by_node(clients, node_id(2)) is newer
    await kill(newer)
    assert await gateway.get_client_by_node(clients, node_id(2)) is older


async def test_disconnecting_twice_is_disconnecting_once(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)
    await gateway.client_connected(clients, connection, info(2))

    await gateway.client_disconnected(clients, connection)
    await gateway.client_disconnected(clients, connection)
    clients.cast(ClientDisconnected(connection))

    assert await counted(clients) == 0


async def test_a_client_has_one_monitor_however_often_it_is_updated_and_none_afterwards(system):
    clients = await system.start(GatewayClients, config())
    (connection,) = await connections(system, 1)

    for number in (2, 3, 4):
        await gateway.client_connected(clients, connection, info(number))
    assert len(connection._process._monitors) == 1

    await gateway.client_disconnected(clients, connection)
    assert not connection._process._monitors


@pytest.mark.slow
async def test_of_ten_thousand_clients_that_come_and_go_nothing_stays(system):
    clients = await system.start(GatewayClients, config())
    refs = await connections(system, 10_000)
    for number, ref in enumerate(refs):
        await gateway.client_connected(clients, ref, info(number % 256, endpoint=AT))
    assert await counted(clients) == 10_000

    for ref in refs:
        ref.cast(CloseWhenDone(0))
    await wait_until_idle(system)

    server = clients._process.server
    assert (await gateway.get_client_stats(clients)).registered == 10_000
    assert [len(each) for each in (server._clients, server._monitors, server._by_node, server._by_endpoint)] == [0] * 4
