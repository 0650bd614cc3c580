"""What a tree looks like after faults: what was hit is as it should be, and the rest is unharmed."""

import asyncio
import itertools

import pytest

from supervisors import (
    Crashed,
    FailedToStartChild,
    Killed,
    NoReply,
    Restart,
    Shutdown,
    StartError,
    Strategy,
    Supervisor,
    SupFlags,
    start_child,
    terminate_child,
)
from supervisors.faults import InjectedFault, crash, delay, drop, duplicate, find, kill, stall, walk
from supervisors.testing import assert_tree, await_exit, wait_until_idle
from tests.support import PATIENT, Plain, Worker, refs, supervise, worker

LEAVES = {"w0": {}, "w1": {}}
TREE = {"top": {"left": LEAVES, "right": LEAVES}}


def branch(side, **flags):
    """Return the spec of a supervisor of two workers named after it."""
    workers = [Worker.child_spec(f"{side}-w{n}", [], id=f"w{n}", name=f"{side}-w{n}") for n in range(2)]
    return Supervisor.child_spec(SupFlags(**{**PATIENT, **flags}), workers, id=side, name=side)


async def start_tree(system, **flags):
    """Start "top" over "left" and "right", each with two workers; return all refs by path."""
    children = [branch("left", **flags), branch("right")]
    await system.start(Supervisor, SupFlags(**PATIENT), children, name="top")
    return by_path(system)


def by_path(system):
    return {"/".join(path): node.ref for path, node in walk(system.tree())}


def changed(before, system):
    """Return the paths whose process is another than ``before``."""
    now = by_path(system)
    return {path for path in before.keys() | now.keys() if before.get(path) is not now.get(path)}


async def hit(system, target):
    kill(target)
    await wait_until_idle(system)


# One at every level


async def test_a_killed_worker_is_replaced_alone(system):
    before = await start_tree(system)

    await hit(system, "top/left/w0")

    assert changed(before, system) == {"top/left/w0"}
    assert_tree(system, TREE)


async def test_a_killed_supervisor_is_replaced_with_all_below_it(system):
    before = await start_tree(system)

    await hit(system, "top/left")

    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}
    assert_tree(system, TREE)


async def test_a_killed_root_takes_everything_with_it(system):
    await start_tree(system)
    bystander = await supervise(system, [worker("w", [])])

    await hit(system, "top")

    assert_tree(system, {str(bystander): {"w": {}}})


async def test_one_killed_at_every_level_at_once_leaves_the_other_branch_alone(system):
    before = await start_tree(system)

    kill("top/left/w0")
    kill("top/left")
    await wait_until_idle(system)

    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}
    assert_tree(system, TREE)


@pytest.mark.parametrize("targets", list(itertools.combinations(["left", "left-w0", "left-w1", "right-w0"], 2)))
async def test_any_two_killed_at_once_come_back(system, targets):
    await start_tree(system)

    for target in targets:
        kill(target)
    await wait_until_idle(system)

    assert_tree(system, TREE)


async def test_one_for_all_replaces_the_siblings_of_the_killed_and_no_other(system):
    await start_tree(system)
    flags = SupFlags(Strategy.ONE_FOR_ALL, **PATIENT)
    group = await system.start(Supervisor, flags, [worker("a", []), worker("b", [])], name="group")
    before = by_path(system)

    await hit(system, "group/a")

    assert changed(before, system) == {"group/a", "group/b"}
    assert group.is_alive()


async def test_a_worker_killed_too_often_takes_its_supervisor_down_which_is_replaced(system):
    before = await start_tree(system, intensity=2)

    for _ in range(3):
        await hit(system, "left-w0")

    assert before["top/left"].exit_reason == Shutdown()
    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}
    assert_tree(system, TREE)


# In init


async def test_a_crash_in_init_of_a_restart_is_tried_again(system):
    before = await start_tree(system)

    with crash("left-w0", "init", times=3) as fault:
        await hit(system, "left-w0")

    assert fault.fired == 3
    assert changed(before, system) == {"top/left/w0"}
    assert_tree(system, TREE)


async def test_a_child_that_crashes_in_init_for_ever_takes_only_its_supervisor_down(system):
    before = await start_tree(system, intensity=5)
    gone = before["top/left"]

    with crash("left-w0", "init", times=6):
        await hit(system, "left-w0")

    assert gone.exit_reason == Shutdown()
    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}
    assert_tree(system, TREE)


