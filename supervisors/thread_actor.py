"""Blocking work under supervision: a `pykka.ThreadingActor` as a child.

The child that its supervisor sees is a small server that hosts the thread: it hands every message on and answers when
the thread has, so that the loop never waits.
"""

import asyncio
import concurrent.futures
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from typing_extensions import override

from supervisors._pykka import ActorDeadError, ThreadingActor, WatchedThread, is_proxy_message, stop_request, watched
from supervisors.child_specs import ChildSpec, Restart
from supervisors.errors import ProcessExit
from supervisors.exit_reason import ExitReason, Normal
from supervisors.gen_server import GenServer
from supervisors.inbox import AskFrom
from supervisors.messages import Exit, From, NoReply, Stop
from supervisors.reports import report_abandoned
from supervisors.server_process import ServerProcess

__all__ = ["child_spec"]


def child_spec(
    cls: type[GenServer] | type[ThreadingActor],
    *args: Any,
    id: object = None,  # noqa: A002 -- the field's word
    name: Any = None,
    restart: Restart = Restart.PERMANENT,
    shutdown: Any = None,
    significant: bool = False,
    **kwargs: Any,
) -> ChildSpec:
    """Return the spec of a child of class ``cls``: a server or supervisor, or a `pykka.ThreadingActor`.

    The first are started as their own ``child_spec`` says. A ThreadingActor is made, from ``args`` and ``kwargs``, on
    the loop, so its ``__init__`` must not block; ``on_start``, which the start waits for, and all else run in its
    thread. It gets calls and Pykka's asks, casts, infos and tells in ``on_receive``, the calls of a proxy as
    Pykka has it. What it raises at a call or ask goes to the caller; what it raises otherwise ends it with `Crashed`,
    its own ``stop`` with `Normal`. Its supervisor stops it after the messages it has; a thread that takes longer than
    ``shutdown`` seconds is abandoned and reported, for nothing can kill it. A class attribute ``max_mailbox`` bounds
    the messages that wait, as in `GenServer`.

    Raises:
        ChildSpecError: a field has a value that it cannot have.
        TypeError: ``cls`` is no such class.
    """
    options = {"id": id, "name": name, "restart": restart, "shutdown": shutdown, "significant": significant}
    if issubclass(cls, GenServer):
        return cls.child_spec(*args, **options, **kwargs)
    if not issubclass(cls, ThreadingActor):
        raise TypeError(f"a child is a GenServer, a Supervisor or a ThreadingActor, not {cls.__name__}")
    options["id"] = id if id is not None else name or cls.__name__
    return replace(ThreadHost.child_spec(watched(cls), *args, **options, **kwargs), modules=(cls,))


@dataclass(frozen=True, slots=True)
class ThreadEnded:
    """The thread ended by itself."""

    reason: ExitReason


class HostProcess(ServerProcess):
    """The process of a `ThreadHost`: what a process is, the thread is."""

    __slots__ = ()

    @property
    def host(self) -> "ThreadHost":
        """The server, as what it is."""
        return cast("ThreadHost", self.server)

    @property
    @override
    def proxied(self) -> WatchedThread:
        return self.host._thread

    @property
    @override
    def mailbox_length(self) -> int:
        waiting: Any = self.host._actor and self.host._actor.actor_inbox
        return super().mailbox_length + (waiting.qsize() if waiting else 0)

    @override
    def bury(self, reason: ExitReason) -> None:
        super().bury(reason)
        if self.host._actor is not None and not self.host._thread_down.done():
            report_abandoned(self.ref)
            self.host._actor.abandon()

    @override
    def _handle_envelope(self, message: Any) -> Generator[Any, Any, Any]:
        if isinstance(message, AskFrom) and is_proxy_message(message.envelope):
            return self.host.handle_call(message.request, message)
        if not isinstance(message, AskFrom) and is_proxy_message(message):
            return self.host.handle_cast(message.message)
        return (yield from super()._handle_envelope(message))


class ThreadHost(GenServer):
    """Stands for one thread among the processes. Its ref shows the actor's class, and makes proxies of the actor."""

    trap_exit = True
    _actor_process_class = HostProcess

    _actor: WatchedThread | None = None

    def __init__(self, cls: type[WatchedThread], *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.actor_ref.actor_class = cls
        self._actor_process.max_mailbox = getattr(cls, "max_mailbox", None)

    @override
    async def init(self, *args: Any, **kwargs: Any) -> Stop | None:
        self._loop = asyncio.get_running_loop()
        self._thread_up: asyncio.Future[ExitReason] = self.loop.create_future()
        self._thread_down: asyncio.Future[ExitReason] = self.loop.create_future()
        cls: Any = self.actor_ref.actor_class
        self._actor = cls.start_watched(self, *args, **kwargs)
        failed = await self._thread_up
        return None if failed is None else Stop(failed)

    @override
    def handle_call(self, request: Any, from_: From) -> NoReply:
        answer: concurrent.futures.Future[Any] = self._thread.actor_ref.ask(request, block=False).promise  # type: ignore[attr-defined]
        answer.add_done_callback(lambda answer: self._thread.tell_watcher(self._answer, from_, answer))
        return NoReply()

    @override
    def handle_cast(self, request: Any) -> None:
        with suppress(ActorDeadError):
            self._thread.actor_ref.tell(request)

    @override
    def handle_info(self, info: Any) -> Stop | None:
        match info:
            case ThreadEnded(reason):
                return Stop(reason)
            case Exit(_, reason):  # it traps exits only to stop the thread
                return None if isinstance(reason, Normal) else Stop(reason)
        self.handle_cast(info)
        return None

    @override
    async def terminate(self, reason: Any) -> None:
        if not self._thread_down.done():
            _ = stop_request(self._thread.actor_ref)
            ended = await asyncio.shield(self._thread_down)  # a kill cancels what is waited for
            if not isinstance(ended, Normal):
                raise ProcessExit(ended)

    # What the thread says

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that this lives on."""
        return self._loop

    def thread_started(self) -> None:
        """Let ``init`` return."""
        if not self._thread_up.done():
            self._thread_up.set_result(None)

    def thread_ended(self, reason: ExitReason) -> None:
        """End as the thread did."""
        if not self._thread_up.done():
            self._thread_up.set_result(reason)
        self._thread_down.set_result(reason)
        if self.actor_ref.is_alive():
            self._actor_process.deliver(ThreadEnded(reason))

    def _answer(self, from_: From, answer: "concurrent.futures.Future[Any]") -> None:
        error = answer.exception()
        if error is None:
            from_.reply(answer.result())
        elif not (isinstance(error, ActorDeadError) and self._thread.actor_stopped.is_set()):
            from_.refuse(error)  # else this process ends too, and the call fails with the reason for that

    @property
    def _thread(self) -> WatchedThread:
        assert self._actor is not None  # noqa: S101 -- set in init
        return self._actor
