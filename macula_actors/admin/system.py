"""The supervisor of the admin socket, a root of its own beside the node's: it must serve when the others fall."""

from pathlib import Path
from typing import Final

from typing_extensions import override

from macula_actors.admin.commands import Commands, NodeApi
from macula_actors.admin.server import MAX_CLIENTS, MAX_IN_FLIGHT, AdminServer
from supervisors import ChildSpec, Strategy, Supervisor, SupFlags, System
from supervisors.task_supervisor import TaskSupervisor

__all__ = ["ADMIN_REQUESTS", "ADMIN_SERVER", "ADMIN_SYSTEM", "AdminSystem", "start_admin"]

ADMIN_SYSTEM: Final = "macula_admin"
ADMIN_REQUESTS: Final = "admin_requests"
ADMIN_SERVER: Final = "admin_server"

FLAGS: Final = SupFlags(strategy=Strategy.ONE_FOR_ALL, intensity=10, period=60.0)


class AdminSystem(Supervisor):
    """Supervises the tasks that carry out commands, and the server. Nobody would read the answers of the old tasks."""

    @override
    def init(self, node: NodeApi, path: Path) -> tuple[SupFlags, list[ChildSpec]]:
        commands = Commands(node, started_at=System.current().now())
        return FLAGS, [
            TaskSupervisor.child_spec(max_children=MAX_CLIENTS * MAX_IN_FLIGHT, id=ADMIN_REQUESTS, name=ADMIN_REQUESTS),
            AdminServer.child_spec(path, commands.run, ADMIN_REQUESTS, id=ADMIN_SERVER, name=ADMIN_SERVER),
        ]


async def start_admin(node: NodeApi, path: Path) -> None:
    """Serve ``node`` at ``path``, until its System stops.

    Raises:
        StartError: the socket can't be made; the `ConfigError` that says why is its ``__cause__``'s.
    """
    await node.system.start(AdminSystem, node, path, name=ADMIN_SYSTEM)
