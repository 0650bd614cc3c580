"""OTP cases, group I: escalation and nested trees."""

import pytest

from supervisors import (
    ChildSpec,
    Continue,
    Kill,
    Killed,
    Normal,
    ProcessExit,
    Restart,
    Shutdown,
    Strategy,
    Supervisor,
    SupFlags,
    exit_signal,
    link,
    start_child,
    stop,
)
from supervisors.testing import wait_until_idle
from tests.support import (
    Plain,
    Raw,
    Runner,
    infos_of,
    kill,
    kill_child,
    refs,
    run_in,
    subtree,
    supervise,
    worker,
)

NONE = {"intensity": 0}


async def test_i01_a_permanent_supervisor_that_gave_up_is_started_afresh(system):
    """The inner supervisor ends with shutdown and is restarted: w is back, the child added later is gone."""
    outer = await supervise(system, [subtree("inner", [worker("w", [])], flags=NONE)])
    inner = (await refs(outer))["inner"]
    await start_child(inner, worker("added", []))

    await kill_child(inner, "w")

    assert await inner.wait_exit() == Shutdown()
    again = (await refs(outer))["inner"]
    assert again is not inner
    assert list(await refs(again)) == ["w"]


async def test_i02_a_transient_supervisor_that_gave_up_is_not_restarted(system):
    """To give up is to end with shutdown, which is no failure: the spec is kept, and nothing runs."""
    outer = await supervise(system, [subtree("inner", [worker("w", [])], flags=NONE, restart=Restart.TRANSIENT)])
    inner = (await refs(outer))["inner"]

    await kill_child(inner, "w")

    assert await inner.wait_exit() == Shutdown()
    assert await refs(outer) == {"inner": None}


async def test_i03_a_temporary_supervisor_that_gave_up_is_forgotten(system):
    """The outer supervisor lives on without it."""
    outer = await supervise(system, [subtree("inner", [worker("w", [])], flags=NONE, restart=Restart.TEMPORARY)])
    inner = (await refs(outer))["inner"]

    await kill_child(inner, "w")

    assert await inner.wait_exit() == Shutdown()
    assert await refs(outer) == {}


async def test_i04_where_no_level_allows_a_restart_the_whole_tree_ends(system):
    """The starter gets an exit signal with shutdown, and w was started once."""
    log = []
    runner = await system.start(Runner, True)
    children = [subtree("inner", [worker("w", log)], flags=NONE)]
    outer = await run_in(runner, Supervisor.start_link, SupFlags(intensity=0), children)
    inner = (await refs(outer))["inner"]

    await kill_child(inner, "w")
    await outer.wait_exit()

    assert [(exited.ref, exited.reason) for exited in await infos_of(runner)] == [(outer, Shutdown())]
    assert log == [("start", "w")]


class CrashLoop(Plain):
    """Starts well, and crashes at once after that."""

    def handle_continue(self, term):
        raise ProcessExit(term)


@pytest.mark.parametrize(("inner", "outer", "starts"), [(1, 1, 4), (3, 2, 12)])
async def test_i05_the_restarts_of_two_levels_multiply(system, inner, outer, starts):
    """A worker that always crashes is started (inner + 1) * (outer + 1) times in all."""
    log = []
    crash = worker("w", log, kind=CrashLoop, on_init=lambda _: Continue("boom"))
    sup = await supervise(system, [subtree("inner", [crash], flags={"intensity": inner})], intensity=outer)

    reason = await sup.wait_exit()

    assert reason == Shutdown()
    assert log.count(("start", "w")) == starts


async def test_i06_a_restarted_supervisor_takes_the_rest_with_it_under_rest_for_one(system):
    """When the inner supervisor gives up, it and b start again, and a is untouched."""
    log = []
    children = [worker("a", log), subtree("inner", [worker("w", log)], flags=NONE), worker("b", log)]
    outer = await supervise(system, children, Strategy.REST_FOR_ONE)
    inner = (await refs(outer))["inner"]
    log.clear()

    await kill_child(inner, "w")
    await inner.wait_exit()
    await refs(outer)

    assert log == [("stop", "b", Shutdown()), ("start", "w"), ("start", "b")]


