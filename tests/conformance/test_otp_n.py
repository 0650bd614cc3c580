"""OTP cases, group N: significant children and auto_shutdown."""

import pytest

from supervisors import (
    AutoShutdown,
    ChildSpecError,
    Ignore,
    Kill,
    Normal,
    Restart,
    Shutdown,
    StartError,
    Strategy,
    SupFlags,
    exit_signal,
    start_child,
    terminate_child,
)
from tests.support import finish, kill, kill_child, raises, refs, steps, stops_with, subtree, supervise, worker

ANY = AutoShutdown.ANY_SIGNIFICANT
ALL = AutoShutdown.ALL_SIGNIFICANT


def significant(id, log, restart=Restart.TRANSIENT, **spec):
    """Return the spec of a significant `Worker`."""
    return worker(id, log, restart=restart, significant=True, **spec)


async def test_n01_a_significant_child_needs_auto_shutdown(system):
    """With auto_shutdown never the supervisor does not start."""
    with pytest.raises(StartError) as failed:
        await supervise(system, [significant("a", [])])

    assert isinstance(failed.value.reason.error, ChildSpecError)
    assert failed.value.reason.error.field == "significant"


async def test_n03_the_end_of_a_significant_child_ends_the_supervisor(system):
    """Under any_significant a transient significant child ends normally: its siblings are stopped, in reverse order."""
    log = []
    sup = await supervise(system, [significant("a", log), worker("b", log), worker("c", log)], auto_shutdown=ANY)

    await finish((await refs(sup))["a"], Normal())

    assert await sup.wait_exit() == Shutdown()
    assert steps(log)[3:] == ["stop a", "stop c", "stop b"]


async def test_n04_a_significant_child_that_is_restarted_has_not_ended(system):
    """Under any_significant a transient significant child that crashes is restarted as ever."""
    sup = await supervise(system, [significant("a", [])], auto_shutdown=ANY)

    await kill_child(sup, "a")

    assert (await refs(sup))["a"].is_alive()


@pytest.mark.parametrize(
    "end",
    [
        lambda child: child.cast(raises(RuntimeError("boom"))),
        lambda child: exit_signal(child, Kill()),
        lambda child: child.cast(stops_with(Normal())),
    ],
)
async def test_n05_a_temporary_significant_child_may_end_in_any_way(system, end):
    """Under any_significant its crash, its kill and its normal end all end the supervisor."""
    sup = await supervise(system, [significant("a", [], Restart.TEMPORARY)], auto_shutdown=ANY)

    end((await refs(sup))["a"])

    assert await sup.wait_exit() == Shutdown()


@pytest.mark.parametrize("mode", list(AutoShutdown))
async def test_n07_a_child_that_is_not_significant_ends_nothing(system, mode):
    """In no mode does its end end the supervisor."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TEMPORARY), worker("b", [])], auto_shutdown=mode)

    await finish((await refs(sup))["a"], Normal())

    assert list(await refs(sup)) == ["b"]


async def test_n08_a_significant_child_that_was_terminated_is_not_waited_for(system):
    """Under all_significant terminate_child(a) ends nothing, but when b ends as well the supervisor does."""
    sup = await supervise(system, [significant("a", []), significant("b", []), worker("c", [])], auto_shutdown=ALL)

    await terminate_child(sup, "a")
    survived = await refs(sup)
    await finish(survived["b"], Normal())

    assert await sup.wait_exit() == Shutdown()
    assert survived["c"].exit_reason == Shutdown()


async def test_n09_terminate_child_of_a_significant_child_ends_nothing(system):
    """Under any_significant only a child's own end counts."""
    sup = await supervise(system, [significant("a", [])], auto_shutdown=ANY)

    await terminate_child(sup, "a")

    assert await refs(sup) == {"a": None}


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_n10_significant_children_stopped_by_a_group_restart_end_nothing(system, strategy):
    """Their supervisor stopped them itself; the temporary one is gone all the same."""
    children = [worker("a", []), significant("transient", []), significant("temporary", [], Restart.TEMPORARY)]
    sup = await supervise(system, children, strategy, auto_shutdown=ANY)

    await kill_child(sup, "a")
    now = await refs(sup)

    assert list(now) == ["transient", "a"]
    assert all(ref.is_alive() for ref in now.values())


async def test_n11_auto_shutdown_goes_up_through_significant_supervisors(system):
    """An inner supervisor that is a significant transient child ends by itself, and takes the outer one with it."""
    flags = {"auto_shutdown": ANY}
    inner_spec = subtree("inner", [significant("w", [])], flags=flags, restart=Restart.TRANSIENT, significant=True)
    outer = await supervise(system, [inner_spec, worker("b", [])], **flags)
    inner = (await refs(outer))["inner"]

    await finish((await refs(inner))["w"], Normal())

    assert await inner.wait_exit() == Shutdown()
    assert await outer.wait_exit() == Shutdown()


async def test_n12_a_permanent_supervisor_that_shut_itself_down_is_restarted(system):
    """Shutdown is a reason like any other for a permanent child."""
    outer = await supervise(system, [subtree("inner", [significant("w", [])], flags={"auto_shutdown": ANY})])
    inner = (await refs(outer))["inner"]

    await finish((await refs(inner))["w"], Normal())

    assert await inner.wait_exit() == Shutdown()
    again = (await refs(outer))["inner"]
    assert again is not inner
    assert (await refs(again))["w"].is_alive()


async def test_n13_a_significant_child_that_ignored_is_not_waited_for(system):
    """Under all_significant a chose not to run: the supervisor ends when b does."""
    ignoring = significant("a", [], on_init=lambda _: Ignore())
    sup = await supervise(system, [ignoring, significant("b", [])], auto_shutdown=ALL)

    await finish((await refs(sup))["b"], Normal())

    assert await sup.wait_exit() == Shutdown()


def test_n14_simple_one_for_one_has_no_auto_shutdown():
    """The two flags together are refused.

    Differs: as OTP 26: OTP 25 accepts them.
    """
    with pytest.raises(ChildSpecError) as refused:
        SupFlags(Strategy.SIMPLE_ONE_FOR_ONE, auto_shutdown=ANY)

    assert refused.value.field == "auto_shutdown"


async def test_n15_start_child_of_a_significant_child_needs_auto_shutdown(system):
    """With auto_shutdown never it is refused, and not kept."""
    sup = await supervise(system, [])

    with pytest.raises(ChildSpecError) as refused:
        await start_child(sup, significant("a", []))

    assert refused.value.field == "significant"
    assert await refs(sup) == {}


async def test_n16_all_significant_waits_for_the_last_one(system):
    """a has ended, b is up: so is the supervisor."""
    sup = await supervise(system, [significant("a", []), significant("b", [])], auto_shutdown=ALL)

    await finish((await refs(sup))["a"], Normal())

    now = await refs(sup)
    assert now["a"] is None
    assert now["b"].is_alive()


async def test_n17_significant_children_that_were_killed_are_restarted(system):
    """Under all_significant both transient children are killed and come back."""
    sup = await supervise(system, [significant("a", []), significant("b", [])], auto_shutdown=ALL)
    before = await refs(sup)

    for ref in before.values():
        await kill(ref)

    now = await refs(sup)
    assert all(ref.is_alive() for ref in now.values())
    assert now != before


async def test_n18_without_significant_children_all_of_them_ending_means_nothing(system):
    """Under all_significant the end of a temporary child that is not significant is no reason to end."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TEMPORARY)], auto_shutdown=ALL)

    await finish((await refs(sup))["a"], Normal())

    assert await refs(sup) == {}
