"""The supervisor: a process whose only work is to start, restart and stop others.

Erlang: supervisor.
"""

from abc import abstractmethod
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias, cast, final

from typing_extensions import override

from supervisors.child_specs import ChildSpec, check_childspecs
from supervisors.children import Child, ChildCounts, ChildState
from supervisors.dynamic_children import DynamicChildren
from supervisors.errors import (
    ChildSpecError,
    NotFoundError,
    SimpleOneForOneError,
    SupervisorsError,
    UnexpectedRequestError,
)
from supervisors.exit_reason import ExitReason, Shutdown
from supervisors.gen import call
from supervisors.gen_server import GenServer
from supervisors.messages import Exit, From, Ignore, NoReply, Refuse, Reply, Stop
from supervisors.names import Server
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.reports import report_unexpected
from supervisors.requests import (
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    TryAgain,
    WhichChildren,
)
from supervisors.restart import RestartWindow, Strategy, SupFlags
from supervisors.server_process import ServerProcess
from supervisors.static_children import StaticChildren

__all__ = [
    "BaseSupervisor",
    "Supervisor",
    "count_children",
    "delete_child",
    "get_callback_module",
    "get_childspec",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]

Children: TypeAlias = StaticChildren | DynamicChildren


class SimpleChildren(DynamicChildren):
    """Children made from one template, each with arguments of its own. Erlang: simple_one_for_one."""

    def __init__(self, supervisor: Process, flags: SupFlags, template: ChildSpec) -> None:
        super().__init__(supervisor, RestartWindow(flags.intensity, flags.period))
        self._template = template

    @override
    async def start_child(self, spec: Any) -> Any:
        if not isinstance(spec, Sequence) or isinstance(spec, str):
            raise ChildSpecError("arguments", spec, "must be a list: they follow those of the template")
        return await super().start_child(self._template.with_args(spec))

    @override
    async def terminate_child(self, ref: object) -> None:
        if not isinstance(ref, Ref):
            msg = f"{ref!r} is no ref: children of simple_one_for_one are known by ref"
            raise SimpleOneForOneError(msg)
        if self.has(ref) or ref.is_alive():
            await super().terminate_child(ref)

    @override
    def count_children(self) -> ChildCounts:
        counts = super().count_children()
        return ChildCounts(1, counts.active, counts.supervisors, counts.workers)

    @override
    def get_childspec(self, ref: object) -> ChildSpec:
        if ref == self._template.id or self.has(ref):
            return self._template
        raise NotFoundError(ref)


class SupervisorProcess(ServerProcess):
    """The process of a supervisor, and its children."""

    __slots__ = ("children",)

    def __init__(self, server: GenServer) -> None:
        super().__init__(server)
        self.children: Children | None = None  # until init has returned

    @override
    def family(self) -> Iterable[tuple[object, ChildState]]:
        return () if self.children is None else self.children.states()

    @override
    def bury(self, reason: ExitReason) -> None:
        super().bury(reason)
        self.children = None  # they refer to it


class BaseSupervisor(GenServer):
    """What every supervisor does: it traps exits, answers the API, and ends its children before itself."""

    __slots__ = ()

    is_supervisor: ClassVar[bool] = True
    trap_exit = True
    _actor_process_class = SupervisorProcess

    @abstractmethod
    def _actor_family(self, process: Process, init: Any) -> tuple[Children, Sequence[ChildSpec]]:
        """Return, from what ``init`` returned, an empty family for ``process`` and the first children to start."""

    @final
    @override
    async def _actor_init(self) -> Ignore | Stop | None:
        init: Any = super()._actor_init()
        if isinstance(init, Awaitable):
            init = await init
        if isinstance(init, Ignore | Stop):
            return init
        process = cast("SupervisorProcess", self._actor_process)
        process.children, first = self._actor_family(process, init)
        failed = await process.children.start_all(first)
        return None if failed is None else Stop(failed)

    @final
    @override
    async def handle_call(self, request: Any, from_: From) -> Reply | Refuse:
        try:
            return Reply(await self._answer(request))
        except SupervisorsError as error:
            return Refuse(error)

    async def _answer(self, request: Any) -> Any:
        children = self._actor_children
        match request:
            case StartChild(spec):
                return await children.start_child(spec)  # type: ignore[arg-type]
            case TerminateChild(id):
                return await children.terminate_child(id)  # type: ignore[arg-type]
            case WhichChildren():
                return children.which_children()
            case CountChildren():
                return children.count_children()
            case GetChildSpec(id):
                return children.get_childspec(id)  # type: ignore[arg-type]
            case RestartChild(id) if isinstance(children, StaticChildren):
                return await children.restart_child(id)
            case DeleteChild(id) if isinstance(children, StaticChildren):
                return children.delete_child(id)
            case RestartChild() | DeleteChild():
                msg = "the children of this supervisor are known by ref and gone once they end: start a new one"
                raise SimpleOneForOneError(msg)
        report_unexpected(self.actor_ref, request)
        raise UnexpectedRequestError(request, self.actor_ref)

    @final
    @override
    async def handle_cast(self, request: Any) -> NoReply | Stop:
        if isinstance(request, TryAgain):
            return _verdict(await self._actor_children.try_again(request.key))  # type: ignore[arg-type]
        report_unexpected(self.actor_ref, request)
        return NoReply()

    @final
    @override
    def handle_info(self, info: Any) -> Any:
        if not isinstance(info, Exit):
            report_unexpected(self.actor_ref, info)
        elif self._actor_children.has(info.ref):
            return self._child_exited(info)
        elif info.ref is None and self.actor_ref.parent is None:
            return Stop(info.reason)  # a root's parent is the code outside that started it
        return NoReply()

    async def _child_exited(self, exited: Exit) -> NoReply | Stop:
        if exited.ref is None:
            return NoReply()
        return _verdict(await self._actor_children.exited(exited.ref, exited.reason))

    @final
    @override
    async def terminate(self, reason: Any) -> None:
        if self._actor_children is not None:
            await self._actor_children.stop_all()

    @final
    @override
    def system_get_state(self) -> Sequence[Child]:
        return tuple(self._actor_children.which_children())

    @final
    @override
    def system_replace_state(self, state: Any) -> None:
        msg = "a supervisor's state is its children: start and terminate those"
        raise TypeError(msg)

    @property
    def _actor_children(self) -> Children:
        return cast("Children", cast("SupervisorProcess", self._actor_process).children)


