"""OTP cases, group X: process basics."""

import asyncio
from contextvars import ContextVar

import pytest

from supervisors import (
    CallTimeoutError,
    Crashed,
    NoProcess,
    Normal,
    ProcessExit,
    ServerDownError,
    StartError,
    Stop,
    send,
)
from supervisors.async_request import send_request, wait_response
from supervisors.sys import get_status, suspend
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, infos_of, kill, run_in

kept = ContextVar("kept", default="nothing")


async def test_x01_a_send_to_the_dead_is_no_error(system):
    """A message to a process that has ended is dropped in silence.

    Differs: send returns None, not the message.
    """
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    assert dead.send("hello") is None


async def test_x03_messages_of_one_sender_keep_their_order(system):
    """A thousand messages from one sender arrive in the order they were sent."""
    runner = await system.start(Runner)

    for number in range(1000):
        runner.send(number)
    await wait_until_idle(system)

    assert await infos_of(runner) == list(range(1000))


async def test_x04_the_dead_are_not_alive_and_have_no_status(system):
    """A process that has ended is not alive, and asking for its status raises ServerDownError, NoProcess."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    with pytest.raises(ServerDownError) as down:
        await get_status(dead)

    assert not dead.is_alive()
    assert down.value.reason == NoProcess()


async def test_x05_context_variables_are_private_to_a_process(system):
    """What a process sets in a context variable it finds there in later callbacks, and no other process does.

    Differs: Python's context variables are the process dictionary; a new process begins with its starter's values.
    """
    one, other = await system.start(Runner), await system.start(Runner)

    await run_in(one, kept.set, "mine")

    assert await run_in(one, kept.get) == "mine"
    assert await run_in(other, kept.get) == "nothing"
    assert kept.get() == "nothing"


async def test_x06_the_starter_learns_how_init_went(system):
    """The starter waits for init: it gets the reason of one that exits, stops or hangs, else the new process.

    Differs: returning from init is the acknowledgement, there is no init_ack; one that hangs is
    Crashed(TimeoutError).
    """

    def exits(_):
        raise ProcessExit("early")

    with pytest.raises(StartError) as exited:
        await system.start(Plain, "a", [], exits)
    with pytest.raises(StartError) as stopped:
        await system.start(Plain, "b", [], lambda _: Stop(Normal()))
    with pytest.raises(StartError) as hung:
        await system.start(Plain, "c", [], lambda _: asyncio.sleep(10), timeout=1)
    started = await system.start(Plain, "d", [])

    assert exited.value.reason == "early"
    assert stopped.value.reason == Normal()
    assert isinstance(hung.value.reason, Crashed)
    assert isinstance(hung.value.reason.error, TimeoutError)
    assert started.is_alive()


async def test_x08_a_mailbox_takes_all_and_tells_its_length(system):
    """A mailbox without a bound takes what comes, and get_status tells how many messages wait in it."""
    ref = await system.start(Plain, "a", [])
    await suspend(ref)

    for number in range(3):
        ref.send(number)

    assert (await get_status(ref)).mailbox_length == 3


async def test_x09_waiting_for_zero_seconds_times_out_and_leaves_the_mailbox(system):
    """A wait of 0 seconds for what is not there ends at once and takes no other message out of the mailbox.

    Differs: the one selective receive there is waits for the response to a request.
    """
    silent, runner = await system.start(Plain, "a", []), await system.start(Runner)
    await suspend(silent)

    async def wait_no_time():
        send(runner, "waits")
        with pytest.raises(CallTimeoutError):
            await wait_response(send_request(silent, "hello"), 0)
        return runner._process.mailbox_length, system.now()

    began = system.now()

    assert await run_in(runner, wait_no_time) == (1, pytest.approx(began, abs=0.001))


async def test_x10_a_send_to_an_unknown_name_elsewhere_is_no_error(system):
    """A message to an unknown name of a named System is dropped in silence, unlike one to a bare name."""
    send(("nobody", system), "hello")

    assert system.registered() == []
