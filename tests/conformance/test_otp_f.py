"""OTP cases, group F: simple_one_for_one."""

import asyncio
from functools import partial

import pytest

from supervisors import (
    RESTARTING,
    AlreadyStarted,
    AlreadyStartedError,
    BadReturnValueError,
    Child,
    ChildCounts,
    ChildSpec,
    ChildType,
    Crashed,
    Ignore,
    Normal,
    NotFoundError,
    Restart,
    Shutdown,
    SimpleOneForOneError,
    StartError,
    Stop,
    Strategy,
    Supervisor,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    stop,
    terminate_child,
    which_children,
)
from supervisors.testing import wait_until_idle
from tests.support import (
    Worker,
    finish,
    in_turn,
    kill,
    nothing,
    raises,
    start_with_extra,
    steps,
    stops_with,
    supervise,
)


async def simple(system, template=None, *, restart=Restart.PERMANENT, **flags):
    """Start a simple_one_for_one supervisor of workers; `start_child` gives them their arguments."""
    template = template or Worker.child_spec(id="template", restart=restart)
    return await supervise(system, [template], Strategy.SIMPLE_ONE_FOR_ONE, **flags)


async def children_of(sup):
    """Return the refs of the children, first started first."""
    return [child.ref for child in await which_children(sup)]


async def test_f02_a_new_supervisor_has_no_children(system):
    """The template is not started: no children, and counts that have it as their one spec."""
    sup = await simple(system)

    assert await which_children(sup) == []
    assert await count_children(sup) == ChildCounts(specs=1, active=0, supervisors=0, workers=0)


async def test_f03_start_child_adds_arguments_to_those_of_the_template(system):
    """The arguments given to start_child follow the template's; the child's id is None."""
    log = []
    sup = await simple(system, Worker.child_spec("x", id="template"))

    ref = await start_child(sup, [log])

    assert log == [("start", "x")]
    assert await which_children(sup) == [Child(id=None, ref=ref, type=ChildType.WORKER, modules=(Worker,))]


async def test_f05_terminate_child_takes_a_ref_of_a_child_dead_or_alive(system):
    """terminate_child by id is an error, by ref fine, by the same dead ref fine again; a living stranger is none."""
    log = []
    sup = await simple(system)
    ref = await start_child(sup, ["x", log])
    stranger = await system.start(Worker, "stranger", log)

    await terminate_child(sup, ref)
    await terminate_child(sup, ref)

    assert ref.exit_reason == Shutdown()
    assert await children_of(sup) == []
    with pytest.raises(SimpleOneForOneError):
        await terminate_child(sup, "template")
    with pytest.raises(NotFoundError):
        await terminate_child(sup, stranger)
    assert stranger.is_alive()


async def test_f06_restart_child_and_delete_child_are_errors(system):
    """Children without ids cannot be restarted or deleted by one."""
    sup = await simple(system)

    with pytest.raises(SimpleOneForOneError):
        await restart_child(sup, "template")
    with pytest.raises(SimpleOneForOneError):
        await delete_child(sup, "template")


async def test_f07_a_child_that_does_not_start_is_its_bare_reason_and_not_kept(system):
    """start_child of a child that stops, raises or is no child raises StartError with the reason and no child spec."""
    boom = RuntimeError("boom")

    async def start(function):
        return await function()

    async def garbage():
        return "garbage"

    sup = await simple(system, ChildSpec("template", start))
    stopping = partial(Worker.start_link, "x", [], stops_with("bad"))

    with pytest.raises(StartError) as stopped:
        await start_child(sup, [stopping])
    with pytest.raises(StartError) as raised:
        await start_child(sup, [raises(boom)])
    with pytest.raises(StartError) as returned:
        await start_child(sup, [garbage])

    assert (stopped.value.reason, stopped.value.child) == ("bad", None)
    assert (raised.value.reason, raised.value.child) == (Crashed(boom), None)
    assert isinstance(returned.value.reason.error, BadReturnValueError)
    assert await children_of(sup) == []


async def test_f08_a_child_that_ignores_is_never_kept(system):
    """start_child of a child whose init ignores returns None, and nothing is kept, whatever the restart type."""
    sups = [await simple(system, restart=restart) for restart in Restart]

    results = [await start_child(sup, ["x", [], lambda _: Ignore()]) for sup in sups]

    assert results == [None, None, None]
    assert [await which_children(sup) for sup in sups] == [[], [], []]


async def test_f09_children_are_stopped_at_the_same_time(system):
    """Ten children that need 100 ms each to terminate are stopped within 100 ms all together."""
    log = []
    sup = await simple(system)
    for name in range(10):
        await start_child(sup, [name, log, None, lambda _: asyncio.sleep(0.1)])
    began = system.now()

    await stop(sup)

    assert system.now() - began == pytest.approx(0.1, abs=0.01)
    assert sorted(entry for entry in log if entry[0] == "stop") == [("stop", name, Shutdown()) for name in range(10)]


