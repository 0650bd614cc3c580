"""OTP cases, group A: child spec, supervisor flags, start order."""

from functools import partial

import pytest

from supervisors import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildSpec,
    ChildSpecError,
    ChildType,
    Crashed,
    Reply,
    Restart,
    StartError,
    Strategy,
    Supervisor,
    SupFlags,
    ancestors,
    check_childspecs,
    get_childspec,
    start_child,
    terminate_child,
    unlink,
    which_children,
)
from tests.support import (
    Runner,
    Worker,
    kill,
    raises,
    refs,
    run_in,
    start_with_extra,
    supervise,
    worker,
)


def wrong(make, **fields):
    """Return the error that ``make(**fields)`` raises, as the name of its field and the value there."""
    with pytest.raises(ChildSpecError) as caught:
        make(**fields)
    return caught.value.field, caught.value.value


def test_a02_a_supervisor_as_a_child_has_no_time_limit_by_default():
    """A supervisor's child spec defaults to shutdown INFINITY, permanent, and its class as modules."""
    spec = Supervisor.child_spec()

    assert spec.type is ChildType.SUPERVISOR
    assert spec.shutdown == INFINITY
    assert spec.restart is Restart.PERMANENT
    assert spec.modules == (Supervisor,)


async def test_a03_default_flags_are_one_for_one_and_one_restart_in_five_seconds(system):
    """A supervisor without flags is one_for_one, intensity 1, period 5 s, auto_shutdown NEVER."""
    sup = await system.start(Supervisor)

    assert sup._process.children._flags == SupFlags(
        strategy=Strategy.ONE_FOR_ONE, intensity=1, period=5.0, auto_shutdown=AutoShutdown.NEVER
    )


async def test_a04_children_start_in_list_order(system):
    """Children given as [a, b, c] start in that order."""
    log = []

    await supervise(system, [worker(name, log) for name in "abc"])

    assert log == [("start", "a"), ("start", "b"), ("start", "c")]


async def test_a06_which_children_lists_the_last_started_first(system):
    """which_children lists children in reverse start order."""
    sup = await supervise(system, [worker(name, []) for name in "abc"])

    assert [child.id for child in await which_children(sup)] == ["c", "b", "a"]


def test_a08_a_child_spec_needs_a_start_function():
    """A child spec without start is a ChildSpecError on that field."""
    assert wrong(ChildSpec, id="a") == ("start", None)


def test_a09_a_field_that_does_not_exist_is_an_error():
    """Neither child spec nor flags take fields that they do not have.

    Differs: Erlang ignores unknown keys of a map; here the fields are those of a dataclass, so that a misspelt one is
    found where it is written.
    """
    with pytest.raises(TypeError, match="colour"):
        ChildSpec("a", Worker.start_link, colour="red")
    with pytest.raises(TypeError, match="colour"):
        SupFlags(colour="red")


async def test_a10_what_is_no_child_spec_is_refused(system):
    """A supervisor does not start when its list of children has something else than a ChildSpec in it."""
    with pytest.raises(StartError) as failed:
        await supervise(system, ["foo"])

    error = failed.value.reason.error
    assert isinstance(error, ChildSpecError)
    assert error.value == "foo"


async def test_a11_two_children_with_one_id_are_refused_before_any_start(system):
    """A list with a duplicate id is an error, and none of its children is started."""
    log = []

    with pytest.raises(StartError) as failed:
        await supervise(system, [worker(name, log) for name in "aba"])

    error = failed.value.reason.error
    assert (error.field, error.value) == ("id", "a")
    assert log == []


def test_a12_each_wrong_field_of_a_child_spec_is_named():
    """A wrong restart, type, shutdown, start, modules or significant is a ChildSpecError that names field and value.

    Differs: a shutdown of 1.5 is fine, because it is seconds and a float, not whole milliseconds; arguments are bound
    into ``start``, so there is no list of them to be wrong.
    """
    spec = partial(ChildSpec, "a")
    start = Worker.start_link

    assert wrong(spec, start=start, restart="always") == ("restart", "always")
    assert wrong(spec, start=start, type="manager") == ("type", "manager")
    assert wrong(spec, start=start, shutdown=-1) == ("shutdown", -1)
    assert wrong(spec, start=("module", "function")) == ("start", ("module", "function"))
    assert wrong(spec, start=start, modules=Worker) == ("modules", Worker)
    assert wrong(spec, start=start, modules=[1]) == ("modules", [1])
    assert wrong(spec, start=start, significant=1) == ("significant", 1)
    assert spec(start=start, shutdown=1.5).shutdown == 1.5


