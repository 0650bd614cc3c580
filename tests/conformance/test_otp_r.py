"""OTP cases, group R: gen_server, call, cast and reply."""

import asyncio

import pytest

from supervisors import (
    BadReturnValueError,
    CallError,
    CallingSelfError,
    CallTimeoutError,
    Crashed,
    Kill,
    Killed,
    NoProcess,
    Normal,
    ProcessExit,
    Reply,
    ServerDownError,
    Shutdown,
    Stop,
    call,
    cast,
    current,
    exit_signal,
    link,
)
from supervisors.registry import Registry
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, kill, outcome_in, raises, run_in, stops_with


def takes(seconds, value=None):
    """Return a request that a `Worker` answers with ``value`` after ``seconds``."""

    async def answer(_):
        await asyncio.sleep(seconds)
        return Reply(value)

    return answer


async def test_r02_a_call_to_a_busy_server_times_out(system):
    """call with timeout=0.05 raises CallTimeoutError after 50 ms; it names the server, the request and the time-out."""
    server = await system.start(Plain, "a", [])
    request = takes(1)
    started = system.now()

    with pytest.raises(CallTimeoutError) as failed:
        await call(server, request, 0.05)

    assert (failed.value.server, failed.value.request, failed.value.timeout) == (server, request, 0.05)
    assert system.now() - started == pytest.approx(0.05, abs=0.001)


async def test_r03_a_call_waits_five_seconds_unless_told_otherwise(system):
    """The default time-out of a call is 5 s, in call and in Ref.call."""
    servers = [await system.start(Plain, number, []) for number in range(2)]
    started = system.now()

    with pytest.raises(CallTimeoutError) as failed:
        await call(servers[0], takes(60))
    with pytest.raises(CallTimeoutError):
        await servers[1].call(takes(60))

    assert failed.value.timeout == 5.0
    assert system.now() - started == pytest.approx(10.0, abs=0.001)


async def test_r05_a_call_to_nobody_fails_with_no_process(system):
    """call to a dead ref, an unknown name, one in another System, or a Via raises ServerDownError with NoProcess()."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)
    registry = await system.start(Registry, name="registry")

    for server in (dead, "nobody", ("nobody", system), Registry.via("registry", "nobody")):
        with pytest.raises(ServerDownError) as failed:
            await call(server, "request")
        assert (failed.value.reason, failed.value.server) == (NoProcess(), server)
    await kill(registry)


async def test_r06_a_call_to_itself_is_refused(system):
    """A process that calls itself gets CallingSelfError at once."""
    runner = await system.start(Runner)

    error = await outcome_in(runner, lambda: call(current(), "request"))

    assert isinstance(error, CallingSelfError)
    assert (error.server, error.request) == (runner, "request")


BOOM = ValueError("boom")
KILLS_ITSELF = lambda _: exit_signal(current(), Kill())


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (raises(BOOM), Crashed(BOOM)),
        (stops_with("stop"), "stop"),
        (stops_with(Normal()), Normal()),
        (stops_with(Shutdown()), Shutdown()),
        (KILLS_ITSELF, Killed()),
        (raises(ProcessExit("exit")), "exit"),
    ],
    ids=lambda value: repr(value) if not callable(value) else "",
)
async def test_r07_a_call_fails_when_the_server_ends_while_it_handles_it(system, request_, reason):
    """call raises ServerDownError with the exit reason when the server ends before it answers, with Normal() too."""
    server = await system.start(Plain, "a", [])

    with pytest.raises(ServerDownError) as failed:
        await server.call(request_)

    assert failed.value.reason == reason
    assert failed.value.request is request_


async def test_r08_a_reply_with_a_stop_comes_after_terminate(system):
    """Stop(Normal(), reply) answers the caller, but only when terminate is done."""
    server = await system.start(Worker, "a", [], None, lambda _: asyncio.sleep(1))
    started = system.now()

    answer = await server.call(lambda _: Stop(Normal(), "answer"))

    assert answer == "answer"
    assert system.now() - started == pytest.approx(1.0, abs=0.001)
    assert await server.wait_exit() == Normal()


async def test_r11_a_cast_never_fails(system):
    """cast to a dead ref, an unknown name, one in another System, or a Via returns None."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)
    registry = await system.start(Registry, name="registry")

    servers = (dead, "nobody", ("nobody", system), Registry.via("registry", "nobody"))

    assert [cast(server, "request") for server in servers] == [None] * 4
    await kill(registry)


