"""Who of the workers does what, and which calls wait for one."""

from collections import deque

from macula_actors.actors.rpc.jobs import Job, Key
from supervisors import Ref

__all__ = ["Workers"]


class Workers:
    """The workers that live, and the calls that they do or that wait for them. It only keeps the books.

    Args:
        max_workers: how many there may be, those that are being started included.
        max_queued: how many calls may wait for one.
    """

    def __init__(self, max_workers: int, max_queued: int) -> None:
        self._max_workers = max_workers
        self._max_queued = max_queued
        self._idle: list[Ref] = []
        self._busy: dict[Ref, Job | None] = {}  # None: it does something for the handler before this one
        self._doomed: set[Ref] = set()  # told to end
        self._queue: deque[Job] = deque()
        self._jobs: dict[Key, Job] = {}
        self.starting = 0

    @property
    def idle(self) -> int:
        """How many workers have nothing to do."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many workers have something to do."""
        return len(self._busy)

    @property
    def queued(self) -> int:
        """How many calls wait for a worker."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether no call more may wait, besides those for which workers can be started."""
        return len(self._queue) >= self._max_queued + self._max_workers - len(self._idle) - len(self._busy)

    def missing(self) -> int:
        """Return how many workers should be started for the calls that wait."""
        room = self._max_workers - len(self._idle) - len(self._busy) - self.starting
        return max(min(room, len(self._queue) - self.starting), 0)

    def take(self) -> Ref | None:
        """Return an idle worker, which is idle no more; None if there is none. Give it a job by `assign`."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker  # else its Down is on the way
        return None

    def assign(self, worker: Ref, job: Job) -> None:
        """Note that ``worker`` does ``job``."""
        job.worker = worker
        self._busy[worker] = job
        self._jobs[job.key] = job

    def enqueue(self, job: Job) -> None:
        """Let ``job`` wait."""
        self._queue.append(job)
        self._jobs[job.key] = job

    def pop(self) -> Job | None:
        """Return the call that waits longest, which waits no more; None if none does."""
        if not self._queue:
            return None
        job = self._queue.popleft()
        self._forget(job)
        return job

    def adopt(self, worker: Ref, job: Job | None) -> None:
        """Count a worker in that does ``job`` for the handler before this one; None: or has nothing to do, perhaps."""
        if worker in self._busy:
            return
        self._busy[worker] = None
        if job is not None:
            self.assign(worker, job)

    def add(self, worker: Ref) -> None:
        """Count a new worker in, as idle."""
        self._idle.append(worker)

    def finished(self, worker: Ref, done: Job | None) -> bool:
        """Note that ``worker`` has done ``done``; return whether it is idle now."""
        if worker not in self._busy or worker in self._doomed:
            return False
        job = self._busy[worker]
        if job is not None:
            if job is not done:
                return False  # it says so of what it did before
            self._forget(job)
        del self._busy[worker]
        self._idle.append(worker)
        return True

    def remove(self, worker: Ref) -> None:
        """Count a worker out that has ended."""
        job = self._busy.pop(worker, None)
        if job is not None:
            self._forget(job)
        if worker in self._idle:
            self._idle.remove(worker)
        self._doomed.discard(worker)

    def job(self, key: Key) -> Job | None:
        """Return the call ``key``, if there is one."""
        return self._jobs.get(key)

    def cancel(self, key: Key) -> Job | None:
        """Take the call ``key`` out and return it, if there is one. Its worker, if it has one, is to be ended."""
        job = self._jobs.get(key)
        if job is not None:
            self._take_out(job)
        return job

    def overdue(self, now: float, grace: float) -> list[Job]:
        """Take out what waits and is past its deadline, and what is being done and is past it by ``grace`` seconds."""
        late = [job for job in self._queue if job.work.deadline <= now]
        late += [
            job
            for worker, job in self._busy.items()
            if job is not None and job.work.deadline + grace <= now and worker not in self._doomed
        ]
        for job in late:
            self._take_out(job)
        return late

    def deserted(self, now: float) -> list[Job]:
        """Return the calls not past their deadline that nobody waits for: answered, or their connection has ended."""
        return [job for job in self._jobs.values() if not job.from_.is_waiting and now < job.work.deadline]

    def _take_out(self, job: Job) -> None:
        self._forget(job)
        if job.worker is None:
            self._queue.remove(job)
        else:
            self._doomed.add(job.worker)

    def _forget(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:  # else the peer has used the id for another call since
            del self._jobs[job.key]
