"""The DHT of a node: what is on disk, the processes of lookups, and the server of table and records.

Ours; the original has one process for all of it, which waits for the network. The lookups are before the server, so
that they outlive its crash and answer who waits for them.
"""

from typing_extensions import override

from macula_actors.actors.routing.keeper import Keeper
from macula_actors.actors.routing.server import RoutingServer
from macula_actors.config import DhtConfig
from macula_actors.messages.names import ROUTING_JOBS, ROUTING_KEEPER, ROUTING_SERVER
from supervisors import ChildSpec, DynamicSupervisor, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "RoutingSystem", "children"]

FLAGS = SupFlags(strategy=Strategy.REST_FOR_ONE, intensity=10, period=60.0)


def children(config: DhtConfig) -> list[ChildSpec]:
    """In start order. Without a ``data_dir`` nothing is kept on disk. They need a `TableOwner` named TABLES."""
    keeper = (
        []
        if config.data_dir is None
        else [Keeper.child_spec(config.data_dir, config.wall_clock_ms, id=ROUTING_KEEPER, name=ROUTING_KEEPER)]
    )
    return [
        *keeper,
        DynamicSupervisor.child_spec(max_children=config.max_jobs, id=ROUTING_JOBS, name=ROUTING_JOBS),
        RoutingServer.child_spec(config, id=ROUTING_SERVER, name=ROUTING_SERVER),
    ]


class RoutingSystem(Supervisor):
    """Supervises `children`."""

    @override
    def init(self, config: DhtConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(config)
