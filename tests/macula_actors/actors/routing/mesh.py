"""Nodes of a DHT: over real QUIC in a simulated network, or with a GatewayDHT that hands messages over directly."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

from typing_extensions import override

from macula_actors.actors.routing.server import RoutingServer
from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import CallTimeoutError, ConnectionLostError, IdentityMismatchError, MaculaError
from macula_actors.messages import routing_server
from macula_actors.messages.gateway_dht import QueryPeer
from macula_actors.messages.names import GATEWAY_DHT, ROUTING_SERVER, TABLES, TASKS
from macula_actors.messages.routing_server import HandleMessage
from macula_actors.systems.tasks_system import TasksSystem
from supervisors import (
    CallError,
    GenServer,
    NoReply,
    Strategy,
    Supervisor,
    SupFlags,
    System,
    TableOwner,
    send_after,
    send_request,
)

DHT = "dht"
EPOCH_MS = 1_700_000_000_000
KEY = NodeId.of(b"key")
PATIENCE = 60.0  # virtual seconds that a test waits at most for what must come


def wall_clock_ms():
    return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)


def identity(number):
    return Identity.from_seed(bytes([number]) * 32)


def key(number):
    return NodeId.of(str(number).encode())


class Wires:
    """Who can be reached where. A message takes ``delay`` seconds.

    Nodes of ``cut`` hear and say nothing; those of ``island`` hear each other only.
    """

    def __init__(self, delay=0.01):
        self.delay = delay
        self.at = {}
        self.cut = set()
        self.island = set()
        self.sent = Counter()

    def is_cut(self, one, other):
        return bool({one, other} & self.cut) or (one in self.island) != (other in self.island)


class FakeGateway(GenServer):
    """Answers `QueryPeer` as GatewayDHT does, with what the RoutingServer of the node answers that is asked."""

    def init(self, wires, me):
        self.wires = wires
        self.me = me
        self.asked = {}

    def handle_call(self, request, from_):
        assert isinstance(request, QueryPeer)
        self.wires.sent[type(request.message).__name__] += 1
        send_after(self.wires.delay, self.actor_ref, (request, from_))
        return NoReply()

    def handle_info(self, info):
        match info:
            case (QueryPeer() as request, from_):
                self._carry(request, from_)
            case (from_, MaculaError() as error):
                from_.refuse(error)
            case (from_, reply):
                from_.reply(reply)
            case response:
                self._answered(response.reqid)

    def _carry(self, request, from_):
        contact = request.contact
        there = self.wires.at.get(contact.endpoint)
        if there is None or self.wires.is_cut(contact.endpoint, self.me.endpoint):
            error = CallTimeoutError(str(contact), request.timeout)
            send_after(request.timeout, self.actor_ref, (from_, error))
        elif contact.node_id not in {None, there.node_id}:
            from_.refuse(IdentityMismatchError())
        else:
            self.asked[send_request((ROUTING_SERVER, there.system), HandleMessage(self.me, request.message))] = from_

    def _answered(self, reqid):
        from_ = self.asked.pop(reqid)
        try:
            reply = reqid.result()
        except MaculaError as error:
            reply = error
        except CallError:
            reply = ConnectionLostError("local", 0, "down")
        send_after(self.wires.delay, self.actor_ref, (from_, reply))


class DhtSupervisor(Supervisor):
    """Restarts a RoutingServer, as a node's root does."""

    @override
    def init(self, config):
        spec = RoutingServer.child_spec(config, id=ROUTING_SERVER, name=ROUTING_SERVER)
        return SupFlags(strategy=Strategy.ONE_FOR_ONE, intensity=10, period=5.0), [spec]


async def start_dht(system, config):
    """Start what a node has for the DHT, but for its connections."""
    if system.whereis(TASKS) is None:
        await system.start(TasksSystem, config, name=TASKS)
    await system.start(DhtSupervisor, config, name=DHT)


class DhtNode:
    """A node without any network. Its functions are those of `messages.routing_server`."""

    def __init__(self, wires, number, **config):
        self.wires = wires
        self.system = System(f"node{number}", seed=number)
        self.config = DhtConfig(**{"identity": identity(number), "wall_clock_ms": wall_clock_ms, **config})
        self.endpoint = Endpoint(f"10.0.{number // 250}.{number % 250 + 1}", 1)
        self.node_id = self.config.identity.node_id
        self.contact = Contact(self.endpoint, self.node_id)
        self.server = (ROUTING_SERVER, self.system)

    async def start(self):
        self.wires.at[self.endpoint] = self
        self.system._bind()
        await self.system.start(TableOwner, name=TABLES)
        await self.restart_gateway()
        await start_dht(self.system, self.config)

    async def stop(self):
        self.wires.at.pop(self.endpoint, None)
        await self.system.stop()

    async def restart_gateway(self):
        await self.system.start(FakeGateway, self.wires, self.contact, name=GATEWAY_DHT)

    async def store(self, at, payload, **how):
        return await routing_server.store(self.server, at, payload, **how)

    async def find(self, at, **how):
        """Return the payloads under a key."""
        return [record.payload for record in await routing_server.find_value(self.server, at, **how)]

    async def local(self, at):
        return [record.payload for record in await routing_server.get_local(self.server, at)]

    async def size(self):
        return await routing_server.size(self.server)

    async def stats(self):
        return await routing_server.stats(self.server)

    async def knows(self, *others):
        table = await routing_server.get_routing_table(self.server)
        return {other.node_id for other in others} <= {contact.node_id for contact in table}

    async def until(self, condition, patience=PATIENCE):
        """Wait until ``await condition()`` holds."""
        await until(condition, patience)


async def until(condition, patience=PATIENCE):
    """Wait until ``await condition()`` holds, which is looked at ten times a second of virtual time."""
    async with asyncio.timeout(patience):
        while not await condition():
            await asyncio.sleep(0.1)


async def all_know_all(nodes, patience=PATIENCE):
    for node in nodes:
        await until(lambda node=node: node.knows(*(each for each in nodes if each is not node)), patience)


class Dht:
    """Nodes over `Wires`, that are stopped at the end."""

    def __init__(self, **wires):
        self.wires = Wires(**wires)
        self.nodes = []

    async def node(self, *bootstrap, number=None, **config):
        number = len(self.nodes) + 1 if number is None else number
        node = DhtNode(self.wires, number, bootstrap=tuple(each.endpoint for each in bootstrap), **config)
        self.nodes.append(node)
        await node.start()
        return node

    async def network(self, count, **config):
        """Return nodes that all know each other; the first is the bootstrap of all."""
        first = await self.node(**config)
        nodes = [first, *[await self.node(first, **config) for _ in range(count - 1)]]
        await all_know_all(nodes)
        return nodes


@asynccontextmanager
async def dht(**wires):
    made = Dht(**wires)
    try:
        yield made
    finally:
        for node in reversed(made.nodes):
            await node.stop()
