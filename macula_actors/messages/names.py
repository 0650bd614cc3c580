"""The names that processes are registered by in their System, and the ids of children in their trees."""

from typing import Final

__all__ = [
    "ENDPOINT",
    "GATEWAY_DHT",
    "MESH_SYSTEM",
    "PEERS_SUP",
    "PEER_CONNECTOR",
    "ROUTING_JOBS",
    "ROUTING_KEEPER",
    "ROUTING_SERVER",
    "ROUTING_SYSTEM",
    "TABLES",
]

TABLES: Final = "macula_tables"
ROUTING_SYSTEM: Final = "macula_routing_system"
ROUTING_JOBS: Final = "routing_jobs"
ROUTING_KEEPER: Final = "routing_keeper"
ROUTING_SERVER: Final = "macula_routing_server"
MESH_SYSTEM: Final = "macula_mesh_system"
ENDPOINT: Final = "endpoint"
PEERS_SUP: Final = "peers_sup"
PEER_CONNECTOR: Final = "peer_connector"
GATEWAY_DHT: Final = "gateway_dht"
