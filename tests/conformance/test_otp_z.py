"""OTP cases, group Z: Elixir's DynamicSupervisor, Supervisor, Task.Supervisor, Registry, PartitionSupervisor, Agent."""

import asyncio

import pytest

from supervisors import (
    AlreadyRegisteredError,
    AlreadyStartedError,
    CallTimeoutError,
    Child,
    ChildCounts,
    ChildSpec,
    ChildSpecError,
    ChildType,
    Crashed,
    Down,
    DynamicSupervisor,
    DynamicSupFlags,
    GenServer,
    Ignore,
    Killed,
    MaxChildrenError,
    NoProcess,
    Normal,
    NotFoundError,
    ProcessExit,
    Reply,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Strategy,
    Supervisor,
    SupFlags,
    Timeout,
    UnexpectedRequestError,
    call,
    count_children,
    current,
    start_child,
    stop,
    terminate_child,
    which_children,
)
from supervisors.agent import Agent
from supervisors.partition_supervisor import PartitionSupervisor
from supervisors.registry import Keys, Registry
from supervisors.task_supervisor import Exited, Ok, OnTimeout, TaskOwnerError, TaskSupervisor
from supervisors.testing import wait_until_idle
from tests.support import Runner, Worker, finish, infos_of, kill, outcome_in, run_in, worker


class Keeper(GenServer):
    """Keeps the arguments it was started with."""

    def init(self, *args):
        self.args = args

    def handle_call(self, request, from_):
        return Reply(self.args)


async def children_of(sup):
    return [child.ref for child in await which_children(sup)]


async def runners(system, *, trap_exit=False):
    return [await system.start(Runner, trap_exit) for _ in range(2)]


def raiser(error):
    async def raise_it(*_):
        raise error

    return raise_it


# DynamicSupervisor and Supervisor


async def test_z01_a_dynamic_supervisor_allows_3_restarts_in_5_s_and_any_number_of_children():
    """The flags of a DynamicSupervisor default to intensity 3, period 5 s, no max_children, no extra_arguments."""
    flags = DynamicSupFlags()

    assert (flags.intensity, flags.period, flags.max_children, flags.extra_arguments) == (3, 5.0, None, ())


async def test_z02_a_dynamic_supervisor_has_no_other_strategy(system):
    """A DynamicSupervisor does not start with a strategy: it is always one_for_one.

    Differs: its flags have no such field, so that any strategy is a TypeError, one_for_one too.
    """
    with pytest.raises(StartError) as caught:
        await system.start(DynamicSupervisor, strategy=Strategy.ONE_FOR_ALL)

    assert isinstance(caught.value.reason.error, TypeError)


async def test_z03_max_children_is_the_bound_of_children_at_once(system):
    """With max_children 1 a second child is refused, until the first is terminated."""
    sup = await system.start(DynamicSupervisor, max_children=1)
    first = await start_child(sup, worker("a", []))
    with pytest.raises(MaxChildrenError):
        await start_child(sup, worker("b", []))

    await terminate_child(sup, first)

    assert (await start_child(sup, worker("b", []))).is_alive()


async def test_z04_a_child_whose_init_ignores_is_not_kept(system):
    """start_child returns None for a child whose init ignores, and nothing is kept of it."""
    sup = await system.start(DynamicSupervisor)

    assert await start_child(sup, worker("a", [], on_init=lambda _: Ignore())) is None
    assert await which_children(sup) == []


async def test_z05_only_a_child_can_be_terminated_and_only_once(system):
    """terminate_child of a child that was terminated, or of a stranger, is a NotFoundError."""
    sup = await system.start(DynamicSupervisor)
    child = await start_child(sup, worker("a", []))
    stranger = await system.start(Runner)

    await terminate_child(sup, child)

    for ref in (child, stranger):
        with pytest.raises(NotFoundError):
            await terminate_child(sup, ref)
    assert stranger.is_alive()


