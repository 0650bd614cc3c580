"""OTP cases, group J: shutdown."""

import asyncio

import pytest

from supervisors import (
    BRUTAL_KILL,
    ChildSpec,
    Killed,
    ProcessExit,
    Reply,
    ServerDownError,
    Shutdown,
    Supervisor,
    SupFlags,
    exit_signal,
    link,
    start_child,
    terminate_child,
    unlink,
    which_children,
)
from tests.support import Plain, Raw, Runner, refs, run_in, subtree, supervise, worker


def for_ever(_):
    """Wait for ever."""
    return asyncio.Event().wait()


def seconds(delay):
    """Return a function that waits ``delay`` seconds."""
    return lambda _: asyncio.sleep(delay)


def leave(server):
    """Unlink a worker from its supervisor."""
    unlink(server.actor_ref.parent)
    return Reply(None)


async def sleepy(_):
    """Be busy for an hour."""
    await asyncio.sleep(3600)


async def end(sup):
    """End a supervisor as its parent does, and return how long that took."""
    before = asyncio.get_running_loop().time()
    exit_signal(sup, Shutdown())
    await sup.wait_exit()
    return asyncio.get_running_loop().time() - before


async def test_j02_a_child_whose_terminate_never_returns_is_killed(system):
    """After its shutdown of 100 ms the child is killed; the supervisor still ends with shutdown."""
    sup = await supervise(system, [worker("a", [], on_terminate=for_ever, shutdown=0.1)])
    child = (await refs(sup))["a"]

    took = await end(sup)

    assert took == pytest.approx(0.1, abs=0.001)
    assert child.exit_reason == Killed()
    assert sup.exit_reason == Shutdown()


async def test_j03_brutal_kill_is_immediate(system):
    """A child with BRUTAL_KILL is killed at once; its terminate does not run."""
    log = []
    sup = await supervise(system, [worker("a", log, shutdown=BRUTAL_KILL)])
    child = (await refs(sup))["a"]

    took = await end(sup)

    assert took == pytest.approx(0, abs=0.001)
    assert child.exit_reason == Killed()
    assert log == [("start", "a")]


async def test_j05_a_child_that_does_not_trap_exits_dies_at_once_without_terminate(system):
    """Its reason is shutdown, and its terminate does not run."""
    log = []
    sup = await supervise(system, [worker("a", log, kind=Plain)])
    child = (await refs(sup))["a"]

    await end(sup)

    assert child.exit_reason == Shutdown()
    assert log == [("start", "a")]


async def test_j07_a_terminate_that_fails_does_not_disturb_the_others(system):
    """b's terminate exits with weird, which is b's reason; a is stopped as ever, and the supervisor ends well."""

    def weird(_):
        raise ProcessExit("weird")

    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log, on_terminate=weird)])
    children = await refs(sup)

    await end(sup)

    assert children["b"].exit_reason == "weird"
    assert children["a"].exit_reason == sup.exit_reason == Shutdown()
    assert log[-1] == ("stop", "a", Shutdown())


async def test_j08_a_child_busy_beyond_its_shutdown_is_killed(system):
    """A child in a callback that takes longer than its 80 ms is killed at the deadline; terminate never ran."""
    log = []
    sup = await supervise(system, [worker("a", log, shutdown=0.08)])
    child = (await refs(sup))["a"]
    child.cast(sleepy)

    took = await end(sup)

    assert took == pytest.approx(0.08, abs=0.001)
    assert child.exit_reason == Killed()
    assert log == [("start", "a")]


async def test_j09_a_child_that_unlinked_itself_is_stopped_all_the_same(system):
    """terminate_child does not rely on the link: the child ends with shutdown."""
    log = []
    sup = await supervise(system, [worker("a", log)])
    child = (await refs(sup))["a"]
    await child.call(leave)

    await terminate_child(sup, "a")

    assert child.exit_reason == Shutdown()
    assert log[-1] == ("stop", "a", Shutdown())


async def test_j10_a_supervisor_killed_for_being_slow_leaves_orphans(system):
    """A child supervisor with a shutdown of 60 ms is killed; its worker that is in terminate goes on without it.

    The other workers get killed from their parent.
    """
    log = []
    inner = subtree("inner", [worker("quick", log), worker("slow", log, on_terminate=seconds(1))], shutdown=0.06)
    sup = await supervise(system, [inner])
    children = await refs((await refs(sup))["inner"])

    took = await end(sup)
    slow_outlived_them = children["slow"].is_alive()
    await children["quick"].wait_exit()

    assert took == pytest.approx(0.06, abs=0.001)
    assert slow_outlived_them
    assert children["quick"].exit_reason == Killed()
    assert log[-1] == ("stop", "quick", Killed())
    assert await children["slow"].wait_exit() == Shutdown()


