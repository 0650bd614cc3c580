"""A node's services without a mesh: RoutingServer and PeerConnector are small servers of their names."""

from collections import Counter, deque
from contextlib import asynccontextmanager

from macula_actors.actors.services.advertisements import AdvertisementManager
from macula_actors.actors.services.registry import ServiceRegistry
from macula_actors.config import ServiceConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.provider import advertisement
from macula_actors.messages.names import (
    ADVERTISEMENT_MANAGER,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    SERVICE_REGISTRY,
    TABLES,
)
from macula_actors.messages.peer import GetGateways
from macula_actors.messages.routing_server import DeleteRecord, LookUpValue, StoreRecord
from supervisors import GenServer, NoReply, Refuse, System, TableOwner, send_after
from tests.macula_actors.actors.routing.mesh import identity, wall_clock_ms
from tests.support import kill, supervise

REALM = "com.example"
ENDPOINT = Endpoint("10.0.0.1", 443)


def procedure_key(procedure):
    return key_of(KeyKind.PROCEDURE, procedure, realm=REALM, security=Security.VERIFIED)


def a_record(number, procedure, *, ttl=300):
    """Return the record in which node ``number`` says that it provides ``procedure``."""
    payload = advertisement(Endpoint(f"10.0.0.{number}", 443), (), {}, wall_clock_ms())
    now_ms = wall_clock_ms()
    return Record.seal(identity(number), procedure_key(procedure), payload, sequence=now_ms, now_ms=now_ms, ttl=ttl)


def a_gateway(number):
    return Contact(Endpoint(f"10.1.0.{number}", 443), identity(100 + number).node_id)


class Dht:
    """What the stand-in of RoutingServer does; it outlives it. An answer is there after ``delay`` seconds."""

    def __init__(self, delay=0.1):
        self.delay = delay
        self.errors = []  # with which the next requests are refused
        self.is_silent = False
        self.is_crashing = False
        self.records = {}
        self.counts = Counter()
        self.stores = []
        self.gateways = ()
        self.connector_delay = 0.0

    def provide(self, procedure, *numbers, **how):
        self.records[procedure_key(procedure)] = tuple(a_record(number, procedure, **how) for number in numbers)

    def has_stored(self, key):
        return [request for each, request in self.stores if each == key][-1:] not in ([], [None])

    def stored(self, procedure):
        """Return the payloads that were stored for a procedure, in order; None for a tombstone."""
        return [request for key, request in self.stores if key == procedure_key(procedure)]


class Routing(GenServer):
    def init(self, dht):
        self.dht = dht
        self.waiting = deque()  # timers of one instant come in any order

    def handle_call(self, request, from_):
        self.dht.counts[type(request).__name__] += 1
        if self.dht.is_crashing:
            raise ZeroDivisionError
        if self.dht.is_silent:
            return NoReply()
        if self.dht.errors:
            return Refuse(self.dht.errors.pop(0))
        self.waiting.append((request, from_))
        send_after(self.dht.delay, self.actor_ref, None)
        return NoReply()

    def handle_info(self, info):
        match self.waiting.popleft():
            case LookUpValue(key), from_:
                from_.reply(self.dht.records.get(key, ()))
            case StoreRecord(key, payload, ttl, durable), from_:
                self.dht.stores.append((key, (payload, ttl, durable)))
                from_.reply(1)
            case DeleteRecord(key), from_:
                self.dht.stores.extend([(key, None)] * self.dht.has_stored(key))
                from_.reply(1)


class Connector(GenServer):
    def init(self, dht):
        self.dht = dht

    def handle_call(self, request, from_):
        assert request == GetGateways()
        send_after(self.dht.connector_delay, self.actor_ref, (from_, self.dht.gateways))
        return NoReply()

    def handle_info(self, info):
        from_, gateways = info
        from_.reply(gateways)


class Services:
    """A node. Its servers are restarted when they end."""

    def __init__(self, system, dht, supervisor):
        self.system = system
        self.dht = dht
        self.supervisor = supervisor
        self.registry = (SERVICE_REGISTRY, system)
        self.manager = (ADVERTISEMENT_MANAGER, system)

    async def kill(self, name):
        await kill(self.system.whereis(name))


@asynccontextmanager
async def services(dht=None, **config):
    dht = Dht() if dht is None else dht
    settings = {"identity": identity(1), "realm": REALM, "endpoint": ENDPOINT, "wall_clock_ms": wall_clock_ms}
    config = ServiceConfig(**{**settings, **config})
    async with System(seed=1) as system:
        await system.start(TableOwner, name=TABLES)
        supervisor = await supervise(
            system,
            [
                Routing.child_spec(dht, name=ROUTING_SERVER),
                Connector.child_spec(dht, name=PEER_CONNECTOR),
                ServiceRegistry.child_spec(config, name=SERVICE_REGISTRY),
                AdvertisementManager.child_spec(config, name=ADVERTISEMENT_MANAGER),
            ],
        )
        yield Services(system, dht, supervisor)
