"""Tasks: one function call each, in a process of its own, under a supervisor.

Elixir: Task.Supervisor, and the handle's side of Task.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeAlias, cast

from typing_extensions import override

from supervisors.child_specs import BRUTAL_KILL, DEFAULT_SHUTDOWN, ChildSpec, Patience, Restart
from supervisors.dynamic_supervisor import DynamicSupervisor, DynamicSupFlags
from supervisors.errors import CallTimeoutError, ServerDownError, SupervisorsError
from supervisors.exit_reason import ExitReason, Killed, NoProcess, Normal, Shutdown
from supervisors.gen_server import GenServer
from supervisors.messages import Continue, Down, MonitorRef, Stop, Timeout
from supervisors.names import Server
from supervisors.process import Process
from supervisors.ref import DEFAULT_TIMEOUT, Ref
from supervisors.server_process import ServerProcess
from supervisors.spawn import stop_process
from supervisors.supervisor import start_child

__all__ = ["Exited", "Ok", "OnTimeout", "Outcome", "Task", "TaskDone", "TaskOwnerError", "TaskSupervisor"]

DEFAULT_CONCURRENCY = 8  # of async_stream; Elixir's is the number of cores, which says nothing about one loop


@dataclass(frozen=True, slots=True)
class Ok:
    """The task returned ``value``."""

    value: Any


@dataclass(frozen=True, slots=True)
class Exited:
    """The task ended with ``reason`` before it returned; in a stream `Timeout` is one that took too long."""

    reason: ExitReason


Outcome: TypeAlias = Ok | Exited


class OnTimeout(StrEnum):
    """What a stream does about a task that takes too long: end with an error, or go on without it."""

    EXIT = "exit"
    KILL_TASK = "kill_task"


class TaskOwnerError(SupervisorsError, ValueError):
    """Another process than its ``owner``, which started it, asked for the outcome of ``task``."""

    def __init__(self, task: "Task", owner: Ref | None) -> None:
        super().__init__(f"{task} belongs to {owner or 'code outside any process'}: only its owner may wait for it")
        self.task = task
        self.owner = owner


@dataclass(frozen=True, slots=True, eq=False)
class TaskDone(Down):
    """A task ended with `Normal` and returned ``value``: the `Down` of a task that its owner does not await.

    Elixir: ``{ref, result}``.
    """

    value: Any


class Task:
    """The handle of a task, for its owner: the process that started it, or the code outside that did.

    The owner awaits it, or lets its own ``handle_info`` have one message about the task: `TaskDone`, or the `Down` of
    one that ended before it returned. A call that returns how the task ended takes that message back. Use it on the
    System's loop.

    Attributes:
        owner: who may wait for it; None for code outside processes.
        ref: its process, to link, monitor or kill.
        monitor: found in the owner's message as ``monitor``; `demonitor` it to get none.
    """

    __slots__ = ("_done", "_link", "_notify", "_owner", "_timeout", "monitor", "ref")

    ref: Ref
    monitor: MonitorRef
    _done: "asyncio.Future[Outcome]"

    def __init__(self, *, link: bool, notify: bool = True, timeout: float | None = None) -> None:
        self._owner = Process.caller()
        self._link = link
        self._notify = notify
        self._timeout = timeout

    @override
    def __repr__(self) -> str:
        return f"<Task {self.ref}>"

    @property
    def owner(self) -> Ref | None:  # noqa: D102 -- see the class
        return None if self._owner is None else self._owner.ref

    async def await_(self, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
        """Wait up to ``timeout`` seconds, None for ever, and return what the task returned.

        After it returned or raised, no message about the task follows. Cancelling it leaves the task running.

        Raises:
            CallTimeoutError: the task still runs. It goes on, and may be awaited again.
            ServerDownError: it ended before it returned, for ``reason``; its exception is the ``__cause__``. An owner
                that is linked to it, and does not trap exits, has ended as well.
            TaskOwnerError: the caller is not its owner.
        """
        outcome = await self._wait(timeout)
        self._demonitor()
        match outcome:
            case None:
                raise CallTimeoutError(self.ref, self, timeout or 0.0)
            case Exited(reason):
                raise ServerDownError(reason, self.ref, self) from getattr(reason, "error", None)
            case Ok(value):
                return value

    async def yield_(self, timeout: float | None = DEFAULT_TIMEOUT) -> Outcome | None:
        """Wait up to ``timeout`` seconds, None for ever, and return how the task ended; None while it runs.

        Raises:
            TaskOwnerError: the caller is not its owner.
        """
        outcome = await self._wait(timeout)
        if outcome is not None:
            self._demonitor()
        return outcome

    async def shutdown(self, timeout: Patience = DEFAULT_SHUTDOWN) -> Outcome | None:
        """End the task, wait until it has ended, and return None; or how it ended, if not because of this.

        It is unlinked from its owner, told to shut down, and killed after ``timeout`` seconds; with BRUTAL_KILL at
        once.

        Raises:
            TaskOwnerError: the caller is not its owner.
        """
        self._check_owner()
        self._detach()
        await stop_process(self.ref, timeout)
        outcome = await self._wait(None)
        asked_for = Killed() if timeout is BRUTAL_KILL else Shutdown()
        return None if outcome == Exited(asked_for) else outcome

    async def _wait(self, timeout: float | None) -> Outcome | None:
        self._check_owner()
        await asyncio.wait([self._done], timeout=timeout)
        return self._done.result() if self._done.done() else None

    def _check_owner(self) -> None:
        if Process.caller() is not self._owner:
            raise TaskOwnerError(self, self.owner)

    def _demonitor(self) -> None:
        if self._owner is not None:
            self._owner.unwatch(self.monitor, flush=True)

    def _detach(self) -> None:
        """Leave the owner out of the task's end."""
        self._demonitor()
        process = self.ref._process
        if self._owner is not None and process is not None:
            self._owner.unlink(process)

    def _end(self, reason: ExitReason) -> None:
        self._detach()
        process = self.ref._process
        if process is not None:
            process.end(reason)

    # The process's side

    def _bind(self, process: Process) -> None:
        self.ref = process.ref
        self.monitor = MonitorRef(process.ref)
        self._done = asyncio.get_running_loop().create_future()

    def _attach(self, process: Process) -> bool:
        """Link and monitor, before the work begins; False when there is nobody left to work for."""
        owner = self._owner
        if owner is not None:
            if not owner.ref.is_alive():
                return False
            if self._link:
                owner.link(process)
            if self._notify:
                owner.watch(self.monitor, process)
        if self._timeout is not None:
            process.after(self._timeout, self._end, Timeout())
        return True

    def _settle(self, outcome: Outcome) -> None:
        """Keep the outcome. An owner that is told the value is told nothing else."""
        owner = self._owner
        if isinstance(outcome, Ok) and owner is not None and owner.unwatch(self.monitor, flush=False):
            owner.deliver(TaskDone(self.monitor, self.ref, Normal(), outcome.value))
        self._done.set_result(outcome)


