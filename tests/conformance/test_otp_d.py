"""OTP cases, group D: one_for_all."""

import asyncio

import pytest

from supervisors import Kill, Killed, Normal, Restart, Shutdown, Strategy, exit_signal, start_child, terminate_child
from supervisors.testing import wait_until_idle
from tests.support import finish, kill, kill_child, refs, steps, supervise, worker

TRANSIENT, TEMPORARY = Restart.TRANSIENT, Restart.TEMPORARY


async def all_of(system, *children, **flags):
    """Start a one_for_all supervisor of ``children``."""
    return await supervise(system, children, Strategy.ONE_FOR_ALL, **flags)


async def test_d01_the_others_stop_in_reverse_and_all_start_in_order(system):
    """When b of [a, b, c] is killed, c and a are stopped, then a, b and c are started."""
    log = []
    sup = await all_of(system, *(worker(name, log) for name in "abc"))
    log.clear()

    await kill_child(sup, "b")

    await wait_until_idle(system)
    assert steps(log) == ["stop c", "stop a", "start a", "start b", "start c"]


async def test_d02_a_group_restart_is_one_restart(system):
    """A group restart counts once however many children it restarts; the siblings are stopped with Shutdown()."""
    log = []
    sup = await all_of(system, *(worker(name, log) for name in "abc"), intensity=1)

    await kill_child(sup, "b")

    running = await refs(sup)
    assert [running[name].is_alive() for name in "abc"] == [True, True, True]
    assert [entry for entry in log if entry[0] == "stop"] == [("stop", "c", Shutdown()), ("stop", "a", Shutdown())]
    await kill(running["b"])
    assert await sup.wait_exit() == Shutdown()


async def test_d03_a_group_restart_starts_a_child_that_had_finished(system):
    """A transient child that ended normally earlier is started again with the group."""
    sup = await all_of(system, worker("a", [], restart=TRANSIENT), worker("b", []))
    await finish((await refs(sup))["a"], Normal())
    finished = (await refs(sup))["a"]

    await kill_child(sup, "b")

    assert finished is None
    assert (await refs(sup))["a"].is_alive()


async def test_d04_a_group_restart_starts_a_child_that_was_terminated(system):
    """A child stopped with terminate_child is started again with the group."""
    sup = await all_of(system, worker("a", []), worker("b", []))
    await terminate_child(sup, "a")

    await kill_child(sup, "b")

    assert (await refs(sup))["a"].is_alive()


async def test_d05_a_group_restart_removes_temporary_children(system):
    """A temporary child is stopped with the group, and neither started again nor kept."""
    log = []
    sup = await all_of(system, worker("a", log), worker("b", log), worker("t", log, restart=TEMPORARY))
    log.clear()

    await kill_child(sup, "b")

    assert list(await refs(sup)) == ["b", "a"]
    assert steps(log) == ["stop t", "stop a", "start a", "start b"]


async def test_d06_a_temporary_child_that_dies_restarts_nobody(system):
    """The death of a temporary child only removes it."""
    sup = await all_of(system, worker("a", []), worker("t", [], restart=TEMPORARY), intensity=0)
    before = await refs(sup)

    await kill_child(sup, "t")

    assert await refs(sup) == {"a": before["a"]}


async def test_d07_a_transient_child_that_is_shut_down_restarts_nobody(system):
    """A transient child that ends with Shutdown() is kept without a process, and nobody is restarted."""
    sup = await all_of(system, worker("a", []), worker("t", [], restart=TRANSIENT), intensity=0)
    before = await refs(sup)

    await finish(before["t"], Shutdown())

    assert await refs(sup) == {"t": None, "a": before["a"]}


async def test_d08_two_deaths_before_the_supervisor_looks_are_one_restart(system):
    """When a and c die before the supervisor handles either, there is one group restart and it counts once."""
    log = []
    sup = await all_of(system, *(worker(name, log) for name in "abc"), intensity=1)
    before = await refs(sup)
    log.clear()

    exit_signal(before["a"], Kill())
    exit_signal(before["c"], Kill())

    await wait_until_idle(system)
    assert sup.is_alive()
    assert steps(log) == ["stop b", "start a", "start b", "start c"]


async def test_d10_a_child_added_later_belongs_to_the_group(system):
    """A child added with start_child is restarted with the others, and starts last."""
    log = []
    sup = await all_of(system, worker("a", log), worker("b", log))
    await start_child(sup, worker("x", log))
    log.clear()

    await kill_child(sup, "a")

    await wait_until_idle(system)
    assert steps(log) == ["stop x", "stop b", "start a", "start b", "start x"]


async def test_d11_all_have_stopped_before_the_first_is_started(system):
    """A sibling that takes 80 ms to terminate is waited for before anybody is started."""
    log = []

    async def slowly(process):
        await asyncio.sleep(0.08)
        log.append(("stopped", process.id))

    sup = await all_of(system, worker("a", log), worker("b", log, on_terminate=slowly), worker("c", log))
    log.clear()

    await kill_child(sup, "a")

    await refs(sup)
    assert steps(log) == ["stop c", "stop b", "stopped b", "start a", "start b", "start c"]


async def test_d12_a_sibling_that_does_not_stop_is_killed(system):
    """A sibling that is not done when its shutdown of 50 ms is over is killed, and the restart goes on."""
    log = []
    stuck = worker("b", log, on_terminate=lambda _: asyncio.sleep(3600), shutdown=0.05)
    sup = await all_of(system, worker("a", log), stuck)
    before = await refs(sup)
    began = system.now()
    log.clear()

    await kill(before["a"])

    after = await refs(sup)
    assert before["b"].exit_reason == Killed()
    assert system.now() - began == pytest.approx(0.05, abs=0.01)
    assert steps(log) == ["stop b", "start a", "start b"]
    assert [after[name].is_alive() for name in "ab"] == [True, True]


async def test_d13_a_permanent_child_that_ends_normally_restarts_all(system):
    """A permanent child's normal end restarts the group."""
    log = []
    sup = await all_of(system, worker("a", log), worker("b", log))
    log.clear()

    await finish((await refs(sup))["b"], Normal())

    await wait_until_idle(system)
    assert steps(log) == ["stop b", "stop a", "start a", "start b"]


async def test_d14_a_transient_child_that_crashes_restarts_all(system):
    """A transient child's abnormal end restarts the group, and counts once."""
    log = []
    sup = await all_of(system, worker("a", log), worker("t", log, restart=TRANSIENT), intensity=1)
    log.clear()

    await finish((await refs(sup))["t"], "boom")

    await wait_until_idle(system)
    assert steps(log) == ["stop t", "stop a", "start a", "start t"]
    await finish((await refs(sup))["t"], "boom")
    assert await sup.wait_exit() == Shutdown()