async def test_z06_extra_arguments_come_first(system):
    """extra_arguments [x] and a start with [y] of its own: start is called with x, y."""
    sup = await system.start(DynamicSupervisor, extra_arguments=["x"])

    child = await start_child(sup, ChildSpec("a", lambda *args: Keeper.start_link(*args, "y")))

    assert await child.call("args") == ("x", "y")


async def test_z07_ids_mean_nothing_to_a_dynamic_supervisor(system):
    """Two children with the same id both start, and are listed without id."""
    sup = await system.start(DynamicSupervisor)

    refs = [await start_child(sup, worker("same", [])) for _ in range(2)]

    assert await which_children(sup) == [Child(None, ref, ChildType.WORKER, (Worker,)) for ref in refs]


async def test_z08_only_a_permanent_child_that_ends_normally_is_restarted(system):
    """Of a permanent, a transient and a temporary child that end normally only the first is kept, and restarted."""
    sup = await system.start(DynamicSupervisor)
    log = []
    for restart in Restart:
        await finish(await start_child(sup, worker(restart, log, restart=restart)), Normal())

    (left,) = await children_of(sup)

    assert left.is_alive()
    assert log.count(("start", Restart.PERMANENT)) == 2
    assert len([entry for entry in log if entry[0] == "start"]) == 4


async def test_z09_of_killed_children_a_transient_one_is_restarted_a_temporary_one_is_gone(system):
    """A killed transient child is restarted, a killed temporary one is forgotten."""
    sup = await system.start(DynamicSupervisor)
    log = []
    for restart in (Restart.TRANSIENT, Restart.TEMPORARY):
        await kill(await start_child(sup, worker(restart, log, restart=restart)))

    counts = await count_children(sup)

    assert counts.active == 1
    assert log == [("start", "transient"), ("start", "transient"), ("start", "temporary")]


async def test_z10_the_fourth_failure_ends_a_dynamic_supervisor(system):
    """By default a child is restarted three times; the next failure ends the supervisor with Shutdown()."""
    sup = await system.start(DynamicSupervisor)
    log = []
    await start_child(sup, worker("a", log))

    for _ in range(3):
        await kill((await children_of(sup))[0])
    await kill((await children_of(sup))[0])

    assert await sup.wait_exit() == Shutdown()
    assert log == [("start", "a")] * 4


async def test_z11_a_dynamic_supervisor_stops_its_children_at_the_same_time(system):
    """Two children that hang in terminate for 0.1 s each, and a fast one, are stopped in 0.1 s."""
    sup = await system.start(DynamicSupervisor)
    hang = lambda _: asyncio.sleep(3600)
    stuck = [await start_child(sup, worker("a", [], on_terminate=hang, shutdown=0.1)) for _ in "ab"]
    fast = await start_child(sup, worker("c", []))
    began = system.now()

    await stop(sup)

    assert system.now() - began == pytest.approx(0.1, abs=0.01)
    assert [ref.exit_reason for ref in [*stuck, fast]] == [Killed(), Killed(), Shutdown()]


async def test_z12_a_dynamic_supervisor_refuses_a_significant_child(system):
    """A significant child is a ChildSpecError: there is no auto_shutdown.

    Differs: as in newer Elixirs; 1.14 accepts the flag silently.
    """
    sup = await system.start(DynamicSupervisor)

    with pytest.raises(ChildSpecError, match="significant"):
        await start_child(sup, worker("a", [], significant=True, restart=Restart.TRANSIENT))


async def test_z14_a_wrong_spec_is_a_child_spec_error(system):
    """No spec at all, shutdown -1 and a start that is no function are ChildSpecErrors of the caller."""
    sup = await system.start(DynamicSupervisor)

    with pytest.raises(ChildSpecError, match="child spec"):
        await start_child(sup, {"id": "a"})
    with pytest.raises(ChildSpecError, match="shutdown is -1"):
        worker("a", [], shutdown=-1)
    with pytest.raises(ChildSpecError, match="start"):
        ChildSpec("a", "no function")
    assert sup.is_alive()


