"""What carries a node's messages: its socket, its connections, and who finds the right one.

Ours; it is what lets an edge send and receive without a gateway. A crash of one restarts those that build on it.
"""

from typing_extensions import override

from macula_actors.actors.peer.connector import PeerConnector
from macula_actors.actors.peer.endpoint import EndpointServer
from macula_actors.actors.routing.gateway_dht import GatewayDHT
from macula_actors.config import MeshConfig
from macula_actors.messages.names import ENDPOINT, GATEWAY_DHT, PEER_CONNECTOR, PEERS_SUP
from supervisors import ChildSpec, DynamicSupervisor, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "MeshSystem", "children"]

FLAGS = SupFlags(strategy=Strategy.REST_FOR_ONE, intensity=10, period=60.0)


def children(config: MeshConfig) -> list[ChildSpec]:
    """In start order: a connection lives on the socket, the connector knows the connections, the DHT asks it."""
    return [
        EndpointServer.child_spec(config, id=ENDPOINT, name=ENDPOINT),
        DynamicSupervisor.child_spec(
            max_children=config.admission.max_connections + config.pool.max_dials, id=PEERS_SUP, name=PEERS_SUP
        ),
        PeerConnector.child_spec(config, id=PEER_CONNECTOR, name=PEER_CONNECTOR),
        GatewayDHT.child_spec(id=GATEWAY_DHT, name=GATEWAY_DHT),
    ]


class MeshSystem(Supervisor):
    """Supervises `children`."""

    @override
    def init(self, config: MeshConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(config)
