"""OTP cases, group U: sys, introspection and control."""

import asyncio

import pytest

from supervisors import CallTimeoutError, Kill, Killed, Normal, Reply, Shutdown, cast, exit_signal
from supervisors.errors import CallbackFailedError
from supervisors.sys import In, Out, get_log, get_state, log, replace_state, resume, suspend, terminate
from supervisors.testing import await_exit, wait_until_idle
from tests.support import Worker, kill, refs, supervise, worker


async def test_u01_get_state_returns_the_state(system):
    """get_state returns the server's state: its attributes."""
    ref = await system.start(Worker, "a", [])

    state = await get_state(ref)

    assert (state.id, state.infos) == ("a", [])


async def test_u02_replace_state_installs_and_returns_the_new_state(system):
    """replace_state installs what the function makes of the state, and returns it."""
    ref = await system.start(Worker, "a", [])

    returned = await replace_state(ref, lambda state: {**state, "id": "b"})

    assert returned["id"] == "b"
    assert (await get_state(ref)).id == "b"


async def test_u03_a_replacing_function_that_raises_changes_nothing(system):
    """A function that raises gives the caller CallbackFailedError; the state is unchanged and the server alive."""
    ref = await system.start(Worker, "a", [])
    before = await get_state(ref)

    with pytest.raises(CallbackFailedError) as failed:
        await replace_state(ref, lambda state: state.update(id="b") or 1 / 0)

    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert await get_state(ref) == before


async def test_u04_a_suspended_server_lets_messages_wait_but_answers_the_system(system):
    """While suspended calls time out and messages wait, but get_state works; resumed, it handles all in order."""
    ref = await system.start(Worker, "a", [])

    await suspend(ref)
    with pytest.raises(CallTimeoutError):
        await ref.call(lambda process: process.infos.append("call") or Reply(None), timeout=0.05)
    ref.send("info")
    meanwhile = list((await get_state(ref)).infos)
    await resume(ref)
    await wait_until_idle(system)

    assert meanwhile == []
    assert (await get_state(ref)).infos == ["call", "info"]


async def test_u05_suspending_does_not_count(system):
    """A server suspended twice and resumed once runs."""
    ref = await system.start(Worker, "a", [])

    await suspend(ref)
    await suspend(ref)
    await resume(ref)

    assert await ref.call("hello") == "hello"


async def test_u06_a_suspended_server_obeys_kill_and_its_parent(system):
    """A suspended server ends when killed, and runs terminate when its parent tells it to shut down."""
    log = []
    sup = await supervise(system, [worker("killed", log), worker("told", log)])
    children = await refs(sup)
    await suspend(children["killed"])
    await suspend(children["told"])
    await suspend(sup)  # so that it restarts nobody

    exit_signal(children["killed"], Kill())
    killed = await await_exit(children["killed"])
    await resume(sup)
    await system.stop()

    assert killed == Killed()
    assert children["told"].exit_reason == Shutdown()
    assert ("stop", "told", Shutdown()) in log


async def test_u07_terminate_has_the_server_end_with_the_reason(system):
    """sys.terminate runs the server's terminate and ends it with the reason given."""
    log = []
    ref = await system.start(Worker, "a", log)

    await terminate(ref, Normal())

    assert await await_exit(ref) == Normal()
    assert log[-1] == ("stop", "a", Normal())


async def test_u10_the_log_has_what_came_in_and_went_out(system):
    """A log that is on keeps each message that came in and each reply that went out, in order."""
    ref = await system.start(Worker, "a", [])

    await log(ref, True)
    await ref.call("request")
    events = await get_log(ref)
    await log(ref, False)

    assert events == (In("handle_call", "request"), Out(None, "request"))
    assert await get_log(ref) == ()


async def test_u13_get_state_of_a_busy_server_times_out(system):
    """get_state raises CallTimeoutError when the server is in a callback all the time."""
    ref = await system.start(Worker, "a", [])
    cast(ref, lambda _: asyncio.sleep(0.2))

    with pytest.raises(CallTimeoutError):
        await get_state(ref, 0.03)


async def test_u14_a_suspended_supervisor_restarts_once_it_is_resumed(system):
    """A child killed under a suspended supervisor is not restarted until that is resumed, and then once."""
    log = []
    sup = await supervise(system, [worker("a", log)])
    child = (await refs(sup))["a"]

    await suspend(sup)
    await kill(child)
    await asyncio.sleep(1)
    while_suspended = log.count(("start", "a"))
    await resume(sup)
    await wait_until_idle(system)

    assert while_suspended == 1
    assert log.count(("start", "a")) == 2