async def test_j11_a_start_child_that_comes_too_late_fails(system):
    """A call that arrives while the supervisor terminates fails with its exit reason."""
    log = []
    sup = await supervise(system, [worker("a", log, on_terminate=seconds(0.1))])
    exit_signal(sup, Shutdown())

    with pytest.raises(ServerDownError) as failed:
        await start_child(sup, worker("b", log))

    assert failed.value.reason == Shutdown()
    assert ("start", "b") not in log


async def test_j12_a_child_that_dies_before_its_turn_is_not_restarted(system):
    """While b is being stopped a dies: the supervisor ends with shutdown, without starting a again."""
    log = []
    sup = await supervise(system, [worker("a", log, kind=Plain), worker("b", log, on_terminate=seconds(0.1))])
    child = (await refs(sup))["a"]

    exit_signal(sup, Shutdown())
    await asyncio.sleep(0.05)
    exit_signal(child, "boom")

    assert await sup.wait_exit() == Shutdown()
    assert child.exit_reason == "boom"
    assert log.count(("start", "a")) == 1


async def test_j13_each_child_ends_as_its_own_shutdown_says(system):
    """[a brutal_kill, b default, d stuck for longer than its 50 ms] end with killed, shutdown, killed."""
    log = []
    a, b = worker("a", log, shutdown=BRUTAL_KILL), worker("b", log)
    sup = await supervise(system, [a, b, worker("d", log, on_terminate=for_ever, shutdown=0.05)])
    children = await refs(sup)

    await end(sup)

    assert {name: ref.exit_reason for name, ref in children.items()} == {"a": Killed(), "b": Shutdown(), "d": Killed()}


async def test_j14_terminate_child_has_terminate_run(system):
    """A child that traps exits runs terminate(shutdown) and ends with shutdown."""
    log = []
    sup = await supervise(system, [worker("a", log)])
    child = (await refs(sup))["a"]

    await terminate_child(sup, "a")

    assert log == [("start", "a"), ("stop", "a", Shutdown())]
    assert child.exit_reason == Shutdown()


async def test_j16_terminate_child_returns_once_the_child_is_dead(system):
    """A process that ignores exit signals is killed after its shutdown of 60 ms, and only then the call returns."""
    sup = await supervise(system, [ChildSpec("raw", Raw.start_link, shutdown=0.06)])
    child = (await refs(sup))["raw"]
    before = system.now()

    await terminate_child(sup, "raw")

    assert child.exit_reason == Killed()
    assert system.now() - before == pytest.approx(0.06, abs=0.001)


async def relink_and_end(sup):
    """Send a supervisor the exit signal of its parent, which is no longer what it was started with: the link."""
    unlink(sup)
    link(sup)
    exit_signal(sup, Shutdown())


@pytest.mark.parametrize("order", [lambda sup: exit_signal(sup, Shutdown()), relink_and_end])
async def test_j17_a_supervisor_ends_when_its_parent_says_so(system, order):
    """exit_signal(sup, Shutdown()) by the parent, also after unlink and link, stops b, then a, then it."""
    log = []
    runner = await system.start(Runner, True)
    sup = await run_in(runner, Supervisor.start_link, SupFlags(), [worker("a", log), worker("b", log)])
    log.clear()

    await run_in(runner, order, sup)

    assert await sup.wait_exit() == Shutdown()
    assert log == [("stop", "b", Shutdown()), ("stop", "a", Shutdown())]


async def test_j18_a_supervisor_that_stops_a_child_answers_nothing_else(system):
    """which_children waits until a terminate_child that takes 100 ms is done."""
    sup = await supervise(system, [worker("a", [], on_terminate=seconds(0.1))])
    terminating = asyncio.ensure_future(terminate_child(sup, "a"))
    await asyncio.sleep(0)
    before = system.now()

    children = await which_children(sup)

    assert system.now() - before == pytest.approx(0.1, abs=0.001)
    assert [child.ref for child in children] == [None]
    await terminating
