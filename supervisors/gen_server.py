"""The generic server: state kept by one process, changed by one message at a time.

Erlang: gen_server, with proc_lib's start and sys's system messages.
"""

import inspect
from collections.abc import Awaitable
from functools import partial
from typing import Any, ClassVar, TypeAlias, cast

from typing_extensions import override

from supervisors._pykka import Actor, ActorFuture, ActorRegistry
from supervisors.child_specs import ChildSpec, ChildType, Restart
from supervisors.errors import NoCurrentProcessError, UnexpectedRequestError
from supervisors.exit_reason import Crashed
from supervisors.inbox import Inbox
from supervisors.messages import From, MonitorRef, NoReply, Refuse, Reply, Stop
from supervisors.process import current_process
from supervisors.ref import Ref
from supervisors.reports import report_unexpected
from supervisors.server_process import ServerProcess
from supervisors.spawn import spawn
from supervisors.system import System

__all__ = ["GenServer", "State"]

CallResult: TypeAlias = "Reply | NoReply | Refuse | Stop | Awaitable[Reply | NoReply | Refuse | Stop]"
InfoResult: TypeAlias = "NoReply | Stop | None | Awaitable[NoReply | Stop | None]"


class State(dict[str, Any]):
    """A copy of a server's attributes; ``state["count"]`` is ``state.count``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @override
    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


class GenServer(Actor):
    """A server process. Subclass it and write the callbacks that you need, ``def`` or ``async def``.

    The attributes set on ``self`` are its state: no one else touches them. A callback that waits (``await``) holds
    up this process only; one that blocks holds up all. What a callback raises ends the process with `Crashed`, after
    ``terminate``.

    Class attributes:
        trap_exit: exit signals become `Exit` messages, and ``terminate`` runs when the parent ends the process.
            Also settable in ``init``.
        max_mailbox: how many messages may wait, None without bound.
    """

    __slots__ = ("_actor_arguments", "_actor_ref")  # all that is not the user's; Pykka's own begin so too

    trap_exit: bool = False
    max_mailbox: int | None = None
    is_supervisor: ClassVar[bool] = False
    _actor_process_class: ClassVar[type[ServerProcess]] = ServerProcess
    _actor_answers_at_once: ClassVar[bool] = False  # no callback that answers a call is a coroutine
    _actor_receives: ClassVar[bool] = False  # it has an on_receive of its own

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._actor_answers_at_once = not inspect.iscoroutinefunction(cls.handle_call)
        cls._actor_receives = cls.on_receive is not GenServer.on_receive

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._actor_arguments = (args, kwargs)
        self._actor_ref: Ref = self._actor_process_class(self).ref

    @override
    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self._actor_ref}>"

    __str__ = __repr__

    # Callbacks

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up, from the arguments of `start_link`. The starter waits for it.

        Returns:
            None to run; `NoReply` to run with a time-out; `Continue`, `Ignore` or `Stop`.

        Raises:
            TypeError: there are arguments; write an ``init`` that takes them.
        """
        if args or kwargs:
            msg = f"{type(self).__name__} has no init, but was started with arguments"
            raise TypeError(msg)
        hook: Any = self.on_start  # a process's may be async
        started = hook()
        return started if inspect.isawaitable(started) else None

    def handle_call(self, request: Any, from_: From) -> CallResult:
        """Answer ``request``: `Reply`; `NoReply` and later `reply`; `Refuse`; or `Stop`.

        Raises:
            UnexpectedRequestError: always; so does yours for a request that it does not know.
        """
        raise UnexpectedRequestError(request, self.actor_ref)

    def handle_cast(self, request: Any) -> InfoResult:
        """Act on ``request``; nobody waits for an answer.

        Raises:
            UnexpectedRequestError: always; so does yours for a request that it does not know.
        """
        raise UnexpectedRequestError(request, self.actor_ref)

    def handle_info(self, info: Any) -> InfoResult:
        """Act on any other message: `Down`, `Exit`, `Timeout`, what `send` sent. The default reports and drops it."""
        report_unexpected(self.actor_ref, info)
        return None

    def handle_continue(self, term: Any) -> InfoResult:
        """Act on the term that a callback asked to continue with, before any message is looked at.

        Raises:
            UnexpectedRequestError: always; so does yours for a term that it does not know.
        """
        raise UnexpectedRequestError(term, self.actor_ref)

    def terminate(self, reason: Any) -> Any:
        """Clean up. Runs after `Stop`, a crash, `stop`, and when a parent ends a process that traps exits.

        Never after a kill, or an exit signal to a process that does not trap exits. What it raises is the exit
        reason.
        """
        hook: Any = self.on_stop
        args: tuple[object, ...] = ()
        if isinstance(reason, Crashed):
            hook = self.on_failure
            args = (type(reason.error), reason.error, reason.error.__traceback__)
        return hook(*args)

    def system_get_state(self) -> Any:
        """Return what `sys.get_state` shows: the attribute ``state`` if there is one, else a `State`.

        Erlang: ``system_get_state/1``.
        """
        attributes = vars(self)
        if "state" in attributes:
            return attributes["state"]
        return State((name, value) for name, value in attributes.items() if name != "trap_exit")

    def system_replace_state(self, state: Any) -> None:
        """Install ``state``, of the shape that `system_get_state` returns. Erlang: ``system_replace_state/2``.

        Raises:
            TypeError: ``state`` is not of that shape.
        """
        attributes = vars(self)
        if "state" in attributes:
            attributes["state"] = state
            return
        if not isinstance(state, dict):
            msg = f"the new state is a mapping of attributes, not {state!r}"
            raise TypeError(msg)
        for name in attributes.keys() - state.keys() - {"trap_exit"}:
            del attributes[name]
        attributes.update(state)

    # Start

    @classmethod
    async def start_link(cls, *args: Any, name: Any = None, timeout: float | None = None, **kwargs: Any) -> Ref:
        """Start a server linked to the current process, and wait until its ``init`` is done.

        Args:
            args: given to ``init``, as ``kwargs`` are.
            name: registered before ``init`` runs; a string, or a `Via`.
            timeout: seconds that ``init`` may take.

        Returns:
            Its ref; None when ``init`` returned `Ignore`.

        Raises:
            StartError: ``init`` stopped, raised or took too long. A starter that does not trap exits ends too.
            AlreadyStartedError: the name is taken; ``init`` did not run.
            NoCurrentProcessError: this is not inside a process; use `System.start`.
        """
        parent = current_process(f"{cls.__name__}.start_link")
        process = cls(*args, **kwargs)._actor_process
        # None is rare, and checking for it everywhere is not.
        return await spawn(process, parent.system, name=name, timeout=timeout, parent=parent, link=True)  # type: ignore[return-value]

    @classmethod
    async def start_monitor(
        cls,
        *args: Any,
        name: Any = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> tuple[Ref, MonitorRef]:
        """Start a server that the current process monitors, not linked; otherwise as `start_link`."""
        watcher = current_process(f"{cls.__name__}.start_monitor")
        process = cls(*args, **kwargs)._actor_process
        ref = await spawn(process, watcher.system, name=name, timeout=timeout, parent=None)
        if ref is None:
            return None  # type: ignore[return-value]  # as above
        mref = MonitorRef(ref)
        watcher.watch(mref, ref._process)
        return ref, mref

    @classmethod
    def child_spec(
        cls,
        *args: Any,
        id: object = None,  # noqa: A002 -- the field's word
        name: Any = None,
        restart: Restart = Restart.PERMANENT,
        shutdown: Any = None,
        significant: bool = False,
        **kwargs: Any,
    ) -> ChildSpec:
        """Return the spec of this server as a child: started with `start_link`, ``args`` and ``kwargs``.

        ``id`` is the name, or the class's name, unless given; ``shutdown`` 5 s, for a supervisor INFINITY.

        Raises:
            ChildSpecError: a field has a value that it cannot have.
        """
        return ChildSpec(
            id=id if id is not None else name or cls.__name__,
            start=partial(cls.start_link, *args, name=name, **kwargs),
            restart=restart,
            shutdown=shutdown,
            type=ChildType.SUPERVISOR if cls.is_supervisor else ChildType.WORKER,
            significant=significant,
            modules=(cls,),
        )

    @override
    def on_receive(self, message: Any) -> Any:
        """Answer Pykka's ``ask`` and take its ``tell``; without it these are a call and a cast.

        Call ``super().on_receive(message)`` for a message that it does not know: that one is reported, and answered
        with None.
        """
        report_unexpected(self.actor_ref, message)

    # Pykka's hooks

    @property
    @override
    def actor_ref(self) -> Any:
        """The ref of this process. Also `current`, in a callback."""
        return self._actor_ref

    @property
    @override
    def actor_urn(self) -> str:  # type: ignore[override]
        """See `pykka.Actor.actor_urn`."""
        return self._actor_ref.actor_urn

    @property
    @override
    def actor_stopped(self) -> Any:  # type: ignore[override]
        """See `pykka.Actor.actor_stopped`."""
        return self._actor_ref.actor_stopped

    @property
    @override
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """See `pykka.Actor.actor_inbox`."""
        return self._actor_ref.actor_inbox

    @staticmethod
    @override
    def _create_actor_inbox() -> Inbox:
        msg = "a process makes its own inbox"
        raise NotImplementedError(msg)

    @staticmethod
    @override
    def _create_future() -> ActorFuture[Any]:
        return ActorFuture()

    @override
    def _start_actor_loop(self) -> None:
        try:
            system = System.current()
        except NoCurrentProcessError:
            ActorRegistry.unregister(self._actor_ref)
            raise
        self._actor_process.start_unlinked(system)

    # What the runtime needs

    @property
    def _actor_process(self) -> ServerProcess:
        """The process that this is the server of. Only while it lives."""
        return cast("ServerProcess", self._actor_ref._process)

    def _actor_init(self) -> Any:
        """Call ``init``; called once, first of all."""
        args, kwargs = self._actor_arguments
        self._actor_arguments = ((), {})
        return self.init(*args, **kwargs)
