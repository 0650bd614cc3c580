"""Who is told of peers that come and go; gateways that a node stays connected to; whom it lets in, in virtual time."""

import asyncio
from ipaddress import ip_network

import pytest
from typing_extensions import override

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.errors import DeniedError, NoRouteError
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, ENDPOINT, PEER_CONNECTOR
from macula_actors.messages.peer import GatewaysChanged, PeerDown, deny, gateways, peers, set_accepting
from supervisors import GenServer, Kill, Reply, exit_signal
from supervisors.testing import wait_until
from tests.macula_actors.peers import PORT, simulated

SHORT = PoolLimits(idle_timeout=5.0)


class Watcher(GenServer):
    def init(self):
        self.news = []

    @override
    def handle_cast(self, request):
        self.news.append(request)

    @override
    def handle_call(self, request, from_):
        return Reply(self.news)


class Listener(GenServer):
    """Holds the endpoint open while it lives."""

    @override
    async def handle_call(self, request, from_):
        await set_accepting(ENDPOINT, request)
        return Reply(None)


async def test_a_watcher_hears_of_a_peer_that_comes_and_goes():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"watchers": ("watcher",)})
        watcher = await one.system.start(Watcher, name="watcher")
        other = await mesh.node()

        await other.call(one)
        await other.stop()
        await wait_until(lambda: not any(ref.is_alive() for ref in one.connections))

        up, down = await watcher.call("news")
        assert (up.peer.node_id, up.is_dialled) == (other.identity.node_id, False)
        assert down == PeerDown(other.identity.node_id, up.connection)
        assert await peers(one.connector) == ()


async def test_the_peers_of_a_node_are_those_it_has_connections_to():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)

        (up,) = await peers(one.connector)

        assert (up.peer.node_id, up.is_dialled, up.connection) == (other.identity.node_id, True, one.connections[0])


# Gateways


async def test_a_node_stays_connected_to_its_gateways_though_nothing_is_sent():
    async with simulated() as mesh:
        gateway = await mesh.node()
        edge = await mesh.node(mesh={"keep": (gateway.endpoint,), "pool": SHORT})
        await asyncio.sleep(100.0)

        assert await gateways(edge.connector) == (Contact(gateway.endpoint, gateway.identity.node_id),)
        assert len(edge.connections) == 1
        assert await gateway.call(Contact(node_id=edge.identity.node_id)) == b"x"


async def test_a_gateway_that_was_away_is_connected_again():
    async with simulated() as mesh:
        gateway = await mesh.node()
        edge = await mesh.node(mesh={"keep": (gateway.endpoint,)})
        manager = await edge.system.start(Watcher, name=ADVERTISEMENT_MANAGER)
        await asyncio.sleep(1.0)

        exit_signal(gateway.process(ENDPOINT), Kill())
        await asyncio.sleep(60.0)

        assert len(await gateways(edge.connector)) == 1
        assert await manager.call("news") == [GatewaysChanged()] * 3


async def test_a_gateway_that_is_not_there_yet_is_connected_when_it_comes():
    async with simulated() as mesh:
        late = Endpoint(mesh._host("late").ipv4, PORT)
        edge = await mesh.node(mesh={"keep": (late,)})
        await asyncio.sleep(60.0)
        assert await gateways(edge.connector) == ()

        await mesh.node("late")
        await asyncio.sleep(60.0)

        assert [contact.endpoint for contact in await gateways(edge.connector)] == [late]


async def test_a_connector_that_was_killed_keeps_to_its_gateways():
    async with simulated() as mesh:
        gateway = await mesh.node()
        edge = await mesh.node(mesh={"keep": (gateway.endpoint,), "pool": SHORT})
        await asyncio.sleep(1.0)

        exit_signal(edge.process(PEER_CONNECTOR), Kill())
        await asyncio.sleep(60.0)

        assert len(await gateways(edge.connector)) == 1
        assert await gateway.call(Contact(node_id=edge.identity.node_id)) == b"x"


# Whom it lets in


@pytest.mark.parametrize("denying", [0, 1])
async def test_who_is_denied_is_neither_dialled_nor_let_in(denying):
    async with simulated() as mesh:
        first = await mesh.node()
        network = ip_network(f"{first.endpoint.host}/32")
        second = await mesh.node(mesh={"deny": (network,)})
        pair = (first, second)

        with pytest.raises([NoRouteError, DeniedError][denying]):
            await pair[denying].call(pair[1 - denying], timeout=0.4)


async def test_links_are_cut_and_mended_while_nodes_run():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)
        network = ip_network(f"{other.endpoint.host}/32")

        assert await deny(one.process(ENDPOINT), [network]) == 1
        with pytest.raises(DeniedError):
            await one.call(other, timeout=0.4)
        assert await deny(one.process(ENDPOINT), []) == 0

        assert await one.call(other, timeout=30.0) == b"x"


async def test_what_was_denied_later_is_denied_by_the_next_endpoint_too():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await deny(one.process(ENDPOINT), [ip_network(f"{other.endpoint.host}/32")])

        exit_signal(one.process(ENDPOINT), Kill())
        await asyncio.sleep(1.0)

        with pytest.raises(DeniedError):
            await one.call(other, timeout=0.4)


async def test_a_listener_lets_peers_in_as_long_as_it_lives():
    async with simulated() as mesh:
        edge, other = await mesh.node(mesh={"accept_peers": False}), await mesh.node()
        listener = await edge.system.start(Listener)
        await listener.call(True)
        assert await other.call(edge) == b"x"

        exit_signal(listener, Kill())
        third = await mesh.node()

        with pytest.raises(NoRouteError):
            await third.call(edge, timeout=0.4)
        assert await other.call(edge) == b"x"
