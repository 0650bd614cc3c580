import asyncio
import gc

import pytest
from typing_extensions import override

from supervisors import (
    CallTimeoutError,
    GenServer,
    Kill,
    NoProcess,
    NoReply,
    Reply,
    ServerDownError,
    call,
    exit_signal,
    send,
    send_request,
)
from supervisors.testing import wait_until_idle


class Plain(GenServer):
    """Answers at once with the request; a request that is a function is asked for the result."""

    def handle_call(self, request, from_):
        return request() if callable(request) else Reply(request)


class Slow(GenServer):
    """Answers after some seconds."""

    async def handle_call(self, seconds, from_):
        await asyncio.sleep(seconds)
        return Reply(seconds)


class Later(GenServer):
    """Refuses a call with the error that it was asked with, when a function comes by a cast, and runs that before."""

    def handle_call(self, request, from_):
        self.waiting = from_
        return NoReply()

    def handle_cast(self, function):
        function()
        self.waiting.refuse(self.waiting.request)


async def test_an_idle_server_has_answered_when_nobody_else_had_a_turn(system):
    server = await system.start(Plain)
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "another")

    await server.call("hello")

    assert turns == []


async def test_who_asks_again_and_again_leaves_others_their_turns(system):
    server = await system.start(Plain)
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "another")

    for _ in range(100):
        await server.call("hello")

    assert turns == ["another"]


async def test_an_idle_server_answers_before_a_timer_is_set(system):
    server = await system.start(Plain)

    answer = await server.call("hello", timeout=5.0)

    assert answer == "hello"
    assert asyncio.get_running_loop()._scheduled == []


async def test_a_plain_server_that_does_not_answer_has_all_of_the_timeout(system):
    server = await system.start(Plain)

    with pytest.raises(CallTimeoutError):
        await server.call(NoReply, timeout=5.0)

    assert system.now() == pytest.approx(5.0, abs=0.001)


async def test_an_async_server_that_does_not_answer_has_all_of_the_timeout(system):
    server = await system.start(Slow)

    with pytest.raises(CallTimeoutError):
        await server.call(60.0, timeout=5.0)

    assert system.now() == pytest.approx(5.0, abs=0.001)


async def test_a_server_killed_by_the_caller_while_it_waits_is_none_for_the_call_that_follows(system):
    server = await system.start(Slow)
    with pytest.raises(CallTimeoutError):
        await server.call(60.0, timeout=5.0)

    exit_signal(server, Kill())
    with pytest.raises(ServerDownError) as failed:
        await server.call(1.0)

    assert failed.value.reason == NoProcess()


async def test_an_answer_in_time_leaves_no_timer(system):
    server = await system.start(Slow)

    await server.call(4.0, timeout=5.0)

    assert asyncio.get_running_loop().pending_timers() == []


async def test_a_refusal_is_not_reported_when_its_caller_is_cancelled_in_the_same_turn(system):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    server = await system.start(Later)
    callers = [asyncio.create_task(server.call(ValueError("refused")))]
    await wait_until_idle(system)

    server.cast(callers[0].cancel)
    await asyncio.wait(callers)
    assert callers.pop().cancelled()
    gc.collect()

    assert reported == []


class Keeping(GenServer):
    """Keeps who asks, and says what became of them."""

    def init(self):
        self.asked = []

    @override
    def handle_call(self, request, from_):
        if request == "waiting":
            return Reply([each.is_waiting for each in self.asked])
        self.asked.append(from_)
        return NoReply()

    @override
    def handle_cast(self, request):
        self.asked[request].reply("x")


async def test_a_server_can_tell_whether_a_caller_still_waits(system):
    server = await system.start(Keeping)
    answered, cancelled, waiting = (asyncio.ensure_future(server.call("keep")) for _ in range(3))
    await asyncio.sleep(0.1)

    server.cast(0)
    cancelled.cancel()
    await asyncio.sleep(0.1)

    assert await server.call("waiting") == [False, False, True]
    assert answered.result() == "x"
    waiting.cancel()


class Asking(GenServer):
    @override
    def init(self, server):
        send_request(server, "keep")


async def test_an_asker_that_has_ended_waits_no_more(system):
    server = await system.start(Keeping)
    asker = await system.start(Asking, server)
    assert await server.call("waiting") == [True]

    exit_signal(asker, Kill())
    await wait_until_idle(system)

    assert await server.call("waiting") == [False]


class Deadly(GenServer):
    """Answers, and then tells who asked to end."""

    @override
    def handle_call(self, request, from_):
        from_.reply(request)
        exit_signal(from_.ref, "boom")
        return NoReply()


class Doomed(GenServer):
    """Calls who kills it, and notes what it was answered."""

    @override
    def init(self, server, answers):
        self.server = server
        self.answers = answers

    @override
    async def handle_info(self, message):
        self.answers.append(await call(self.server, message))


async def test_who_is_told_to_end_in_a_call_gets_no_answer(system):
    answers = []
    doomed = await system.start(Doomed, await system.start(Deadly), answers)

    send(doomed, 1)
    await wait_until_idle(system)

    assert (doomed.is_alive(), answers) == (False, [])
