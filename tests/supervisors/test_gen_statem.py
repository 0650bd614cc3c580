import asyncio

import pytest

from supervisors import (
    BadReturnValueError,
    Cast,
    Crashed,
    From,
    Ignore,
    Kill,
    Killed,
    OverloadedError,
    StartError,
    Stop,
    exit_signal,
    reply,
)
from supervisors.gen_statem import (
    Enter,
    EventTimeout,
    GenericTimeout,
    GenStatem,
    KeepState,
    NextEvent,
    NextState,
    Postpone,
    StateTimeout,
    call,
)
from supervisors.sys import get_state, get_status, replace_state
from supervisors.testing import await_exit, wait_until_idle

FIRST = NextState("s0")


class Lock(GenStatem):
    """Opens for its code, until a second has passed; keeps a push until it is open."""

    state_enter = True

    def init(self, code):
        self.code = code
        self.log = []
        return NextState("locked")

    def in_locked(self, event):
        match event:
            case Enter():
                self.log.append("locked")
            case From(request=request):
                right = request == self.code
                reply(event, right)
                return NextState("open" if right else "locked")
            case Cast("push"):
                return KeepState([Postpone()])
        return None

    async def in_open(self, event):
        match event:
            case Enter():
                self.log.append("open")
                return KeepState([StateTimeout(1)])
            case StateTimeout():
                return NextState("locked")
            case Cast("push"):
                self.log.append("pushed")
        return None


class Script(GenStatem):
    """Does what each cast, a function of it, returns; writes all other events into ``log``."""

    def init(self, log, result=FIRST):
        self.log = log
        return result

    def handle_event(self, event, state):
        if isinstance(event, Cast):
            return event.request(self)
        self.log.append(event)
        return None


class Entered(Script):
    """Answers `Enter` with ``answer``."""

    state_enter = True
    answer = None

    def handle_event(self, event, state):
        return self.answer if isinstance(event, Enter) else super().handle_event(event, state)


async def start(system, *args, kind=Script):
    log = []
    return await system.start(kind, log, *args), log


def keeps(*actions):
    """Return a cast that has a `Script` stay in its state with these actions."""
    return lambda _: KeepState(actions)


async def test_a_method_for_each_state_gets_its_events(system):
    lock = await system.start(Lock, 42)

    lock.cast("push")
    wrong, right = await call(lock, 41), await call(lock, 42)
    await asyncio.sleep(2)
    state, data = await get_state(lock)

    assert (wrong, right, state) == (False, True, "locked")
    assert data["log"] == ["locked", "open", "pushed", "locked"]


async def test_state_and_data_can_be_replaced(system):
    lock = await system.start(Lock, 42)

    await replace_state(lock, lambda state: ("open", {**state[1], "code": 7}))
    state, data = await get_state(lock)

    assert (state, data["code"]) == ("open", 7)


async def test_machine_that_ignores_is_not_started(system):
    ref, _ = await start(system, Ignore())

    assert ref is None


@pytest.mark.parametrize("result", [Stop("bad"), None])
async def test_machine_that_has_no_first_state_does_not_start(system, result):
    with pytest.raises(StartError):
        await start(system, result)


async def test_result_that_is_none_of_the_results_ends_the_machine(system):
    ref, _ = await start(system)

    ref.cast(lambda _: "nonsense")
    reason = await await_exit(ref)

    assert isinstance(reason.error, BadReturnValueError)


async def test_stop_in_an_inserted_event_ends_the_machine(system):
    ref, _ = await start(system)

    ref.cast(keeps(NextEvent(Cast(lambda _: Stop("reason")))))

    assert await await_exit(ref) == "reason"


async def test_any_event_takes_an_event_timeout_away(system):
    ref, log = await start(system)

    ref.cast(keeps(EventTimeout(1)))
    await asyncio.sleep(0.5)
    ref.send("event")
    await asyncio.sleep(2)

    assert log == ["event"]


async def test_event_timeout_comes_when_no_event_does(system):
    ref, log = await start(system)

    ref.cast(keeps(EventTimeout(1, "content")))
    await asyncio.sleep(2)

    assert log == [EventTimeout(1, "content")]


async def test_generic_timeouts_are_told_apart_by_name_and_outlive_events_and_states(system):
    ref, log = await start(system)

    ref.cast(keeps(GenericTimeout(1, name="a"), GenericTimeout(2, name="b"), GenericTimeout(3, name="a")))
    ref.cast(lambda _: NextState("s1"))
    await asyncio.sleep(5)

    assert log == [GenericTimeout(2, name="b"), GenericTimeout(3, name="a")]


