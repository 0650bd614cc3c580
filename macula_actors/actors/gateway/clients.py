"""Which clients there are, and that there are not too many. Erlang: macula_gateway_clients.

There nobody registered a client (D-17), and monitors were left behind (D-18).
"""

from typing_extensions import override

from macula_actors.actors.gateway.by_key import ByKey
from macula_actors.config import GatewayConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.errors import OverloadedError
from macula_actors.messages.gateway import (
    ClientConnected,
    ClientDisconnected,
    ClientStats,
    GetAllClients,
    GetClientByEndpoint,
    GetClientByNode,
    GetClientInfo,
    GetStats,
    Ready,
)
from macula_actors.messages.names import GATEWAY, GATEWAY_CLIENTS
from supervisors import (
    Down,
    From,
    GenServer,
    MonitorRef,
    Ref,
    Refuse,
    Reply,
    UnexpectedRequestError,
    cast,
    demonitor,
    monitor,
)

__all__ = ["GatewayClients"]


class GatewayClients(GenServer):
    """Keeps what is known of each client until its connection ends: one entry, one monitor, and two ways to find it."""

    @override
    def init(self, config: GatewayConfig) -> None:
        self._max_clients = config.max_clients
        self._clients: dict[Ref, PeerInfo] = {}
        self._monitors: dict[Ref, MonitorRef] = {}
        self._by_node: ByKey[NodeId] = ByKey()
        self._by_endpoint: ByKey[Endpoint] = ByKey()
        self._registered = 0
        self._refused = 0
        cast(GATEWAY, Ready(GATEWAY_CLIENTS, self.actor_ref))

    @override
    def handle_call(self, request: object, from_: From) -> Reply | Refuse:
        match request:
            case ClientConnected(connection, peer):
                return self._connected(connection, peer)
            case ClientDisconnected(connection):
                self._forget(connection)
                return Reply(None)
            case GetClientInfo(connection):
                return Reply(self._clients.get(connection))
            case GetClientByNode(node_id):
                return Reply(self._by_node.newest(node_id))
            case GetClientByEndpoint(endpoint):
                return Reply(self._by_endpoint.newest(endpoint))
            case GetAllClients():
                return Reply(tuple(self._clients.items()))
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case ClientDisconnected(connection):
                self._forget(connection)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Down(ref=Ref() as connection):
                self._forget(connection)
            case _:
                raise UnexpectedRequestError(info)

    def _connected(self, connection: Ref, peer: PeerInfo) -> Reply | Refuse:
        known = self._clients.get(connection)
        if known is not None:
            self._unindex(connection, known)
        elif len(self._clients) >= self._max_clients:
            self._refused += 1
            return Refuse(OverloadedError("clients", self._max_clients))
        else:
            self._monitors[connection] = monitor(connection)
            self._registered += 1
        self._clients[connection] = peer
        self._index(connection, peer)
        return Reply(None)

    def _forget(self, connection: Ref) -> None:
        peer = self._clients.pop(connection, None)
        if peer is not None:
            self._unindex(connection, peer)
            demonitor(self._monitors.pop(connection))

    def _index(self, connection: Ref, peer: PeerInfo) -> None:
        if peer.node_id is not None:
            self._by_node.add(peer.node_id, connection)
        if peer.endpoint is not None:
            self._by_endpoint.add(peer.endpoint, connection)

    def _unindex(self, connection: Ref, peer: PeerInfo) -> None:
        if peer.node_id is not None:
            self._by_node.remove(peer.node_id, connection)
        if peer.endpoint is not None:
            self._by_endpoint.remove(peer.endpoint, connection)

    def statistics(self) -> ClientStats:
        """Return its counts."""
        return ClientStats(
            clients=len(self._clients),
            max_clients=self._max_clients,
            registered=self._registered,
            refused=self._refused,
        )
