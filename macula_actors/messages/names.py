"""The names that processes are registered by in their System, and the ids of children in their trees.

Erlang: the registered names of the modules. A process finds another by name at each use (D-06).
"""

from typing import Final

__all__ = [
    "ADVERTISEMENT_MANAGER",
    "BOOTSTRAP_HEALTH",
    "BOOTSTRAP_REGISTRY",
    "BOOTSTRAP_SERVER",
    "BOOTSTRAP_SYSTEM",
    "ENDPOINT",
    "GATEWAY",
    "GATEWAY_CLIENTS",
    "GATEWAY_DHT",
    "GATEWAY_DIAGNOSTICS",
    "GATEWAY_HEALTH",
    "GATEWAY_MESH",
    "GATEWAY_PUBSUB",
    "GATEWAY_QUIC_SERVER",
    "GATEWAY_RPC",
    "GATEWAY_SYSTEM",
    "GATEWAY_WORKERS_SUP",
    "MEMBERSHIP",
    "MESH_SYSTEM",
    "PEERS_SUP",
    "PEER_CONNECTOR",
    "PUBSUB_HANDLER",
    "PUBSUB_SUBSCRIBERS",
    "ROOT",
    "ROUTING_JOBS",
    "ROUTING_KEEPER",
    "ROUTING_SERVER",
    "RPC_HANDLER",
    "RPC_WORKERS",
    "SERVICE_REGISTRY",
    "TABLES",
    "TASKS",
]

ROOT: Final = "macula_root"
TABLES: Final = "macula_tables"
ROUTING_SERVER: Final = "macula_routing_server"

MESH_SYSTEM: Final = "macula_mesh_system"
ENDPOINT: Final = "endpoint"
PEERS_SUP: Final = "peers_sup"
PEER_CONNECTOR: Final = "peer_connector"
GATEWAY_DHT: Final = "gateway_dht"
SERVICE_REGISTRY: Final = "service_registry"
RPC_HANDLER: Final = "rpc_handler"
PUBSUB_HANDLER: Final = "pubsub_handler"
ADVERTISEMENT_MANAGER: Final = "advertisement_manager"
MEMBERSHIP: Final = "membership"

BOOTSTRAP_SYSTEM: Final = "macula_bootstrap_system"
BOOTSTRAP_SERVER: Final = "bootstrap_server"
BOOTSTRAP_REGISTRY: Final = "bootstrap_registry"
BOOTSTRAP_HEALTH: Final = "bootstrap_health"

GATEWAY_SYSTEM: Final = "macula_gateway_system"
GATEWAY_HEALTH: Final = "gateway_health"
GATEWAY_DIAGNOSTICS: Final = "gateway_diagnostics"
GATEWAY_QUIC_SERVER: Final = "gateway_quic_server"
GATEWAY: Final = "gateway"
GATEWAY_WORKERS_SUP: Final = "gateway_workers_sup"
GATEWAY_CLIENTS: Final = "gateway_clients"
GATEWAY_PUBSUB: Final = "gateway_pubsub"
GATEWAY_RPC: Final = "gateway_rpc"
GATEWAY_MESH: Final = "gateway_mesh"

# Beside the root: processes that do one thing and end, and the file they keep.
TASKS: Final = "macula_tasks"
ROUTING_KEEPER: Final = "routing_keeper"
ROUTING_JOBS: Final = "routing_jobs"
RPC_WORKERS: Final = "rpc_workers"
PUBSUB_SUBSCRIBERS: Final = "pubsub_subscribers"