async def test_z16_count_children_counts_specs_those_that_run_supervisors_and_workers(system):
    """count_children of a supervisor and two workers is 3 specs, 3 active, 1 supervisor, 2 workers."""
    sup = await system.start(DynamicSupervisor)
    for spec in (worker("a", []), worker("b", []), DynamicSupervisor.child_spec()):
        await start_child(sup, spec)

    assert await count_children(sup) == ChildCounts(specs=3, active=3, supervisors=1, workers=2)


async def test_z17_a_supervisors_flags_have_otps_defaults():
    """A Supervisor allows one restart in 5 s by default, a DynamicSupervisor three.

    Differs: those are the defaults of OTP's supervisor, which this one is; Elixir's Supervisor allows three.
    """
    assert (SupFlags().intensity, SupFlags().period) == (1, 5.0)
    assert (DynamicSupFlags().intensity, DynamicSupFlags().period) == (3, 5.0)


async def test_z20_what_is_no_spec_is_an_error_of_who_gave_it(system):
    """Something that is not a child spec is refused in the caller, and the supervisor goes on."""
    sup = await system.start(DynamicSupervisor)

    with pytest.raises(ChildSpecError):
        await start_child(sup, "no such module")

    assert sup.is_alive()


async def test_z21_a_strategy_that_is_none_is_an_error_of_who_gave_it():
    """A strategy of None is a ChildSpecError.

    Differs: leaving it out is not, and means one_for_one, as in OTP.
    """
    with pytest.raises(ChildSpecError, match="strategy"):
        SupFlags(strategy=None)
    assert SupFlags().strategy is Strategy.ONE_FOR_ONE


async def test_z22_stop_ends_a_supervisor_with_normal(system):
    """stop returns None, and the supervisor's exit reason is Normal()."""
    sup = await system.start(Supervisor, SupFlags(), [worker("a", [])])

    assert await stop(sup) is None
    assert sup.exit_reason == Normal()


# Tasks


async def test_z24_await_returns_what_the_task_returned(system):
    """A task started with async_ has its value awaited."""
    sup = await system.start(TaskSupervisor)
    task = await TaskSupervisor.async_(sup, max, 1, 3)

    assert await task.await_() == 3


async def test_z26_the_crash_of_an_unlinked_task_is_one_down_message(system):
    """The owner of an async_nolink task that crashes gets a Down with the reason, and nothing else."""
    sup = await system.start(TaskSupervisor)
    owner = await system.start(Runner, True)

    task = await run_in(owner, TaskSupervisor.async_nolink, sup, raiser(ProcessExit("boom")))
    await wait_until_idle(system)

    assert await infos_of(owner) == [Down(task.monitor, task.ref, "boom")]


async def test_z27_a_task_started_as_a_child_is_temporary(system):
    """A task started with start_child that crashes is not started again, and is forgotten."""
    sup = await system.start(TaskSupervisor)
    runs = []

    async def crash():
        runs.append(current())
        raise ValueError

    ref = await TaskSupervisor.start_child(sup, crash)
    await ref.wait_exit()

    assert await which_children(sup) == []
    assert runs == [ref]


async def test_z28_a_transient_task_runs_until_it_succeeds(system):
    """A transient task that fails twice runs three times, and is gone then."""
    sup = await system.start(TaskSupervisor)
    runs = []

    async def fail_twice():
        runs.append(current())
        if len(runs) <= 2:
            raise ValueError

    await TaskSupervisor.start_child(sup, fail_twice, restart=Restart.TRANSIENT)
    await wait_until_idle(system)

    assert len(runs) == 3
    assert await which_children(sup) == []


async def test_z29_await_gives_up_after_its_timeout(system):
    """Awaiting for 0.03 s a task that takes longer raises CallTimeoutError; the default is 5 s."""
    sup = await system.start(TaskSupervisor)
    task = await TaskSupervisor.async_(sup, asyncio.sleep, 3600)

    with pytest.raises(CallTimeoutError) as caught:
        await task.await_(0.03)
    assert caught.value.timeout == 0.03
    with pytest.raises(CallTimeoutError) as caught:
        await task.await_()
    assert caught.value.timeout == 5.0


