"""Faults that wait for their moment in a process: each is in force from its making until it is removed."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from typing_extensions import override

from supervisors.debug import Debug
from supervisors.errors import SupervisorsError
from supervisors.messages import Cast, Continue, Exit, From
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.server_process import SystemMessage
from supervisors.system import System

__all__ = ["Fault", "InjectedFault", "crash", "delay", "drop", "duplicate", "stall"]

Selector: TypeAlias = Ref | str | type[Process]
Callback: TypeAlias = Literal["init", "handle_call", "handle_cast", "handle_info", "handle_continue", "terminate"]
Arrival: TypeAlias = tuple[float, object]

ANYTHING: Final = object  # every message is an instance of it


class InjectedFault(SupervisorsError):  # noqa: N818 -- what it is
    """What a process raises where `crash` has it crash, in ``callback``."""

    def __init__(self, callback: str, ref: Ref) -> None:
        super().__init__(f"injected into {callback} of {ref}")
        self.callback = callback
        self.ref = ref


class Fault:
    """One fault in the current System: a context manager, or `remove` it.

    Args:
        selector: which processes have it, of those that run and those that will: all that were started with a
            registered name, all of a class, or one.
        when: which messages: a class's instances, those that a predicate is true for, or those that equal it. A
            request, cast or term is looked at without what carries it.
        nth: the first of these that it hits, counted over all its processes and their restarts, from 1.
        times: how many it hits, from that on.
        chance: the probability that it hits at all, drawn from `System.random`.

    Attributes:
        fired: how many it has hit.
    """

    def __init__(
        self, selector: Selector, when: object, *, nth: int = 1, times: float = 1, chance: float = 1.0
    ) -> None:
        self.fired = 0
        self._seen = 0
        self._selector = selector
        self._matches = _predicate(when)
        self._window = (nth, nth + times)
        self._chance = chance
        self._removed = asyncio.Event()
        self._system = System.current()
        self._system.fault_rules.append(self._rule)
        for process in self._system.processes:
            if self._rule(process):
                process.debug_with(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the fault out of all processes; whom it stalls goes on. Twice is once."""
        if self._removed.is_set():
            return
        self._removed.set()
        self._system.fault_rules.remove(self._rule)
        for process in self._system.processes:
            process.debug_without(self)

    def arriving(self, process: Process, message: object) -> Iterable[Arrival]:
        """See `Debug`."""
        return [(0.0, message)]

    def before(self, process: Process, callback: str, message: object) -> Awaitable[None] | None:
        """See `Debug`."""
        return None

    def after(self, process: Process, callback: str, message: object, result: object) -> None:
        """See `Debug`."""

    def _rule(self, process: Process) -> Debug | None:
        match self._selector:
            case Ref() as ref:
                selected = process.ref is ref
            case str(name):
                selected = process.ref.name == name
            case cls:
                selected = isinstance(process.server, cls)
        return self if selected else None

    def _hits(self, message: object) -> bool:
        if not self._matches(_content(message)):
            return False
        if self._chance < 1 and self._system.random.random() >= self._chance:
            return False
        self._seen += 1
        first, end = self._window
        if not first <= self._seen < end:
            return False
        self.fired += 1
        return True


class _CallbackFault(Fault):
    """Does ``effect`` before ``callback``."""

    def __init__(
        self,
        selector: Selector,
        callback: Callback,
        effect: "Callable[[Fault, Process], Awaitable[None] | None]",
        when: object,
        **hits: Any,
    ) -> None:
        self._callback = callback
        self._effect = effect
        super().__init__(selector, when, **hits)

    @override
    def before(self, process: Process, callback: str, message: object) -> Awaitable[None] | None:
        if callback != self._callback or not self._hits(message):
            return None
        return self._effect(self, process)


class _ArrivalFault(Fault):
    """Puts one copy of a message into the mailbox for each of ``delays``, so many seconds late."""

    def __init__(self, selector: Selector, delays: Iterable[float], when: object, **hits: Any) -> None:
        self._delays = tuple(delays)
        super().__init__(selector, when, **hits)

    @override
    def arriving(self, process: Process, message: object) -> Iterable[Arrival]:
        # Signals and the runtime's own messages are never lost: not in Erlang either, within a node.
        if isinstance(message, Exit | SystemMessage) or not self._hits(message):
            return [(0.0, message)]
        return [(delay, message) for delay in self._delays]


def crash(selector: Selector, callback: Callback, when: object = ANYTHING, *, nth: int = 1, times: float = 1) -> Fault:
    """Have ``callback`` raise `InjectedFault` instead of running, on the ``nth`` matching message, ``times`` times.

    ``init`` has no message, ``terminate`` the last one; without ``when`` the n-th time the callback runs is meant.
    """

    def effect(_: Fault, process: Process) -> None:
        raise InjectedFault(callback, process.ref)

    return _CallbackFault(selector, callback, effect, when, nth=nth, times=times)


def stall(
    selector: Selector,
    seconds: float | None = None,
    callback: Callback = "terminate",
    when: object = ANYTHING,
    *,
    nth: int = 1,
    times: float = math.inf,
) -> Fault:
    """Have ``callback`` wait for ``seconds``, None for ever, before it runs; or until the fault is removed."""

    async def wait(fault: Fault) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await fault._removed.wait()

    return _CallbackFault(selector, callback, lambda fault, _: wait(fault), when, nth=nth, times=times)


def drop(
    selector: Selector, when: object = ANYTHING, *, nth: int = 1, times: float = math.inf, chance: float = 1.0
) -> Fault:
    """Lose matching calls, casts and infos on their way into the mailbox. Exit signals are never lost."""
    return _ArrivalFault(selector, (), when, nth=nth, times=times, chance=chance)


def delay(
    selector: Selector,
    seconds: float,
    when: object = ANYTHING,
    *,
    nth: int = 1,
    times: float = math.inf,
    chance: float = 1.0,
) -> Fault:
    """Deliver matching calls, casts and infos ``seconds`` late: later ones may overtake them."""
    return _ArrivalFault(selector, (seconds,), when, nth=nth, times=times, chance=chance)


def duplicate(
    selector: Selector, when: object = ANYTHING, *, nth: int = 1, times: float = math.inf, chance: float = 1.0
) -> Fault:
    """Deliver matching calls, casts and infos twice. The caller gets the first answer, the second is lost."""
    return _ArrivalFault(selector, (0.0, 0.0), when, nth=nth, times=times, chance=chance)


def _predicate(when: object) -> Callable[[object], bool]:
    if isinstance(when, type):
        return lambda message: isinstance(message, when)
    if callable(when):
        return lambda message: bool(when(message))
    return lambda message: bool(message == when)


def _content(message: object) -> object:
    match message:
        case From() | Cast():
            return message.request
        case Continue(term):
            return term
    return message
