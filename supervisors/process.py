"""A process: mailbox, links, monitors, exit signals, trapping.

Erlang: what ``erlang:link/1``, ``monitor/2``, ``exit/2`` and ``process_flag(trap_exit, _)`` do (Reference Manual,
"Processes").
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from supervisors._pykka import ActorRegistry, is_stop_message
from supervisors.debug import Debug
from supervisors.errors import NoCurrentProcessError, OverloadedError, ProcessExit, StartError
from supervisors.exit_reason import Crashed, ExitReason, Kill, Killed, NoProcess, Normal
from supervisors.inbox import AskFrom, Inbox
from supervisors.life import LifeRunner
from supervisors.messages import Down, Exit, From, MonitorRef
from supervisors.ref import Ref
from supervisors.reports import report_dropped, report_port

if TYPE_CHECKING:
    from supervisors.children import ChildState
    from supervisors.gen_server import GenServer
    from supervisors.port import Closeable
    from supervisors.system import System

__all__ = ["ParentExit", "Process", "current", "current_process", "reason_of", "start_error"]

_current: ContextVar[Ref] = ContextVar("supervisors.current")  # a task left behind keeps no dead process alive


def current() -> Ref:
    """Return the ref of the process that this runs in. Erlang: ``self()``.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    return current_process("current()").ref