class _TaskProcess(ServerProcess):
    __slots__ = ()

    @override
    def _ended(self, reason: ExitReason) -> None:
        cast("_TaskServer", self.server).ended(reason)
        super()._ended(reason)


class _TaskServer(GenServer):
    """The server of a task: it calls one function and ends."""

    __slots__ = ("_handle", "_returned", "_work")

    _actor_process_class = _TaskProcess

    def __init__(self, function: Callable[..., Any], args: Sequence[object], handle: Task | None = None) -> None:
        super().__init__()
        self._work = (function, args)
        self._returned: Ok | None = None
        self._handle = handle
        if handle is not None:
            handle._bind(self._actor_process)

    @override
    def init(self) -> Continue | Stop:
        if self._handle is not None and not self._handle._attach(self._actor_process):
            return Stop(Shutdown(NoProcess()))
        return Continue(self._work)

    @override
    async def handle_continue(self, term: Any) -> Stop:
        function, args = term
        value = function(*args)
        self._returned = Ok(await value if inspect.isawaitable(value) else value)
        return Stop(Normal())

    def ended(self, reason: ExitReason) -> None:
        """Tell the handle, if there is one."""
        if self._handle is not None:
            returned = self._returned if isinstance(reason, Normal) else None
            self._handle._settle(returned or Exited(reason))


