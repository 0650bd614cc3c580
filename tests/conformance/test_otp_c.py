"""OTP cases, group C: one_for_one."""

from functools import partial

from supervisors import (
    ChildSpec,
    Kill,
    Killed,
    Normal,
    Reply,
    Shutdown,
    count_children,
    exit_signal,
    link,
    sys,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, finish, kill, refs, start_with_extra, steps, supervise, worker


async def test_c01_only_the_dead_child_is_restarted(system):
    """When b of [a, b, c] is killed, b alone is started again; a and c are the same processes."""
    sup = await supervise(system, [worker(name, []) for name in "abc"])
    before = await refs(sup)

    await kill(before["b"])

    after = await refs(sup)
    assert before["b"].exit_reason == Killed()
    assert after["b"].is_alive()
    assert (after["a"], after["c"]) == (before["a"], before["c"])


async def test_c03_a_restarted_child_has_its_first_arguments_and_a_fresh_state(system):
    """A child is restarted with the arguments of its spec and none of its old state."""
    sup = await supervise(system, [worker("a", [])])
    old = (await refs(sup))["a"]
    old.send("remembered")

    await kill(old)

    new = (await refs(sup))["a"]
    assert await new.call(lambda process: Reply((process.id, process.infos))) == ("a", [])


async def test_c04_a_restart_accepts_more_than_a_ref(system):
    """A start function that returns (ref, extra) when it restarts the child is as good."""
    log = []
    sup = await supervise(system, [ChildSpec("a", partial(start_with_extra, "a", log))])

    await kill((await refs(sup))["a"])

    assert (await refs(sup))["a"].is_alive()
    assert steps(log) == ["start a", "start a"]


async def test_c06_two_children_killed_at_the_same_time_are_two_restarts(system):
    """a and b killed together end a supervisor of intensity 1, and not one of intensity 2."""
    strict = await supervise(system, [worker(name, []) for name in "ab"], intensity=1)
    lenient = await supervise(system, [worker(name, []) for name in "ab"], intensity=2)

    for ref in [*(await refs(strict)).values(), *(await refs(lenient)).values()]:
        exit_signal(ref, Kill())

    assert await strict.wait_exit() == Shutdown()
    assert (await count_children(lenient)).active == 2


async def test_c07_a_suspended_supervisor_restarts_what_died_when_it_is_resumed(system):
    """Children killed while the supervisor is suspended are all restarted once it is resumed."""
    log = []
    sup = await supervise(system, [worker(name, log) for name in "ab"])
    before = await refs(sup)
    await sys.suspend(sup)
    log.clear()

    await kill(before["b"])
    await kill(before["a"])
    await wait_until_idle(system)
    meanwhile = list(log)
    await sys.resume(sup)

    await wait_until_idle(system)
    assert meanwhile == []
    assert steps(log) == ["start b", "start a"]


async def test_c08_a_permanent_child_that_ends_normally_is_restarted(system):
    """A permanent child is restarted even when it stops with Normal()."""
    sup = await supervise(system, [worker("a", [])])

    await finish((await refs(sup))["a"], Normal())

    assert (await refs(sup))["a"].is_alive()


async def test_c10_siblings_that_are_linked_die_together_and_are_restarted_each(system):
    """When a is killed, b that is linked to it dies with Killed() too: two restarts, each by itself."""
    log = []
    sup = await supervise(system, [worker(name, log, kind=Plain) for name in "ab"], intensity=2)
    before = await refs(sup)
    await before["a"].call(lambda _: Reply(link(before["b"])))

    await kill(before["a"])

    after = await refs(sup)
    assert before["b"].exit_reason == Killed()
    assert [after[name].is_alive() for name in "ab"] == [True, True]
    assert steps(log) == ["start a", "start b", "start a", "start b"]
    await kill(after["a"])
    assert await sup.wait_exit() == Shutdown(), "two of the two restarts were used"
