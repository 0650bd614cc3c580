"""OTP cases, group L: the management API."""

from functools import partial

import pytest

from supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    CallTimeoutError,
    ChildCounts,
    ChildRunningError,
    ChildSpec,
    ChildSpecError,
    Ignore,
    Killed,
    NoProcess,
    Normal,
    NotFoundError,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Strategy,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    stop,
    terminate_child,
    which_children,
)
from supervisors.requests import WhichChildren
from tests.support import (
    Plain,
    Worker,
    finish,
    in_turn,
    nothing,
    refs,
    start_with_extra,
    steps,
    stops_with,
    supervise,
    worker,
)

FAIL = stops_with("bad")


def ignore(_):
    """Choose not to run."""
    return Ignore()


async def test_l02_start_child_of_an_id_that_runs_is_refused(system):
    """The error says which process has the id."""
    sup = await supervise(system, [worker("a", [])])

    with pytest.raises(AlreadyStartedError) as refused:
        await start_child(sup, worker("a", []))

    assert refused.value.ref is (await refs(sup))["a"]


async def test_l03_start_child_of_an_id_that_is_kept_is_refused(system):
    """An id that is present, but stopped, is not free."""
    sup = await supervise(system, [worker("a", [])])
    await terminate_child(sup, "a")

    with pytest.raises(AlreadyPresentError):
        await start_child(sup, worker("a", []))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: "foo", "child spec"),
        (lambda: ChildSpec("a"), "start"),
        (lambda: ChildSpec("a", start_with_extra, restart="z"), "restart"),
    ],
)
async def test_l04_a_wrong_spec_is_the_callers_fault(system, make, field):
    """start_child of nonsense raises ChildSpecError, which names the field.

    Differs: a ChildSpec is checked when it is written down, so most mistakes never reach the supervisor; to leave the
    id out is a TypeError as for any missing argument.
    """
    sup = await supervise(system, [])

    with pytest.raises(ChildSpecError) as refused:
        await start_child(sup, make())

    assert refused.value.field == field
    assert await which_children(sup) == []


@pytest.mark.parametrize("request_", [terminate_child, restart_child, delete_child, get_childspec])
async def test_l05_an_unknown_id_is_not_found(system, request_):
    """The functions that take the id of a child raise NotFoundError for another."""
    sup = await supervise(system, [worker("a", [])])

    with pytest.raises(NotFoundError):
        await request_(sup, "b")


async def test_l06_a_terminated_child_is_kept_but_not_restarted(system):
    """A permanent child ends with shutdown; its spec stays and counts."""
    sup = await supervise(system, [worker("a", [])])
    child = (await refs(sup))["a"]

    await terminate_child(sup, "a")

    assert child.exit_reason == Shutdown()
    assert await refs(sup) == {"a": None}
    assert await count_children(sup) == ChildCounts(specs=1, active=0, supervisors=0, workers=1)


async def test_l07_terminate_child_may_be_repeated(system):
    """To terminate a child that is stopped is no error."""
    sup = await supervise(system, [worker("a", [])])
    await terminate_child(sup, "a")

    await terminate_child(sup, "a")

    assert await refs(sup) == {"a": None}


