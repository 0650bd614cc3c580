"""What carries a node's messages: its socket, its connections, and who finds the right one; and services upon them.

Ours; it is what lets an edge send and receive without a gateway. A crash of one restarts those that build on it.
"""

from typing_extensions import override

from macula_actors.actors.membership.server import Membership
from macula_actors.actors.peer.connector import PeerConnector
from macula_actors.actors.peer.endpoint import EndpointServer
from macula_actors.actors.pubsub.handler import PubsubHandler
from macula_actors.actors.routing.gateway_dht import GatewayDHT
from macula_actors.actors.rpc.handler import RpcHandler
from macula_actors.actors.services.advertisements import AdvertisementManager
from macula_actors.actors.services.registry import ServiceRegistry
from macula_actors.config import MeshConfig, SystemConfig
from macula_actors.messages.names import (
    ADVERTISEMENT_MANAGER,
    ENDPOINT,
    GATEWAY_DHT,
    MEMBERSHIP,
    PEER_CONNECTOR,
    PEERS_SUP,
    PUBSUB_HANDLER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from supervisors import ChildSpec, DynamicSupervisor, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "MeshSystem", "carriers", "children"]

FLAGS = SupFlags(strategy=Strategy.REST_FOR_ONE, intensity=10, period=60.0)


def carriers(config: MeshConfig) -> list[ChildSpec]:
    """In start order: a connection lives on the socket, the connector knows the connections, the DHT asks it."""
    return [
        EndpointServer.child_spec(config, id=ENDPOINT, name=ENDPOINT),
        DynamicSupervisor.child_spec(
            max_children=config.admission.max_connections + config.pool.max_dials, id=PEERS_SUP, name=PEERS_SUP
        ),
        PeerConnector.child_spec(config, id=PEER_CONNECTOR, name=PEER_CONNECTOR),
        GatewayDHT.child_spec(id=GATEWAY_DHT, name=GATEWAY_DHT),
    ]


def children(config: SystemConfig) -> list[ChildSpec]:
    """In start order: after the `carriers` who knows services, handles calls, has events, advertises, knows members."""
    return [
        *carriers(config.mesh),
        ServiceRegistry.child_spec(config.services, id=SERVICE_REGISTRY, name=SERVICE_REGISTRY),
        RpcHandler.child_spec(config.rpc, id=RPC_HANDLER, name=RPC_HANDLER),
        PubsubHandler.child_spec(config.pubsub, id=PUBSUB_HANDLER, name=PUBSUB_HANDLER),
        AdvertisementManager.child_spec(config.services, id=ADVERTISEMENT_MANAGER, name=ADVERTISEMENT_MANAGER),
        Membership.child_spec(config.membership, id=MEMBERSHIP, name=MEMBERSHIP),
    ]


class MeshSystem(Supervisor):
    """Supervises `children`, or of a `MeshConfig` its `carriers` alone."""

    @override
    def init(self, config: SystemConfig | MeshConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, carriers(config) if isinstance(config, MeshConfig) else children(config)
