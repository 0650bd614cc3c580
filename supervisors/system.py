"""One node's world: its names, clock, chance, processes and reports.

Several Systems live in one Python process without seeing each other's names, as Erlang nodes on one machine.
"""

import asyncio
import itertools
import os
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakKeyDictionary

from typing_extensions import override

from supervisors.child_specs import DEFAULT_SHUTDOWN, INFINITY, Patience
from supervisors.debug import Debug
from supervisors.errors import (
    AlreadyRegisteredError,
    CallingSelfError,
    NoCurrentProcessError,
    NotFoundError,
    SystemStoppedError,
)
from supervisors.exit_reason import ExitReason, Shutdown
from supervisors.life import RunQueue, Turn
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.spawn import spawn, stop_process
from supervisors.tree import TreeNode, tree_of

if TYPE_CHECKING:
    from supervisors.gen_server import GenServer
    from supervisors.names import Via
    from supervisors.table import Table

__all__ = ["System"]

SEED_BYTES: Final = 16

_entered: ContextVar["System"] = ContextVar("supervisors.system")
_implicit: "WeakKeyDictionary[asyncio.AbstractEventLoop, System]" = WeakKeyDictionary()


class System:
    """One node's world, an async context manager: leaving it stops what runs in it.

    Args:
        name: shown in reports and trees.
        seed: of ``random``, the System's only source of chance; None for one that differs each time.
    """

    def __init__(self, name: str = "system", *, seed: int | None = None) -> None:
        self.name = name
        self.random = random.Random(int.from_bytes(os.urandom(SEED_BYTES)) if seed is None else seed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run_queue: RunQueue | None = None
        self._thread = 0
        self._pids = itertools.count(1)
        self._names: dict[str, Ref] = {}
        self._processes: dict[Process, None] = {}
        self._roots: dict[Ref, None] = {}
        self._dying: deque[tuple[Process, ExitReason]] = deque()
        self._burying = False
        self._stopped = False
        self._token: Token[System] | None = None
        self.fault_rules: list[Callable[[Process], Debug | None]] = []
        self.tables: dict[str, dict[str, Table[Any, Any]]] = {}  # by the name of their TableOwner, which may crash

    @override
    def __repr__(self) -> str:
        return f"<System {self.name}>"

    __str__ = __repr__

    async def __aenter__(self) -> Self:
        self._bind()
        self._token = _entered.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _entered.reset(self._token)
            self._token = None
        await self.stop()

    @staticmethod
    def current() -> "System":
        """Return the System of the current process, or of the ``async with System()`` around, or of the loop.

        Raises:
            NoCurrentProcessError: there is none, nor a running loop to make one on.
        """
        process = Process.caller()
        if process is not None:
            return process.system
        system = _entered.get(None)
        if system is not None:
            return system
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            msg = "no System here: run this inside `async with System():`"
            raise NoCurrentProcessError(msg) from None
        system = _implicit.get(loop)
        if system is None:
            system = _implicit[loop] = System("default")
            system._bind()
        return system

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that every process of this System runs on: the one where it was first used."""
        if self._loop is None:
            self._bind()
        assert self._loop is not None  # noqa: S101 -- _bind set it
        return self._loop

    @property
    def run_queue(self) -> RunQueue:
        """The processes that have something to do."""
        if self._run_queue is None:
            self._run_queue = RunQueue(self.loop)
        return self._run_queue

    @property
    def thread(self) -> int:
        """The id of the loop's thread."""
        return self._thread

    def turn(self) -> Turn:
        """Return a context, for a callback of the loop, at whose end those processes go on that got messages in it.

        So what they do is done when the callback goes on. Otherwise they go on soon after it.
        """
        return Turn(self.run_queue)

    def now(self) -> float:
        """Return the loop's clock, in seconds."""
        loop = self._loop
        return self.loop.time() if loop is None else loop.time()

    async def start(
        self,
        cls: "type[GenServer]",
        *args: Any,
        name: "str | Via | None" = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Ref:
        """Start a root process, from outside: linked to nothing, ended by `stop`. Erlang: ``gen_server:start``.

        Args:
            cls: its class; ``args`` and ``kwargs`` are given to its ``init``.
            name: registered before ``init`` runs; a string, or a `Via`.
            timeout: seconds that ``init`` may take.

        Returns:
            Its ref; None when ``init`` returned `Ignore`.

        Raises:
            StartError: ``init`` stopped, raised or took too long; `AlreadyStartedError`: the name is taken.
            SystemStoppedError: the System was stopped.
        """
        process = cls(*args, **kwargs)._actor_process
        ref = await spawn(process, self, name=name, timeout=timeout, parent=None)
        if ref is not None and ref.is_alive():
            self._roots[ref] = None
        return ref  # type: ignore[return-value]  # None is rare, and checking for it everywhere is not

    async def stop(self, reason: ExitReason = Shutdown()) -> None:  # noqa: B008 -- frozen
        """End every root process in reverse start order, supervisors with all the time they need, then any other.

        Workers get 5 s each before they are killed. Twice is once.

        Raises:
            CallingSelfError: a process of this System would wait for its own end.
        """
        caller = Process.caller()
        if caller is not None and caller.system is self:
            raise CallingSelfError(self)
        self._stopped = True
        for ref in reversed(list(self._roots)):
            await stop_process(ref, _patience_with(ref), reason)
        for process in list(self._processes):
            await stop_process(process.ref, _patience_with(process.ref), reason)

    def tree(self) -> TreeNode:
        """Return what runs here now, as a value."""
        return tree_of(self.name, self.processes)

    # Names

    def whereis(self, name: str) -> Ref | None:
        """Return the process registered as ``name``, if there is one."""
        return self._names.get(name)

    def register(self, name: str, ref: Ref) -> None:
        """Give ``ref`` a name; a process has one at most, and loses it when it ends.

        Raises:
            AlreadyRegisteredError: the name is taken, or the process has one.
            NotFoundError: the process has ended.
            ValueError: ``name`` is empty or no string.
        """
        if not isinstance(name, str) or not name:
            msg = f"a name is a string that is not empty, not {name!r}"
            raise ValueError(msg)
        if name in self._names:
            raise AlreadyRegisteredError(name, self._names[name])
        if not ref.is_alive():
            raise NotFoundError(ref)
        if ref.name is not None:
            raise AlreadyRegisteredError(ref.name, ref)
        self._names[name] = ref
        ref.name = name

    def unregister(self, name: str) -> None:
        """Take a name away.

        Raises:
            NotFoundError: nothing has that name.
        """
        ref = self._names.pop(name, None)
        if ref is None:
            raise NotFoundError(name)
        ref.name = None

    def registered(self) -> list[str]:
        """Return all names, in order of registration."""
        return list(self._names)

    # For processes

    @property
    def processes(self) -> list[Process]:
        """All processes alive, in start order."""
        return list(self._processes)

    @property
    def roots(self) -> list[Ref]:
        """The processes that `start` started, in start order."""
        return list(self._roots)

    def check_running(self) -> None:
        """Raise `SystemStoppedError` once the System was stopped."""
        if self._stopped:
            msg = f"{self} was stopped: start a new System"
            raise SystemStoppedError(msg)

    def adopt(self, process: Process) -> int:
        """Count ``process`` in and return its pid."""
        for rule in self.fault_rules:
            debug = rule(process)
            if debug is not None:
                process.debug_with(debug)
        self._processes[process] = None
        return next(self._pids)

    def forget(self, process: Process) -> None:
        """Count ``process`` out; its name is free."""
        self._processes.pop(process, None)
        ref = process.ref
        self._roots.pop(ref, None)
        if ref.name is not None and self._names.get(ref.name) is ref:
            del self._names[ref.name]

    def bury(self, process: Process, reason: ExitReason) -> None:
        """Tell the others that ``process`` ended; one after the other, however long the chain of links."""
        self._dying.append((process, reason))
        if self._burying:
            return
        self._burying = True
        try:
            while self._dying:
                dead, why = self._dying.popleft()
                dead.bury(why)
        finally:
            self._burying = False

    def run_in_loop(self, function: Callable[..., None], *args: object) -> None:
        """Call ``function`` in the loop's thread: now where this is it, soon from another, never once it is closed."""
        if get_ident() == self._thread:
            function(*args)
        else:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(function, *args)

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._thread = get_ident()
        elif self._loop is not loop:
            msg = f"{self} runs on another loop"
            raise RuntimeError(msg)


def _patience_with(ref: Ref) -> Patience:
    return INFINITY if ref.actor_class.is_supervisor else DEFAULT_SHUTDOWN
