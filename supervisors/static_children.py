"""Children that a supervisor knows by id, in start order.

Erlang: ``supervisor`` with one_for_one, one_for_all and rest_for_one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from supervisors.child_specs import ChildSpec, Restart, check_childspecs, child_key
from supervisors.children import RESTARTING, Child, ChildCounts, ChildState, count, start_one, stop_all
from supervisors.errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildRestartingError,
    ChildRunningError,
    ChildSpecError,
    NotFoundError,
    StartError,
)
from supervisors.exit_reason import AlreadyStarted, ExitReason, FailedToStartChild, Shutdown, is_abnormal
from supervisors.messages import Cast
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.reports import report_supervisor
from supervisors.requests import TryAgain
from supervisors.restart import AutoShutdown, RestartWindow, Strategy, SupFlags, is_restarted, plan_restart

__all__ = ["StaticChildren"]


class StaticChildren:
    """The children of ``supervisor``, and what happens to them. Runs in the supervisor's process."""

    def __init__(self, supervisor: Process, flags: SupFlags) -> None:
        self._supervisor = supervisor
        self._flags = flags
        self._window = RestartWindow(flags.intensity, flags.period)
        self._children: dict[object, ChildState] = {}  # in start order
        self._by_ref: dict[Ref, object] = {}

    async def start_all(self, specs: Sequence[ChildSpec]) -> ExitReason:
        """Start the first children in order; on a failure stop them again and return the reason, else None.

        Raises:
            ChildSpecError: one of ``specs`` is wrong; nothing was started.
        """
        check_childspecs(specs)
        for spec in specs:
            self._check(spec)
        for spec in specs:
            try:
                await self.start_child(spec)
            except StartError as error:
                report_supervisor(self._supervisor.ref, "start_error", error.reason, spec.id)
                await self.stop_all()
                return Shutdown(FailedToStartChild(spec.id, error.reason))
        return None

    async def stop_all(self) -> None:
        """Stop all children in reverse start order, one after the other."""
        for child in reversed(list(self._children.values())):
            await self._stop(child)

    # What the API asks

    async def start_child(self, spec: ChildSpec) -> Any:
        """Start and keep a new child, the last in start order.

        Raises:
            ChildSpecError: ``spec`` is wrong.
            AlreadyStartedError: a child with that id runs.
            AlreadyPresentError: a child with that id is kept, stopped or restarting.
            StartError: it did not start, and is not kept.
        """
        check_childspecs([spec])
        self._check(spec)
        key = child_key(spec.id)
        present = self._children.get(key)
        if present is not None:
            if present.running is None:
                raise AlreadyPresentError(spec.id)
            raise AlreadyStartedError(present.running, AlreadyStarted(present.running), spec)
        child = ChildState(spec)
        self._children[key] = child
        try:
            result = await self._start(key, child)
        except StartError as error:
            del self._children[key]
            error.child = spec
            raise
        if child.ref is None and spec.restart is Restart.TEMPORARY:
            del self._children[key]
        return result

    async def terminate_child(self, id: object) -> None:  # noqa: A002 -- the field's word
        """Stop a child, or its restarting; its spec is kept, unless it is temporary.

        Raises:
            NotFoundError: there is no such child.
        """
        await self._stop(self._get(id))

    async def restart_child(self, id: object) -> Any:  # noqa: A002
        """Start a child that does not run.

        Raises:
            NotFoundError: there is no such child.
            ChildRunningError: it runs.
            ChildRestartingError: it is about to.
            StartError: it did not start; it stays as it was.
        """
        child = self._stopped(id)
        return await self._start(child_key(id), child)

    def delete_child(self, id: object) -> None:  # noqa: A002
        """Forget a child that does not run.

        Raises:
            NotFoundError: there is no such child.
            ChildRunningError: it runs.
            ChildRestartingError: it is about to.
        """
        self._stopped(id)
        del self._children[child_key(id)]

    def which_children(self) -> list[Child]:
        """Return all children, the last started first."""
        return [child.described(child.spec.id) for child in reversed(self._children.values())]

    def count_children(self) -> ChildCounts:
        """Count the children."""
        return count(list(self._children.values()), len(self._children))

    def get_childspec(self, id: object) -> ChildSpec:  # noqa: A002
        """Return the spec of a child.

        Raises:
            NotFoundError: there is no such child.
        """
        return self._get(id).spec

    def running(self, id: object) -> Ref | None:  # noqa: A002
        """Return the ref of the child ``id``, if there is such a child and it runs."""
        child = self._children.get(child_key(id))
        return None if child is None else child.running

    def states(self) -> Iterable[tuple[object, ChildState]]:
        """Return ids and children, in start order."""
        return [(child.spec.id, child) for child in self._children.values()]

    # What happens by itself

    def has(self, ref: Ref | None) -> bool:
        """Tell whether ``ref`` is a child."""
        return ref in self._by_ref

    async def exited(self, ref: Ref, reason: ExitReason) -> bool:
        """Act on the end of a child; False when the supervisor has to end."""
        key = self._by_ref.pop(ref)
        child = self._children[key]
        child.ref = None
        restart = child.spec.restart
        if restart is Restart.PERMANENT or is_abnormal(reason):
            report_supervisor(self._supervisor.ref, "child_terminated", reason, child.spec.id)
        if is_restarted(restart, reason):
            return await self._restart(key, child)
        if restart is Restart.TEMPORARY:
            del self._children[key]
        return not (child.spec.significant and self._auto_shutdown())

    async def try_again(self, key: object) -> bool:
        """Go on with a restart that failed; False when the supervisor has to end."""
        child = self._children.get(key)
        if child is None or child.ref is not RESTARTING:
            return True
        return await self._restart(key, child)

    def _auto_shutdown(self) -> bool:
        match self._flags.auto_shutdown:
            case AutoShutdown.NEVER:
                return False
            case AutoShutdown.ANY_SIGNIFICANT:
                return True
            case AutoShutdown.ALL_SIGNIFICANT:
                return not any(child.spec.significant and child.ref is not None for child in self._children.values())

    async def _restart(self, key: object, child: ChildState) -> bool:
        if not self._window.admit(self._supervisor.system.now()):
            report_supervisor(self._supervisor.ref, "shutdown", "reached_max_restart_intensity", child.spec.id)
            child.ref = None
            return False
        strategy = self._flags.strategy
        others = () if strategy is Strategy.ONE_FOR_ONE else tuple(self._children)
        plan = plan_restart(strategy, others, key)
        for other in plan.terminate:
            await self._stop(self._children[other])
        for other in plan.start:
            started = self._children.get(other)  # a temporary one was removed when it was stopped
            if started is not None and not await self._start_again(other, started):
                break
        return True

    async def _start_again(self, key: object, child: ChildState) -> bool:
        child.restarts += 1
        try:
            await self._start(key, child)
        except StartError as error:
            report_supervisor(self._supervisor.ref, "start_error", error.reason, child.spec.id)
            child.ref = RESTARTING
            # By way of the mailbox, so that a shutdown or a request gets in between.
            self._supervisor.deliver(Cast(TryAgain(key)))
            return False
        return True

    async def _start(self, key: object, child: ChildState) -> Any:
        ref, result = await start_one(self._supervisor, child.spec)
        child.ref = ref
        if ref is not None:
            self._by_ref[ref] = key
        return result

    async def _stop(self, child: ChildState) -> None:
        if child.running is not None:
            del self._by_ref[child.running]
        await stop_all(self._supervisor, [child])
        child.ref = None
        if child.spec.restart is Restart.TEMPORARY:
            self._children.pop(child_key(child.spec.id), None)

    def _check(self, spec: ChildSpec) -> None:
        if spec.significant and self._flags.auto_shutdown is AutoShutdown.NEVER:
            raise ChildSpecError("significant", True, "needs a supervisor with auto_shutdown")  # noqa: FBT003

    def _get(self, id: object) -> ChildState:  # noqa: A002
        try:
            return self._children[child_key(id)]
        except (KeyError, TypeError):  # unknown, or unhashable
            raise NotFoundError(id) from None

    def _stopped(self, id: object) -> ChildState:  # noqa: A002
        child = self._get(id)
        if child.ref is RESTARTING:
            raise ChildRestartingError(id)
        if child.ref is not None:
            raise ChildRunningError(id)
        return child