class Supervisor(BaseSupervisor):
    """Supervises children that it knows by id.

    Subclass it with an ``init`` that returns ``(SupFlags, [ChildSpec, ...])`` or `Ignore`, or start it with those
    two: ``Supervisor.start_link(SupFlags(), [Counter.child_spec()])``. The children start in order, each when the one
    before has; they stop in reverse. If one does not start, those before it are stopped and `StartError.reason` is
    ``Shutdown(FailedToStartChild(id, reason))``.
    """

    __slots__ = ()

    @override
    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Return the flags and the child specs, in start order: the two arguments."""
        return _given(*args, **kwargs)

    @final
    @override
    def _actor_family(self, process: Process, init: Any) -> tuple[Children, Sequence[ChildSpec]]:
        match init:
            case (SupFlags() as flags, Sequence() as specs):
                check_childspecs(specs)
            case _:
                raise ChildSpecError("init", init, "must return (SupFlags, [ChildSpec, ...]) or Ignore()")
        if flags.strategy is not Strategy.SIMPLE_ONE_FOR_ONE:
            return StaticChildren(process, flags), specs
        if len(specs) != 1:
            raise ChildSpecError("child specs", specs, "must be one template under SIMPLE_ONE_FOR_ONE")
        return SimpleChildren(process, flags, specs[0]), ()


def _given(flags: Any = SupFlags(), children: Any = ()) -> Any:  # noqa: B008 -- frozen
    return flags, children


def _verdict(goes_on: bool) -> NoReply | Stop:  # noqa: FBT001
    return NoReply() if goes_on else Stop(Shutdown())


async def start_child(supervisor: Server, spec: ChildSpec | Sequence[object]) -> Any:
    """Start a child now and keep it, the last in start order; wait until its ``init`` is done.

    Under simple_one_for_one ``spec`` is the list of arguments to be added to the template's.

    Returns:
        What the spec's ``start`` returned: the ref, ``(ref, extra)``, or None when ``init`` ignored.

    Raises:
        ChildSpecError: ``spec`` is wrong.
        AlreadyStartedError: a child with that id runs.
        AlreadyPresentError: a child with that id is kept, but does not run.
        MaxChildrenError: there are as many as there may be.
        StartError: it did not start, and is not kept.
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    return await call(supervisor, StartChild(spec), None)


async def terminate_child(supervisor: Server, id: object) -> None:  # noqa: A002 -- the field's word
    """Stop a child as its spec says; return when it has ended. It is not restarted; a temporary one is forgotten.

    ``id`` is a ref where children are known by ref.

    Raises:
        NotFoundError: there is no such child.
        SimpleOneForOneError: ``id`` is no ref, and has to be.
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    await call(supervisor, TerminateChild(id), None)


async def restart_child(supervisor: Server, id: object) -> Any:  # noqa: A002
    """Start a child that does not run; returns what `start_child` does.

    Raises:
        NotFoundError: there is no such child.
        ChildRunningError: it runs.
        ChildRestartingError: it is between two attempts to restart it.
        StartError: it did not start; its spec is kept.
        SimpleOneForOneError: the children are known by ref.
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    return await call(supervisor, RestartChild(id), None)


async def delete_child(supervisor: Server, id: object) -> None:  # noqa: A002
    """Forget a child that does not run.

    Raises:
        NotFoundError: there is no such child.
        ChildRunningError: it runs.
        ChildRestartingError: it is between two attempts to restart it.
        SimpleOneForOneError: the children are known by ref.
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    await call(supervisor, DeleteChild(id), None)


async def which_children(supervisor: Server) -> list[Child]:
    """Return all children, the last started first; in no order where they are known by ref.

    Raises:
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    children: list[Child] = await call(supervisor, WhichChildren(), None)
    return children


async def count_children(supervisor: Server) -> ChildCounts:
    """Count the children.

    Raises:
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    counts: ChildCounts = await call(supervisor, CountChildren(), None)
    return counts


async def get_childspec(supervisor: Server, id: object) -> ChildSpec:  # noqa: A002
    """Return the spec of a child, by id; by ref where children are known by ref.

    Raises:
        NotFoundError: there is no such child.
        ServerDownError: there is no such supervisor, or it ended before it answered.
    """
    spec: ChildSpec = await call(supervisor, GetChildSpec(id), None)
    return spec


def get_callback_module(ref: Ref) -> type:
    """Return the class of the process."""
    return ref.actor_class
