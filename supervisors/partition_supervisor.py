"""One child several times, so that no single process bears all the load; a key says which one has the work.

Elixir: PartitionSupervisor.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from supervisors.child_specs import ChildSpec, check_childspecs
from supervisors.errors import AlreadyRegisteredError, ChildSpecError, NotFoundError
from supervisors.names import Server, require, resolve
from supervisors.ref import Ref
from supervisors.restart import Strategy, SupFlags
from supervisors.static_children import StaticChildren
from supervisors.supervisor import Supervisor

__all__ = ["Partition", "PartitionSupervisor", "partition_of"]


class PartitionSupervisor(Supervisor):
    """Supervises ``partitions`` processes made from one child spec; their ids are 0, 1, and so on.

    Address them with ``PartitionSupervisor.via(supervisor, key)`` wherever a server is wanted.

    Args:
        child: the spec; its id, and a name, which only one process could have, mean nothing here.
        partitions: how many; >= 1.
        with_arguments: returns, for a partition's number, the arguments that its ``start`` gets after its own.
        flags: of the supervisor; 3 restarts in 5 s by default.

    Raises:
        ChildSpecError: one of these has a value that it cannot have.
    """

    __slots__ = ("_actor_partitions",)

    def __init__(
        self,
        child: ChildSpec,
        *,
        partitions: int,
        with_arguments: Callable[[int], Sequence[object]] | None = None,
        flags: SupFlags = SupFlags(intensity=3),  # noqa: B008 -- frozen
    ) -> None:
        check_childspecs([child])
        if not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1:
            raise ChildSpecError("partitions", partitions, "must be an integer >= 1")
        if flags.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
            raise ChildSpecError("strategy", flags.strategy, "has no children with ids")
        specs = [replace(child, id=number) for number in range(partitions)]
        if with_arguments is not None:
            specs = [spec.with_args(with_arguments(number)) for number, spec in enumerate(specs)]
        super().__init__(flags, specs)
        self._actor_partitions = partitions

    @staticmethod
    def partitions(supervisor: Server) -> int:
        """Return how many partitions there are.

        Raises:
            NotFoundError: there is no such supervisor.
        """
        server = _server(require(supervisor))
        if server is None:
            raise NotFoundError(supervisor)
        return server._actor_partitions

    @staticmethod
    def via(supervisor: Server, key: object) -> "Partition":
        """Return the name of the partition that ``key`` belongs to; see `partition_of`."""
        return Partition(supervisor, key)


@dataclass(frozen=True, slots=True)
class Partition:
    """Whatever process is now the partition of ``supervisor`` that ``key`` belongs to. A `Via`."""

    supervisor: Server
    key: object

    def register(self, ref: Ref) -> None:
        """Raise: the supervisor alone says who is a partition.

        Raises:
            AlreadyRegisteredError: always.
        """
        raise AlreadyRegisteredError(self, self.whereis())

    def whereis(self) -> Ref | None:
        """Return the process; None while it does not run."""
        server = _server(resolve(self.supervisor))
        if server is None or not isinstance(server._actor_children, StaticChildren):
            return None
        return server._actor_children.running(partition_of(self.key, server._actor_partitions))


def _server(ref: Ref | None) -> PartitionSupervisor | None:
    process = None if ref is None else ref._process
    server = None if process is None else process.server
    return server if isinstance(server, PartitionSupervisor) else None


def partition_of(key: object, partitions: int) -> int:
    """Return the number of the partition that ``key`` belongs to, the same in every run: 0 to ``partitions - 1``.

    An integer counts by its absolute value, a ref by its ``pid``, anything else by its ``repr``.
    """
    match key:
        case int():
            return abs(key) % partitions
        case Ref():
            return key.pid % partitions
        case _:
            return zlib.crc32(repr(key).encode()) % partitions
