"""Children that a supervisor knows by ref, in no order that matters.

Erlang: ``supervisor`` with simple_one_for_one. Elixir: DynamicSupervisor.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from supervisors.child_specs import ChildSpec, Restart
from supervisors.children import RESTARTING, Child, ChildCounts, ChildState, count, start_one, stop_all
from supervisors.errors import MaxChildrenError, NotFoundError, StartError
from supervisors.exit_reason import ExitReason, is_abnormal
from supervisors.messages import Cast
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.reports import report_supervisor
from supervisors.requests import TryAgain
from supervisors.restart import RestartWindow, is_restarted

__all__ = ["DynamicChildren"]


class DynamicChildren:
    """The children of ``supervisor``, and what happens to them. Runs in the supervisor's process."""

    def __init__(self, supervisor: Process, window: RestartWindow, max_children: int | None = None) -> None:
        self._supervisor = supervisor
        self._window = window
        self._max_children = max_children
        self._children: dict[Ref, ChildState] = {}  # a restarting child is kept under its last ref

    async def start_all(self, specs: Sequence[ChildSpec]) -> ExitReason:
        """Start the first children, of which there are none; return None."""

    async def stop_all(self) -> None:
        """Stop all children at the same time."""
        children = list(self._children.values())
        self._children.clear()
        await stop_all(self._supervisor, children)

    # What the API asks

    async def start_child(self, spec: ChildSpec) -> Any:
        """Start a new child; one whose ``init`` ignores is not kept.

        Raises:
            MaxChildrenError: there are as many as there may be.
            StartError: it did not start.
        """
        if self._max_children is not None and len(self._children) >= self._max_children:
            raise MaxChildrenError(self._max_children)
        ref, result = await start_one(self._supervisor, spec)
        if ref is not None:
            self._children[ref] = ChildState(spec, ref)
        return result

    async def terminate_child(self, ref: Ref) -> None:
        """Stop a child, or its restarting, and forget it.

        Raises:
            NotFoundError: ``ref`` is no child.
        """
        child = self._get(ref)
        del self._children[ref]
        await stop_all(self._supervisor, [child])

    def which_children(self) -> list[Child]:
        """Return all children; their ``id`` is None."""
        return [child.described(None) for child in self._children.values()]

    def count_children(self) -> ChildCounts:
        """Count the children."""
        return count(list(self._children.values()), len(self._children))

    def get_childspec(self, ref: Ref) -> ChildSpec:
        """Return the spec of a child.

        Raises:
            NotFoundError: ``ref`` is no child.
        """
        return self._get(ref).spec

    def states(self) -> Iterable[tuple[object, ChildState]]:
        """Return ids, which mean nothing here, and children."""
        return [(child.spec.id, child) for child in self._children.values()]

    # What happens by itself

    def has(self, ref: object) -> bool:
        """Tell whether ``ref`` is a child."""
        return isinstance(ref, Ref) and ref in self._children

    async def exited(self, ref: Ref, reason: ExitReason) -> bool:
        """Act on the end of a child; False when the supervisor has to end."""
        child = self._children[ref]
        if child.ref is RESTARTING:
            return True  # a process that had died when its start returned signals twice
        restart = child.spec.restart
        if restart is Restart.PERMANENT or is_abnormal(reason):
            report_supervisor(self._supervisor.ref, "child_terminated", reason, child.spec.id)
        if is_restarted(restart, reason):
            return await self._restart(ref, child)
        del self._children[ref]
        return True

    async def try_again(self, ref: Ref) -> bool:
        """Go on with a restart that failed; False when the supervisor has to end."""
        child = self._children.get(ref)
        if child is None or child.ref is not RESTARTING:
            return True
        return await self._restart(ref, child)

    async def _restart(self, old: Ref, child: ChildState) -> bool:
        if not self._window.admit(self._supervisor.system.now()):
            report_supervisor(self._supervisor.ref, "shutdown", "reached_max_restart_intensity", child.spec.id)
            del self._children[old]
            return False
        child.restarts += 1
        try:
            ref, _ = await start_one(self._supervisor, child.spec)
        except StartError as error:
            report_supervisor(self._supervisor.ref, "start_error", error.reason, child.spec.id)
            child.ref = RESTARTING
            # By way of the mailbox, so that a shutdown or a request gets in between.
            self._supervisor.deliver(Cast(TryAgain(old)))
            return True
        del self._children[old]
        if ref is not None:
            child.ref = ref
            self._children[ref] = child
        return True

    def _get(self, ref: object) -> ChildState:
        child = self._children.get(ref) if isinstance(ref, Ref) else None
        if child is None:
            raise NotFoundError(ref)
        return child
