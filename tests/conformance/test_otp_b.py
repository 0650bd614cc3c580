"""OTP cases, group B: start failure and rollback."""

import asyncio
from functools import partial

import pytest

from supervisors import (
    BRUTAL_KILL,
    AlreadyStarted,
    BadReturnValueError,
    ChildSpec,
    Crashed,
    FailedToStartChild,
    Killed,
    ProcessExit,
    ServerDownError,
    Shutdown,
    StartError,
    Strategy,
    Supervisor,
    SupFlags,
    exit_signal,
    start_child,
)
from supervisors.testing import wait_until_idle
from tests.support import (
    Plain,
    Runner,
    infos_of,
    kill,
    nothing,
    outcome_in,
    raises,
    refs,
    run_in,
    steps,
    stops_with,
    supervise,
    worker,
)


async def failure_of(system, *children):
    """Return why the last of ``children`` failed, as the supervisor that tried to start them says."""
    with pytest.raises(StartError) as failed:
        await supervise(system, children)
    return failed.value.reason.detail.reason


async def test_b01_a_failing_child_has_those_before_it_stopped_in_reverse(system):
    """When c's init stops, b and a are stopped with Shutdown(), d is never started, and the error names c."""
    log = []
    children = [worker(name, log) for name in "ab"] + [worker("c", log, on_init=stops_with("bad")), worker("d", log)]

    with pytest.raises(StartError) as failed:
        await supervise(system, children)

    assert failed.value.reason == Shutdown(FailedToStartChild("c", "bad"))
    assert log == [
        ("start", "a"),
        ("start", "b"),
        ("start", "c"),
        ("stop", "b", Shutdown()),
        ("stop", "a", Shutdown()),
    ]


async def test_b02_a_failed_start_link_ends_a_starter_that_does_not_trap_exits(system):
    """A starter that traps exits gets the error and nothing else; one that does not ends with the supervisor's reason.

    Differs: as OTP 26: no stray Exit is left in the mailbox of the one that traps.
    """
    children = [worker("a", [], on_init=stops_with("bad"))]
    trapping, plain = await system.start(Runner, True), await system.start(Runner)

    error = await outcome_in(trapping, Supervisor.start_link, SupFlags(), children)
    with pytest.raises(ServerDownError) as died:
        await run_in(plain, Supervisor.start_link, SupFlags(), children)

    assert error.reason == Shutdown(FailedToStartChild("a", "bad"))
    assert await infos_of(trapping) == []
    assert died.value.reason == Shutdown(FailedToStartChild("a", "bad"))


async def test_b04_a_child_whose_init_exits_fails_with_just_that_reason(system):
    """A ProcessExit in init gives its bare reason."""
    child = worker("a", [], on_init=raises(ProcessExit("oops")))

    assert await failure_of(system, child) == "oops"


async def test_b05_what_init_may_not_return_is_a_bad_return_value(system):
    """An init that returns something else than its results fails with BadReturnValueError.

    Differs: Python has no throw, only return returns: even a result that is raised (as ProcessExit(Stop(...)) would)
    is an exit reason and not a result.
    """
    reason = await failure_of(system, worker("a", [], on_init=lambda _: "oops"))

    assert isinstance(reason.error, BadReturnValueError)
    assert (reason.error.callback, reason.error.value) == ("init", "oops")


async def test_b07_what_a_start_function_says_is_the_reason(system):
    """A start function's StartError gives its reason; what is neither ref, (ref, extra) nor None is a bad return."""

    async def nonsense(value):
        return value

    refused = await failure_of(system, ChildSpec("a", raises(StartError("refused"))))
    garbage = await failure_of(system, ChildSpec("a", partial(nonsense, "garbage")))
    no_ref = await failure_of(system, ChildSpec("a", partial(nonsense, ("no ref", "extra"))))

    assert refused == "refused"
    assert (garbage.error.callback, garbage.error.value) == ("start", "garbage")
    assert no_ref.error.value == ("no ref", "extra")


async def test_b08_a_start_function_that_does_not_exist_is_its_crash(system):
    """A start function that cannot be called fails with what that raised."""
    reason = await failure_of(system, ChildSpec("a", lambda: Plain.start_lnk()))

    assert isinstance(reason.error, AttributeError)