@pytest.mark.parametrize("request_", [terminate_child, restart_child])
async def test_l08_a_temporary_child_is_forgotten_when_terminated(system, request_):
    """Its spec goes with it, so nothing more can be asked of it."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TEMPORARY)])
    await terminate_child(sup, "a")

    with pytest.raises(NotFoundError):
        await request_(sup, "a")

    assert await refs(sup) == {}


async def test_l09_restart_child_starts_a_stopped_child(system):
    """It returns what the start did, with the extra or None for an ignore; raises for a running or failing child."""
    children = [
        worker("running", []),
        worker("stopped", []),
        ChildSpec("extra", partial(start_with_extra, "extra", [])),
        worker("failing", [], on_init=in_turn(nothing, FAIL)),
        worker("ignoring", [], on_init=in_turn(nothing, ignore)),
    ]
    sup = await supervise(system, children)
    for name in ("stopped", "extra", "failing", "ignoring"):
        await terminate_child(sup, name)

    with pytest.raises(ChildRunningError):
        await restart_child(sup, "running")
    with pytest.raises(StartError) as failed:
        await restart_child(sup, "failing")
    stopped = await restart_child(sup, "stopped")
    extra = await restart_child(sup, "extra")
    ignored = await restart_child(sup, "ignoring")

    now = await refs(sup)
    assert failed.value.reason == "bad"
    assert stopped is now["stopped"]
    assert extra == (now["extra"], "extra")
    assert ignored is now["ignoring"] is None


async def test_l10_delete_child_forgets_a_stopped_child(system):
    """A running child is refused, a deleted one unknown."""
    sup = await supervise(system, [worker("a", [])])

    with pytest.raises(ChildRunningError):
        await delete_child(sup, "a")
    await terminate_child(sup, "a")
    await delete_child(sup, "a")
    with pytest.raises(NotFoundError):
        await delete_child(sup, "a")

    assert await refs(sup) == {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: start_child("nobody", worker("a", [])),
        lambda: terminate_child("nobody", "a"),
        lambda: restart_child("nobody", "a"),
        lambda: delete_child("nobody", "a"),
        lambda: which_children("nobody"),
        lambda: count_children("nobody"),
        lambda: get_childspec("nobody", "a"),
    ],
)
async def test_l11_a_supervisor_that_does_not_exist_cannot_be_asked(system, ask):
    """Each function raises ServerDownError with the reason NoProcess."""
    with pytest.raises(ServerDownError) as failed:
        await ask()

    assert failed.value.reason == NoProcess()
    assert failed.value.server == "nobody"


async def test_l12_a_supervisor_that_knows_ids_does_not_know_refs(system):
    """terminate_child by ref is not found, and the child untouched."""
    sup = await supervise(system, [worker("a", [])])
    child = (await refs(sup))["a"]

    with pytest.raises(NotFoundError):
        await terminate_child(sup, child)

    assert child.is_alive()


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_l13_the_api_acts_on_one_child_whatever_the_strategy(system, strategy):
    """terminate_child and restart_child leave the siblings alone."""
    log = []
    sup = await supervise(system, [worker(name, log) for name in "abc"], strategy)
    log.clear()

    await terminate_child(sup, "b")
    await restart_child(sup, "b")

    assert steps(log) == ["stop b", "start b"]


async def test_l14_a_child_deleted_and_added_again_is_the_last(system):
    """Its place in the start order is lost with its spec."""
    sup = await supervise(system, [worker(name, []) for name in "abc"])
    await terminate_child(sup, "a")
    await delete_child(sup, "a")

    await start_child(sup, worker("a", []))

    assert list(await refs(sup)) == ["a", "c", "b"]


async def test_l15_a_child_terminated_and_restarted_keeps_its_place(system):
    """Its spec was kept, and its place with it."""
    sup = await supervise(system, [worker(name, []) for name in "abc"])
    await terminate_child(sup, "a")

    await restart_child(sup, "a")

    assert list(await refs(sup)) == ["c", "b", "a"]


async def test_l16_a_child_that_calls_its_supervisor_from_init_waits_in_vain(system):
    """The supervisor waits for the init and the init for the supervisor, until the time-out of the call."""

    def ask_parent(server):
        return server.actor_ref.parent.call(WhichChildren(), timeout=0.08)

    with pytest.raises(StartError) as failed:
        await supervise(system, [worker("a", [], on_init=ask_parent)])

    assert isinstance(failed.value.reason.detail.reason.error, CallTimeoutError)
    assert system.now() == pytest.approx(0.08, abs=0.001)


@pytest.mark.parametrize(("kind", "after", "reason"), [(Plain, 0, Shutdown()), (Worker, 0.06, Killed())])
async def test_l17_a_child_may_have_itself_terminated(system, kind, after, reason):
    """One that does not trap exits dies at once, with shutdown; one that does waits in its call until it is killed."""
    log = []
    sup = await supervise(system, [worker("a", log, kind=kind, shutdown=0.06)])
    child = (await refs(sup))["a"]

    child.cast(lambda server: terminate_child(server.actor_ref.parent, "a"))

    assert await child.wait_exit() == reason
    assert system.now() == pytest.approx(after, abs=0.001)
    assert log == [("start", "a")]
    assert await refs(sup) == {"a": None}


async def test_l18_start_child_of_a_name_that_is_taken_is_refused(system):
    """The error says which process has the name.

    Differs: as OTP 26: the reason is already_started itself, not a pair of that and the child's record.
    """
    holder = await system.start(Worker, "holder", [], name="alice")
    sup = await supervise(system, [])

    with pytest.raises(AlreadyStartedError) as refused:
        await start_child(sup, ChildSpec("a", partial(Worker.start_link, "a", [], name="alice")))

    assert refused.value.ref is holder
    assert await refs(sup) == {}


async def test_l19_a_child_that_ignored_is_listed_beside_those_that_run(system):
    """a chose not to run, b was added: a is kept without a ref, b is up."""
    sup = await supervise(system, [worker("a", [], on_init=ignore)])

    b = await start_child(sup, worker("b", []))

    assert await refs(sup) == {"a": None, "b": b}


async def test_l21_terminate_child_is_no_failure(system):
    """With intensity 0 a permanent child may be terminated."""
    sup = await supervise(system, [worker("a", []), worker("b", [])], intensity=0)

    await terminate_child(sup, "a")

    assert (await refs(sup))["b"].is_alive()


async def test_l22_a_child_added_later_is_stopped_first(system):
    """a and b from init, x from start_child: they stop as x, b, a."""
    log = []
    sup = await supervise(system, [worker("a", log), worker("b", log)])
    await start_child(sup, worker("x", log))
    log.clear()

    await stop(sup)

    assert steps(log) == ["stop x", "stop b", "stop a"]


async def test_l23_a_child_that_has_finished_may_be_terminated(system):
    """terminate_child of a transient child that ended normally is no error."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TRANSIENT)])
    await finish((await refs(sup))["a"], Normal())

    await terminate_child(sup, "a")

    assert await refs(sup) == {"a": None}


async def test_l24_a_failing_start_child_disturbs_nobody(system):
    """Under rest_for_one, with intensity 0, it raises the child's reason and spec; the other child is unaffected."""
    log = []
    sup = await supervise(system, [worker("a", log)], Strategy.REST_FOR_ONE, intensity=0)
    spec = worker("b", log, on_init=FAIL)

    with pytest.raises(StartError) as failed:
        await start_child(sup, spec)

    assert (failed.value.reason, failed.value.child) == ("bad", spec)
    assert list(await refs(sup)) == ["a"]
    assert steps(log) == ["start a", "start b"]
