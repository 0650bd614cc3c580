"""BootstrapServer: what a bootstrap node tells of the DHT, and counts.

Erlang: macula_bootstrap_server (which no message of the network reached, and which counted nothing that was: D-24).
Queries of the network come to RoutingServer through GatewayDHT, at this node as at any other.
"""

from typing import Final

from typing_extensions import override

from macula_actors.actors.bootstrap.passing_on import pass_on
from macula_actors.config import wall_clock_ms
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import DEFAULT_TTL
from macula_actors.errors import LocalProtocolError
from macula_actors.messages.bootstrap import BootstrapStats, Get, GetStats, HandleDhtQuery, Put
from macula_actors.messages.names import BOOTSTRAP_REGISTRY, PEER_CONNECTOR, ROUTING_SERVER
from macula_actors.messages.peer import GetPeers, PeerDown, PeerUp, peers_in
from macula_actors.messages.routing_server import FindClosest, RoutingStats
from macula_actors.messages.routing_server import GetStats as GetRoutingStats
from supervisors import (
    CallError,
    Continue,
    From,
    GenServer,
    NoReply,
    Refuse,
    RequestId,
    Response,
    System,
    UnexpectedRequestError,
    send_request,
)

__all__ = ["BootstrapServer"]

CLOSEST: Final = 20  # contacts that a query is answered with; macula_bootstrap_server
MAX_REMEMBERED: Final = 10_000  # peers; one that is forgotten, and comes again, counts once more


class BootstrapServer(GenServer):
    """Has others do what it is asked, and hears of peers by `PeerUp`."""

    @override
    def init(self, max_remembered: int = MAX_REMEMBERED) -> Continue:
        self._max_remembered = max_remembered
        self._system = System.current()
        self._started_at = self._system.now()
        self._started_at_ms = wall_clock_ms()
        self._queries = 0
        self._peers = 0
        self._remembered: dict[NodeId, None] = {}  # who came last at the end
        self._handled = _Handled()
        self._records = 0
        self._waiting: dict[RequestId, From] = {}
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        self._asking_peers = send_request(PEER_CONNECTOR, GetPeers())

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Refuse:
        match request:
            case HandleDhtQuery():
                return self._query(request, from_)
            case GetStats():
                self._waiting[send_request(ROUTING_SERVER, GetRoutingStats())] = from_
                return NoReply()
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case PeerUp():
                self._met(request)
            case PeerDown():
                pass
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(reqid) if reqid is self._asking_peers:
                self._learn_peers(reqid)
            case Response(reqid):
                self._learn_stats(reqid)
                self._waiting.pop(reqid).reply(self._stats())
            case _:
                raise UnexpectedRequestError(info)

    def _query(self, query: HandleDhtQuery, from_: From) -> NoReply | Refuse:
        self._queries += 1
        match query:
            case HandleDhtQuery("find_node", NodeId() as target):
                return pass_on(ROUTING_SERVER, FindClosest(target, CLOSEST), from_)
            case HandleDhtQuery("find_value", NodeId() as key):
                return pass_on(BOOTSTRAP_REGISTRY, Get(key), from_)
            case HandleDhtQuery("store", (NodeId() as key, payload)):
                return pass_on(BOOTSTRAP_REGISTRY, Put(key, payload, DEFAULT_TTL), from_)
            case _:
                self._queries -= 1
                return Refuse(LocalProtocolError("unknown_request", "no such query, or not with such data"))

    # Counts

    def _learn_peers(self, reqid: RequestId) -> None:
        for up in peers_in(reqid):
            self._met(up)

    def _met(self, up: PeerUp) -> None:
        node_id = up.peer.node_id
        if node_id is None:
            return
        self._peers += node_id not in self._remembered
        self._remembered.pop(node_id, None)
        self._remembered[node_id] = None
        if len(self._remembered) > self._max_remembered:
            del self._remembered[next(iter(self._remembered))]

    def _learn_stats(self, reqid: RequestId) -> None:
        """Take what RoutingServer counts; while it is being restarted, what it counted last holds."""
        try:
            stats: RoutingStats = reqid.result()
        except CallError:
            return
        self._handled.learn(stats.handled)
        self._records = stats.records.records

    def _stats(self) -> BootstrapStats:
        return BootstrapStats(
            queries_handled=self._queries + self._handled.total,
            services_registered=self._records,
            peers_discovered=self._peers,
            uptime_start=self._started_at_ms,
            uptime_seconds=self._system.now() - self._started_at,
        )


class _Handled:
    """What RoutingServer has handled, in all its lives: it counts from 0 in each."""

    def __init__(self) -> None:
        self._before = 0
        self._now = 0

    @property
    def total(self) -> int:
        return self._before + self._now

    def learn(self, handled: int) -> None:
        if handled < self._now:
            self._before += self._now
        self._now = handled
