"""Real RoutingServers, each with its own System, over a `MessageNetwork` in place of QUIC."""

import asyncio
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from random import Random

from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import MaculaError
from macula_actors.messages import routing_server
from macula_actors.messages.gateway_dht import QueryPeer
from macula_actors.messages.names import GATEWAY_DHT, ROUTING_SERVER, TABLES
from macula_actors.messages.routing_server import HandleMessage
from macula_actors.simulation.message_link import MessageLink
from macula_actors.simulation.message_network import MessageNetwork
from supervisors import CallError, GenServer, NoReply, System, TableOwner, send_request
from tests.macula_actors.actors.routing.mesh import start_dht, wall_clock_ms

PAYLOAD = {"a": 1}
SEEDS = 4  # nodes that each one is told of
JOINING = 0.05  # seconds between two newcomers


class MessageGateway(GenServer):
    """Answers `QueryPeer` as GatewayDHT does; what peers ask is asked of the RoutingServer of its System."""

    def init(self, network, contact):
        self.port = network.attach(contact, self.actor_ref.send)
        self.asked = {}

    def handle_call(self, request, from_):
        assert isinstance(request, QueryPeer)
        self.port.request(request.contact, request.message, request.timeout, lambda answer: _answer(from_, answer))
        return NoReply()

    def handle_info(self, info):
        reqid = getattr(info, "reqid", None)
        if reqid is None:
            self.asked[send_request(ROUTING_SERVER, HandleMessage(info.sender, info.message))] = info
        else:
            self._answered(self.asked.pop(reqid), reqid)

    def _answered(self, exchange, reqid):
        try:
            exchange.answer(reqid.result())
        except MaculaError as error:
            exchange.answer(error)
        except CallError:
            pass  # it is being restarted

    def terminate(self, reason):
        self.port.detach()


def _answer(from_, answer):
    if isinstance(answer, MaculaError):
        from_.refuse(answer)
    else:
        from_.reply(answer)


class ServerNode:
    """A node; its functions are those of `messages.routing_server`."""

    def __init__(self, network, number, identity, bootstrap, **config):
        self.network = network
        self.system = System(f"node{number}", seed=number)
        self.config = DhtConfig(identity=identity, bootstrap=bootstrap, wall_clock_ms=wall_clock_ms, **config)
        self.contact = Contact(Endpoint(str(IPv4Address(0x0A000000 + number)), 443), identity.node_id)
        self.node_id = identity.node_id
        self.server = (ROUTING_SERVER, self.system)

    async def start(self):
        self.system._bind()
        await self.system.start(TableOwner, name=TABLES)
        await self.system.start(MessageGateway, self.network, self.contact, name=GATEWAY_DHT)
        await start_dht(self.system, self.config)

    async def stop(self):
        """Be gone, without a word."""
        for port in self.network.ports:
            if port.contact == self.contact:
                port.detach()
        await self.system.stop()

    async def find(self, key):
        """Return the payloads under ``key``; None if nobody answered."""
        try:
            return [record.payload for record in await routing_server.find_value(self.server, key)]
        except MaculaError:
            return None

    async def store(self, key, **how):
        return await routing_server.store(self.server, key, PAYLOAD, **how)

    async def stats(self):
        return await routing_server.stats(self.server)


class Servers:
    """The nodes of one network that run; the first ones are the bootstrap of all."""

    def __init__(self, network, seed, config):
        self.network = network
        self.rng = Random(seed)
        self.config = config
        self.nodes = []
        self.count = 0

    async def add(self, count=1):
        """Start nodes, one shortly after the other."""
        for _ in range(count):
            self.count += 1
            identity = Identity.from_seed(self.rng.randbytes(32))
            seeds = tuple(each.contact.endpoint for each in self.nodes[:SEEDS])
            node = ServerNode(self.network, self.count, identity, seeds, **self.config)
            await node.start()
            self.nodes.append(node)
            await asyncio.sleep(JOINING)

    async def remove(self, nodes):
        for node in nodes:
            self.nodes.remove(node)
            await node.stop()

    async def churn(self, per_minute, minutes):
        """Replace a part of the nodes each minute, one after the other; return how many."""
        count = int(len(self.nodes) * per_minute * minutes)
        for _ in range(count):
            await asyncio.sleep(max(minutes * 60.0 / count - JOINING, 0.0))
            await self.remove(self.sample(1))
            await self.add()
        return count

    def partition(self, *groups):
        """Cut the nodes of each group from those of the others."""
        ports = {port.contact: port for port in self.network.ports}
        self.network.partition(*([ports[each.contact] for each in group] for group in groups))

    def choose(self):
        return self.rng.choice(self.nodes)

    def sample(self, count):
        """Return nodes that are no bootstrap nodes."""
        return self.rng.sample(self.nodes[SEEDS:], count)

    async def store(self, keys, **how):
        """Have random nodes store under ``keys``; return how many copies there are of each."""
        return [await self.choose().store(key, **how) for key in keys]

    async def found(self, keys):
        """Return the part of ``keys`` under which random nodes find what was stored; and each find's seconds."""
        loop = asyncio.get_running_loop()
        seconds, hits = [], 0
        for key in keys:
            began = loop.time()
            hits += await self.choose().find(key) == [PAYLOAD]
            seconds.append(loop.time() - began)
        return hits / len(keys), sorted(seconds)


@asynccontextmanager
async def servers(count, *, seed=1, link=None, **config):
    with MessageNetwork(seed=seed, link=link or MessageLink(latency=0.025)) as network:
        made = Servers(network, seed, config)
        try:
            await made.add(count)
            yield made
        finally:
            await made.remove(list(made.nodes))