async def test_i07_a_killed_supervisor_does_not_shut_its_children_down(system):
    """Servers end with killed, through the link or the parent's exit signal; who traps exits and ignores them lives."""
    log = []
    raw = ChildSpec("raw", Raw.start_link)
    sup = await supervise(system, [worker("plain", log, kind=Plain), worker("trapping", log), raw])
    children = await refs(sup)
    log.clear()

    await kill(sup)
    await wait_until_idle(system)

    assert sup.exit_reason == Killed()
    assert {name: ref.exit_reason for name, ref in children.items()} == {
        "plain": Killed(),
        "trapping": Killed(),
        "raw": None,
    }
    assert log == [("stop", "trapping", Killed())]


async def test_i08_a_tree_starts_depth_first_and_stops_in_reverse(system):
    """[s1[a, b], c, s2[d, e]] starts a b c d e and stops e d c b a."""
    log = []
    a, b, c, d, e = (worker(name, log) for name in "abcde")
    sup = await supervise(system, [subtree("s1", [a, b]), c, subtree("s2", [d, e])])

    await stop(sup, Shutdown())

    assert log == [("start", name) for name in "abcde"] + [("stop", name, Shutdown()) for name in "edcba"]


@pytest.mark.parametrize(("end", "reason"), [(Normal(), Normal()), ("boom", "boom"), (Kill(), Killed())])
async def test_i09_a_supervisor_follows_its_parent_whatever_the_reason(system, end, reason):
    """The children see shutdown, the supervisor ends with its parent's reason, even the normal one."""
    log = []
    runner = await system.start(Runner)
    sup = await run_in(runner, Supervisor.start_link, SupFlags(), [worker("a", log)])

    runner.cast(lambda _: exit_signal(runner, end))

    assert await sup.wait_exit() == reason
    assert log == [("start", "a"), ("stop", "a", Shutdown())]


async def test_i11_the_end_of_a_process_that_is_only_linked_is_ignored(system):
    """A process that is linked to the supervisor, and no child of it, dies with boom: nothing happens."""
    sup = await supervise(system, [worker("a", [])])
    runner = await system.start(Runner)
    before = await refs(sup)
    await run_in(runner, link, sup)

    exit_signal(runner, "boom")
    await runner.wait_exit()

    assert await refs(sup) == before


async def test_i12_stop_ends_a_supervisor_normally(system):
    """stop() has the children stopped in reverse order; the supervisor ends with normal."""
    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log)])
    log.clear()

    await stop(sup)

    assert sup.exit_reason == Normal()
    assert log == [("stop", "b", Shutdown()), ("stop", "a", Shutdown())]


async def test_i14_restarts_below_do_not_count_above(system):
    """Two inner supervisors that restart one child each are no concern of the outer one."""
    inners = [subtree(name, [worker("w", [])], flags={"intensity": 1}) for name in ("s1", "s2")]
    outer = await supervise(system, inners, intensity=0)
    before = await refs(outer)

    await kill_child(before["s1"], "w")
    await kill_child(before["s2"], "w")

    assert all([(await refs(inner))["w"].is_alive() for inner in before.values()])
    assert await refs(outer) == before


async def test_i15_a_group_restart_stops_and_starts_whole_subtrees_in_order(system):
    """[a, inner[w1, w2], z], one_for_all, z dies: stop w2, w1, a; start a, w1, w2, z."""
    log = []
    children = [worker("a", log), subtree("inner", [worker("w1", log), worker("w2", log)]), worker("z", log)]
    outer = await supervise(system, children, Strategy.ONE_FOR_ALL)
    log.clear()

    await kill_child(outer, "z")
    await refs(outer)

    assert log == [("stop", name, Shutdown()) for name in ("w2", "w1", "a")] + [
        ("start", name) for name in ("a", "w1", "w2", "z")
    ]
