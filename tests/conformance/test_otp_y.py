"""OTP cases, group Y: gen_statem."""

import asyncio

import pytest

from supervisors import Cast, From, Normal, Stop, reply
from supervisors.gen_statem import (
    Enter,
    GenStatem,
    KeepState,
    NextEvent,
    NextState,
    Postpone,
    RepeatState,
    StateTimeout,
    call,
)
from supervisors.testing import await_exit, wait_until_idle


class Machine(GenStatem):
    """Writes ``(state, event)`` into ``log``; the request of a call or cast is a function, whose value it returns.

    In state "s0" it postpones messages that are strings.
    """

    def init(self, log):
        self.log = log
        return NextState("s0")

    def handle_event(self, event, state):
        match event:
            case Cast(request):
                return request(self)
            case From(request=request):
                return request(event)
            case str() if state == "s0":
                self.log.append(("postponed", event))
                return KeepState([Postpone()])
        self.log.append((state, event))
        return KeepState()

    def terminate(self, reason):
        self.log.append(("terminate", reason))


class Entering(Machine):
    state_enter = True


def returns(result):
    """Return a request that has a `Machine` return ``result``."""
    return lambda _: result


async def test_y01_postponed_events_come_in_order_once_the_state_changed(system):
    """Events postponed in one state are handled again in order after the change of state, before new events."""
    log = []
    ref = await system.start(Machine, log)

    ref.send("a")
    ref.send("b")
    ref.cast(returns(NextState("s1")))
    ref.send("c")
    await wait_until_idle(system)

    assert log == [("postponed", "a"), ("postponed", "b"), ("s1", "a"), ("s1", "b"), ("s1", "c")]


async def test_y02_postponed_events_wait_on_when_the_state_stays_the_same(system):
    """Going to the state that it is in already does not bring postponed events back."""
    log = []
    ref = await system.start(Machine, log)

    ref.send("a")
    ref.cast(returns(NextState("s0")))
    await wait_until_idle(system)
    while_same = list(log)
    ref.cast(returns(NextState("s1")))
    await wait_until_idle(system)

    assert while_same == [("postponed", "a")]
    assert log == [("postponed", "a"), ("s1", "a")]


async def test_y03_a_state_timeout_is_for_one_state_whatever_other_events_come(system):
    """A state time-out is taken away by a change of state, and not by other events in the same state."""
    changed, stayed = [], []
    changing, staying = await system.start(Machine, changed), await system.start(Machine, stayed)

    changing.cast(returns(KeepState([StateTimeout(1)])))
    changing.cast(returns(NextState("s1")))
    staying.cast(returns(KeepState([StateTimeout(1)])))
    staying.send(1)
    await asyncio.sleep(2)

    assert changed == []
    assert stayed == [("s0", 1), ("s0", StateTimeout(1))]


async def test_y06_enter_comes_at_the_start_on_a_change_and_on_a_repeat(system):
    """Enter comes at the start from the state itself, on a change and on RepeatState; not when the state is kept."""
    log = []
    ref = await system.start(Entering, log)

    for result in (NextState("s1"), RepeatState(), KeepState(), NextState("s1")):
        ref.cast(returns(result))
    await wait_until_idle(system)

    assert log == [("s0", Enter("s0")), ("s1", Enter("s0")), ("s1", Enter("s1"))]


async def test_y07_inserted_events_come_before_messages_that_wait(system):
    """Events that NextEvent inserts are handled in order before messages that are queued already."""
    log = []
    ref = await system.start(Machine, log)

    ref.cast(returns(KeepState([NextEvent(1), NextEvent(2)])))
    ref.send(3)
    await wait_until_idle(system)

    assert log == [("s0", 1), ("s0", 2), ("s0", 3)]


async def test_y08_stopping_with_a_reply_answers_and_terminates(system):
    """Stop with a reply answers the call, runs terminate and ends the machine with the reason."""
    log = []
    ref = await system.start(Machine, log)

    answer = await call(ref, returns(Stop(Normal(), "bye")))

    assert answer == "bye"
    assert await await_exit(ref) == Normal()
    assert log == [("terminate", Normal())]


async def test_y09_a_call_waits_for_ever_unless_told_otherwise(system):
    """The call of gen_statem has no time-out by default, where that of gen_server has one of 5 s."""
    ref = await system.start(Machine, [])

    async def answer(from_):
        await asyncio.sleep(3600)
        reply(from_, system.now())

    assert await call(ref, answer) == pytest.approx(3600, abs=1)


async def test_y10_a_second_state_timeout_replaces_the_first(system):
    """Of two state time-outs set one after the other only the second comes."""
    log = []
    ref = await system.start(Machine, log)

    ref.cast(returns(KeepState([StateTimeout(1, "first")])))
    ref.cast(returns(KeepState([StateTimeout(2, "second")])))
    await asyncio.sleep(3)

    assert log == [("s0", StateTimeout(2, "second"))]