async def test_b10_a_failing_start_child_leaves_the_supervisor_as_it_was(system):
    """start_child of a child that fails raises StartError with reason and spec; nothing is kept, no restart counted."""
    sup = await supervise(system, [worker("a", [])], intensity=0)
    before = await refs(sup)
    spec = worker("b", [], on_init=stops_with("bad"))

    with pytest.raises(StartError) as failed:
        await start_child(sup, spec)

    assert (failed.value.reason, failed.value.child) == ("bad", spec)
    assert await refs(sup) == before


async def test_b11_a_first_start_is_tried_once(system):
    """The initial start of a child that fails is not retried, whatever the intensity."""
    log = []

    await failure_of(system, worker("a", log, on_init=stops_with("bad")))

    assert log == [("start", "a")]


async def test_b12_a_failure_in_an_inner_supervisor_is_nested_in_the_outers(system):
    """The outer supervisor's reason holds the inner's, which holds the child's."""
    inner = Supervisor.child_spec(SupFlags(), [worker("x", [], on_init=stops_with("bad"))], id="inner")

    assert await failure_of(system, inner) == Shutdown(FailedToStartChild("x", "bad"))


async def test_b13_a_child_whose_name_is_taken_fails(system):
    """A child that is to have a name that is taken fails with AlreadyStarted and who has it."""
    holder = await system.start(Runner, name="taken")

    assert await failure_of(system, worker("a", [], name="taken")) == AlreadyStarted(holder)


async def test_b14_rollback_obeys_each_childs_shutdown(system):
    """A child with BRUTAL_KILL is killed in a rollback too: no terminate."""
    log, started = [], []
    brutal = worker("a", log, on_init=lambda process: started.append(process.actor_ref), shutdown=BRUTAL_KILL)

    await failure_of(system, brutal, worker("b", log, on_init=stops_with("bad")))

    assert started[0].exit_reason == Killed()
    assert steps(log) == ["start a", "start b"]


async def test_b16_a_child_that_is_dead_when_it_is_returned_has_crashed(system):
    """A start function that returns a linked process that has died already is a crash, and costs one restart."""
    log = []
    dies = iter([lambda ref: exit_signal(ref, "boom"), nothing, nothing])

    async def start():
        ref = await Plain.start_link("a", log)
        next(dies)(ref)
        return ref

    sup = await supervise(system, [ChildSpec("a", start)], intensity=2)
    await wait_until_idle(system)

    await kill((await refs(sup))["a"])

    assert (await refs(sup))["a"].is_alive()
    assert steps(log) == ["start a"] * 3
    await kill((await refs(sup))["a"])
    assert await sup.wait_exit() == Shutdown()


async def test_b17_strategy_and_intensity_mean_nothing_at_the_first_start(system):
    """Under rest_for_one with restarts to spare, a failing second of three children fails the supervisor."""
    log = []
    children = [worker("a", log), worker("b", log, on_init=stops_with("bad")), worker("c", log)]

    with pytest.raises(StartError):
        await supervise(system, children, Strategy.REST_FOR_ONE, intensity=5)

    assert steps(log) == ["start a", "start b", "stop a"]


async def test_b18_what_a_start_function_raises_is_the_reason(system):
    """A start function that exits gives its bare reason, one that raises its crash; earlier children are stopped.

    Differs: Python has no throw; ProcessExit, Erlang's exit, is what gives a bare reason.
    """
    log, boom = [], RuntimeError("boom")

    exited = await failure_of(system, worker("a", log), ChildSpec("b", raises(ProcessExit("oops"))))
    crashed = await failure_of(system, ChildSpec("b", raises(boom)))

    assert exited == "oops"
    assert crashed == Crashed(boom)
    assert steps(log) == ["start a", "stop a"]


async def test_b19_a_child_that_takes_too_long_to_start_is_killed(system):
    """A child started with a time-out of 50 ms whose init takes 2 s fails after 50 ms, and is killed."""
    log, started = [], []

    def sleeps(process):
        started.append(process.actor_ref)
        return asyncio.sleep(2)

    reason = await failure_of(system, worker("a", log, on_init=sleeps, timeout=0.05))

    assert isinstance(reason.error, TimeoutError)
    assert started[0].exit_reason == Killed()
    assert steps(log) == ["start a"]
    assert system.now() == pytest.approx(0.05, abs=0.01)
