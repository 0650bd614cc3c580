"""OTP cases, group S: gen_server, stop and terminate."""

import asyncio

import pytest
from loguru import logger

from supervisors import (
    CallTimeoutError,
    Exit,
    Kill,
    Killed,
    NoProcess,
    Normal,
    ProcessExit,
    Reply,
    ServerDownError,
    Shutdown,
    exit_signal,
    stop,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, finish, kill, raises, run_in, stops_with

SLOW = lambda _: asyncio.sleep(1)


@pytest.fixture
def reports():
    """Return the crash reports written while the test runs, as (process, reason)."""
    records = []
    sink = logger.add(lambda message: records.append(message.record["extra"]), level="ERROR")
    logger.enable("supervisors")
    yield records
    logger.disable("supervisors")
    logger.remove(sink)


async def test_s02_only_abnormal_reasons_are_reported(system, reports):
    """A server that ends with Normal(), Shutdown() or Shutdown(x) writes no report; with another, or a crash, one."""
    for reason in (Normal(), Shutdown(), Shutdown("x"), "boom"):
        await finish(await system.start(Plain, "a", []), reason)
    crashing = await system.start(Plain, "a", [])
    crashing.cast(raises(ValueError("crash")))
    crash = await crashing.wait_exit()

    assert [(extra["report"], extra["reason"]) for extra in reports] == [("crash", "boom"), ("crash", crash)]


async def test_s03_a_shutdown_signal_ends_who_does_not_trap_exits_without_terminate(system):
    """exit_signal(ref, Shutdown()) ends a server that does not trap exits, and terminate is not run."""
    log = []
    ref = await system.start(Plain, "a", log)

    exit_signal(ref, Shutdown())

    assert await ref.wait_exit() == Shutdown()
    assert log == [("start", "a")]


async def test_s04_a_shutdown_signal_of_who_is_no_parent_is_an_info(system):
    """exit_signal(ref, Shutdown()) of a process that is no parent is an Exit in handle_info, if trapped."""
    ref, sender = await system.start(Worker, "a", []), await system.start(Runner)

    await run_in(sender, exit_signal, ref, Shutdown())

    assert await ref.call(lambda worker: Reply(worker.infos)) == [Exit(sender, Shutdown())]


async def test_s06_a_kill_runs_no_terminate(system):
    """A killed server ends with Killed() and does not run terminate, though it traps exits."""
    log = []
    ref = await system.start(Worker, "a", log)

    exit_signal(ref, Kill())

    assert await ref.wait_exit() == Killed()
    assert log == [("start", "a")]


async def test_s07_what_terminate_exits_with_is_the_reason(system):
    """terminate that raises ProcessExit("treason") after Stop(Normal()) makes "treason" the exit reason."""
    ref = await system.start(Worker, "a", [], None, raises(ProcessExit("treason")))

    ref.cast(stops_with(Normal()))

    assert await ref.wait_exit() == "treason"


async def test_s08_stop_runs_terminate_though_exits_are_not_trapped(system):
    """stop(ref) runs terminate(Normal()) of a server that does not trap exits, and that ends with Normal()."""
    log = []
    ref = await system.start(Plain, "a", log)

    await stop(ref)

    assert ref.exit_reason == Normal()
    assert log == [("start", "a"), ("stop", "a", Normal())]


async def test_s09_stop_of_nobody_fails_with_no_process(system):
    """stop of a dead ref or an unknown name raises ServerDownError with NoProcess()."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    for server in (dead, "nobody"):
        with pytest.raises(ServerDownError) as failed:
            await stop(server)
        assert failed.value.reason == NoProcess()


async def test_s11_stop_may_time_out_before_the_server_has_ended(system):
    """stop with timeout=0.05 raises CallTimeoutError when terminate takes a second; the server ends later."""
    ref = await system.start(Plain, "a", [], None, SLOW)

    with pytest.raises(CallTimeoutError):
        await stop(ref, timeout=0.05)

    assert ref.is_alive()
    assert await ref.wait_exit() == Normal()


async def test_s12_stop_fails_with_what_terminate_exits_with(system):
    """stop raises ServerDownError with the reason that terminate raised instead of the one asked for."""
    ref = await system.start(Plain, "a", [], None, raises(ProcessExit("treason")))

    with pytest.raises(ServerDownError) as failed:
        await stop(ref)

    assert failed.value.reason == "treason"


async def test_s13_stop_waits_its_turn(system):
    """Messages that came before stop are handled before the server stops."""
    log = []
    ref = await system.start(Plain, "a", log)

    for number in (1, 2):
        ref.cast(lambda _, number=number: log.append(number))
    await stop(ref)

    assert log == [("start", "a"), 1, 2, ("stop", "a", Normal())]


async def test_s14_a_linked_parent_dies_only_of_an_abnormal_end(system):
    """A parent that does not trap exits survives a child that stops with Normal(), and dies of one that says "boom"."""
    parent = await system.start(Runner)
    children = [await run_in(parent, Plain.start_link, number, []) for number in range(3)]

    await finish(children[0], Normal())
    await stop(children[1])
    await wait_until_idle(system)
    survived = parent.is_alive()
    await finish(children[2], "boom")

    assert survived
    assert await parent.wait_exit() == "boom"


async def test_s16_stop_of_a_server_that_is_about_to_stop_succeeds(system):
    """stop returns when the server stops by itself, before it sees the order, with the reason asked for.

    Differs: Erlang's caller exits with {normal, {sys, terminate, _}}, though it got what it asked for: a quirk.
    """
    ref = await system.start(Plain, "a", [])
    ref.cast(stops_with(Normal()))

    await stop(ref)

    assert ref.exit_reason == Normal()


async def test_s17_messages_that_wait_at_the_end_are_lost(system):
    """What is in the mailbox behind the message that stops the server is dropped in silence."""
    log = []
    ref = await system.start(Plain, "a", log)

    ref.cast(stops_with(Normal()))
    ref.cast(lambda _: log.append("handled"))
    ref.send("info")
    await ref.wait_exit()

    assert log == [("start", "a"), ("stop", "a", Normal())]