def current_process(what: str) -> "Process":
    """Return the process that this runs in, for ``what``.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    process = Process.caller()
    if process is None:
        msg = f"{what} works only inside a process: call it from a callback, or use System.start and Ref methods"
        raise NoCurrentProcessError(msg)
    return process


def reason_of(error: BaseException) -> ExitReason:
    """Return the exit reason of a process whose callback raised ``error``."""
    return error.reason if isinstance(error, ProcessExit) else Crashed(error)


class Process(LifeRunner):
    """One process: what the runtime keeps of it, apart from the ``server``, whose callbacks and state are the user's.

    Runs on its System's loop; of its methods only the ``deliver`` ones and `signal` may be called in another thread.
    """

    __slots__ = (
        "_calls",
        "_debug",
        "_dropped",
        "_ends",
        "_held",
        "_links",
        "_monitoring",
        "_monitors",
        "_ports",
        "_queue",
        "_registered",
        "_starter",
        "_system",
        "_timers",
        "_visitors",
        "answers_at_once",
        "max_mailbox",
        "ref",
        "server",
    )

    def __init__(self, server: "GenServer") -> None:
        self.server = server
        self.max_mailbox = server.max_mailbox
        self.answers_at_once = server._actor_answers_at_once
        self._life = None
        self._task = None
        self._awaiting = False
        self._waiting = False
        self._exit = None
        self._queue: deque[object] | None = None  # made for the first message
        self._held: deque[object] | None = None  # kept back while suspended
        self._links: dict[Process, None] | None = None
        self._monitors: dict[MonitorRef, Process] | None = None
        self._monitoring: dict[MonitorRef, Process] | None = None
        self._ends: list[asyncio.Future[ExitReason]] | None = None
        self._calls: set[From] | None = None
        self._timers: dict[asyncio.TimerHandle, None] | None = None
        self._ports: list[Closeable] | None = None
        self._starter: asyncio.Future[Ref | None] | None = None
        self._debug: tuple[Debug, ...] | None = None
        self._visitors: Context | None = None  # in which others run something as this process
        self._dropped = 0
        self._registered = False
        self.ref = Ref(self)

    @override
    def __repr__(self) -> str:
        return f"<Process {self.ref}>"

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals become `Exit` messages."""
        return self.server.trap_exit

    @property
    def is_supervisor(self) -> bool:
        """Whether it supervises others."""
        return self.server.is_supervisor

    @property
    def system(self) -> "System":
        """The System that this process lives in."""
        return self._system

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that this process runs on."""
        return self._run_queue.loop

    @property
    def callback_task(self) -> "asyncio.Task[None] | None":
        """The task that an async callback runs in; None when none does."""
        return self._task

    @property
    def is_busy(self) -> bool:
        """Whether it is in a callback, or has a message to handle."""
        return not self._waiting

    @property
    def ending(self) -> ExitReason:
        """The reason it has been told to end with, while its callback has not noticed; None otherwise."""
        return self._exit

    @property
    def mailbox_length(self) -> int:
        """How many messages wait. Erlang: ``message_queue_len``."""
        return len(self._queue or ()) + len(self._held or ())

    @property
    def links(self) -> list[Ref]:
        """The processes linked to it."""
        return [peer.ref for peer in self._links or ()]

    @property
    def dropped(self) -> int:
        """How many messages the full mailbox dropped."""
        return self._dropped

    @staticmethod
    def caller() -> "Process | None":
        """Return the process that this runs in; None outside."""
        ref = _current.get(None)
        return None if ref is None else ref._process

    def run_as(self, function: Callable[..., Any], *args: object) -> Any:
        """Return ``function(*args)``, run as if this process ran it: what is the process's own can be touched."""
        if _current.get(None) is self.ref:
            return function(*args)
        if self._visitors is None:
            self._visitors = self._context.copy()
        return self._visitors.run(function, *args)

    def family(self) -> "Iterable[tuple[object, ChildState]]":
        """Return the ids and states of the children that it supervises, in start order."""
        return ()

    # Start

    def launch(self, system: "System", parent: "Process | None") -> None:
        """Begin the life in ``system``, started by ``parent``. Call once, on the System's loop."""
        self._system = system
        self._run_queue = system.run_queue
        self.ref.parent = parent.ref if parent is not None else None
        self.ref.pid = system.adopt(self)
        context = self._context = copy_context()
        context.run(_current.set, self.ref)
        self._begin()

    @property
    def is_starting(self) -> bool:
        """Whether ``init`` has not run, or still runs: somebody waits for it."""
        return self._starter is not None

    def started(self) -> None:
        """Tell the starter that ``init`` is done."""
        starter, self._starter = self._starter, None
        if starter is not None and not starter.done():
            starter.set_result(self.ref)

    def ignored(self) -> None:
        """Tell the starter that ``init`` chose not to run."""
        starter, self._starter = self._starter, None
        self._unlink_trapping_parent()
        if starter is not None and not starter.done():
            starter.set_result(None)

    def _unlink_trapping_parent(self) -> None:
        """Leave no stray Exit with a starter that learns the outcome anyway (OTP >= 26; erlang/otp PR 6843)."""
        parent = self.ref.parent and self.ref.parent._process
        if parent and parent.trap_exit:
            self.unlink(parent)

    # Mailbox

    def deliver(self, message: object) -> None:
        """Put ``message`` into the mailbox, whatever its bound. A dead process drops it."""
        if get_ident() != self._system._thread:
            self._system.run_in_loop(self.deliver, message)
        elif self._debug is not None:
            self._deliver_debugged(message)
        else:
            self.insert(message)

    def deliver_bounded(self, message: object) -> None:
        """Put ``message`` into the mailbox; a full one drops and counts it."""
        if self.max_mailbox is None:
            self.deliver(message)
        elif get_ident() != self._system._thread:
            self._system.run_in_loop(self.deliver_bounded, message)
        elif self.mailbox_length >= self.max_mailbox:
            self._drop()
        else:
            self.deliver(message)

    def deliver_call(self, from_: From, message: object) -> None:
        """Put ``message``, which carries the call ``from_``, into the mailbox; it fails when the process ends."""
        if self._calls is None:
            self._calls = {from_}
        else:
            self._calls.add(from_)
        self.deliver(message)

    def settle(self, from_: From) -> None:
        """Forget a call that was answered or given up."""
        if self._calls is not None:
            self._calls.discard(from_)

    def insert(self, message: object) -> None:
        """Put ``message`` into the mailbox untouched by any `Debug`."""
        if self._life is None:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(message)
        if self._waiting:  # `_wake`, without the call
            self._waiting = False
            self._run_queue.put(self)

    def take_out(self, is_unwanted: Callable[[object], bool]) -> None:
        """Take the messages that are unwanted out of the mailbox."""
        for queue in (self._queue, self._held):
            for message in [m for m in queue or () if is_unwanted(m)]:
                queue.remove(message)  # type: ignore[union-attr]

    def _deliver_debugged(self, message: object) -> None:
        arriving: list[tuple[float, object]] = [(0.0, message)]
        for debug in self._debug or ():
            arriving = [
                (delay + more, instead) for delay, one in arriving for more, instead in debug.arriving(self, one)
            ]
        for delay, instead in arriving:
            if delay > 0:
                self.after(delay, self.insert, instead)
            else:
                self.insert(instead)

    def debug_with(self, debug: Debug) -> None:
        """Have ``debug`` look at all that happens from now on."""
        self._debug = (*(self._debug or ()), debug)

    def debug_without(self, debug: Debug) -> None:
        """Undo `debug_with`."""
        self._debug = tuple(d for d in self._debug or () if d is not debug) or None

    @property
    def debugs(self) -> "tuple[Debug, ...]":
        """Who looks at this process."""
        return self._debug or ()

    def _drop(self) -> None:
        self._dropped += 1
        if str(self._dropped).strip("0") == "1":
            report_dropped(self.ref, self._dropped, self.max_mailbox or 0)

    def after(self, delay: float, function: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        """Call ``function`` in ``delay`` seconds, unless the process ends before."""
        handle: asyncio.TimerHandle

        def fire() -> None:
            nonlocal handle
            self._forget_timer(handle)
            del handle  # which refers to this function
            function(*args)

        handle = self.loop.call_later(delay, fire)
        if self._timers is None:
            self._timers = {}
        self._timers[handle] = None
        return handle

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        """Cancel a timer made by `after`."""
        handle.cancel()
        self._forget_timer(handle)

    def _forget_timer(self, handle: asyncio.TimerHandle) -> None:
        if self._timers is not None:
            self._timers.pop(handle, None)

    def open_port(self, resource: "Closeable") -> None:
        """Have ``resource`` closed when the process ends."""
        self._ports = [*(self._ports or ()), resource]

    def forget_port(self, resource: "Closeable") -> None:
        """Have ``resource`` left open when the process ends."""
        self._ports = [port for port in self._ports or () if port is not resource] or None

    def _close_ports(self) -> None:
        ports, self._ports = self._ports, None
        for port in reversed(ports or ()):
            try:
                port.close()
            except Exception as error:
                report_port(self.ref, port, error)

    # Links, monitors, exit signals

    def link(self, other: "Process") -> None:
        """Link the two: when one ends, the other gets an exit signal. Twice is once, and itself is nothing."""
        if other is not self:
            self._linked(other)
            other.system.run_in_loop(other._linked, self)

    def _linked(self, other: "Process") -> None:
        if not self.ref.is_alive():
            other.signal(self.ref, NoProcess(), linked=True)
            return
        if self._links is None:
            self._links = {}
        self._links[other] = None

    def unlink(self, other: "Process") -> None:
        """Undo `link`, if there is one."""
        self._unlinked(other)
        other.system.run_in_loop(other._unlinked, self)

    def _unlinked(self, other: "Process") -> None:
        if self._links is not None:
            self._links.pop(other, None)

    def _peer_ended(self, peer: "Process", reason: ExitReason) -> None:
        if self._links is not None and peer in self._links:
            del self._links[peer]
            self._signalled(peer.ref, reason, linked=True)

    def watch(self, mref: MonitorRef, target: "Process | None") -> None:
        """Have a `Down` for ``mref`` delivered here when ``target`` ends; at once if there is none."""
        if target is None:
            self.deliver(Down(mref, mref.watched, NoProcess()))
        elif target is not self:
            if self._monitoring is None:
                self._monitoring = {}
            self._monitoring[mref] = target
            target.system.run_in_loop(target._watched, mref, self)

    def _watched(self, mref: MonitorRef, watcher: "Process") -> None:
        if not self.ref.is_alive():
            watcher.system.run_in_loop(watcher._went_down, mref, NoProcess())
            return
        if self._monitors is None:
            self._monitors = {}
        self._monitors[mref] = watcher

    def unwatch(self, mref: MonitorRef, *, flush: bool) -> bool:
        """Undo `watch`; False when it has fired already or never was. ``flush`` takes its `Down` back too."""
        target = self._monitoring.pop(mref, None) if self._monitoring is not None else None
        if target is not None:
            target.system.run_in_loop(target._unwatched, mref)
            return True
        if flush:
            self.take_out(lambda message: isinstance(message, Down) and message.monitor is mref)
        return False

    def _unwatched(self, mref: MonitorRef) -> None:
        if self._monitors is not None:
            self._monitors.pop(mref, None)

    def _went_down(self, mref: MonitorRef, reason: ExitReason) -> None:
        if self._monitoring is not None and self._monitoring.pop(mref, None) is not None:
            self.deliver(Down(mref, mref.watched, reason))

    def signal(self, sender: Ref | None, reason: ExitReason, *, linked: bool = False) -> None:
        """Receive an exit signal from ``sender``: through a link, or from `exit_signal`."""
        self._system.run_in_loop(self._signalled, sender, reason, linked)

    def _signalled(self, sender: Ref | None, reason: ExitReason, linked: bool) -> None:  # noqa: FBT001
        if sender is not self.ref and self._in_callback:
            # Signals are asynchronous: what a callback does to others comes back to it when it is done, or waits.
            self._run_queue.is_signalled = True
            self.loop.call_soon(self._signalled, sender, reason, linked)
        elif isinstance(reason, Kill) and not linked:
            self.end(Killed())
        elif self.trap_exit:
            self.deliver(Exit(sender, reason))
        elif not isinstance(reason, Normal) or sender is self.ref:
            self.end(reason)

    def end(self, reason: ExitReason) -> None:
        """End the process with ``reason``, without its consent and without ``terminate``."""
        if self._exit is None or isinstance(reason, Killed):
            self._end_with(reason)

    def order_exit(self, reason: ExitReason) -> None:
        """Tell the process to end, as its parent: who traps exits runs ``terminate`` first."""
        if self.trap_exit:
            self.deliver(ParentExit(self.ref.parent, reason))
        else:
            self.end(reason)

    async def wait_end(self) -> ExitReason:
        """Wait until the process has ended and return its exit reason. Safe to cancel."""
        if self.ref._process is None:
            return self.ref.exit_reason
        end: asyncio.Future[ExitReason] = self.loop.create_future()
        if self._ends is None:
            self._ends = []
        self._ends.append(end)
        try:
            return await end
        finally:
            if self._ends and end in self._ends:
                self._ends.remove(end)

    @override
    def _ended(self, reason: ExitReason) -> None:
        self._system.bury(self, reason)

    def bury(self, reason: ExitReason) -> None:
        """Tell all who have to do with it that this process has ended. Its name is free before anyone learns."""
        ref = self.ref
        if self._starter is not None:
            self._unlink_trapping_parent()
        ref._close(reason)
        self._system.forget(self)
        if self._registered:
            ActorRegistry.unregister(ref)
        for timer in self._timers or ():
            timer.cancel()
        self._close_ports()
        for mref, target in (self._monitoring or {}).items():
            target.system.run_in_loop(target._unwatched, mref)
        links, monitors, ends, calls = self._links, self._monitors, self._ends, self._calls
        self._timers = self._monitoring = self._links = self._monitors = self._ends = self._calls = None
        self._queue = self._held = None
        for from_ in calls or ():
            from_.server_down(reason)
        for end in ends or ():
            if not end.done():
                end.set_result(reason)
        for mref, watcher in (monitors or {}).items():
            watcher.system.run_in_loop(watcher._went_down, mref, reason)
        for peer in links or ():
            peer.system.run_in_loop(peer._peer_ended, self, reason)
        starter, self._starter = self._starter, None
        if starter is not None and not starter.done():
            starter.set_exception(start_error(reason))
        del self._context, self._visitors

    # Pykka's side

    @property
    def proxied(self) -> Any:
        """What Pykka's proxies of this process show."""
        return self.server

    @property
    def inbox(self) -> "Inbox":
        """Where Pykka puts its envelopes."""
        return Inbox(self)

    def start_unlinked(self, system: "System") -> None:
        """Begin the life as Pykka's ``start`` does: linked to nothing, waited for by nobody. In any thread."""
        self._registered = True
        self._system = system
        self._run_queue = system.run_queue
        system.run_in_loop(self.launch, system, None)

    def receive_envelope(self, envelope: Any) -> None:
        """Receive what Pykka sent."""
        bound = None if is_stop_message(envelope) else self.max_mailbox
        is_full = bound is not None and self.mailbox_length >= bound
        if envelope.reply_to is None:
            if is_full:
                self._drop()
            else:
                self.deliver(envelope)
            return
        from_ = AskFrom(envelope, self)
        if not self.ref.is_alive():
            from_.server_down(NoProcess())
        elif is_full:
            from_.refuse(OverloadedError(self.ref, bound or 0, envelope.message))
        else:
            self.deliver_call(from_, from_)


class ParentExit(Exit):
    """An exit signal of the parent, whoever that is."""

    __slots__ = ()


def start_error(reason: ExitReason) -> StartError:
    """Return the error for a process that ended in ``init`` with ``reason``."""
    error = StartError(reason)
    error.__cause__ = getattr(reason, "error", None)
    return error
