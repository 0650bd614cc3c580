"""The supervisor beyond the listed OTP cases: what happens when one thing happens amid another.

The order of events, where it is one, was seen on Erlang/OTP 25.2.3.
"""

import asyncio
from functools import partial

import pytest
from loguru import logger

from supervisors import (
    RESTARTING,
    AutoShutdown,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    Kill,
    Killed,
    Normal,
    NotFoundError,
    ProcessExit,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Strategy,
    Supervisor,
    SupFlags,
    delete_child,
    exit_signal,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors.testing import wait_until_idle
from tests.support import (
    Plain,
    Runner,
    finish,
    in_turn,
    kill,
    kill_child,
    nothing,
    refs,
    run_in,
    steps,
    stops_with,
    supervise,
    worker,
)


def seconds(delay):
    """Return a function that waits ``delay`` seconds."""
    return lambda _: asyncio.sleep(delay)


async def kill_parent(server):
    """Kill the supervisor of ``server``."""
    exit_signal(server.actor_ref.parent, Kill())


async def begun(coroutine):
    """Run ``coroutine`` in a task of its own, which has had 10 ms."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0.01)
    return task


# Ended amid something


async def test_child_of_a_killed_supervisor_finishes_its_init_and_then_terminates(system):
    log = []
    sup = await supervise(system, [])
    starting = await begun(start_child(sup, worker("a", log, on_init=seconds(0.1))))

    await kill(sup)
    await wait_until_idle(system)

    with pytest.raises(ServerDownError) as failed:
        await starting
    assert failed.value.reason == Killed()
    assert log == [("start", "a"), ("stop", "a", Killed())]
    assert system.processes == []


async def test_child_of_a_killed_supervisor_that_does_not_trap_exits_dies_in_its_init(system):
    log = []
    sup = await supervise(system, [])
    starting = await begun(start_child(sup, worker("a", log, kind=Plain, on_init=seconds(0.1))))

    await kill(sup)
    await wait_until_idle(system)

    assert log == [("start", "a")]
    assert system.processes == []
    assert system.now() < 0.1
    with pytest.raises(ServerDownError):
        await starting


async def test_supervisor_whose_parent_dies_while_it_starts_starts_all_and_stops_all(system):
    log = []
    children = [worker("a", log), worker("b", log, on_init=seconds(0.1)), worker("c", log)]
    runner = await system.start(Runner)
    starting = await begun(run_in(runner, Supervisor.start_link, SupFlags(), children))

    exit_signal(runner, "boom")
    await wait_until_idle(system)

    assert steps(log) == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
    assert log[-1] == ("stop", "a", Shutdown())
    with pytest.raises(ServerDownError):
        await starting


async def test_supervisor_killed_while_it_shuts_down_leaves_the_rest_to_the_links(system):
    log = []
    children = [worker("a", log), worker("b", log, on_terminate=seconds(0.1)), worker("c", log)]
    sup = await supervise(system, children)
    log.clear()

    exit_signal(sup, Shutdown())
    await asyncio.sleep(0.05)
    await kill(sup)
    await wait_until_idle(system)

    assert log == [("stop", "c", Shutdown()), ("stop", "b", Shutdown()), ("stop", "a", Killed())]
    assert system.processes == []


async def test_supervisor_killed_amid_a_group_restart_starts_nothing_more(system):
    log = []
    children = [worker("a", log), worker("b", log, on_terminate=seconds(0.1))]
    sup = await supervise(system, children, Strategy.ONE_FOR_ALL)
    log.clear()

    await kill_child(sup, "a")
    await asyncio.sleep(0.05)
    await kill(sup)
    await wait_until_idle(system)

    assert log == [("stop", "b", Shutdown())]


async def test_supervisor_told_to_end_amid_a_restart_finishes_that_first(system):
    log = []
    sup = await supervise(system, [worker("a", log, on_init=in_turn(nothing, seconds(0.1)))])
    await kill_child(sup, "a")

    exit_signal(sup, Shutdown())

    assert await sup.wait_exit() == Shutdown()
    assert steps(log) == ["start a", "start a", "stop a"]


async def test_supervisor_may_be_killed_by_a_child_in_its_init(system):
    log = []
    sup = await supervise(system, [worker("a", log)])

    with pytest.raises(ServerDownError) as failed:
        await start_child(sup, worker("b", log, on_init=kill_parent))
    await wait_until_idle(system)

    assert failed.value.reason == Killed()
    assert sorted(steps(log)) == ["start a", "start b", "stop a", "stop b"]
    assert system.processes == []


async def test_supervisor_may_be_killed_by_a_child_that_it_stops(system):
    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log, on_terminate=kill_parent)])
    log.clear()

    exit_signal(sup, Shutdown())

    assert await sup.wait_exit() == Killed()
    await wait_until_idle(system)
    assert log == [("stop", "b", Shutdown()), ("stop", "a", Killed())]


async def test_supervisor_may_be_killed_by_a_child_that_runs(system):
    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log, kind=Plain)])
    children = await refs(sup)
    log.clear()

    children["b"].cast(lambda server: exit_signal(sup, Kill()))

    assert await sup.wait_exit() == Killed()
    await wait_until_idle(system)
    assert log == [("stop", "a", Killed())]
    assert children["b"].exit_reason == Killed()


# Asked amid something


async def test_child_is_kept_although_the_caller_of_start_child_gave_up(system):
    sup = await supervise(system, [])
    starting = await begun(start_child(sup, worker("a", [], on_init=seconds(0.1))))

    starting.cancel()

    assert (await refs(sup))["a"].is_alive()
    assert starting.cancelled()


async def test_child_is_kept_although_the_process_that_called_start_child_died(system):
    sup = await supervise(system, [])
    runner = await system.start(Runner)
    starting = await begun(run_in(runner, start_child, sup, worker("a", [], on_init=seconds(0.1))))

    await kill(runner)

    assert (await refs(sup))["a"].is_alive()
    with pytest.raises(ServerDownError):
        await starting


async def test_restart_child_waits_for_a_termination_and_then_starts(system):
    log = []
    sup = await supervise(system, [worker("a", log, on_terminate=seconds(0.1))])
    terminating = await begun(terminate_child(sup, "a"))

    again = await restart_child(sup, "a")

    assert steps(log) == ["start a", "stop a", "start a"]
    assert await refs(sup) == {"a": again}
    await terminating


async def test_child_that_dies_before_it_is_terminated_is_restarted_first(system):
    log = []
    sup = await supervise(system, [worker("s", log, on_terminate=seconds(0.1)), worker("a", log)])
    child = (await refs(sup))["a"]
    first = await begun(terminate_child(sup, "s"))
    log.clear()

    exit_signal(child, Kill())
    await terminate_child(sup, "a")

    assert steps(log) == ["start a", "stop a"]
    await first


async def test_child_that_dies_on_its_own_while_it_is_being_terminated_is_not_restarted(system):
    log = []
    sup = await supervise(system, [worker("s", log, on_terminate=seconds(0.1)), worker("a", log)], intensity=0)
    child = (await refs(sup))["a"]
    first = await begun(terminate_child(sup, "s"))
    second = await begun(terminate_child(sup, "a"))

    exit_signal(child, Kill())
    await first
    await second

    assert await refs(sup) == {"a": None, "s": None}


# Failing restarts


async def test_a_restarting_significant_child_has_not_ended(system):
    significant = partial(worker, log=[], restart=Restart.TRANSIENT, significant=True)
    fails = in_turn(nothing, stops_with("bad"))
    children = [significant("a", on_init=fails), significant("b")]
    sup = await supervise(system, children, intensity=10**6, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    await kill_child(sup, "a")

    await finish((await refs(sup))["b"], Normal())

    assert await refs(sup) == {"a": RESTARTING, "b": None}


async def test_attempts_of_a_child_that_was_deleted_do_not_touch_the_next_of_that_id(system):
    log = []
    sup = await supervise(system, [worker("a", [], on_init=in_turn(nothing, stops_with("bad")))])
    await kill_child(sup, "a")

    await terminate_child(sup, "a")
    await delete_child(sup, "a")
    again = await start_child(sup, worker("a", log))

    assert await refs(sup) == {"a": again}
    assert steps(log) == ["start a"]


async def cancelled(*_):
    """Wait for something that somebody else has cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def test_start_function_that_was_cancelled_is_a_failed_start_and_not_the_supervisors_end(system):
    sup = await supervise(system, [])

    with pytest.raises(StartError) as failed:
        await start_child(sup, ChildSpec("a", cancelled))

    assert failed.value.reason == Killed()
    assert await which_children(sup) == []


class CrashAtOnce(Plain):
    """Starts well, and dies before anybody knows."""

    def handle_continue(self, term):
        raise ProcessExit(term)


async def test_child_that_dies_as_soon_as_it_has_started_is_reported_once(system):
    reports = []
    sup = await system.start(DynamicSupervisor, intensity=100)
    init = in_turn(lambda _: Continue("boom"), stops_with("bad"), stops_with("bad"), nothing)
    logger.enable("supervisors")
    sink = logger.add(lambda message: reports.append(message.record["extra"]), format="{message}")

    await start_child(sup, worker("a", [], kind=CrashAtOnce, on_init=init))
    await wait_until_idle(system)
    logger.remove(sink)
    logger.disable("supervisors")

    assert [report["reason"] for report in reports if report.get("context") == "child_terminated"] == ["boom"]


# Requests that make no sense


@pytest.mark.parametrize("ask", [terminate_child, restart_child, delete_child, get_childspec])
async def test_id_that_cannot_be_one_is_not_found(system, ask):
    sup = await supervise(system, [worker("a", [])])

    with pytest.raises(NotFoundError):
        await ask(sup, ["unhashable"])

    assert (await refs(sup))["a"].is_alive()


@pytest.mark.parametrize("ask", [terminate_child, get_childspec])
async def test_ref_that_cannot_be_one_is_not_found(system, ask):
    sup = await system.start(DynamicSupervisor)
    child = await start_child(sup, worker("a", []))

    with pytest.raises(NotFoundError):
        await ask(sup, ["unhashable"])

    assert child.is_alive()