async def test_a_crash_in_init_at_the_first_start_rolls_the_whole_tree_back(system):
    with crash("right-w1", "init"), pytest.raises(StartError) as refused:
        await start_tree(system)

    assert isinstance(refused.value.reason, Shutdown)
    assert isinstance(refused.value.reason.detail, FailedToStartChild)
    assert_tree(system, {})


async def test_a_process_killed_in_init_is_a_failed_start(system):
    before = await start_tree(system)

    with stall("left-w0", 10.0, "init", times=1):
        kill("left-w0")
        await asyncio.sleep(1.0)
        starting = system.whereis("left-w0")
        kill("left-w0")
        await wait_until_idle(system)

    assert starting.exit_reason == Killed()
    assert changed(before, system) == {"top/left/w0"}
    assert_tree(system, TREE)


async def test_a_stalled_init_holds_up_its_own_branch_only(system):
    await start_tree(system)

    with stall("left-w0", callback="init") as fault:
        kill("left-w0")
        await asyncio.sleep(3600)

        assert await find("right-w0").call("echo") == "echo"
        assert await find("left-w1").call("echo") == "echo"
    assert fault.fired == 1


async def test_a_supervisor_killed_while_it_restarts_a_child_leaves_no_orphan(system):
    inner = Supervisor.child_spec(SupFlags(**PATIENT), [worker("w", [], kind=Plain)], id="inner")
    await system.start(Supervisor, SupFlags(**PATIENT), [inner], name="top")

    with stall(Plain, None, "init", times=1):
        kill("top/inner/w")
        await asyncio.sleep(1.0)
        kill("top/inner")
        await wait_until_idle(system)

    assert_tree(system, {"top": {"inner": {"w": {}}}})
    assert len(system.processes) == 3


async def test_a_new_child_that_crashes_in_init_is_not_kept(system):
    before = await start_tree(system)

    with crash("new", "init"), pytest.raises(StartError):
        await start_child("left", Worker.child_spec("new", [], name="new"))

    assert changed(before, system) == set()


async def test_the_tree_shows_a_supervisor_that_has_not_begun_yet(system):
    await start_tree(system)

    with stall("left", callback="init"):
        kill("left")
        await asyncio.sleep(1.0)

        assert_tree(system, {"top": {"left": {}, "right": LEAVES}})


# In terminate


async def test_a_crash_in_terminate_does_not_stop_a_shutdown(system):
    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log)])

    with crash(Worker, "terminate", nth=1):
        kill(sup, Shutdown())
        reason = await await_exit(sup)

    assert reason == Shutdown()
    assert log[-1] == ("stop", "a", Shutdown())
    assert_tree(system, {})


async def test_a_crash_in_terminate_is_the_exit_reason_and_the_child_is_replaced(system):
    before = await start_tree(system)

    with crash("left-w0", "terminate"):
        find("left-w0").cast(lambda _: 1 / 0)
        reason = await before["top/left/w0"].wait_exit()
        await wait_until_idle(system)

    assert isinstance(reason.error, InjectedFault)
    assert changed(before, system) == {"top/left/w0"}


async def test_a_terminate_stalled_past_its_shutdown_is_killed_and_the_rest_ends_in_order(system):
    log = []
    children = [worker("a", log), worker("b", log, shutdown=2.0), worker("c", log)]
    sup = await supervise(system, children)
    stuck = (await refs(sup))["b"]

    with stall(stuck):
        kill(sup, Shutdown())
        await await_exit(sup)

    assert stuck.exit_reason == Killed()
    assert 2.0 <= system.now() < 2.1
    assert log[3:] == [("stop", "c", Shutdown()), ("stop", "a", Shutdown())]


async def test_a_terminate_stalled_within_its_shutdown_ends_as_it_should(system):
    sup = await supervise(system, [worker("a", [])])
    child = (await refs(sup))["a"]

    with stall(child, 4.0):
        await terminate_child(sup, "a")

    assert child.exit_reason == Shutdown()
    assert 4.0 <= system.now() < 4.1


