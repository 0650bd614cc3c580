"""The generic state machine: a server to which events mean something else in each state.

Erlang: gen_statem.
"""

from abc import abstractmethod
from asyncio import TimerHandle
from collections import deque
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ClassVar, Final, TypeAlias, cast, final

from typing_extensions import override

from supervisors import gen
from supervisors.errors import BadReturnValueError
from supervisors.gen_server import GenServer
from supervisors.messages import NO_REPLY, Cast, From, Ignore, NoReply, Stop
from supervisors.names import Server
from supervisors.server_process import ServerProcess

__all__ = [
    "Enter",
    "EventTimeout",
    "GenStatem",
    "GenericTimeout",
    "KeepState",
    "NextEvent",
    "NextState",
    "Postpone",
    "RepeatState",
    "StateTimeout",
    "call",
]


async def call(server: Server, request: object, timeout: float | None = None) -> Any:
    """Ask ``server`` for an answer to ``request``, as `gen.call` does, but without a time-out unless one is given."""
    return await gen.call(server, request, timeout)


@dataclass(frozen=True, slots=True)
class Enter:
    """The event of having come into a state from ``old_state``: itself at the start, and when it is repeated."""

    old_state: object


@dataclass(frozen=True, slots=True)
class Postpone:
    """Action: keep this event back, and handle it again, before others, once the state has changed."""


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Action: handle ``event`` next, before any that waits; several in their order. Erlang: ``next_event``."""

    event: object


@dataclass(frozen=True, slots=True)
class _Timeout:
    """Action, and later event: comes itself ``after`` so many seconds, with ``content``.

    One that is set again replaces the one before; ``after`` None only takes that away, 0 comes once no other event
    waits here, before any message from outside.
    """

    after: float | None
    content: object = None

    def __post_init__(self) -> None:
        if self.after is not None and self.after < 0:
            raise ValueError(f"a time-out is seconds >= 0, or None, not {self.after}")

    @property
    def key(self) -> object:
        """Tells which time-out it replaces."""
        return type(self)


@dataclass(frozen=True, slots=True)
class StateTimeout(_Timeout):
    """A time-out of the state: a change of the state takes it away."""


@dataclass(frozen=True, slots=True)
class EventTimeout(_Timeout):
    """A time-out of waiting: any event takes it away."""


@dataclass(frozen=True, slots=True)
class GenericTimeout(_Timeout):
    """A time-out that neither events nor states take away; there may be one for each ``name``."""

    name: Hashable = None

    @property
    @override
    def key(self) -> object:
        return GenericTimeout, self.name


Action: TypeAlias = Postpone | NextEvent | StateTimeout | EventTimeout | GenericTimeout


@dataclass(frozen=True, slots=True)
class NextState:
    """Go to ``state``, or stay if that is this one; from ``init``, begin in it."""

    state: Any
    actions: Sequence[Action] = ()


@dataclass(frozen=True, slots=True)
class KeepState:
    """Stay in the state. So does who returns None."""

    actions: Sequence[Action] = ()


@dataclass(frozen=True, slots=True)
class RepeatState:
    """Stay in the state, but `Enter` it again."""

    actions: Sequence[Action] = ()


Result: TypeAlias = "NextState | KeepState | RepeatState | Stop | None"


class StatemProcess(ServerProcess):
    """The process of a `GenStatem`."""

    __slots__ = ()

    @property
    @override
    def mailbox_length(self) -> int:
        """How many messages and events wait, postponed ones too."""
        machine = cast("GenStatem", self.server)
        return super().mailbox_length + len(machine._actor_events) + len(machine._actor_postponed)


class GenStatem(GenServer):
    """A state machine. The state is a value, its data the attributes set on ``self``.

    Subclass it with an ``init`` that returns a `NextState`, and with either ``handle_event``, or a method for each
    state, a string: ``in_open(event)`` for the state "open". What they raise ends the machine, as in `GenServer`.

    An event is: a `From`, a call, with its ``request``, to be answered with `reply`; a `Cast`; a time-out that was
    set; an `Enter`; anything that `NextEvent` inserted; any other message.

    Class attributes:
        state_enter: `Enter` comes whenever a state is entered, before any other event. It must not lead to another
            state, be postponed, or insert events.
    """

    __slots__ = ("_actor_current", "_actor_events", "_actor_postponed", "_actor_timeouts")

    state_enter: ClassVar[bool] = False
    _actor_process_class = StatemProcess

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._actor_current: Any = None
        self._actor_events: deque[object] = deque()  # to be handled before any message
        self._actor_postponed: list[object] = []
        self._actor_timeouts: dict[object, _Timer] = {}

    @abstractmethod
    @override
    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the data up, from the arguments of `start_link`, and return a `NextState`, `Ignore` or `Stop`."""

    def handle_event(self, event: Any, state: Any) -> "Result | Awaitable[Result]":
        """Act on ``event`` in ``state``; the default is to call the method of the state.

        Returns:
            `NextState`, `KeepState`, `RepeatState` or None; or `Stop`, whose ``reply`` answers the call that the event
            is, before ``terminate``.
        """
        return getattr(self, f"in_{state}")(event)  # type: ignore[no-any-return]

    @final
    @override
    async def _actor_init(self) -> NoReply | Ignore | Stop:
        result = super()._actor_init()
        match await result if isawaitable(result) else result:
            case Ignore() | Stop() as unborn:
                return unborn
            case NextState(state, actions):
                self._actor_current = state
                return self._actor_move(None, state, actions, enters=True)
            case nonsense:
                raise BadReturnValueError("init", nonsense)

    @final
    @override
    def handle_call(self, request: Any, from_: From) -> Any:
        return self._actor_handle(from_)

    @final
    @override
    def handle_cast(self, request: Any) -> Any:
        return self._actor_handle(Cast(request))

    @final
    @override
    def handle_info(self, info: Any) -> Any:
        return self._actor_handle(info)

    @final
    @override
    def handle_continue(self, term: Any) -> Any:
        return self._actor_handle(self._actor_events.popleft())

    @override
    def system_get_state(self) -> tuple[Any, Any]:
        """Return the state and the data."""
        return self._actor_current, super().system_get_state()

    @override
    def system_replace_state(self, state: tuple[Any, Any]) -> None:
        current, data = state
        super().system_replace_state(data)
        self._actor_current = current

    def _actor_handle(self, event: object) -> Any:
        if isinstance(event, _Timer):
            if self._actor_timeouts.get(event.timeout.key) is not event:
                return self._actor_go_on()  # it was taken away after it had fired
            del self._actor_timeouts[event.timeout.key]
            event = event.timeout
        if not isinstance(event, Enter):
            self._actor_cancel_timeout(EventTimeout)
        result = self.handle_event(event, self._actor_current)
        return self._actor_await(event, result) if isawaitable(result) else self._actor_act(event, result)

    async def _actor_await(self, event: object, result: Awaitable[Result]) -> NoReply | Stop:
        return self._actor_act(event, await result)

    def _actor_act(self, event: object, result: Any) -> NoReply | Stop:
        """Do what the callback for ``event`` said."""
        match result:
            case None:
                return self._actor_go_on()
            case KeepState(actions):
                return self._actor_move(event, self._actor_current, actions, enters=False)
            case RepeatState(actions):
                return self._actor_move(event, self._actor_current, actions, enters=True)
            case NextState(state, actions):
                return self._actor_move(event, state, actions, enters=state != self._actor_current)
            case Stop(reason, reply):
                if reply is not NO_REPLY and isinstance(event, From):
                    event.reply(reply)
                return Stop(reason)
        raise BadReturnValueError("handle_event", result)

    def _actor_move(self, event: object, state: Any, actions: Sequence[Action], *, enters: bool) -> NoReply:
        """Go from the current state to ``state``. What comes next: the entering, new events, postponed ones, others."""
        old, self._actor_current = self._actor_current, state
        following: list[object] = [Enter(old)] if enters and self.state_enter else []
        following += [action.event for action in actions if isinstance(action, NextEvent)]
        if isinstance(event, Enter) and (following or enters or Postpone() in actions):
            raise BadReturnValueError("handle_event", actions)
        if Postpone() in actions:
            self._actor_postponed.append(event)
        if state != old:
            self._actor_cancel_timeout(StateTimeout)
            following += self._actor_postponed
            self._actor_postponed = []
        self._actor_events.extendleft(reversed(following))
        for action in actions:
            if isinstance(action, _Timeout):
                self._actor_set_timeout(action)
        return self._actor_go_on()

    def _actor_go_on(self) -> NoReply:
        return NoReply(continue_=_NEXT) if self._actor_events else NoReply()

    def _actor_set_timeout(self, timeout: _Timeout) -> None:
        self._actor_cancel_timeout(timeout.key)
        if timeout.after is not None:
            self._actor_timeouts[timeout.key] = timer = _Timer(timeout)
            if timeout.after == 0:
                self._actor_events.append(timer)
            else:
                process = self._actor_process
                timer.handle = process.after(timeout.after, process.deliver, timer)

    def _actor_cancel_timeout(self, key: object) -> None:
        timer = self._actor_timeouts.pop(key, None)
        if timer is not None and timer.handle is not None:
            self._actor_process.cancel(timer.handle)


class _Timer:
    """One time-out that was set. Being its own message, it is known for a late one when another took its place."""

    __slots__ = ("handle", "timeout")

    def __init__(self, timeout: _Timeout) -> None:
        self.timeout = timeout
        self.handle: TimerHandle | None = None


_NEXT: Final = object()  # the term of continuing with the next of the events
