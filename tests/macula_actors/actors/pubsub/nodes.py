"""Nodes that publish and subscribe over real QUIC in a simulated network; the DHT is a dict that all of them share."""

import asyncio
from contextlib import asynccontextmanager

from macula_actors.actors.pubsub.handler import PubsubHandler
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.identity import Identity
from macula_actors.messages import pubsub
from macula_actors.messages.names import PUBSUB_HANDLER, PUBSUB_SUBSCRIBERS, ROUTING_SERVER
from macula_actors.messages.routing_server import DeleteRecord, FindClosest, LookUpValue, StoreRecord
from supervisors import DynamicSupervisor, GenServer, Kill, Refuse, Reply, exit_signal
from tests.macula_actors.peers import REALM, simulated
from tests.support import supervise

EPOCH_MS = 1_700_000_000_000


def wall_clock_ms():
    return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)


class Dht:
    """The records of all nodes."""

    def __init__(self):
        self.records = {}
        self.lookups = []
        self.contacts = {}  # of the routing table of each node
        self.error = None
        self.delay = 0.0

    def patterns(self):
        """Return what the records say, by owner."""
        found = {}
        for owned in self.records.values():
            for owner, record in owned.items():
                found.setdefault(owner, set()).update(each.decode() for each in record.field("patterns"))
        return found


class Routing(GenServer):
    """Stands in for RoutingServer."""

    def init(self, dht, identity):
        self.dht = dht
        self.identity = identity

    async def handle_call(self, request, from_):
        if self.dht.delay:
            await asyncio.sleep(self.dht.delay)
        match request:
            case StoreRecord(key, payload, ttl):
                now_ms = wall_clock_ms()
                sealed = Record.seal(self.identity, key, payload, sequence=now_ms, now_ms=now_ms, ttl=ttl)
                self.dht.records.setdefault(key, {})[self.identity.node_id] = sealed
                return Reply(1)
            case FindClosest(target, most):
                contacts = self.dht.contacts.get(self.identity.node_id, [])
                return Reply(tuple(sorted(contacts, key=lambda each: target.distance(each.node_id))[:most]))
            case DeleteRecord(key):
                del self.dht.records[key][self.identity.node_id]
                return Reply(1)
            case LookUpValue(key):
                self.dht.lookups.append(key)
                return (
                    Refuse(self.dht.error) if self.dht.error else Reply(tuple(self.dht.records.get(key, {}).values()))
                )


class PubsubNode:
    def __init__(self, node, config, dht):
        self.node = node
        self.config = config
        self.dht = dht
        self.system = node.system
        self.node_id = config.identity.node_id
        self.handler = (PUBSUB_HANDLER, self.system)

    async def start(self):
        await supervise(
            self.system,
            [
                Routing.child_spec(self.dht, self.config.identity, name=ROUTING_SERVER),
                DynamicSupervisor.child_spec(name=PUBSUB_SUBSCRIBERS),
                PubsubHandler.child_spec(self.config, name=PUBSUB_HANDLER),
            ],
            intensity=100,
        )

    async def subscribe(self, pattern, target=None, **how):
        """Return the list of what comes, if there is no ``target``."""
        log = []
        self.last = await pubsub.subscribe(self.handler, pattern, target or log.append, **how)
        return log

    async def unsubscribe(self, id_=None):
        return await pubsub.unsubscribe(self.handler, id_ or self.last)

    async def publish(self, topic, payload=None, **how):
        await pubsub.publish(self.handler, topic, payload, **how)

    async def stats(self):
        return await pubsub.stats(self.handler)

    def knows(self, *others):
        """Put ``others`` into its routing table."""
        self.dht.contacts[self.node_id] = [each.node.contact for each in others]

    def kill(self, name):
        exit_signal(self.system.whereis(name), Kill())


class PubsubMesh:
    def __init__(self, mesh):
        self.mesh = mesh
        self.dht = Dht()
        self._numbers = iter(range(1, 200))

    async def node(
        self,
        name=None,
        *,
        mesh=(),
        can_be_dialled=True,
        capabilities=(pubsub.BATCH_CAPABILITY, pubsub.CHANGES_CAPABILITY),
        **config,
    ):
        number = next(self._numbers)
        identity = Identity.from_seed(bytes([number]) * 32)
        name = name or f"node{number}"
        node = await self.mesh.node(
            name,
            answers={},
            peer={"routes": pubsub.ROUTES},
            mesh={"watchers": (PUBSUB_HANDLER,), **dict(mesh)},
            identity=identity,
            capabilities=capabilities,
        )
        settings = {
            "identity": identity,
            "realm": REALM,
            "endpoint": node.endpoint if can_be_dialled else None,
            "wall_clock_ms": wall_clock_ms,
        }
        made = PubsubNode(node, PubsubConfig(**{**settings, **config}), self.dht)
        await made.start()
        return made

    async def nodes(self, count, **config):
        return [await self.node(**config) for _ in range(count)]


@asynccontextmanager
async def pubsub_mesh(**network):
    async with simulated(**network) as mesh:
        yield PubsubMesh(mesh)


def payloads(log):
    return [event.payload for event in log]
