"""Nodes that call each other over real QUIC in a simulated network; registry and routing table are what a test says."""

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise

from macula_actors.actors.rpc.handler import RpcHandler
from macula_actors.config import RpcConfig
from macula_actors.core.peer.identity import Identity
from macula_actors.core.rpc.provider import Provider
from macula_actors.messages import calling, rpc
from macula_actors.messages.names import ROUTING_SERVER, RPC_HANDLER, RPC_WORKERS, SERVICE_REGISTRY
from macula_actors.messages.routing_server import FindClosest
from macula_actors.messages.service_registry import Choose, Discover, GetHandler, ReportFailed, discover
from supervisors import DynamicSupervisor, GenServer, Kill, Reply, exit_signal
from tests.macula_actors.peers import simulated
from tests.support import supervise

ADD = "test.calculator.add"


class Book:
    """What a node's registry and routing table know."""

    def __init__(self):
        self.handlers = {}
        self.providers = {}
        self.afresh = {}  # what a refresh finds, by procedure: a node
        self.contacts = []
        self.reported = []


class Registry(GenServer):
    """Stands in for ServiceRegistry."""

    def init(self, book):
        self.book = book

    def handle_call(self, request, from_):
        match request:
            case GetHandler(procedure):
                return Reply(self.book.handlers.get(procedure))
            case Choose(procedure) if procedure in self.book.handlers:
                return Reply(self.book.handlers[procedure])
            case Discover(procedure, refresh=True) if procedure in self.book.afresh:
                self.book.providers[procedure] = (_provider(procedure, self.book.afresh.pop(procedure)),)
                return Reply(self.book.providers[procedure])
            case Choose(procedure) | Discover(procedure):
                return Reply(self.book.providers.get(procedure, ()))

    def handle_cast(self, request):
        assert isinstance(request, ReportFailed)
        self.book.reported.append((request.procedure, request.node_id))


class Routing(GenServer):
    """Stands in for RoutingServer."""

    def init(self, book):
        self.book = book

    def handle_call(self, request, from_):
        assert isinstance(request, FindClosest)
        nearest = sorted(self.book.contacts, key=lambda each: request.target.distance(each.node_id))
        return Reply(tuple(nearest[: request.most]))


class RpcNode:
    """A whole node that calls and is called."""

    def __init__(self, node, config):
        self.node = node
        self.system = node.system
        self.config = config
        self.book = Book()
        self.node_id = node.identity.node_id
        self.contact = node.contact

    async def start(self):
        await supervise(
            self.system,
            [
                Registry.child_spec(self.book, name=SERVICE_REGISTRY),
                Routing.child_spec(self.book, name=ROUTING_SERVER),
                DynamicSupervisor.child_spec(max_children=self.config.max_workers, name=RPC_WORKERS),
                RpcHandler.child_spec(self.config, name=RPC_HANDLER),
            ],
        )

    def provide(self, procedure, handler):
        self.book.handlers[procedure] = handler

    def knows(self, *others):
        """Put ``others`` into its routing table."""
        self.book.contacts += [each.contact for each in others]

    def finds(self, procedure, *providers):
        """Have its registry find these: nodes, or `Provider`."""
        self.book.providers[procedure] = tuple(_provider(procedure, each) for each in providers)

    async def call(self, args=None, procedure=ADD, **how):
        return await calling.call(procedure, args, system=self.system, **how)

    async def call_node(self, whom, args=None, procedure=ADD, **how):
        return await calling.call_node(whom.node_id, procedure, args, system=self.system, **how)

    async def reported(self):
        """Return which providers its registry was told that they failed."""
        await discover((SERVICE_REGISTRY, self.system), ADD)  # which comes after what it was told
        return self.book.reported

    async def stats(self):
        return await rpc.stats((RPC_HANDLER, self.system))

    def workers(self):
        return [each.ref for each in self.system.processes if each.ref.actor_class.__name__ == "RpcWorker"]

    def kill(self, name):
        exit_signal(self.system.whereis(name), Kill())

    async def is_at_rest(self):
        """Whether nothing is under way at it."""
        counts = await self.stats()
        pool = await self.node.pool()
        return counts.busy == counts.queued == 0 and len(self.workers()) == counts.idle and pool.waiters == 0


def _provider(procedure, each):
    if isinstance(each, Provider):
        return each
    return Provider(procedure=procedure, node_id=each.node_id, endpoint=each.contact.endpoint)


def by_distance(target, count):
    """Return ``count`` identities, the farthest from ``target`` first."""
    made = [Identity.from_seed(bytes([number]) * 32) for number in range(1, count + 1)]
    return sorted(made, key=lambda each: -target.distance(each.node_id))


class RpcMesh:
    def __init__(self, mesh):
        self.mesh = mesh
        self._numbers = iter(range(100, 200))

    async def node(self, name=None, *, identity=None, handshake=None, **config):
        identity = identity or Identity.from_seed(bytes([next(self._numbers)]) * 32)
        settings = RpcConfig(**{"identity": identity, **config})
        peer = {"routes": rpc.ROUTES}
        node = await self.mesh.node(
            name, answers={}, peer=peer, mesh={"watchers": (RPC_HANDLER,)}, identity=identity, **(handshake or {})
        )
        made = RpcNode(node, settings)
        await made.start()
        return made

    async def nodes(self, count, **config):
        return [await self.node(**config) for _ in range(count)]

    async def chain(self, count, **config):
        """Return nodes of which each knows the next one only; each is nearer to the last than the one before."""
        last = Identity.from_seed(bytes([99]) * 32)
        identities = [*by_distance(last.node_id, count - 1), last]
        made = [await self.node(identity=each, **config) for each in identities]
        for one, other in pairwise(made):
            one.knows(other)
        return made


@asynccontextmanager
async def rpc_mesh(**network):
    async with simulated(**network) as mesh:
        yield RpcMesh(mesh)


def undialled(node, *gateways):
    """Return ``node`` as a provider that says of itself only that ``gateways`` can reach it."""
    return Provider(procedure=ADD, node_id=node.node_id, gateways=tuple(each.contact for each in gateways))


async def until(condition, timeout=3.0):
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.01)