async def test_f11_restarts_of_all_children_are_counted_together(system):
    """With intensity 1, killing two different children ends the supervisor with Shutdown()."""
    sup = await simple(system, intensity=1)
    first, second = [await start_child(sup, [name, []]) for name in "ab"]

    await kill(first)
    await wait_until_idle(system)
    survived = sup.is_alive()
    await kill(second)

    assert survived
    assert await sup.wait_exit() == Shutdown()


async def test_f12_a_child_that_is_not_restarted_is_gone(system):
    """A temporary child that crashes and a transient one that ends normally are gone; one that crashes is restarted."""
    temporary = await simple(system, restart=Restart.TEMPORARY)
    transient = await simple(system, restart=Restart.TRANSIENT)

    await finish(await start_child(temporary, ["x", []]), "boom")
    await finish(await start_child(transient, ["x", []]), Normal())
    remaining = [await which_children(sup) for sup in (temporary, transient)]
    await finish(await start_child(transient, ["x", []]), "boom")

    assert remaining == [[], []]
    assert [ref.is_alive() for ref in await children_of(transient)] == [True]


async def test_f13_a_child_whose_restart_fails_is_restarting_until_it_is_terminated(system):
    """While restarts fail the child is RESTARTING, counts as a worker, and terminate_child by its old ref ends that."""
    log = []

    async def fails_slowly(_):
        await asyncio.sleep(0.05)
        return Stop("bad")

    sup = await simple(system)
    old = await start_child(sup, ["x", log, in_turn(nothing, fails_slowly)])
    await kill(old)
    await asyncio.sleep(0.12)

    children, counts = await which_children(sup), await count_children(sup)
    await terminate_child(sup, old)

    tried = len(log)
    await asyncio.sleep(1)
    assert [(child.id, child.ref) for child in children] == [(None, RESTARTING)]
    assert (counts.active, counts.workers) == (0, 1)
    assert await which_children(sup) == []
    assert len(log) == tried > 2


async def test_f14_get_childspec_returns_the_template(system):
    """get_childspec by a child's ref and by the template's id returns the template; by a stranger it is not found."""
    template = Worker.child_spec(id="template")
    sup = await simple(system, template)
    ref = await start_child(sup, ["x", []])
    stranger = await system.start(Worker, "stranger", [])

    assert await get_childspec(sup, ref) is template
    assert await get_childspec(sup, "template") is template
    with pytest.raises(NotFoundError):
        await get_childspec(sup, stranger)


async def test_f15_a_child_that_ignores_its_restart_is_gone(system):
    """A child whose init ignores when it is restarted is removed, and the supervisor lives.

    Differs: OTP 25 leaves an entry without a process in which_children, which nothing can remove; Elixir's
    DynamicSupervisor drops the child, as here.
    """
    log = []
    sup = await simple(system)
    ref = await start_child(sup, ["x", log, in_turn(nothing, lambda _: Ignore())])

    await kill(ref)

    assert await which_children(sup) == []
    assert steps(log) == ["start x", "start x"]


async def test_f16_each_child_has_an_entry_and_counts(system):
    """Three children are three entries, and specs 1, active 3, workers 3."""
    sup = await simple(system)

    started = [await start_child(sup, [name, []]) for name in "abc"]

    assert set(await children_of(sup)) == set(started)
    assert await count_children(sup) == ChildCounts(specs=1, active=3, supervisors=0, workers=3)


async def test_f17_a_child_whose_name_is_taken_does_not_start(system):
    """start_child of a child whose name is taken raises AlreadyStartedError with who has it."""
    sup = await simple(system, Worker.child_spec(id="template", name="taken"))
    first = await start_child(sup, ["x", []])

    with pytest.raises(AlreadyStartedError) as failed:
        await start_child(sup, ["x", []])

    assert failed.value.ref is first
    assert failed.value.reason == AlreadyStarted(first)
    assert await children_of(sup) == [first]


async def test_f18_start_child_returns_all_that_start_does(system):
    """A start function that returns (ref, extra) has start_child return both, and the child supervised."""
    sup = await simple(system, ChildSpec("template", start_with_extra))

    ref, extra = await start_child(sup, ["x", []])

    assert extra == "extra"
    assert await children_of(sup) == [ref]


async def test_f19_supervisors_are_counted_as_such(system):
    """Temporary children of type supervisor count as supervisors, and no more once they died."""
    sup = await simple(system, Supervisor.child_spec(id="template", restart=Restart.TEMPORARY))
    first, _ = [await start_child(sup, []) for _ in range(2)]

    before = await count_children(sup)
    await kill(first)
    after = await count_children(sup)

    assert before == ChildCounts(specs=1, active=2, supervisors=2, workers=0)
    assert after == ChildCounts(specs=1, active=1, supervisors=1, workers=0)


async def test_f20_only_the_dead_child_is_restarted(system):
    """When one of two children is killed, it is started again; the other is the same process."""
    sup = await simple(system)
    first, second = [await start_child(sup, [name, []]) for name in "ab"]

    await kill(first)

    after = await children_of(sup)
    assert second in after
    assert first not in after
    assert [ref.is_alive() for ref in after] == [True, True]
