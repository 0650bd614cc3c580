"""OTP cases, group T: continue, time-outs, timers."""

import asyncio

import pytest

from supervisors import (
    BadReturnValueError,
    Continue,
    Crashed,
    GenServer,
    NoReply,
    Reply,
    Timeout,
    TimerFired,
    cancel_timer,
    send_after,
    start_timer,
)
from supervisors.sys import get_state
from supervisors.testing import await_exit, wait_until_idle
from tests.support import Worker, refs, supervise


class Recorder(GenServer):
    """Keeps what it handles in ``seen``; a call or cast is a function of it, whose value is the callback's."""

    def init(self, *results):
        self.seen = []
        return next(iter(results), None)

    def handle_call(self, request, from_):
        self.seen.append("call")
        return request(self)

    def handle_cast(self, request):
        return request(self)

    def handle_continue(self, term):
        self.seen.append(term)
        return NoReply(continue_=term - 1) if term > 1 else None

    def handle_info(self, info):
        self.seen.append(info)


async def seen_by(ref):
    return (await get_state(ref))["seen"]


async def test_t01_chained_continues_run_before_a_message_that_waits(system):
    """A chain of continues runs to its end before a message that was queued meanwhile."""
    ref = await system.start(Recorder)

    ref.cast(lambda _: NoReply(continue_=2))
    ref.send("message")
    await wait_until_idle(system)

    assert await seen_by(ref) == [2, 1, "message"]


async def test_t02_the_caller_has_its_reply_before_the_continue_is_done(system):
    """A reply with a continue reaches the caller before the continue, however slow, is done."""
    done_at = []

    class Slow(GenServer):
        def handle_call(self, request, from_):
            return Reply("now", continue_="slow")

        async def handle_continue(self, term):
            await asyncio.sleep(10)
            done_at.append(system.now())

    ref = await system.start(Slow)

    assert await ref.call("x") == "now"
    assert done_at == []


async def test_t03_a_crash_in_the_continue_after_init_is_an_ordinary_crash(system):
    """A process that crashes in its continue after init has started, and its supervisor restarts it, at one unit."""
    starts = []

    class Fragile(GenServer):
        def init(self):
            starts.append(1)
            return Continue("go")

        def handle_continue(self, term):
            if len(starts) == 1:
                raise ValueError(term)

    sup = await supervise(system, [Fragile.child_spec()], intensity=1)
    await wait_until_idle(system)

    assert len(starts) == 2
    assert (await refs(sup))["Fragile"].is_alive()


async def test_t05_a_message_cancels_the_timeout(system):
    """A message that comes before the time-out is handled and the time-out is cancelled, not begun again."""
    ref = await system.start(Recorder, NoReply(timeout=0.1))

    await asyncio.sleep(0.05)
    ref.send("message")
    await asyncio.sleep(1)

    assert await seen_by(ref) == ["message"]


async def test_t06_a_call_cancels_the_timeout(system):
    """A call that comes before the time-out cancels it too."""
    ref = await system.start(Recorder, NoReply(timeout=0.1))

    await asyncio.sleep(0.05)
    await ref.call(lambda _: Reply("ok"))
    await asyncio.sleep(1)

    assert await seen_by(ref) == ["call"]


async def test_t07_a_message_that_waits_comes_before_a_timeout_of_zero(system):
    """A time-out of 0 does not come when a message waits already: that is handled instead."""
    ref = await system.start(Recorder)

    ref.cast(lambda _: NoReply(timeout=0))
    ref.send("message")
    await asyncio.sleep(1)

    assert await seen_by(ref) == ["message"]


async def test_t08_system_messages_begin_the_timeout_anew(system):
    """A system message does not cancel a time-out but begins it anew: it comes only once the polling stops."""
    ref = await system.start(Recorder, NoReply(timeout=0.06))

    while_polled = []
    for _ in range(10):
        await asyncio.sleep(0.03)
        while_polled.extend(await seen_by(ref))
    await asyncio.sleep(0.1)

    assert while_polled == []
    assert await seen_by(ref) == [Timeout()]


async def test_t09_send_after_sends_the_bare_message_and_start_timer_one_with_its_ref(system):
    """send_after delivers the message as it is, start_timer a TimerFired with the timer's ref and the message."""
    ref = await system.start(Recorder)

    send_after(1, ref, "bare")
    timer = start_timer(2, ref, "message")
    await asyncio.sleep(3)

    assert await seen_by(ref) == ["bare", TimerFired(timer, "message")]


async def test_t10_a_cancelled_timer_tells_what_it_had_left_once_and_sends_nothing(system):
    """cancel_timer returns the seconds left, the second time None, and the message never comes."""
    ref = await system.start(Recorder)
    timer = send_after(10, ref, "message")
    await asyncio.sleep(4)

    left = cancel_timer(timer)
    again = cancel_timer(timer)
    await asyncio.sleep(20)

    assert left == pytest.approx(6, abs=0.01)
    assert again is None
    assert await seen_by(ref) == []


async def test_t11_cancelling_a_timer_that_fired_leaves_its_message(system):
    """cancel_timer after the timer fired returns None, and the message stays in the mailbox."""
    ref = await system.start(Recorder)
    timer = send_after(1, ref, "message")
    await asyncio.sleep(2)

    assert cancel_timer(timer) is None
    assert await seen_by(ref) == ["message"]


async def test_t13_a_negative_timeout_is_a_bad_return_value(system):
    """A callback that returns a negative time-out ends the server with BadReturnValueError."""
    ref = await system.start(Worker, "a", [])
    bad = NoReply(timeout=-1)

    ref.cast(lambda _: bad)
    reason = await await_exit(ref)

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, BadReturnValueError)
    assert reason.error.value is bad
