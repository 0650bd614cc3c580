"""A gateway without a mesh: what it asks of the rest of the node is answered by small servers of their names."""

import asyncio
from dataclasses import dataclass, field
from functools import cache

from macula_actors.config import GatewayConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_store import RecordStats
from macula_actors.core.peer.handshake import PeerInfo, Security
from macula_actors.core.rpc.provider import advertisement
from macula_actors.core.wire.messages import Call, Reply, RpcRoute
from macula_actors.errors import RefusedError
from macula_actors.messages import peer, routing_server, rpc, service_registry
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    RPC_WORKERS,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import CloseWhenDone, Inbound, PeerUp
from supervisors import DynamicSupervisor, GenServer, NoReply, Refuse, Shutdown, Stop
from supervisors import Reply as Answer
from tests.macula_actors.actors.routing.mesh import identity, wall_clock_ms
from tests.support import supervise

REALM = "com.example"
LISTENS = Endpoint("10.0.0.1", 443)
OWN = identity(1).node_id


def config(**fields):
    given = {"identity": identity(1), "realm": REALM, "health_port": None, "wall_clock_ms": wall_clock_ms}
    return GatewayConfig(**(given | fields))


@cache
def node_id(number):
    return identity(number).node_id


def info(number, *, endpoint=None, capabilities=(), verified=True):
    """Return who the peer ``number`` is; one without a number does not say."""
    return PeerInfo(
        node_id=None if number is None else node_id(number),
        public_key=None,
        endpoint=endpoint,
        capabilities=capabilities,
        verified=verified,
    )


def a_call(number=0, procedure="add", args=b"\xa1x", timeout=None):
    return Call(procedure=procedure, args=args, call_id=bytes([number]) * 16, timeout=timeout)


def a_route(to, source=2, **call):
    return RpcRoute(
        destination_node_id=node_id(to), source_node_id=node_id(source), payload_type="call", payload=a_call(**call)
    )


def echo(exchange):
    """Answer what is relayed with a reply."""
    return Answer(Reply(call_id=bytes(16), result=b"done"))


def never(exchange):
    return NoReply()


class Connection(GenServer):
    """A connection: keeps the exchanges, and answers each with ``answer(exchange)``."""

    def init(self, answer=echo):
        self.answer = answer
        self.exchanges = []

    def handle_call(self, request, from_):
        if request == "exchanges":
            return Answer(self.exchanges)
        self.exchanges.append(request)
        return self.answer(request)

    def handle_cast(self, request):
        assert isinstance(request, CloseWhenDone)
        return Stop(Shutdown(request.code))


@dataclass
class Rest:
    """What the stand-ins of the rest of the node say and were told; it outlives them."""

    peers: list[PeerUp] = field(default_factory=list)
    is_joined: bool = True
    holders: list = field(default_factory=list)  # of the permission to accept
    handlers: dict = field(default_factory=dict)
    records: dict = field(default_factory=dict)  # of the DHT, by key

    def provide(self, procedure, who, endpoint):
        """Have the node ``who``, at ``endpoint``, advertise ``procedure``."""
        key = key_of(KeyKind.PROCEDURE, procedure, realm=REALM, security=Security.VERIFIED)
        payload, now_ms = advertisement(endpoint, (), {}, wall_clock_ms()), wall_clock_ms()
        self.records[key] = (Record.seal(who, key, payload, sequence=now_ms, now_ms=now_ms, ttl=300),)


class RestServer(GenServer):
    """Answers for all of them."""

    def init(self, rest):
        self.rest = rest

    def handle_call(self, request, from_):
        match request:
            case peer.SetAccepting(holder, True):
                self.rest.holders.append(holder)
                return Answer(None)
            case peer.GetAddress():
                return Answer(LISTENS)
            case peer.GetPeers():
                return Answer(tuple(self.rest.peers))
            case service_registry.AdvertiseLocal(procedure, handler):
                self.rest.handlers[procedure] = handler
                return Answer(None)
            case service_registry.Withdraw(procedure):
                return Answer(self.rest.handlers.pop(procedure, None) is not None)
            case service_registry.GetStats():
                return Answer(
                    service_registry.ServiceStats(
                        local=len(self.rest.handlers), cached=0, waiting=0, lookups=0, hits=0, misses=0
                    )
                )
            case routing_server.LookUpValue(key):
                return Answer(self.rest.records.get(key, ()))
            case routing_server.GetStats():
                return Answer(self._routing())
            case rpc.GetStats():
                return Answer(
                    rpc.RpcStats(
                        paths={"direct": rpc.PathStats(3, 1)},
                        idle=0,
                        busy=0,
                        queued=0,
                        forwarded=0,
                        refused=0,
                        cancelled=0,
                        late=0,
                    )
                )
            case _:
                return Refuse(RefusedError("unsupported", type(request).__name__))

    def _routing(self):
        return routing_server.RoutingStats(
            contacts=7,
            buckets=1,
            records=RecordStats(keys=1, owners=1, records=5, length=100),
            published=0,
            is_joined=self.rest.is_joined,
            lookups=0,
            upkeep=0,
            pings=0,
            handled=11,
            refused=0,
        )


NAMES = (ENDPOINT, PEER_CONNECTOR, ROUTING_SERVER, SERVICE_REGISTRY, RPC_HANDLER)


async def start_rest(system, rest=None):
    """Start all stand-ins, which are restarted when they end; return what they share."""
    rest = Rest() if rest is None else rest
    specs = [RestServer.child_spec(rest, id=name, name=name) for name in NAMES]
    await supervise(system, [*specs, DynamicSupervisor.child_spec(id=RPC_WORKERS, name=RPC_WORKERS)])
    return rest


async def connections(system, count, answer=echo):
    return [await system.start(Connection, answer) for _ in range(count)]


async def peers_of(system, *numbers, is_dialled=False, answer=echo, **about):
    """Start a connection to each of the peers ``numbers``; return a `PeerUp` for each."""
    refs = await connections(system, len(numbers), answer)
    return [PeerUp(info(number, **about), ref, is_dialled) for number, ref in zip(numbers, refs, strict=True)]


def tell(system, *messages):
    for message in messages:
        system.whereis(GATEWAY).cast(message)


def inbound(message, connection, number=2, **about):
    return Inbound(info(number, **about), message, connection)


async def until(condition, timeout=5.0):
    """Wait until ``await condition()`` holds."""
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.01)
