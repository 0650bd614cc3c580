"""OTP cases, group Q: gen_server, start and init."""

import asyncio

import pytest

from supervisors import (
    Continue,
    Crashed,
    Down,
    Exit,
    GenServer,
    Ignore,
    Killed,
    NoReply,
    Normal,
    Reply,
    StartError,
    Stop,
    Timeout,
    current,
    send,
    whereis,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, infos_of, kill, outcome_in, run_in


def sleeps(seconds):
    """Return an ``on_init`` that takes ``seconds``."""
    return lambda _: asyncio.sleep(seconds)


def stops(reason):
    """Return an ``on_init`` that stops with ``reason``."""
    return lambda _: Stop(reason)


async def test_q01_start_link_links_to_the_caller(system):
    """start_link returns the ref of a server that is linked to its caller."""
    runner = await system.start(Runner, True)

    child = await run_in(runner, Plain.start_link, "a", [])
    await kill(child)

    assert await infos_of(runner) == [Exit(child, Killed())]


async def test_q02_a_server_that_stops_in_init_leaves_its_name_free(system):
    """init returning Stop(reason) is StartError with that reason; the name is free at once."""
    with pytest.raises(StartError) as failed:
        await system.start(Plain, "a", [], stops("bad"), name="name")
    again = await system.start(Plain, "a", [], name="name")

    assert failed.value.reason == "bad"
    assert system.whereis("name") is again


async def test_q03_a_server_may_choose_not_to_run(system):
    """init returning Ignore() makes start_link return None, and the process ends with Normal().

    Differs: as OTP 26: a linked starter that traps exits gets no stray Exit.
    """
    runner = await system.start(Runner, True)
    started = []

    def ignore(worker):
        started.append(worker.actor_ref)
        return Ignore()

    assert await run_in(runner, Plain.start_link, "a", [], ignore) is None
    assert started[0].exit_reason == Normal()
    assert await infos_of(runner) == []


async def test_q05_an_init_that_takes_too_long_is_killed(system):
    """start with timeout=0.05 fails after 50 ms when init sleeps 3 s; the process is killed, without terminate.

    Differs: the reason is Crashed(TimeoutError), as for any other failure that has an exception.
    """
    log = []
    started = system.now()

    with pytest.raises(StartError) as failed:
        await system.start(Worker, "a", log, sleeps(3), timeout=0.05)

    assert isinstance(failed.value.reason.error, TimeoutError)
    assert system.now() - started == pytest.approx(0.05, abs=0.001)
    assert log == [("start", "a")]
    assert system.processes == []


async def test_q06_start_waits_for_init(system):
    """start returns when init has: after 100 ms here."""
    started = system.now()

    await system.start(Plain, "a", [], sleeps(0.1))

    assert system.now() - started == pytest.approx(0.1, abs=0.001)


async def test_q07_the_name_is_registered_before_init_runs(system):
    """init that looks its own name up finds itself."""
    found = []

    ref = await system.start(Plain, "a", [], lambda _: found.append(whereis("name")), name="name")

    assert found == [ref]


async def test_q08_a_starter_that_does_not_trap_exits_dies_of_a_failed_init(system):
    """start_link of a server that stops in init ends a starter that does not trap exits; System.start only raises.

    Differs: as OTP 26: a starter that traps exits gets the StartError, and no stray Exit after it.
    """
    trapping, plain = await system.start(Runner, True), await system.start(Runner)
    refused = await outcome_in(trapping, Plain.start_link, "a", [], stops("bad"))
    plain.cast(lambda _: Plain.start_link("a", [], stops("bad")))
    with pytest.raises(StartError) as failed:
        await system.start(Plain, "a", [], stops("bad"))

    assert refused.reason == failed.value.reason == "bad"
    assert await infos_of(trapping) == []
    assert await plain.wait_exit() == "bad"


async def test_q09_start_monitor_returns_a_ref_and_its_monitor(system):
    """start_monitor returns (ref, mref), and the Down comes when the server ends."""
    runner = await system.start(Runner)

    ref, mref = await run_in(runner, Plain.start_monitor, "a", [])
    await kill(ref)

    assert await infos_of(runner) == [Down(mref, ref, Killed())]


async def test_q11_handle_continue_runs_before_what_is_queued(system):
    """After init sent itself a message and returned Continue, handle_continue runs before that message is handled."""
    order = []

    class Eager(GenServer):
        def init(self):
            send(current(), "message")
            return Continue("continue")

        def handle_continue(self, term):
            order.append(term)

        def handle_info(self, info):
            order.append(info)

    await system.start(Eager)
    await wait_until_idle(system)

    assert order == ["continue", "message"]


async def test_q12_a_timeout_asked_for_by_init_fires_when_nothing_comes(system):
    """init returning NoReply(timeout=0.03) gets Timeout in handle_info after 30 ms without a message."""
    ref = await system.start(Plain, "a", [], lambda _: NoReply(timeout=0.03))

    await asyncio.sleep(0.02)
    early = list(ref._process.server.infos)
    await asyncio.sleep(0.02)

    assert early == []
    assert ref._process.server.infos == [Timeout()]


async def test_q13_a_queued_message_comes_before_a_timeout_of_zero(system):
    """init returning NoReply(timeout=0) with a message in the mailbox handles that; the time-out is dropped."""

    def send_and_time_out(_):
        send(current(), "message")
        return NoReply(timeout=0)

    ref = await system.start(Plain, "a", [], send_and_time_out)
    await asyncio.sleep(1)

    assert await ref.call(lambda worker: Reply(worker.infos)) == ["message"]


async def test_q15_a_server_that_is_not_linked_outlives_its_starter(system):
    """A server started without a link, by start_monitor, lives on when its starter dies."""
    runner = await system.start(Runner)
    ref, _ = await run_in(runner, Plain.start_monitor, "a", [])

    await kill(runner)
    await wait_until_idle(system)

    assert ref.is_alive()


async def test_q16_a_server_without_the_callback_does_not_start(system):
    """A class whose init does not take the arguments given fails to start with Crashed(TypeError).

    Differs: a class is there or the program does not load, so there is no module to be missing when it starts.
    """
    with pytest.raises(StartError) as failed:
        await system.start(GenServer, "an argument")

    assert isinstance(failed.value.reason, Crashed)
    assert isinstance(failed.value.reason.error, TypeError)
