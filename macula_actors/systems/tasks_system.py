"""Processes that do one thing: lookups and stores, handlers of calls and events; and who keeps what outlives the node.

Ours; in the original a server waits for the network itself, or spawns what nobody supervises. They are beside the
root's tree and start before it, so that a lookup outlives the crash of the server that began it.
"""

from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from macula_actors.config import DhtConfig
from macula_actors.messages.names import PUBSUB_SUBSCRIBERS, ROUTING_JOBS, ROUTING_KEEPER, RPC_WORKERS
from supervisors import ChildSpec, DynamicSupervisor, Strategy, Supervisor, SupFlags

__all__ = ["FLAGS", "TasksSystem", "children"]

FLAGS = SupFlags(strategy=Strategy.ONE_FOR_ONE, intensity=10, period=60.0)


def children(dht: DhtConfig, max_workers: int, max_subscriptions: int) -> list[ChildSpec]:
    """In start order. Without a ``data_dir`` nothing is kept on disk."""
    return [
        *([] if dht.data_dir is None else [_keeper(dht.data_dir, dht.wall_clock_ms)]),
        DynamicSupervisor.child_spec(max_children=dht.max_jobs, id=ROUTING_JOBS, name=ROUTING_JOBS),
        DynamicSupervisor.child_spec(max_children=max_workers, id=RPC_WORKERS, name=RPC_WORKERS),
        DynamicSupervisor.child_spec(max_children=max_subscriptions, id=PUBSUB_SUBSCRIBERS, name=PUBSUB_SUBSCRIBERS),
    ]


def _keeper(data_dir: Path, wall_clock_ms: Callable[[], int]) -> ChildSpec:
    from macula_actors.actors.routing.keeper import Keeper  # noqa: PLC0415 -- SQLite takes 1 MB

    return Keeper.child_spec(data_dir, wall_clock_ms, id=ROUTING_KEEPER, name=ROUTING_KEEPER)


class TasksSystem(Supervisor):
    """Supervises `children`."""

    @override
    def init(
        self, dht: DhtConfig, max_workers: int = 256, max_subscriptions: int = 10_000
    ) -> tuple[SupFlags, list[ChildSpec]]:
        return FLAGS, children(dht, max_workers, max_subscriptions)
