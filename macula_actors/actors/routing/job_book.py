"""The jobs of RoutingServer that are under way: started without waiting, counted, and shared by who asks the same."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from macula_actors.actors.routing.job_queue import JobQueue
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

__all__ = ["JobBook", "JobKind"]

_Key: TypeAlias = tuple[Purpose, NodeId]


class JobKind(Enum):
    """For whom a job is done."""

    ASKED = auto()  # for who waits for it
    UPKEEP = auto()
    PUBLICATION = auto()  # to store what is this node's own again


@dataclass(slots=True, eq=False)
class _Running:
    kind: JobKind
    purpose: Purpose
    target: NodeId
    make: Callable[[], Job]  # when its turn has come
    waiting: list[From] = field(default_factory=list)  # until it has a process
    job: Job | None = None
    ref: Ref | None = None
    monitor: MonitorRef | None = None

    @property
    def is_wanted(self) -> bool:
        return any(from_.is_waiting for from_ in self.waiting)


class JobBook:
    """Jobs whose outcome is not there yet.

    So many are done at once for who waits; the others have a queue each, lookups and stores, and take turns. Stores
    leave a part of the places to lookups, however slow they are.

    Args:
        config: bounds, and settings of the jobs.
        failed: called with a job that has no outcome, because its process could not be started or has crashed.
    """

    def __init__(self, config: DhtConfig, failed: Callable[[Job], None]) -> None:
        self._config: Final = config
        self._failed: Final = failed
        self._queue: Final[JobQueue[_Running]] = JobQueue(config.max_waiting_lookups)
        self._starting: Final[dict[RequestId, _Running]] = {}
        self._running: Final[dict[Ref, _Running]] = {}
        self._ending: Final[set[Ref]] = set()  # have their outcome, and wait for who is silent
        self._shared: Final[dict[_Key, _Running]] = {}
        self._counts: Final[Counter[JobKind]] = Counter()
        self._storing = 0

    @property
    def lookups(self) -> int:
        """How many are under way that callers wait for."""
        return self._counts[JobKind.ASKED]

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @property
    def upkeep(self) -> int:
        """How many are under way that nobody waits for."""
        return self._counts[JobKind.UPKEEP] + self._counts[JobKind.PUBLICATION]

    def room(self, kind: JobKind, most: int) -> int:
        """Return how many of ``kind`` may be started, of which there may be ``most``."""
        return max(0, min(most - self._counts[kind], self._places))

    def check_room(self) -> None:
        """Return if `start` may be asked for.

        Raises:
            OverloadedError: too many wait.
        """
        if self._queue.is_full:
            raise OverloadedError("lookups and stores that wait", self._config.max_waiting_lookups)

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

    def changed(self, target: NodeId) -> None:
        """Take note that this node has another record under ``target``: who asks from now on is to be told of it."""
        self._shared.pop((Purpose.FIND_VALUE, target), None)

    def start(self, purpose: Purpose, target: NodeId, make: Callable[[], Job], from_: From) -> None:
        """Start what ``make`` returns, for ``from_``, or let it wait for its turn.

        Raises:
            OverloadedError: too many wait.
        """
        self.check_room()
        running = _Running(JobKind.ASKED, purpose, target, make, [from_])
        if purpose in {Purpose.FIND_NODE, Purpose.FIND_VALUE}:
            self._shared[purpose, target] = running
        self._queue.put(running, is_store=purpose is Purpose.STORE)
        self._next()

    def start_upkeep(self, job: Job, kind: JobKind) -> None:
        """Start ``job``, for which nobody waits."""
        self._start(_Running(kind, job.purpose, job.target, lambda: job))

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

    def done(self, ref: Ref, *, is_ended: bool) -> None:
        """Take note that the job of ``ref`` has its outcome, and whether the process goes on for a while.

        Nothing, if it is that of an earlier RoutingServer.
        """
        running = self._running.pop(ref, None)
        if running is None:
            return
        if is_ended and running.monitor is not None:
            demonitor(running.monitor, flush=True)
        elif not is_ended:
            self._ending.add(ref)
        self._ended(running)

    def down(self, ref: Ref) -> None:
        """Take note that the process ``ref`` has ended; its callers know."""
        running = self._running.pop(ref, None)
        if running is None:
            self._ending.discard(ref)
            self._next()
        else:
            self._ended(running)
            self._fail(running)

    @property
    def _places(self) -> int:
        """How many processes there may be besides those that are there."""
        return self._config.max_jobs - len(self._starting) - len(self._running) - len(self._ending)

    def _next(self) -> None:
        """Start those whose turn has come."""
        while self.room(JobKind.ASKED, self._config.max_lookups):
            running = self._queue.pop(may_store=self._storing < self._config.max_stores_asked)
            if running is None:
                return
            if running.is_wanted:
                self._start(running)
            else:
                self._unshare(running)

    def _start(self, running: _Running) -> None:
        self._counts[running.kind] += 1
        self._storing += _is_asked_store(running)
        running.job = running.make()
        spec = LookupProcess.child_spec(running.job, self._config, restart=Restart.TEMPORARY)
        self._starting[send_request(ROUTING_JOBS, StartChild(spec))] = running

    def _not_started(self, running: _Running, error: SupervisorsError) -> None:
        is_full = isinstance(error, MaxChildrenError)
        refusal = OverloadedError("jobs under way", self._config.max_jobs) if is_full else error
        for from_ in running.waiting:
            from_.refuse(refusal)
        self._ended(running)
        self._fail(running)

    def _fail(self, running: _Running) -> None:
        if running.job is not None:
            self._failed(running.job)

    def _ended(self, running: _Running) -> None:
        self._counts[running.kind] -= 1
        self._storing -= _is_asked_store(running)
        self._unshare(running)
        self._next()

    def _unshare(self, running: _Running) -> None:
        key = running.purpose, running.target
        if self._shared.get(key) is running:
            del self._shared[key]


def _is_asked_store(running: _Running) -> bool:
    return running.kind is JobKind.ASKED and running.purpose is Purpose.STORE
