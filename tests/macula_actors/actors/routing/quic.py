"""Nodes of a DHT over real QUIC: the nodes of `tests.macula_actors.peers`, with a RoutingServer."""

from contextlib import asynccontextmanager

from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.messages import routing_server
from macula_actors.messages.gateway_dht import ROUTES
from macula_actors.messages.names import ROUTING_SERVER
from tests.macula_actors.actors.routing.mesh import all_know_all, identity, start_dht, wall_clock_ms
from tests.macula_actors.peers import PORT, simulated


class QuicNode:
    """A whole node. Its functions are those of `messages.routing_server`."""

    def __init__(self, node, config):
        self.node = node
        self.config = config
        self.system = node.system
        self.node_id = node.identity.node_id
        self.contact = node.contact
        self.endpoint = node.endpoint
        self.server = (ROUTING_SERVER, node.system)

    async def start(self):
        await start_dht(self.system, self.config)

    async def stop(self):
        await self.node.stop()

    async def store(self, at, payload, **how):
        return await routing_server.store(self.server, at, payload, **how)

    async def find(self, at, **how):
        return [record.payload for record in await routing_server.find_value(self.server, at, **how)]

    async def knows(self, *others):
        table = await routing_server.get_routing_table(self.server)
        return {other.node_id for other in others} <= {contact.node_id for contact in table}


class QuicDht:
    """A network of nodes in a simulated network; the first is the bootstrap of all."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.nodes = []

    async def node(self, *bootstrap, **config):
        number = len(self.nodes) + 1
        own = identity(number)
        endpoint = Endpoint(self.mesh._host(f"node{number}").ipv4, PORT)
        node = await self.mesh.node(
            f"node{number}", answers={}, peer={"routes": ROUTES}, identity=own, endpoint=endpoint
        )
        settings = {
            "identity": own,
            "bootstrap": tuple(each.endpoint for each in bootstrap),
            "wall_clock_ms": wall_clock_ms,
            **config,
        }
        made = QuicNode(node, DhtConfig(**settings))
        self.nodes.append(made)
        await made.start()
        return made

    async def network(self, count, **config):
        first = await self.node(**config)
        nodes = [first, *[await self.node(first, **config) for _ in range(count - 1)]]
        await all_know_all(nodes)
        return nodes


@asynccontextmanager
async def quic_dht(**network):
    async with simulated(**network) as mesh:
        yield QuicDht(mesh)