class TaskSupervisor(DynamicSupervisor):
    """Supervises tasks: start it with ``max_children``, ``intensity`` and ``period``, as in `DynamicSupFlags`.

    The work of a task is a function, ``def`` or ``async def``, called with the arguments given; wrap it in a lambda or
    a ``partial`` for others. One that blocks holds up the loop: have an async one ``await asyncio.to_thread(...)``.
    It runs in a process of its own, whose end, by a kill or a `ProcessExit`, say, is the end of the task.

    The verbs take the supervisor as a ref or a name. They may be used in a process, and by code outside, which is
    linked to nothing. Each raises MaxChildrenError when ``max_children`` tasks run, and `ServerDownError` when there
    is no such supervisor. Cancelled half-way they may leave a task running.
    """

    __slots__ = ()

    @override
    def init(self, max_children: int | None = None, intensity: int = 3, period: float = 5.0) -> DynamicSupFlags:
        return DynamicSupFlags(max_children, intensity, period)

    @staticmethod
    async def async_(supervisor: Server, function: Callable[..., Any], *args: object) -> Task:
        """Start ``function(*args)`` as a task linked to the caller: if one of them crashes, so does the other."""
        return await _start(supervisor, function, args, Task(link=True))

    @staticmethod
    async def async_nolink(supervisor: Server, function: Callable[..., Any], *args: object) -> Task:
        """Start ``function(*args)`` as a task that the caller survives, and that survives the caller."""
        return await _start(supervisor, function, args, Task(link=False))

    @staticmethod
    async def start_child(
        supervisor: Server,
        function: Callable[..., Any],
        *args: object,
        restart: Restart = Restart.TEMPORARY,
        shutdown: Patience = DEFAULT_SHUTDOWN,
    ) -> Ref:
        """Start ``function(*args)``, whose value nobody wants; it is called again as ``restart`` says."""
        spec = _spec(function, args, None, restart=restart, shutdown=shutdown)
        ref: Ref = await start_child(supervisor, spec)
        return ref

    @staticmethod
    def async_stream(
        supervisor: Server,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        ordered: bool = True,
        timeout: float | None = DEFAULT_TIMEOUT,
        on_timeout: OnTimeout = OnTimeout.EXIT,
    ) -> AsyncGenerator[Outcome, None]:
        """Run ``function(item)`` as a task for each of ``items``, and yield `Ok` or `Exited` for each.

        A crash ends a caller that is a process and does not trap exits. Leaving the loop kills the tasks that run,
        at once if the generator is closed; see `contextlib.aclosing`.

        Args:
            supervisor: of the tasks.
            function: the work.
            items: taken one by one as tasks end, so they may be without end.
            max_concurrency: how many tasks run, or have an outcome that was not taken yet; >= 1.
            ordered: outcomes come in the order of ``items``; otherwise as the tasks end.
            timeout: seconds that each task may take; None for ever.
            on_timeout: KILL_TASK yields ``Exited(Timeout())`` for a task that takes longer; EXIT raises.

        Raises:
            CallTimeoutError: a task took too long, and ``on_timeout`` is EXIT.
            ValueError: ``max_concurrency`` is less than 1.
        """
        owner = Process.caller()
        link = owner is not None and not owner.trap_exit
        return _stream(supervisor, function, items, link, max_concurrency, ordered, timeout, on_timeout)

    @staticmethod
    def async_stream_nolink(
        supervisor: Server,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        ordered: bool = True,
        timeout: float | None = DEFAULT_TIMEOUT,
        on_timeout: OnTimeout = OnTimeout.EXIT,
    ) -> AsyncGenerator[Outcome, None]:
        """Do as `async_stream`, but the caller survives a crash, and gets `Exited` for it."""
        return _stream(supervisor, function, items, False, max_concurrency, ordered, timeout, on_timeout)  # noqa: FBT003


def _spec(
    function: Callable[..., Any],
    args: Sequence[object],
    task: Task | None,
    restart: Restart = Restart.TEMPORARY,
    shutdown: Patience = DEFAULT_SHUTDOWN,
) -> ChildSpec:
    name = getattr(function, "__qualname__", repr(function))
    return _TaskServer.child_spec(function, args, task, id=name, restart=restart, shutdown=shutdown)


async def _start(supervisor: Server, function: Callable[..., Any], args: Sequence[object], task: Task) -> Task:
    await start_child(supervisor, _spec(function, args, task))
    return task


async def _stream(
    supervisor: Server,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    link: bool,  # noqa: FBT001
    max_concurrency: int,
    ordered: bool,  # noqa: FBT001
    timeout: float | None,
    on_timeout: OnTimeout,
) -> AsyncGenerator[Outcome, None]:
    if max_concurrency < 1:
        msg = f"max_concurrency is at least 1, not {max_concurrency}"
        raise ValueError(msg)
    to_do = iter(items)
    tasks: list[Task] = []  # whose outcome was not yielded yet, in the order of items
    try:
        while True:
            for item in islice(to_do, max_concurrency - len(tasks)):
                tasks.append(await _start(supervisor, function, [item], Task(link=link, notify=False, timeout=timeout)))  # noqa: PERF401
            if not tasks:
                return
            wanted = tasks[:1] if ordered else tasks
            await asyncio.wait([task._done for task in wanted], return_when=asyncio.FIRST_COMPLETED)
            task = next(task for task in tasks if task._done.done())
            tasks.remove(task)
            outcome = task._done.result()
            if outcome == Exited(Timeout()) and on_timeout is OnTimeout.EXIT:
                raise CallTimeoutError(task.ref, function, timeout or 0.0)
            yield outcome
    finally:
        for task in tasks:
            task._end(Killed())