async def test_going_to_the_same_state_leaves_its_timeout(system):
    ref, log = await start(system)

    ref.cast(keeps(StateTimeout(1)))
    ref.cast(lambda _: NextState("s0"))
    await asyncio.sleep(2)

    assert log == [StateTimeout(1)]


async def test_timeout_that_is_set_again_leaves_no_timer_behind(system):
    ref, _ = await start(system)

    for _ in range(3):
        ref.cast(keeps(StateTimeout(1)))
    await wait_until_idle(system)

    assert len(ref._process._timers) == 1


async def test_timeout_of_none_takes_the_one_there_is_away(system):
    ref, log = await start(system)

    ref.cast(keeps(StateTimeout(1)))
    ref.cast(keeps(StateTimeout(None)))
    await asyncio.sleep(2)

    assert log == []


async def test_timeout_of_zero_comes_after_inserted_events_and_before_messages(system):
    ref, log = await start(system)

    ref.cast(keeps(StateTimeout(0), NextEvent("inserted")))
    ref.send("message")
    await wait_until_idle(system)

    assert log == ["inserted", StateTimeout(0), "message"]


async def test_timeout_of_zero_does_not_come_once_it_was_taken_away(system):
    ref, log = await start(system)

    ref.cast(keeps(StateTimeout(0), NextEvent(Cast(lambda _: NextState("s1")))))
    await wait_until_idle(system)

    assert log == []


async def test_timeout_that_fired_does_not_come_once_it_was_taken_away(system):
    ref, log = await start(system)

    async def stay(_):
        await asyncio.sleep(2)
        return NextState("s1", [StateTimeout(5)])

    ref.cast(keeps(StateTimeout(1)))
    ref.cast(stay)
    await asyncio.sleep(3)

    assert log == []


def test_timeout_is_not_negative():
    with pytest.raises(ValueError, match=">= 0"):
        StateTimeout(-1)


async def test_what_an_inserted_event_inserts_comes_before_the_next_one(system):
    ref, log = await start(system)

    ref.cast(keeps(NextEvent(Cast(keeps(NextEvent("inner")))), NextEvent("outer")))
    await wait_until_idle(system)

    assert log == ["inner", "outer"]


async def test_inserted_events_come_before_postponed_ones(system):
    ref, log = await start(system)

    ref.cast(lambda machine: log.append("postponed") or KeepState([Postpone()] * (len(log) == 1)))
    ref.cast(lambda _: NextState("s1", [NextEvent("inserted")]))
    await wait_until_idle(system)

    assert log == ["postponed", "inserted", "postponed"]


async def test_postponed_call_fails_when_the_machine_ends(system):
    ref, _ = await start(system)
    ref.cast(lambda machine: setattr(machine, "handle_event", lambda *_: KeepState([Postpone()])))
    asking = asyncio.ensure_future(ref.call("request"))
    await wait_until_idle(system)

    exit_signal(ref, Kill())
    (failed,) = await asyncio.gather(asking, return_exceptions=True)

    assert failed.reason == Killed()


async def test_postponed_events_count_against_the_bound_of_the_mailbox(system):
    class Bounded(Script):
        max_mailbox = 2

    ref, _ = await start(system, kind=Bounded)
    for _ in range(2):
        ref.cast(keeps(Postpone()))
    await wait_until_idle(system)

    assert (await get_status(ref)).mailbox_length == 2
    with pytest.raises(OverloadedError):
        await call(ref, "request")


@pytest.mark.parametrize("answer", [NextState("s1"), KeepState([Postpone()]), KeepState([NextEvent("x")])])
async def test_entering_a_state_must_not_lead_elsewhere(system, answer):
    class Wrong(Entered):
        pass

    Wrong.answer = answer
    ref, _ = await start(system, kind=Wrong)

    reason = await await_exit(ref)

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, BadReturnValueError)


async def test_endless_inserted_events_hold_up_nobody_else(system):
    ref, _ = await start(system)
    endless = keeps(NextEvent(Cast(lambda _: endless(_))))

    ref.cast(endless)
    await asyncio.sleep(0)
    exit_signal(ref, Kill())

    assert await await_exit(ref) == Killed()
