"""The whole of a node, by its mode. Erlang: macula_root.

A table of the trees is in ARCHITECTURE.md. An edge has the first three; the original's had the first alone, which is
why it could neither send nor receive.
"""

from typing_extensions import override

from macula_actors.actors.routing.server import RoutingServer
from macula_actors.config import SystemConfig
from macula_actors.messages.names import BOOTSTRAP_SYSTEM, GATEWAY_SYSTEM, MESH_SYSTEM, ROUTING_SERVER, TABLES
from macula_actors.systems.mesh_system import MeshSystem
from supervisors import ChildSpec, Strategy, Supervisor, SupFlags, TableOwner

__all__ = ["FLAGS", "Root", "children"]

FLAGS = SupFlags(strategy=Strategy.ONE_FOR_ONE, intensity=10, period=5.0)


def children(config: SystemConfig) -> list[ChildSpec]:
    """In start order: the tables outlive those who work on them; the gateway lets in whom the mesh system can serve."""
    specs = [
        TableOwner.child_spec(id=TABLES, name=TABLES),
        RoutingServer.child_spec(config.dht, id=ROUTING_SERVER, name=ROUTING_SERVER),
        MeshSystem.child_spec(config, id=MESH_SYSTEM, name=MESH_SYSTEM),
    ]
    if config.bootstrap is not None:
        from macula_actors.systems.bootstrap_system import BootstrapSystem  # noqa: PLC0415 -- an edge does not need it

        specs.append(BootstrapSystem.child_spec(config.bootstrap, id=BOOTSTRAP_SYSTEM, name=BOOTSTRAP_SYSTEM))
    if config.gateway is not None:
        from macula_actors.systems.gateway_system import GatewaySystem  # noqa: PLC0415 -- HTTP takes 10 MB

        specs.append(GatewaySystem.child_spec(config.gateway, id=GATEWAY_SYSTEM, name=GATEWAY_SYSTEM))
    return specs


class Root(Supervisor):
    """Supervises `children`."""

    @override
    def init(self, config: SystemConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(config)
