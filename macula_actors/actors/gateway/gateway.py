"""The gateway: brings together who connects and the parts that work for them. Erlang: macula_gateway.

There every message of every client passed through it (D-16, D-57), and it used its parts by process ids that a crash
made stale (D-06). Here no message of a client comes this way: connections give them to the servers that handle them.
"""

from typing import Final

from loguru import logger
from typing_extensions import override

from macula_actors.actors.gateway.follower import Follower
from macula_actors.actors.gateway.gathering import Answers, Gatherings
from macula_actors.config import GatewayConfig
from macula_actors.core.kademlia.exchange import UNAVAILABLE
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.errors import OverloadedError, RefusedError
from macula_actors.messages import routing_server, service_registry
from macula_actors.messages.gateway import (
    ClientConnected,
    ClientDisconnected,
    ClientStats,
    GatewayPubsubStats,
    GatewayRpcStats,
    GatewayStats,
    GetStats,
    IsReady,
    MeshStats,
    Ready,
    RegisterHandler,
    Session,
    SessionDown,
    SessionUp,
    UnregisterHandler,
)
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY_CLIENTS,
    GATEWAY_DIAGNOSTICS,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    GATEWAY_QUIC_SERVER,
    GATEWAY_RPC,
    PEER_CONNECTOR,
    ROOT,
    ROUTING_SERVER,
    SERVICE_REGISTRY,
    TASKS,
)
from macula_actors.messages.peer import CloseWhenDone, GetAddress, GetPeers, PeerDown, PeerUp
from supervisors import (
    CallError,
    Down,
    From,
    GenServer,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    UnexpectedRequestError,
    cast,
    demonitor,
    forward,
    monitor,
    send_request,
    whereis,
)
from supervisors.tree import not_running

__all__ = ["Gateway"]

ROOTS: Final = (TASKS, ROOT)  # of the node: what is below them must run, for this to serve
WORKERS: Final = (GATEWAY_CLIENTS, GATEWAY_PUBSUB, GATEWAY_RPC, GATEWAY_MESH)


