"""The children of a supervisor: what is kept of each, and how one is started and stopped.

Erlang: ``supervisor``'s #child{} record, do_start_child/2, do_terminate/2.
"""

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from typing_extensions import override

from supervisors.child_specs import BRUTAL_KILL, ChildSpec, ChildType, Class, Restart
from supervisors.errors import BadReturnValueError, StartError
from supervisors.exit_reason import Crashed, ExitReason, Killed, Normal, Shutdown
from supervisors.messages import Exit
from supervisors.process import Process, reason_of
from supervisors.ref import Ref
from supervisors.reports import report_progress, report_supervisor
from supervisors.spawn import stop_processes

__all__ = ["RESTARTING", "Child", "ChildCounts", "ChildState", "Restarting", "count", "start_one", "stop_all"]


class Restarting(Enum):
    """The type of RESTARTING."""

    RESTARTING = "restarting"

    @override
    def __repr__(self) -> str:
        return "RESTARTING"


RESTARTING: Final = Restarting.RESTARTING

ChildRef: TypeAlias = Ref | Restarting | None


@dataclass(frozen=True, slots=True)
class Child:
    """One line of `which_children`. ``ref`` is None when it does not run, RESTARTING between two attempts."""

    id: object
    ref: ChildRef
    type: ChildType
    modules: Sequence[Class]


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children there are: specs, those that run, and the specs by type."""

    specs: int
    active: int
    supervisors: int
    workers: int


class ChildState:
    """One child: its spec, its ref now, and how often it was started again."""

    __slots__ = ("ref", "restarts", "spec")

    def __init__(self, spec: ChildSpec, ref: ChildRef = None) -> None:
        self.spec = spec
        self.ref = ref
        self.restarts = 0

    @property
    def running(self) -> Ref | None:
        """The ref, if it runs."""
        return self.ref if isinstance(self.ref, Ref) else None

    def described(self, id: object) -> Child:  # noqa: A002 -- the field's word
        """Return the line of `which_children` for it."""
        return Child(id, self.ref, self.spec.type, self.spec.modules)


async def start_one(supervisor: Process, spec: ChildSpec) -> tuple[Ref | None, Any]:
    """Start a child of ``supervisor``, in its process; return its ref and all that ``start`` returned.

    The ref is None, and that is no failure, when ``init`` returned `Ignore`.

    Raises:
        StartError: the child did not start, or ``start`` returned nonsense.
    """
    try:
        result = spec.start()
        if inspect.isawaitable(result):
            result = await result
    except StartError:
        raise
    except Exception as error:
        raise StartError(reason_of(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if supervisor.ending is not None or (task is not None and task.cancelling()):
            raise  # it is not the start that was cancelled
        raise StartError(Killed()) from error
    match result:
        case None:
            return None, None
        case Ref() as ref:
            pass
        case (Ref() as ref, _):
            pass
        case _:
            raise StartError(Crashed(BadReturnValueError("start", result)))
    process = ref._process
    if process is None:  # it has ended already: that is a crash like any later one
        supervisor.deliver(Exit(ref, ref.exit_reason))
    else:
        supervisor.link(process)
    report_progress(supervisor.ref, ref, spec.id)
    return ref, result


async def stop_all(supervisor: Process, children: Sequence[ChildState]) -> None:
    """Stop children all at the same time, each within its own ``shutdown``; report who went another way."""
    running = [(child, child.ref) for child in children if isinstance(child.ref, Ref)]
    reasons = await stop_processes([(ref, child.spec.shutdown) for child, ref in running])
    for (child, _), reason in zip(running, reasons, strict=True):
        child.ref = None
        if not _is_expected(child.spec, reason):
            report_supervisor(supervisor.ref, "shutdown_error", reason, child.spec.id)


def count(children: Sequence[ChildState], specs: int) -> ChildCounts:
    """Count ``children``."""
    supervisors = sum(child.spec.type is ChildType.SUPERVISOR for child in children)
    active = sum(child.running is not None for child in children)
    return ChildCounts(specs, active, supervisors, len(children) - supervisors)


def _is_expected(spec: ChildSpec, reason: ExitReason) -> bool:
    if spec.shutdown is BRUTAL_KILL:
        return isinstance(reason, Killed)
    if reason == Shutdown():
        return True
    return spec.restart is not Restart.PERMANENT and isinstance(reason, Normal | Shutdown)
