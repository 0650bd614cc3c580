"""What a bootstrap node has besides other nodes: queries and counts, a registry, health checks.

Erlang: macula_bootstrap_system.
"""

from typing_extensions import override

from macula_actors.actors.bootstrap.health import BootstrapHealth
from macula_actors.actors.bootstrap.registry import BootstrapRegistry
from macula_actors.actors.bootstrap.server import BootstrapServer
from macula_actors.config import BootstrapConfig
from macula_actors.messages import bootstrap
from macula_actors.messages.bootstrap import BootstrapStats
from macula_actors.messages.names import BOOTSTRAP_HEALTH, BOOTSTRAP_REGISTRY, BOOTSTRAP_SERVER
from supervisors import ChildSpec, Server, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "BootstrapSystem", "children", "get_stats"]

FLAGS = SupFlags(strategy=Strategy.ONE_FOR_ONE, intensity=10, period=60.0)


def children(config: BootstrapConfig) -> list[ChildSpec]:
    """In start order, the original's: who is checked comes before who checks. None needs another to start."""
    return [
        BootstrapServer.child_spec(id=BOOTSTRAP_SERVER, name=BOOTSTRAP_SERVER),
        BootstrapRegistry.child_spec(config, id=BOOTSTRAP_REGISTRY, name=BOOTSTRAP_REGISTRY),
        BootstrapHealth.child_spec(config, id=BOOTSTRAP_HEALTH, name=BOOTSTRAP_HEALTH),
    ]


async def get_stats(server: Server = BOOTSTRAP_SERVER) -> BootstrapStats:
    """Return the counts of the bootstrap server of this System, or of another one.

    Raises:
        CallTimeoutError: there is none, or it took too long.
    """
    return await bootstrap.get_stats(server)


class BootstrapSystem(Supervisor):
    """Supervises `children`."""

    @override
    def init(self, config: BootstrapConfig) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(config)