class Gateway(GenServer):
    """Hands each peer to the workers, and again to a worker that has started anew. It passes on, and never waits.

    What it knows it is told again after a crash: by PeerConnector who is connected, by the workers that they are there.
    """

    @override
    def init(self, config: GatewayConfig) -> None:
        self.config = config
        self._peers: dict[Ref, PeerUp] = {}
        self._monitors: dict[Ref, MonitorRef] = {}
        self._registering: dict[RequestId, Ref] = {}
        # who said that they have started, or were there already, and so are given all peers
        self._workers = {name: worker for name in WORKERS if (worker := whereis(name)) is not None}
        self._gatherings = Gatherings()
        self._connector = Follower(PEER_CONNECTOR, lambda: [GetPeers()], self._all_up)

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case IsReady():
                return self._ask_ready(from_)
            case GetStats():
                return self._ask_stats(from_)
            case RegisterHandler(procedure, handler):
                return _to_registry(from_, service_registry.AdvertiseLocal(procedure, handler))
            case UnregisterHandler(procedure):
                return _to_registry(from_, service_registry.Withdraw(procedure))
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case PeerUp():
                self._up(request)
            case PeerDown(_, connection):
                self._down(connection)
            case Ready(name, process):
                self._workers[name] = process
                self._all_again()
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        if self._connector.takes(info) or self._gatherings.takes(info):
            return
        match info:
            case Response(request) if request in self._registering:
                self._registered(request, self._registering.pop(request))
            case Down(ref=Ref() as connection):
                self._down(connection)
            case Response():
                pass  # to a question that nobody waits for
            case _:
                raise UnexpectedRequestError(info)

    # Peers

    def _all_up(self, peers: tuple[PeerUp, ...]) -> None:
        for peer in peers:
            self._up(peer)

    def _up(self, up: PeerUp) -> None:
        if up.peer.node_id is None:
            return  # one of v0.8 that this node has dialled: nothing can be addressed to it
        if up.connection not in self._peers:
            self._monitors[up.connection] = monitor(up.connection)
        self._peers[up.connection] = up
        self._register(up)

    def _down(self, connection: Ref) -> None:
        if self._peers.pop(connection, None) is None:
            return
        demonitor(self._monitors.pop(connection))
        cast(GATEWAY_CLIENTS, ClientDisconnected(connection))
        cast(GATEWAY_MESH, SessionDown(connection))

    def _all_again(self) -> None:
        for up in self._peers.values():
            self._register(up)

    def _register(self, up: PeerUp) -> None:
        self._registering[send_request(GATEWAY_CLIENTS, ClientConnected(up.connection, up.peer))] = up.connection

    def _registered(self, request: RequestId, connection: Ref) -> None:
        """Have a client that was taken in reached by others, or send it away."""
        up = self._peers.get(connection)
        if up is None or up.peer.node_id is None:
            return
        try:
            request.result()
        except OverloadedError:
            if not up.is_dialled:
                self._send_away(up)
                return
        except CallError:
            return  # the clients are being restarted, and say so when they are there
        cast(GATEWAY_MESH, SessionUp(Session(up.peer.node_id, connection)))

    def _send_away(self, up: PeerUp) -> None:
        """Close the connection of a client that there is no room for. Peers that this node has dialled stay."""
        logger.bind(peer=str(up.peer.node_id)).warning("no room for more than {} clients", self.config.max_clients)
        up.connection.cast(CloseWhenDone(CloseCode.OVERLOADED))
        self._down(up.connection)

    # Questions

    def _ask_ready(self, from_: From) -> Reply | NoReply | Refuse:
        is_wired = all(name in self._workers and whereis(name) is self._workers[name] for name in WORKERS)
        is_whole = not any(not_running(root) for root in map(whereis, ROOTS) if root is not None)
        if not (is_wired and is_whole and self._connector.is_done and whereis(ENDPOINT) is not None):
            return Reply(False)  # noqa: FBT003 -- it is the answer
        questions = {
            GATEWAY_QUIC_SERVER: IsReady(),
            GATEWAY_DIAGNOSTICS: IsReady(),
            ROUTING_SERVER: routing_server.GetStats(),
        }
        return self._gatherings.begin(from_, questions, _is_ready)

    def _ask_stats(self, from_: From) -> NoReply | Refuse:
        questions = {
            ENDPOINT: GetAddress(),
            SERVICE_REGISTRY: service_registry.GetStats(),
            **dict.fromkeys(WORKERS, GetStats()),
        }
        return self._gatherings.begin(from_, questions, self._stats)

    def _stats(self, answers: Answers) -> GatewayStats:
        services: service_registry.ServiceStats | None = answers.get(SERVICE_REGISTRY)
        pubsub: GatewayPubsubStats = answers.get(GATEWAY_PUBSUB, GatewayPubsubStats())
        return GatewayStats(
            realm=self.config.realm,
            endpoint=answers.get(ENDPOINT),
            peers=len(self._peers),
            registrations=0 if services is None else services.local,
            subscriptions=pubsub.subscriptions,
            clients=answers.get(GATEWAY_CLIENTS, ClientStats()),
            pubsub=pubsub,
            rpc=answers.get(GATEWAY_RPC, GatewayRpcStats()),
            mesh=answers.get(GATEWAY_MESH, MeshStats()),
        )


def _is_ready(answers: Answers) -> bool:
    routing: routing_server.RoutingStats | None = answers.get(ROUTING_SERVER)
    is_served = all(answers.get(name) is True for name in (GATEWAY_QUIC_SERVER, GATEWAY_DIAGNOSTICS))
    return is_served and routing is not None and routing.is_joined


def _to_registry(from_: From, request: service_registry.AdvertiseLocal | service_registry.Withdraw) -> NoReply | Refuse:
    server = whereis(SERVICE_REGISTRY)
    if server is None:
        return Refuse(RefusedError(UNAVAILABLE, "the registry of services is being restarted"))
    forward(from_, server, request)
    return NoReply()
