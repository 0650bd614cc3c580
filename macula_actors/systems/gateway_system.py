"""What a gateway has besides other nodes: clients, their subscriptions and calls, the relay, diagnostics and health.

Erlang: macula_gateway_system, macula_gateway_workers_sup. There a crash left process ids behind that were used again
(D-06); here the others find who was restarted by name, and the workers say when they have started.
"""

from typing_extensions import override

from macula_actors.actors.gateway.clients import GatewayClients
from macula_actors.actors.gateway.diagnostics import GatewayDiagnostics
from macula_actors.actors.gateway.gateway import Gateway
from macula_actors.actors.gateway.health import GatewayHealth
from macula_actors.actors.gateway.mesh import GatewayMesh
from macula_actors.actors.gateway.pubsub import GatewayPubsub
from macula_actors.actors.gateway.quic_server import GatewayQuicServer
from macula_actors.actors.gateway.rpc import GatewayRpc
from macula_actors.config import GatewayConfig
from macula_actors.messages.names import (
    GATEWAY,
    GATEWAY_CLIENTS,
    GATEWAY_DIAGNOSTICS,
    GATEWAY_HEALTH,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    GATEWAY_QUIC_SERVER,
    GATEWAY_RPC,
    GATEWAY_WORKERS_SUP,
)
from supervisors import ChildSpec, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "GatewaySystem", "GatewayWorkers", "children", "worker_children"]

FLAGS = SupFlags(strategy=Strategy.REST_FOR_ONE, intensity=10, period=60.0)


def children(config: GatewayConfig) -> list[ChildSpec]:
    """In start order, the original's: a crash restarts what comes after."""
    return [
        GatewayHealth.child_spec(config, id=GATEWAY_HEALTH, name=GATEWAY_HEALTH),
        GatewayDiagnostics.child_spec(config, id=GATEWAY_DIAGNOSTICS, name=GATEWAY_DIAGNOSTICS),
        GatewayQuicServer.child_spec(id=GATEWAY_QUIC_SERVER, name=GATEWAY_QUIC_SERVER),
        Gateway.child_spec(config, id=GATEWAY, name=GATEWAY),
        GatewayWorkers.child_spec(config, id=GATEWAY_WORKERS_SUP, name=GATEWAY_WORKERS_SUP),
    ]


def worker_children(config: GatewayConfig) -> list[ChildSpec]:
    """In start order: who is a client comes first."""
    return [
        GatewayClients.child_spec(config, id=GATEWAY_CLIENTS, name=GATEWAY_CLIENTS),
        GatewayPubsub.child_spec(config, id=GATEWAY_PUBSUB, name=GATEWAY_PUBSUB),
        GatewayRpc.child_spec(config, id=GATEWAY_RPC, name=GATEWAY_RPC),
        GatewayMesh.child_spec(config, id=GATEWAY_MESH, name=GATEWAY_MESH),
    ]


class GatewaySystem(Supervisor):
    """Supervises `children`."""

    @override
    def init(self, config: GatewayConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(config)


class GatewayWorkers(Supervisor):
    """Supervises `worker_children`."""

    @override
    def init(self, config: GatewayConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, worker_children(config)
