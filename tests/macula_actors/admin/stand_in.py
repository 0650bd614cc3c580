"""A node that is none: what the admin socket needs of one, each answer known."""

import asyncio
import math
from ipaddress import ip_network

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.service_book import Service
from macula_actors.errors import NoProviderError
from macula_actors.messages.advertisement import Unadvertise
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, ENDPOINT, ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.peer import PeerUp
from macula_actors.messages.routing_server import GetRoutingTable
from macula_actors.messages.rpc import PathStats, RpcStats, Traced
from macula_actors.messages.service_registry import GetHandler, GetLocalServices
from macula_actors.node_config import NodeConfig
from supervisors import GenServer, Reply, UnexpectedRequestError

OTHER = NodeId(bytes(range(32)))


class Services(GenServer):
    """Stands for the registry and for the manager of advertisements."""

    def init(self, services):
        self.services = services

    def handle_call(self, request, from_):
        match request:
            case GetLocalServices():
                return Reply(tuple(Service(name, handler, {}) for name, handler in self.services.items()))
            case GetHandler(procedure):
                return Reply(self.services.get(procedure))
            case Unadvertise(procedure):
                return Reply(self.services.pop(procedure, None) is not None)
            case _:
                raise UnexpectedRequestError(request)


class Socket(GenServer):
    """Stands for the endpoint."""

    def init(self):
        self.denied = 7


class Table(GenServer):
    """Stands for the routing server, which knows a node that can be dialled, and one that cannot."""

    def handle_call(self, request, from_):
        match request:
            case GetRoutingTable():
                return Reply((Contact(Endpoint("127.0.0.1", 1), OTHER), Contact(None, NodeId(bytes(32)))))
            case _:
                raise UnexpectedRequestError(request)


class StandIn:
    """A node with one peer, one value in its DHT, and handlers that are called at once."""

    def __init__(self, system, **options):
        self.config = NodeConfig(**{"name": "ann", "mode": "edge", "listen": "127.0.0.1:0", **options})
        self.node_id = NodeId(bytes(32))
        self.endpoint = Endpoint("127.0.0.1", 4711)
        self.system = system
        self.services = {}
        self.values = {}
        self.calls = []
        self.given_up = 0

    async def start(self):
        await self.system.start(Services, self.services, name=SERVICE_REGISTRY)
        await self.system.start(Services, self.services, name=ADVERTISEMENT_MANAGER)
        await self.system.start(Socket, name=ENDPOINT)
        await self.system.start(Table, name=ROUTING_SERVER)
        return self

    def peers(self):
        info = PeerInfo(
            node_id=OTHER, public_key=None, endpoint=Endpoint("127.0.0.1", 1), capabilities=("rpc",), verified=True
        )
        return [PeerUp(info, self.system.whereis(SERVICE_REGISTRY), True)]

    def tree(self):
        return self.system.tree()

    def stats(self):
        carried = RpcStats(
            paths={"direct": PathStats(2, 1)}, idle=0, busy=0, queued=0, forwarded=0, refused=0, cancelled=0, late=0
        )
        return {"peer_connector": {"dials": 3, "rtt": math.inf}, "rpc_handler": carried}

    async def advertise(self, procedure, handler):
        self.services[procedure] = handler

    async def discover(self, procedure, *, refresh=False, timeout=5.0):
        return [Provider(procedure=procedure, node_id=OTHER, endpoint=Endpoint("127.0.0.1", 1))]

    async def trace(self, procedure, args=None, *, node_id=None, timeout=None, paths=None, max_hops=None):
        self.calls.append((procedure, args, node_id, timeout, paths, max_hops))
        if procedure not in self.services:
            raise NoProviderError(procedure)
        try:
            return Traced(await self.services[procedure](args), "direct", (OTHER,))
        except asyncio.CancelledError:
            self.given_up += 1
            raise

    async def deny(self, networks):
        self.denied = [ip_network(each) for each in networks]
        return len(self.denied)

    async def store(self, key, value, *, ttl=None, timeout=10.0):
        self.values[key] = value
        return 3

    async def find(self, key, *, timeout=10.0):
        return [self.values[key]] if key in self.values else []