async def test_z31_a_stream_yields_in_order_what_became_of_each_item(system):
    """A stream yields values in the order of its items; a time-out and a crash take the place of a value."""
    sup = await system.start(TaskSupervisor)

    async def work(item):
        if item == "crash":
            raise ProcessExit("boom")
        await asyncio.sleep(item)
        return item

    async def outcomes(items, **options):
        return [outcome async for outcome in TaskSupervisor.async_stream_nolink(sup, work, items, **options)]

    assert await outcomes([3, 1, 2]) == [Ok(3), Ok(1), Ok(2)]
    assert await outcomes([9, 1], on_timeout=OnTimeout.KILL_TASK) == [Exited(Timeout()), Ok(1)]
    assert await outcomes([1, "crash", 2]) == [Ok(1), Exited("boom"), Ok(2)]


async def test_z32_a_task_too_many_is_a_max_children_error(system):
    """async_ raises MaxChildrenError when max_children tasks run."""
    sup = await system.start(TaskSupervisor, max_children=1)
    await TaskSupervisor.async_(sup, asyncio.sleep, 3600)

    with pytest.raises(MaxChildrenError):
        await TaskSupervisor.async_(sup, asyncio.sleep, 3600)


async def test_z33_only_its_owner_may_await_a_task(system):
    """Awaiting another process's task raises TaskOwnerError, a ValueError."""
    sup = await system.start(TaskSupervisor)
    owner, other = await runners(system)
    task = await run_in(owner, TaskSupervisor.async_, sup, asyncio.sleep, 3600)

    error = await outcome_in(other, task.await_)

    assert isinstance(error, TaskOwnerError)
    assert isinstance(error, ValueError)
    assert error.owner is owner


# Registry


async def test_z35_a_unique_key_is_one_processs(system):
    """A second process cannot register a unique key; lookup returns its holder and value, or nothing."""
    registry = await system.start(Registry, Keys.UNIQUE)
    holder, other = await runners(system)

    await run_in(holder, Registry.register, registry, "key", 1)
    error = await outcome_in(other, Registry.register, registry, "key", 2)

    assert isinstance(error, AlreadyRegisteredError)
    assert error.ref is holder
    assert Registry.lookup(registry, "key") == [(holder, 1)]
    assert Registry.lookup(registry, "unknown") == []


async def test_z36_an_entry_goes_with_its_process(system):
    """The entry of a process that was killed is gone, and its key is free."""
    registry = await system.start(Registry, Keys.UNIQUE)
    holder, other = await runners(system)
    await run_in(holder, Registry.register, registry, "key")

    await kill(holder)

    assert Registry.lookup(registry, "key") == []
    assert await run_in(other, Registry.register, registry, "key") is None


async def test_z37_a_key_is_a_name_wherever_one_is_wanted(system):
    """A via name works for start, call and whereis; a second start is AlreadyStartedError; it names nothing after."""
    await system.start(Registry, Keys.UNIQUE, name="registry")
    name = Registry.via("registry", "key")

    ref = await system.start(Keeper, "x", name=name)

    assert await call(name, "args") == ("x",)
    assert name.whereis() is ref
    with pytest.raises(AlreadyStartedError) as caught:
        await system.start(Keeper, name=name)
    assert caught.value.ref is ref
    await stop(name)
    assert name.whereis() is None


async def test_z38_a_duplicate_key_holds_several_processes_and_values(system):
    """Under a duplicate key there may be several processes and values, and dispatch is given all of them."""
    registry = await system.start(Registry, Keys.DUPLICATE)
    one, two = await runners(system)
    given = []
    for runner, value in ((one, 1), (two, 2), (two, 3)):
        await run_in(runner, Registry.register, registry, "key", value)

    Registry.dispatch(registry, "key", given.extend)

    assert given == [(one, 1), (two, 2), (two, 3)]