async def test_a_stalled_terminate_in_a_restart_of_all_delays_only_that_group(system):
    await start_tree(system)
    flags = SupFlags(Strategy.ONE_FOR_ALL, **PATIENT)
    await system.start(Supervisor, flags, [worker("a", []), worker("b", [], shutdown=2.0)], name="group")
    before = by_path(system)

    with stall(before["group/b"]):
        kill("group/a")
        await asyncio.sleep(1.0)
        assert await find("left-w0").call("echo") == "echo"
        await asyncio.sleep(1.1)

    assert before["group/b"].exit_reason == Killed()
    assert changed(before, system) == {"group/a", "group/b"}


async def test_a_worker_killed_while_its_terminate_is_stalled_is_replaced_at_once(system):
    before = await start_tree(system)

    with stall("left-w0", times=1):
        find("left-w0").cast(lambda _: 1 / 0)
        await asyncio.sleep(60.0)
        await hit(system, before["top/left/w0"])

    assert before["top/left/w0"].exit_reason == Killed()
    assert changed(before, system) == {"top/left/w0"}


async def test_a_child_that_outlives_its_killed_supervisor_is_replaced_and_ends_later(system):
    inner = Supervisor.child_spec(SupFlags(**PATIENT), [worker("w", [])], id="inner")
    await system.start(Supervisor, SupFlags(**PATIENT), [inner], name="top")
    orphan = find("top/inner/w")

    with stall(orphan, 1.0):
        kill("top/inner")
        await asyncio.sleep(0.5)
        assert find("top/inner/w") is not orphan
        await asyncio.sleep(1.1)

    assert orphan.exit_reason == Killed()
    assert_tree(system, {"top": {"inner": {"w": {}}}})


async def test_a_name_held_by_a_child_that_outlives_its_supervisor_uses_up_the_restarts_as_in_erlang(system):
    before = await start_tree(system)

    with stall("left-w0", 1.0):
        kill("left")
        await before["top"].wait_exit()
        await wait_until_idle(system)

    assert before["top"].exit_reason == Shutdown()
    assert_tree(system, {})


# Messages


async def test_a_crash_on_the_nth_message_hits_that_process_only(system):
    before = await start_tree(system)

    with crash("left-w0", "handle_cast", "poison", nth=3) as fault:
        for _ in range(3):
            for name in ("left-w0", "left-w1", "right-w0"):
                find(name).cast("poison")
        await wait_until_idle(system)

    assert fault.fired == 1
    assert isinstance(before["top/left/w0"].exit_reason, Crashed)
    assert changed(before, system) == {"top/left/w0"}


async def test_poison_that_comes_again_and_again_ends_the_supervisor_and_not_the_tree(system):
    before = await start_tree(system, intensity=2)

    with crash("left-w0", "handle_cast", "poison", times=3):
        for _ in range(3):
            find("left-w0").cast("poison")
            await wait_until_idle(system)

    assert before["top/left"].exit_reason == Shutdown()
    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}


@pytest.mark.parametrize("fault", [drop, duplicate, lambda target: delay(target, 0.5)])
async def test_lost_late_and_doubled_messages_do_not_harm_a_tree(system, fault):
    before = await start_tree(system)

    with fault(Worker):
        for name in ("left-w0", "left-w1", "right-w0", "right-w1"):
            find(name).cast(lambda _: NoReply())
        await asyncio.sleep(1.0)

    assert changed(before, system) == set()


async def test_a_crashed_temporary_child_is_gone_and_the_rest_unharmed(system):
    await start_tree(system)
    await start_child("left", Worker.child_spec("t", [], id="t", name="t", restart=Restart.TEMPORARY))
    before = by_path(system)

    with crash("t", "handle_info"):
        find("t").send("anything")
        await wait_until_idle(system)

    assert changed(before, system) == {"top/left/t"}
    assert_tree(system, TREE)


async def test_a_crash_in_a_supervisors_own_callback_is_like_any_crash(system):
    before = await start_tree(system)

    with crash("left", "handle_info"):
        kill("left-w0")
        await wait_until_idle(system)

    assert isinstance(before["top/left"].exit_reason.error, InjectedFault)
    assert before["top/left/w1"].exit_reason == Shutdown()
    assert changed(before, system) == {"top/left", "top/left/w0", "top/left/w1"}
    assert_tree(system, TREE)
