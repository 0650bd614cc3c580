"""The jobs of RoutingServer that are under way: started without waiting, counted, and shared by who asks the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from macula_actors.actors.routing.jobs import Await, Begin, Job, Purpose
from macula_actors.actors.routing.lookup import LookupProcess
from macula_actors.config import DhtConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.errors import OverloadedError
from macula_actors.messages.names import ROUTING_JOBS
from supervisors import (
    From,
    MaxChildrenError,
    Ref,
    RequestId,
    Restart,
    SupervisorsError,
    demonitor,
    forward,
    monitor,
    send_request,
)
from supervisors.messages import MonitorRef
from supervisors.requests import StartChild

__all__ = ["JobBook"]

_Key: TypeAlias = tuple[Purpose, NodeId]


@dataclass(slots=True, eq=False)
class _Running:
    job: Job
    is_waited_for: bool
    waiting: list[From] = field(default_factory=list)  # until it has a process
    ref: Ref | None = None
    monitor: MonitorRef | None = None


class JobBook:
    """Jobs whose outcome is not there yet.

    Args:
        config: bounds, and settings of the jobs.
        failed: called with a job that has no outcome, because its process could not be started or has crashed.
    """

    def __init__(self, config: DhtConfig, failed: Callable[[Job], None]) -> None:
        self._config: Final = config
        self._failed: Final = failed
        self._starting: Final[dict[RequestId, _Running]] = {}
        self._running: Final[dict[Ref, _Running]] = {}
        self._shared: Final[dict[_Key, _Running]] = {}
        self.lookups = 0
        self.upkeep = 0

    def join(self, purpose: Purpose, target: NodeId, from_: From) -> bool:
        """Have ``from_`` answered with the outcome of an equal job; False if there is none."""
        running = self._shared.get((purpose, target))
        if running is None or (running.ref is not None and not running.ref.is_alive()):
            return False
        if running.ref is None:
            running.waiting.append(from_)
        else:
            forward(from_, running.ref, Await())
        return True

    def start(self, job: Job, from_: From) -> None:
        """Start ``job`` for ``from_``.

        Raises:
            OverloadedError: there are too many.
        """
        if self.lookups >= self._config.max_lookups:
            raise OverloadedError("lookups under way", self._config.max_lookups)
        self.lookups += 1
        running = _Running(job, is_waited_for=True, waiting=[from_])
        if job.purpose in {Purpose.FIND_NODE, Purpose.FIND_VALUE}:
            self._shared[job.purpose, job.target] = running
        self._start(running)

    def start_upkeep(self, job: Job) -> None:
        """Start ``job``, for which nobody waits."""
        self.upkeep += 1
        self._start(_Running(job, is_waited_for=False))

    def is_start(self, reqid: RequestId) -> bool:
        """Tell whether ``reqid`` is that of a start."""
        return reqid in self._starting

    def started(self, reqid: RequestId) -> bool:
        """Take the answer of the supervisor; False: it could not start the job."""
        running = self._starting.pop(reqid)
        try:
            ref: Ref = reqid.result()
        except SupervisorsError as error:
            self._not_started(running, error)
            return False
        running.ref = ref
        self._running[ref] = running
        running.monitor = monitor(ref)
        for from_ in running.waiting:
            forward(from_, ref, Await())
        running.waiting.clear()
        ref.cast(Begin())
        return True

    def done(self, ref: Ref) -> bool:
        """Take note that the job of ``ref`` has its outcome; False if it is that of an earlier RoutingServer."""
        running = self._running.pop(ref, None)
        if running is None:
            return False
        if running.monitor is not None:
            demonitor(running.monitor, flush=True)
        self._ended(running)
        return True

    def down(self, ref: Ref) -> None:
        """Take note that the process ``ref`` has ended; its callers know."""
        running = self._running.pop(ref, None)
        if running is not None:
            self._ended(running)
            self._failed(running.job)

    def _start(self, running: _Running) -> None:
        spec = LookupProcess.child_spec(running.job, self._config, restart=Restart.TEMPORARY)
        self._starting[send_request(ROUTING_JOBS, StartChild(spec))] = running

    def _not_started(self, running: _Running, error: SupervisorsError) -> None:
        is_full = isinstance(error, MaxChildrenError)
        refusal = OverloadedError("jobs under way", self._config.max_jobs) if is_full else error
        for from_ in running.waiting:
            from_.refuse(refusal)
        self._ended(running)
        self._failed(running.job)

    def _ended(self, running: _Running) -> None:
        if running.is_waited_for:
            self.lookups -= 1
        else:
            self.upkeep -= 1
        key = running.job.purpose, running.job.target
        if self._shared.get(key) is running:
            del self._shared[key]
