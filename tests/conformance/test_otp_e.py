"""OTP cases, group E: rest_for_one."""

from supervisors import Kill, Restart, Shutdown, Strategy, exit_signal, restart_child, terminate_child
from supervisors.testing import wait_until_idle
from tests.support import finish, kill_child, refs, steps, supervise, worker

TRANSIENT, TEMPORARY = Restart.TRANSIENT, Restart.TEMPORARY


async def rest_of(system, *children, **flags):
    """Start a rest_for_one supervisor of ``children``."""
    return await supervise(system, children, Strategy.REST_FOR_ONE, **flags)


async def test_e01_the_dead_child_and_those_after_it_are_restarted(system):
    """When b of [a, b, c, d] is killed, d and c are stopped, then b, c and d are started; a is the same process."""
    log = []
    sup = await rest_of(system, *(worker(name, log) for name in "abcd"))
    before = await refs(sup)
    log.clear()

    await kill_child(sup, "b")

    assert (await refs(sup))["a"] is before["a"]
    assert steps(log) == ["stop d", "stop c", "start b", "start c", "start d"]


async def test_e02_the_first_takes_all_with_it_the_last_nobody(system):
    """When a of [a, b] is killed both are restarted; when b is, b alone."""
    log = []
    sup = await rest_of(system, worker("a", log), worker("b", log))
    log.clear()

    await kill_child(sup, "a")
    await wait_until_idle(system)
    first = steps(log)
    log.clear()
    await kill_child(sup, "b")
    await wait_until_idle(system)
    second = steps(log)

    assert first == ["stop b", "start a", "start b"]
    assert second == ["start b"]


async def test_e04_a_child_that_was_stopped_and_started_keeps_its_place(system):
    """terminate_child and restart_child of b leave the order: when b is killed, c is restarted and a is not."""
    log = []
    sup = await rest_of(system, *(worker(name, log) for name in "abc"))
    await terminate_child(sup, "b")
    await restart_child(sup, "b")
    log.clear()

    await kill_child(sup, "b")

    assert list(await refs(sup)) == ["c", "b", "a"]
    assert steps(log) == ["stop c", "start b", "start c"]


async def test_e05_temporary_children_after_the_dead_one_are_removed(system):
    """A temporary child before the dead one is left alone; one after it is stopped for good."""
    log = []
    children = [
        worker("t1", log, restart=TEMPORARY),
        worker("b", log),
        worker("t2", log, restart=TEMPORARY),
        worker("c", log),
    ]
    sup = await rest_of(system, *children)
    before = await refs(sup)
    log.clear()

    await kill_child(sup, "b")

    after = await refs(sup)
    assert list(after) == ["c", "b", "t1"]
    assert after["t1"] is before["t1"]
    assert steps(log) == ["stop c", "stop t2", "start b", "start c"]


async def test_e07_a_stopped_child_is_started_again_only_if_it_comes_after(system):
    """Of two terminated children the one before the dead child stays down, the one after it is started."""
    sup = await rest_of(system, *(worker(name, []) for name in "abc"))
    await terminate_child(sup, "a")
    await terminate_child(sup, "c")

    await kill_child(sup, "b")

    after = await refs(sup)
    assert after["a"] is None
    assert [after[name].is_alive() for name in "bc"] == [True, True]


async def test_e08_a_temporary_child_that_dies_restarts_nobody(system):
    """The death of a temporary last child restarts nobody, and it is missing from the next restart."""
    log = []
    sup = await rest_of(system, *(worker(name, log) for name in "abc"), worker("t", log, restart=TEMPORARY))
    log.clear()

    await kill_child(sup, "t")
    await wait_until_idle(system)
    first = steps(log)
    await kill_child(sup, "b")
    await wait_until_idle(system)

    assert first == []
    assert steps(log) == ["stop c", "start b", "start c"]


async def test_e09_an_earlier_child_that_died_first_covers_a_later_one(system):
    """When a's exit comes before c's, one restart covers both."""
    log = []
    sup = await rest_of(system, *(worker(name, log) for name in "abc"), intensity=1)
    before = await refs(sup)
    log.clear()

    exit_signal(before["a"], Kill())
    exit_signal(before["c"], Kill())

    await wait_until_idle(system)
    assert sup.is_alive()
    assert steps(log) == ["stop b", "start a", "start b", "start c"]


async def test_e10_a_later_child_that_died_first_is_a_restart_of_its_own(system):
    """When c's exit comes before a's, c is restarted first, and a's is the second restart: too many for intensity 1."""
    log = []
    sup = await rest_of(system, *(worker(name, log) for name in "abc"), intensity=1)
    before = await refs(sup)
    log.clear()

    exit_signal(before["c"], Kill())
    exit_signal(before["a"], Kill())

    assert await sup.wait_exit() == Shutdown()
    assert steps(log) == ["start c", "stop c", "stop b"]


async def test_e11_a_transient_child_that_crashes_restarts_the_rest(system):
    """A transient child's abnormal end restarts it and those after it."""
    log = []
    sup = await rest_of(system, worker("a", log), worker("b", log, restart=TRANSIENT), worker("c", log))
    log.clear()

    await finish((await refs(sup))["b"], "boom")

    await wait_until_idle(system)
    assert steps(log) == ["stop b", "stop c", "start b", "start c"]
