import asyncio

import pytest

from macula_actors.errors import CallTimeoutError, CrashedError, OverloadedError
from macula_actors.messages.asking import RETRY_AFTER, ask
from supervisors import GenServer, NoReply, Refuse, Reply, ServerDownError, Stop
from tests.support import kill, supervise


class Echo(GenServer):
    """Answers with the request, with what an exception is, never, by its end, or by a crash."""

    def handle_call(self, request, from_):
        match request:
            case Exception():
                return Refuse(request)
            case "silence":
                return NoReply()
            case "crash":
                1 / 0  # noqa: B018 -- it is what is asked for
            case "end":
                return Stop("asked to")
        return Reply(request)


class Late(Echo):
    """Answers in its second life only."""

    def init(self, lives):
        lives.append(self)
        self.is_first = len(lives) == 1

    def handle_call(self, request, from_):
        return NoReply() if request == "later" and self.is_first else super().handle_call(request, from_)


def now():
    return asyncio.get_running_loop().time()


async def test_the_answer_is_returned(system):
    await system.start(Echo, name="echo")

    assert await ask("echo", 1) == 1


async def test_a_refusal_is_raised_at_once(system):
    await system.start(Echo, name="echo")

    with pytest.raises(OverloadedError):
        await ask("echo", OverloadedError("x", 1))
    assert now() == 0.0


async def test_a_server_that_comes_back_is_asked_again(system):
    task = asyncio.create_task(ask("echo", 1))
    await asyncio.sleep(1.0)
    await system.start(Echo, name="echo")

    assert await task == 1
    assert now() <= 1.0 + RETRY_AFTER


async def test_a_server_that_ends_before_it_answers_is_asked_again_at_its_name(system):
    first = await system.start(Echo, name="echo")
    task = asyncio.create_task(ask("echo", "silence", 1.0))
    await asyncio.sleep(0.5)
    await kill(first)
    await system.start(Echo, name="echo")

    with pytest.raises(CallTimeoutError):
        await task
    assert now() == pytest.approx(1.0)


@pytest.mark.parametrize("timeout", [0.0, 0.01, 1.0])
async def test_a_server_that_is_not_there_is_a_timeout_in_the_end(system, timeout):
    with pytest.raises(CallTimeoutError) as raised:
        await ask("nobody", 1, timeout)

    assert isinstance(raised.value.__cause__, ServerDownError)
    assert raised.value.timeout == timeout
    assert now() <= timeout


async def test_a_silent_server_is_a_timeout(system):
    await system.start(Echo, name="echo")

    with pytest.raises(CallTimeoutError):
        await ask("echo", "silence", 2.0)
    assert now() == pytest.approx(2.0)


async def test_a_request_that_two_servers_crash_at_is_not_sent_again(system):
    sup = await supervise(system, [Echo.child_spec(name="echo")])

    with pytest.raises(CrashedError, match="echo crashed: ZeroDivisionError") as raised:
        await ask("echo", "crash")

    assert isinstance(raised.value.error, ZeroDivisionError)
    assert now() == pytest.approx(RETRY_AFTER, abs=0.001)
    assert await ask("echo", 1) == 1
    assert sup.is_alive()


async def test_a_request_that_waited_when_another_crashed_the_server_is_sent_again(system):
    await supervise(system, [Late.child_spec([], name="late")])
    waiting = asyncio.create_task(ask("late", "later"))
    await asyncio.sleep(0.1)

    system.whereis("late").cast("crash")

    assert await waiting == "later"