async def test_z39_only_the_holder_changes_a_value_and_unregisters(system):
    """update_value returns (new, old), and is a NotFoundError for others; to unregister twice is fine."""
    registry = await system.start(Registry, Keys.UNIQUE)
    holder, other = await runners(system)
    await run_in(holder, Registry.register, registry, "key", 1)

    assert await run_in(holder, Registry.update_value, registry, "key", lambda value: value + 1) == (2, 1)
    assert isinstance(await outcome_in(other, Registry.update_value, registry, "key", str), NotFoundError)
    await run_in(other, Registry.unregister, registry, "key")
    assert Registry.lookup(registry, "key") == [(holder, 2)]
    for _ in range(2):
        await run_in(holder, Registry.unregister, registry, "key")
    assert Registry.lookup(registry, "key") == []


async def test_z40_keys_meta_and_select_show_what_is_there(system):
    """Keys returns a process's keys, meta what put_meta kept or NotFoundError, select all entries."""
    registry = await system.start(Registry, Keys.UNIQUE)
    runner = await system.start(Runner)
    for key, value in (("a", 1), ("b", 2)):
        await run_in(runner, Registry.register, registry, key, value)
    Registry.put_meta(registry, "m", "mv")

    assert Registry.keys(registry, runner) == ["a", "b"]
    assert Registry.meta(registry, "m") == "mv"
    with pytest.raises(NotFoundError):
        Registry.meta(registry, "unknown")
    assert Registry.select(registry) == [("a", runner, 1), ("b", runner, 2)]


# PartitionSupervisor


async def test_z42_four_partitions_have_ids_0_to_3_and_share_the_keys(system):
    """Four partitions are children 0 to 3, active workers all; an integer key goes to abs(key) % 4."""
    sup = await system.start(PartitionSupervisor, Keeper.child_spec(), partitions=4)

    by_id = {child.id: child.ref for child in await which_children(sup)}

    assert sorted(by_id) == [0, 1, 2, 3]
    assert await count_children(sup) == ChildCounts(specs=4, active=4, supervisors=0, workers=4)
    assert [PartitionSupervisor.via(sup, key).whereis() for key in (0, 5, -7)] == [by_id[0], by_id[1], by_id[3]]


async def test_z44_each_partition_gets_arguments_of_its_own(system):
    """With with_arguments each partition is started with what it returns for the partition's number.

    Differs: it returns what is added to the arguments in the spec, which are bound into its start.
    """
    spec = Keeper.child_spec("common")
    sup = await system.start(PartitionSupervisor, spec, partitions=2, with_arguments=lambda number: [number])

    assert [await call(PartitionSupervisor.via(sup, key), "args") for key in (0, 1)] == [("common", 0), ("common", 1)]


async def test_z45_no_partitions_are_an_error_of_who_asked_for_them(system):
    """Zero partitions are a ChildSpecError, raised in the caller."""
    with pytest.raises(ChildSpecError, match="partitions"):
        await system.start(PartitionSupervisor, Keeper.child_spec(), partitions=0)


# GenServer and Agent


async def test_z46_a_call_to_an_unknown_name_says_that_there_is_no_process(system):
    """Calling a name that nothing has is a ServerDownError with NoProcess, and says what was called and asked."""
    with pytest.raises(ServerDownError) as caught:
        await call("nope", "x")

    assert (caught.value.reason, caught.value.server, caught.value.request) == (NoProcess(), "nope", "x")


async def test_z47_a_call_that_a_server_has_no_clause_for_ends_it(system):
    """A GenServer without handle_call crashes with UnexpectedRequestError, and the caller learns that."""
    server = await system.start(GenServer)

    with pytest.raises(ServerDownError) as caught:
        await server.call("anything")

    assert isinstance(caught.value.reason, Crashed)
    assert isinstance(server.exit_reason.error, UnexpectedRequestError)


async def test_z48_an_agent_whose_first_function_fails_does_not_start(system):
    """An Agent whose function exits with "nope" is a StartError with that reason."""
    with pytest.raises(StartError) as caught:
        await system.start(Agent, raiser(ProcessExit("nope")))

    assert caught.value.reason == "nope"
