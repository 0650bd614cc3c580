"""OTP cases, group K: restarts that fail."""

import asyncio
from functools import partial

import pytest

from supervisors import (
    RESTARTING,
    AlreadyPresentError,
    ChildRestartingError,
    ChildSpec,
    Shutdown,
    StartError,
    Stop,
    Strategy,
    count_children,
    delete_child,
    exit_signal,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from tests.support import Worker, in_turn, kill, kill_child, nothing, raises, refs, steps, stops_with, supervise, worker

FAIL = stops_with("bad")
ENDLESS = {"intensity": 10**6}


async def fail_slowly(_):
    """Fail to start, after 50 ms."""
    await asyncio.sleep(0.05)
    return Stop("bad")


def fails_while(broken):
    """Return an ``on_init`` that fails slowly as long as the list ``broken`` has something in it."""
    return lambda server: fail_slowly(server) if broken else None


@pytest.mark.parametrize(("intensity", "survives", "starts"), [(2, True, 3), (1, False, 2)])
async def test_k01_a_failed_restart_counts_as_one(system, intensity, survives, starts):
    """A child that comes back at the second attempt costs two restarts."""
    log = []
    sup = await supervise(system, [worker("a", log, on_init=in_turn(nothing, FAIL, nothing))], intensity=intensity)

    await kill_child(sup, "a")
    await asyncio.sleep(1)

    assert sup.is_alive() is survives
    assert steps(log) == ["start a"] * starts


async def test_k02_a_restart_that_always_fails_is_given_up_at_once(system):
    """With intensity 3 there are 3 failed attempts, without a pause; then the supervisor ends with shutdown."""
    log = []
    sup = await supervise(system, [worker("a", log, on_init=in_turn(nothing, FAIL))], intensity=3)
    before = system.now()

    await kill_child(sup, "a")

    assert await sup.wait_exit() == Shutdown()
    assert steps(log) == ["start a"] * 4
    assert system.now() - before == pytest.approx(0, abs=0.001)


async def test_k03_a_child_between_two_attempts_is_restarting(system):
    """Such a child is listed as RESTARTING; it is neither active nor stopped; terminate_child ends the attempts."""
    log, broken = [], []
    sup = await supervise(system, [worker("a", log, on_init=fails_while(broken))], **ENDLESS)
    broken.append("a")
    await kill_child(sup, "a")
    await asyncio.sleep(0.12)

    seen = [await refs(sup), (await count_children(sup)).active]
    for attempt in (restart_child(sup, "a"), delete_child(sup, "a")):
        with pytest.raises(ChildRestartingError):
            await attempt
    with pytest.raises(AlreadyPresentError):
        await start_child(sup, worker("a", log))
    await terminate_child(sup, "a")
    starts = len(log)
    await asyncio.sleep(1)
    broken.clear()

    assert seen == [{"a": RESTARTING}, 0]
    assert await refs(sup) == {"a": None}
    assert len(log) == starts
    assert (await restart_child(sup, "a")).is_alive()


async def test_k04_requests_are_served_between_attempts(system):
    """While x is restarted again and again, start_child(y) is answered."""
    sup = await supervise(system, [worker("x", [], on_init=in_turn(nothing, FAIL))], **ENDLESS)
    await kill_child(sup, "x")

    y = await start_child(sup, worker("y", []))

    assert await refs(sup) == {"x": RESTARTING, "y": y}


async def test_k05_a_failed_group_restart_starts_all_over(system):
    """[a, b, c, d], one_for_all, b dies, c fails once: what was started is stopped, then all start. Two restarts."""
    log = []
    fails_once = in_turn(nothing, FAIL, nothing)
    children = [worker("a", log), worker("b", log), worker("c", log, on_init=fails_once), worker("d", log)]
    sup = await supervise(system, children, Strategy.ONE_FOR_ALL, intensity=2)
    log.clear()

    await kill_child(sup, "b")
    await asyncio.sleep(1)

    assert steps(log) == [
        *("stop d", "stop c", "stop a"),
        *("start a", "start b", "start c"),
        *("stop b", "stop a"),
        *("start a", "start b", "start c", "start d"),
    ]
    assert all(ref.is_alive() for ref in (await refs(sup)).values())


async def test_k06_a_failed_group_restart_counts_too(system):
    """[a, b], one_for_all, intensity 1: a dies, b fails once, and that is one restart too many."""
    fails_once = in_turn(nothing, FAIL, nothing)
    children = [worker("a", []), worker("b", [], on_init=fails_once)]
    sup = await supervise(system, children, Strategy.ONE_FOR_ALL, intensity=1)

    await kill_child(sup, "a")

    assert await sup.wait_exit() == Shutdown()


async def test_k07_a_failed_rest_for_one_goes_on_where_it_failed(system):
    """[a, b, c, d], rest_for_one, b dies, c fails once: the next attempt begins at c; b stays."""
    log = []
    fails_once = in_turn(nothing, FAIL, nothing)
    children = [worker("a", log), worker("b", log), worker("c", log, on_init=fails_once), worker("d", log)]
    sup = await supervise(system, children, Strategy.REST_FOR_ONE, intensity=2)
    log.clear()

    await kill_child(sup, "b")
    await asyncio.sleep(1)

    assert steps(log) == ["stop d", "stop c", "start b", "start c", "start c", "start d"]
    assert all(ref.is_alive() for ref in (await refs(sup)).values())


async def test_k08_a_supervisor_answers_nothing_while_a_child_initializes(system):
    """which_children waits until a restarted child's init, which takes 300 ms, is done."""
    slow = in_turn(nothing, lambda _: asyncio.sleep(0.3))
    sup = await supervise(system, [worker("a", [], on_init=slow)])
    await kill_child(sup, "a")
    before = system.now()

    children = await which_children(sup)

    assert system.now() - before == pytest.approx(0.3, abs=0.001)
    assert children[0].ref.is_alive()


async def test_k09_the_name_of_a_dead_child_is_free_for_the_next(system):
    """A named child killed 100 times is restarted 100 times; its name is never taken."""
    log = []
    spec = ChildSpec("a", partial(Worker.start_link, "a", log, name="alice"))
    sup = await supervise(system, [spec], intensity=100)

    for _ in range(100):
        await kill_child(sup, "a")

    assert (await refs(sup))["a"] is system.whereis("alice")
    assert steps(log) == ["start a"] * 101


async def test_k10_a_supervisor_stops_promptly_amid_failing_restarts(system):
    """Told to stop between two attempts, the supervisor makes no more of them."""
    sup = await supervise(system, [worker("a", [], on_init=in_turn(nothing, fail_slowly))], **ENDLESS)
    await kill_child(sup, "a")
    await asyncio.sleep(0.12)
    before = system.now()

    exit_signal(sup, Shutdown())

    assert await sup.wait_exit() == Shutdown()
    assert system.now() - before < 0.2


async def test_k11_restarts_that_raise_are_given_up_too(system):
    """[a, x], x's init raises on each restart, intensity 2: x is tried 3 times in all, then a is stopped."""
    log = []
    fails = in_turn(nothing, raises(RuntimeError("boom")))
    sup = await supervise(system, [worker("a", log), worker("x", log, on_init=fails)], intensity=2)

    await kill_child(sup, "x")

    assert await sup.wait_exit() == Shutdown()
    assert steps(log) == ["start a", "start x", "start x", "start x", "stop a"]


async def test_k12_terminate_child_ends_the_attempts_and_restart_child_begins_anew(system):
    """x, in a retry loop, is terminated: it does not run; later restart_child starts it."""
    broken = []
    sup = await supervise(system, [worker("x", [], on_init=fails_while(broken))], **ENDLESS)
    broken.append("x")
    await kill_child(sup, "x")

    await terminate_child(sup, "x")
    stopped = await refs(sup)
    broken.clear()
    await restart_child(sup, "x")

    assert stopped == {"x": None}
    assert (await refs(sup))["x"].is_alive()


async def test_k13_children_after_one_that_is_restarting_are_down(system):
    """[a, b, c, d], rest_for_one, b died, c fails and fails: a and b are up, c is RESTARTING, d waits."""
    children = [worker(name, []) for name in "ab"]
    children += [worker("c", [], on_init=in_turn(nothing, fail_slowly)), worker("d", [])]
    sup = await supervise(system, children, Strategy.REST_FOR_ONE, **ENDLESS)
    await kill_child(sup, "b")
    await asyncio.sleep(0.12)

    seen = await refs(sup)

    assert [seen["a"].is_alive(), seen["b"].is_alive(), seen["c"], seen["d"]] == [True, True, RESTARTING, None]


async def test_k14_a_failed_restart_child_is_not_tried_again(system):
    """restart_child of a child whose init fails raises its reason; the child stays down; no restart is counted."""
    log = []
    sup = await supervise(system, [worker("a", log, on_init=in_turn(nothing, FAIL))], intensity=0)
    await terminate_child(sup, "a")

    with pytest.raises(StartError) as failed:
        await restart_child(sup, "a")
    await asyncio.sleep(1)

    assert failed.value.reason == "bad"
    assert await refs(sup) == {"a": None}
    assert steps(log) == ["start a", "stop a", "start a"]


async def test_k15_a_failed_restart_under_simple_one_for_one_is_tried_again(system):
    """A child that comes back at the second attempt has had 3 init runs, and cost 2 restarts."""
    log = []
    template = worker("template", log, on_init=in_turn(nothing, FAIL, nothing))
    sup = await supervise(system, [template], Strategy.SIMPLE_ONE_FOR_ONE, intensity=2)
    child = await start_child(sup, [])

    await kill(child)
    await asyncio.sleep(1)

    assert steps(log) == ["start template"] * 3
    assert [kept.ref.is_alive() for kept in await which_children(sup)] == [True]