async def test_r12_a_callback_that_returns_junk_ends_the_server(system):
    """A server whose handle_cast or handle_call returns what it may not ends with Crashed(BadReturnValueError)."""
    one, two = await system.start(Plain, 1, []), await system.start(Plain, 2, [])

    one.cast(lambda _: "zz")
    with pytest.raises(ServerDownError) as failed:
        await two.call(lambda _: "zz")

    for reason, callback in ((await one.wait_exit(), "handle_cast"), (failed.value.reason, "handle_call")):
        assert isinstance(reason.error, BadReturnValueError)
        assert (reason.error.callback, reason.error.value) == (callback, "zz")


async def test_r14_requests_of_one_sender_are_handled_in_order(system):
    """Four casts and then a call of one process are handled in the order they were sent."""
    server, sender = await system.start(Plain, "a", []), await system.start(Runner)
    handled = []

    async def send_all():
        for number in (1, 2, 3, 4):
            server.cast(lambda _, number=number: handled.append(number))
        return await server.call(lambda _: Reply(handled.append(5)))

    await run_in(sender, send_all)

    assert handled == [1, 2, 3, 4, 5]


async def test_r15_what_a_callback_raises_is_never_its_result(system):
    """A callback that raises a result, Reply(...) say, crashes with the TypeError that this is in Python.

    Differs: Erlang takes a thrown value for the result; Python has no throw, and what is raised is an error.
    """
    server = await system.start(Plain, "a", [])

    def throw(_):
        raise Reply("thrown")

    with pytest.raises(ServerDownError) as failed:
        await server.call(throw)

    assert isinstance(failed.value.reason.error, TypeError)


async def test_r19_a_call_that_waits_when_the_server_stops_fails_with_its_reason(system):
    """A call in the mailbox when the server stops normally fails with Normal(), one made after with NoProcess()."""
    server = await system.start(Plain, "a", [])
    server.cast(stops_with(Normal()))

    with pytest.raises(ServerDownError) as queued:
        await server.call("queued")
    with pytest.raises(ServerDownError) as after:
        await server.call("after")

    assert (queued.value.reason, after.value.reason) == (Normal(), NoProcess())


async def test_r20_a_caller_that_dies_does_not_touch_the_server(system):
    """A server is not affected when a caller whose call timed out ends; it still does the work."""
    server, caller = await system.start(Plain, "a", []), await system.start(Runner)
    caller.cast(lambda _: server.call(takes(1), timeout=0.1))

    reason = await caller.wait_exit()
    answer = await server.call("next")

    assert isinstance(reason.error, CallTimeoutError)
    assert answer == "next"


async def test_r21_a_server_may_be_called_by_name_or_ref(system):
    """call takes a name, (name, System) and a ref."""
    ref = await system.start(Plain, "a", [], name="name")

    assert [await call(server, "echo") for server in ("name", ("name", system), ref)] == ["echo"] * 3


async def test_r22_a_linked_client_dies_though_it_caught_the_error(system):
    """A client linked to the server it calls dies through the link when that stops, even if it catches the error."""
    server, client = await system.start(Plain, "a", []), await system.start(Runner)
    caught = []

    async def call_it():
        link(server)
        try:
            await server.call(stops_with("boom"))
        except CallError as error:
            caught.append(error)
        await asyncio.sleep(60)

    with pytest.raises(ServerDownError):
        await run_in(client, call_it)

    assert client.exit_reason == "boom"


async def test_r23_callers_are_served_one_at_a_time(system):
    """Three calls that take 30 ms each, made at once, take 90 ms."""
    server = await system.start(Plain, "a", [])
    started = system.now()

    answers = await asyncio.gather(*(server.call(takes(0.03, number)) for number in range(3)))

    assert answers == [0, 1, 2]
    assert system.now() - started == pytest.approx(0.09, abs=0.001)


async def test_r24_a_call_without_time_times_out(system):
    """call with timeout=0 raises CallTimeoutError when the server has to wait for anything.

    Differs: an answer that takes no wait at all comes in time, for caller and server share a loop.
    """
    server = await system.start(Plain, "a", [])

    with pytest.raises(CallTimeoutError):
        await server.call(takes(0.001), timeout=0)
    await wait_until_idle(system)