async def test_a13_each_wrong_flag_is_named(system):
    """A wrong strategy, intensity, period or auto_shutdown is a ChildSpecError that names flag and value.

    Differs: a period is seconds and a float, so that 0.5 is fine; it must be greater than 0, as in Erlang.
    """
    assert wrong(SupFlags, strategy="all") == ("strategy", "all")
    assert wrong(SupFlags, intensity=-1) == ("intensity", -1)
    assert wrong(SupFlags, intensity=INFINITY) == ("intensity", INFINITY)
    assert wrong(SupFlags, period=0) == ("period", 0)
    assert wrong(SupFlags, period=INFINITY) == ("period", INFINITY)
    assert wrong(SupFlags, auto_shutdown="x") == ("auto_shutdown", "x")
    assert SupFlags(intensity=0, period=0.5).intensity == 0
    with pytest.raises(StartError) as failed:
        await system.start(Supervisor, {"intensity": 1}, [])
    assert isinstance(failed.value.reason.error, ChildSpecError)


async def test_a16_a_supervisor_whose_init_raises_does_not_start(system):
    """What a supervisor's init raises is the reason that it did not start."""
    boom = RuntimeError("boom")

    class Broken(Supervisor):
        init = raises(boom)

    with pytest.raises(StartError) as failed:
        await system.start(Broken)

    assert failed.value.reason == Crashed(boom)


async def test_a17_get_childspec_returns_every_field_and_a_tuple_is_no_spec(system):
    """get_childspec returns the whole spec, defaults filled in; a tuple is not taken for one.

    Differs: the tuples of Erlang's old days never were an interface here, so they are not accepted.
    """
    sup = await supervise(system, [worker("a", [], restart=Restart.TRANSIENT, shutdown=0.1)])

    spec = await get_childspec(sup, "a")

    assert (spec.restart, spec.shutdown, spec.type) == (Restart.TRANSIENT, 0.1, ChildType.WORKER)
    assert (spec.significant, spec.modules) == (False, (Worker,))
    with pytest.raises(ChildSpecError):
        await start_child(sup, ("b", Worker.start_link, Restart.TRANSIENT, 0.1, ChildType.WORKER, "dynamic"))


async def test_a18_the_whole_list_is_checked_before_the_first_start(system):
    """A fault in the last spec keeps the first child from being started.

    Differs: a spec without start cannot even be made (A08); a significant child where auto_shutdown is NEVER stands
    for it here.
    """
    log = []

    with pytest.raises(StartError) as failed:
        await supervise(system, [worker("a", log), worker("b", log, restart=Restart.TRANSIENT, significant=True)])

    assert failed.value.reason.error.field == "significant"
    assert log == []


async def test_a19_shutdown_may_be_zero_infinity_or_brutal_kill(system):
    """0, INFINITY (for a worker too) and BRUTAL_KILL are valid values of shutdown."""
    patiences = {"a": 0, "b": INFINITY, "c": BRUTAL_KILL}

    sup = await supervise(system, [worker(name, [], shutdown=patience) for name, patience in patiences.items()])

    assert {name: (await get_childspec(sup, name)).shutdown for name in "abc"} == patiences


async def test_a20_ids_are_told_apart_by_value_and_type(system):
    """Any hashable value is an id, and 1, 1.0 and True are three of them."""
    ids = ["a", ("a", 1), ("a", True), 1, 1.0, True]
    sup = await supervise(system, [worker(name, []) for name in ids])

    await terminate_child(sup, 1.0)

    stopped = [child.id for child in await which_children(sup) if child.ref is None]
    assert [repr(name) for name in stopped] == ["1.0"]


async def test_a21_a_start_function_may_return_more_than_the_ref(system):
    """A start function that returns (ref, extra) has its child supervised, and start_child returns both."""
    log = []
    sup = await supervise(system, [])

    ref, extra = await start_child(sup, ChildSpec("a", partial(start_with_extra, "a", log)))
    await kill(ref)

    assert extra == "extra"
    assert (await refs(sup))["a"].is_alive()


def test_a22_check_childspecs_checks_a_list_and_starts_nothing():
    """check_childspecs returns None for a good list, and raises ChildSpecError for no list and for duplicate ids."""
    log = []

    check_childspecs([worker(name, log) for name in "ab"])

    assert wrong(check_childspecs, specs=7) == ("child specs", 7)
    assert wrong(check_childspecs, specs=[worker(name, log) for name in "aa"]) == ("id", "a")
    assert log == []


async def test_a23_a_childs_ancestors_are_its_supervisor_and_who_started_that(system):
    """A child's first ancestor is its supervisor, the second the process that started the supervisor."""
    runner = await system.start(Runner)
    sup = await run_in(runner, Supervisor.start_link, SupFlags(), [worker("a", [])])
    child = (await refs(sup))["a"]

    found = await child.call(lambda _: Reply(ancestors()))

    assert found == [sup, runner]


async def test_a29_a_supervisor_unlinked_from_its_starter_runs_on(system):
    """A starter that unlinks itself from the supervisor may even end: the supervisor and its children stay up."""
    runner = await system.start(Runner)
    sup = await run_in(runner, Supervisor.start_link, SupFlags(), [worker(name, []) for name in "ab"])

    await run_in(runner, unlink, sup)
    await kill(runner)

    assert [child.ref.is_alive() for child in await which_children(sup)] == [True, True]
