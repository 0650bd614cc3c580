"""The names that processes are registered by in their System, and the ids of children in their trees."""

from typing import Final

__all__ = ["ENDPOINT", "MESH_SYSTEM", "PEERS_SUP", "PEER_CONNECTOR", "TABLES"]

TABLES: Final = "macula_tables"
MESH_SYSTEM: Final = "macula_mesh_system"
ENDPOINT: Final = "endpoint"
PEERS_SUP: Final = "peers_sup"
PEER_CONNECTOR: Final = "peer_connector"
