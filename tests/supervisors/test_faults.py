import asyncio
from dataclasses import dataclass

import pytest

from supervisors import (
    CallTimeoutError,
    Continue,
    DynamicSupervisor,
    GenServer,
    Killed,
    NotFoundError,
    Reply,
    ServerDownError,
    Shutdown,
    StartError,
    Supervisor,
    SupFlags,
    System,
    UnexpectedRequestError,
    exit_signal,
    start_child,
    stop,
)
from supervisors.faults import (
    InjectedFault,
    Monkey,
    MonkeyKill,
    crash,
    delay,
    drop,
    duplicate,
    find,
    kill,
    kills,
    replay,
    stall,
    walk,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Worker, refs, supervise, worker


@dataclass(frozen=True)
class Add:
    number: int


class Adder(GenServer):
    """Keeps what it was told, in order."""

    def init(self):
        self.numbers = []
        return Continue("begin")

    def handle_continue(self, term):
        self.numbers.append(term)

    def handle_call(self, request, from_):
        self.numbers.append(request)
        return Reply(list(self.numbers))

    def handle_cast(self, request):
        self.numbers.append(request)

    def handle_info(self, info):
        self.numbers.append(info)


async def numbers(adder):
    """Return what ``adder`` was told, without its "begin"."""
    return (await adder.call("look"))[1:-1]


async def killed(ref):
    return await ref.wait_exit() == Killed()


# Kill


async def test_a_process_is_killed_by_its_registered_name(system):
    ref = await system.start(Adder, name="adder")

    kill("adder")

    assert await killed(ref)


async def test_a_process_is_killed_by_its_path(system):
    log = []
    inner = Supervisor.child_spec(*_flags([worker("w", log), worker("v", log)]), id="inner")
    await system.start(Supervisor, *_flags([inner]), name="sup")

    ref = find("sup/inner/w")
    assert kill("sup/inner/w") is ref

    assert await killed(ref)
    assert find(("sup", "inner", "v")).is_alive()


async def test_a_path_is_also_a_tuple_of_ids_of_any_kind(system):
    sup = await system.start(Supervisor, *_flags([worker(1, []), worker("a/b", [])]), name="sup")

    children = await refs(sup)

    assert find(("sup", 1)) is children[1]
    assert find(("sup", "a/b")) is children["a/b"]


async def test_siblings_with_the_same_id_are_told_apart_by_number(system):
    sup = await system.start(DynamicSupervisor, name="sup")
    first, second = [await start_child(sup, worker("w", [])) for _ in range(2)]

    assert find("sup/w") is first
    assert find("sup/w:2") is second


async def test_a_target_that_does_not_run_is_an_error(system):
    with pytest.raises(NotFoundError):
        kill("nobody/here")


async def test_a_target_is_told_to_end_for_another_reason(system):
    ref = await system.start(Adder, name="adder")

    kill(ref, Shutdown("enough"))

    assert await ref.wait_exit() == Shutdown("enough")


async def test_walk_shows_parents_before_children_in_start_order(system):
    inner = Supervisor.child_spec(*_flags([worker("w", [])]), id="inner")
    await system.start(Supervisor, *_flags([inner, worker("v", [])]), name="sup")

    paths = ["/".join(path) for path, _ in walk(system.tree())]

    assert paths == ["sup", "sup/inner", "sup/inner/w", "sup/v"]


# Crash


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("handle_cast", lambda ref: ref.cast(Add(1))),
        ("handle_info", lambda ref: ref.send(Add(1))),
        ("handle_call", lambda ref: asyncio.ensure_future(ref.call(Add(1)))),
    ],
)
async def test_a_process_crashes_in_the_callback_that_was_chosen(system, callback, act):
    ref = await system.start(Adder)

    with crash(Adder, callback) as fault:
        asked = act(ref)
        reason = await ref.wait_exit()
        await asyncio.gather(*[asked] * (asked is not None), return_exceptions=True)

    assert isinstance(reason.error, InjectedFault)
    assert (reason.error.callback, reason.error.ref) == (callback, ref)
    assert fault.fired == 1


async def test_a_process_crashes_on_the_nth_matching_message(system):
    ref = await system.start(Adder)

    with crash(ref, "handle_cast", Add(1), nth=2):
        for number in (1, 2, 1, 1):
            ref.cast(Add(number))
        with pytest.raises(ServerDownError):
            await ref.call("look")

    assert isinstance(ref.exit_reason.error, InjectedFault)


async def test_messages_before_the_nth_are_handled(system):
    ref = await system.start(Adder)

    with crash(ref, "handle_cast", Add(1), nth=3) as fault:
        for number in (1, 2, 1):
            ref.cast(Add(number))

        assert await numbers(ref) == [Add(1), Add(2), Add(1)]
    assert fault.fired == 0


@pytest.mark.parametrize("when", [Add(7), Add, lambda message: message == Add(7)])
async def test_a_message_matches_by_equality_class_or_predicate(system, when):
    ref = await system.start(Adder)

    with crash(ref, "handle_cast", when) as fault:
        ref.cast("other")
        ref.cast(Add(7))
        await ref.wait_exit()

    assert fault.fired == 1


async def test_a_process_crashes_in_init(system):
    with crash(Adder, "init"), pytest.raises(StartError) as refused:
        await system.start(Adder)

    assert isinstance(refused.value.reason.error, InjectedFault)


async def test_a_process_crashes_the_nth_time_that_init_runs(system):
    with crash("adder", "init", nth=2):
        first = await system.start(Adder, name="adder")
        await stop(first)

        with pytest.raises(StartError):
            await system.start(Adder, name="adder")
        assert (await system.start(Adder, name="adder")).is_alive()


async def test_a_process_crashes_in_handle_continue(system):
    with crash(Adder, "handle_continue", "begin"):
        ref = await system.start(Adder)

        reason = await ref.wait_exit()

    assert reason.error.callback == "handle_continue"


async def test_a_process_crashes_in_terminate(system):
    ref = await system.start(Adder)

    with crash(ref, "terminate"), pytest.raises(ServerDownError):
        await stop(ref)

    assert ref.exit_reason.error.callback == "terminate"


async def test_a_fault_hits_as_many_times_as_it_is_told(system):
    with crash(Adder, "init", times=2) as fault:
        for _ in range(2):
            with pytest.raises(StartError):
                await system.start(Adder)

        await system.start(Adder)

    assert fault.fired == 2


# Who has a fault


async def test_a_fault_by_name_leaves_others_alone(system):
    other = await system.start(Adder, name="other")
    await system.start(Adder, name="adder")

    with drop("adder"):
        other.cast(1)

        assert await numbers(other) == [1]


async def test_a_fault_by_ref_leaves_others_alone(system):
    ref, other = await system.start(Adder), await system.start(Adder)

    with drop(ref):
        other.cast(1)

        assert await numbers(other) == [1]


async def test_a_fault_by_class_holds_for_those_started_later_too(system):
    with drop(Adder, Add) as fault:
        ref = await system.start(Adder)
        ref.cast(Add(1))

        assert await numbers(ref) == []
    assert fault.fired == 1


async def test_a_fault_is_of_one_system(system):
    async with System("other") as other:
        with drop(Adder, Add):
            ref = await system.start(Adder)
        elsewhere = await other.start(Adder)

    assert ref._process._debug is None
    assert elsewhere.exit_reason is not None


async def test_a_removed_fault_is_gone_from_who_runs_and_who_will(system):
    ref = await system.start(Adder)
    fault = drop(Adder, Add)

    fault.remove()
    fault.remove()

    later = await system.start(Adder)
    for adder in (ref, later):
        adder.cast(Add(1))
        assert await numbers(adder) == [Add(1)]


async def test_without_faults_a_process_has_no_debug(system):
    ref = await system.start(Adder)

    with drop(ref), delay(ref, 1.0):
        assert len(ref._process.debugs) == 2

    assert ref._process._debug is None
    assert system.fault_rules == []


# Messages


async def test_a_dropped_call_is_never_answered(system):
    ref = await system.start(Adder)

    with drop(ref, "lost"), pytest.raises(CallTimeoutError):
        await ref.call("lost")

    assert await numbers(ref) == []


async def test_only_so_many_messages_are_dropped(system):
    ref = await system.start(Adder)

    with drop(ref, times=2) as fault:
        for number in range(4):
            ref.cast(number)

        assert await numbers(ref) == [2, 3]
    assert fault.fired == 2


async def test_messages_are_dropped_by_chance_the_same_for_the_same_seed():
    async def what_arrives(seed):
        async with System(seed=seed) as system:
            ref = await system.start(Adder)
            with drop(ref, int, chance=0.5):
                for number in range(100):
                    ref.cast(number)
                return await numbers(ref)

    first, again, other = [await what_arrives(seed) for seed in (1, 1, 2)]

    assert first == again != other
    assert 30 < len(first) < 70


async def test_a_delayed_message_arrives_late_and_is_overtaken(system):
    ref = await system.start(Adder)

    with delay(ref, 3.0, Add):
        ref.cast(Add(1))
        ref.cast(2)

        assert await numbers(ref) == [2]
        await asyncio.sleep(3.1)
        assert await numbers(ref) == [2, "look", Add(1)]


async def test_a_duplicated_message_arrives_twice(system):
    ref = await system.start(Adder)

    with duplicate(ref, Add) as fault:
        ref.cast(Add(1))

        assert await numbers(ref) == [Add(1), Add(1)]
    assert fault.fired == 1


async def test_a_duplicated_call_is_answered_once(system):
    ref = await system.start(Adder)

    with duplicate(ref, "twice"):
        answer = await ref.call("twice")

    assert answer == ["begin", "twice"]
    assert await numbers(ref) == ["twice", "twice"]


async def test_exit_signals_and_system_messages_are_not_dropped(system):
    sup = await supervise(system, [worker("w", [])])
    child = (await refs(sup))["w"]

    with drop(Worker), drop(Supervisor):
        exit_signal(sup, Shutdown())

        assert await sup.wait_exit() == Shutdown()
    assert child.exit_reason == Shutdown()


async def test_two_faults_of_one_process_both_work(system):
    ref = await system.start(Adder)

    with duplicate(ref, Add), delay(ref, 1.0, Add):
        ref.cast(Add(1))
        assert await numbers(ref) == []
        await asyncio.sleep(1.1)

        assert (await numbers(ref))[1:] == [Add(1), Add(1)]


# Stall


async def test_a_stalled_terminate_holds_up_the_end(system):
    ref = await system.start(Adder)

    with stall(ref, 3.0) as fault:
        await stop(ref)

    assert 3.0 <= system.now() < 3.1
    assert fault.fired == 1


async def test_a_terminate_stalled_for_ever_goes_on_when_the_fault_is_removed(system):
    ref = await system.start(Adder)
    fault = stall(ref)
    stopping = asyncio.ensure_future(stop(ref))
    await asyncio.sleep(3600)
    assert ref.is_alive()

    fault.remove()

    await stopping
    assert ref.exit_reason is not None


async def test_any_callback_can_be_stalled(system):
    ref = await system.start(Adder)

    with stall(ref, 2.0, "handle_call", "slow", times=1):
        await ref.call("slow")
        await ref.call("slow")

    assert 2.0 <= system.now() < 2.1


# Monkey


def _flags(children):
    return SupFlags(intensity=100_000, period=1.0), children


async def forest(system):
    """Start a tree of 2 x 3 workers under "top"; return its root."""
    groups = [
        Supervisor.child_spec(*_flags([worker(f"w{m}", [], kind=Plain) for m in range(3)]), id=f"g{n}")
        for n in range(2)
    ]
    return await system.start(Supervisor, *_flags(groups), name="top")


async def rampage(seconds=100.0, target="top", **kwargs):
    """Return what a monkey kills in a forest of its own."""
    async with System() as system:
        await forest(system)
        monkey = await system.start(Monkey, target, rate=1.0, **kwargs)
        await asyncio.sleep(seconds)
        return await kills(monkey)


async def test_a_monkey_kills_at_its_rate(system):
    log = await rampage(1000.0, seed=1)

    assert 900 < len(log) < 1100


async def test_the_same_seed_and_tree_give_the_same_kills():
    first, again, other = [await rampage(seed=seed) for seed in (1, 1, 2)]

    assert first == again != other


async def test_a_monkey_kills_workers_only_unless_told_otherwise(system):
    log = await rampage(seed=1)

    assert {len(kill.path) for kill in log} == {3}


async def test_a_monkey_kills_supervisors_too_but_not_the_root_of_its_subtree(system):
    log = await rampage(seed=1, supervisors=True)

    assert {len(kill.path) for kill in log} == {2, 3}


async def test_a_monkey_stays_in_its_subtree(system):
    log = await rampage(seed=1, target="top/g1")

    assert {kill.path[:2] for kill in log} == {("top", "g1")}


async def test_a_monkey_rests_after_its_limit(system):
    log = await rampage(seed=1, limit=5)

    assert len(log) == 5


async def test_the_log_tells_when_the_kills_were(system):
    deaths = []

    class Mortal(GenServer):
        trap_exit = False

    await system.start(Supervisor, *_flags([Mortal.child_spec(id="m")]), name="top")
    monkey = await system.start(Monkey, "top", rate=1.0, limit=3)
    began = system.now()

    for _ in range(3):
        await find("top/m").wait_exit()
        deaths.append(system.now() - began)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    log = await kills(monkey)
    assert [entry.path for entry in log] == [("top", "m")] * 3
    assert deaths == pytest.approx([entry.at for entry in log], abs=0.01)


async def test_a_monkey_below_the_supervisor_spares_itself_and_its_ancestors(system):
    inner = Supervisor.child_spec(*_flags([Monkey.child_spec("top", rate=1.0, supervisors=True)]), id="inner")
    await system.start(Supervisor, *_flags([inner, worker("w", [], kind=Plain)]), name="top")
    monkey = find("top/inner/Monkey")

    await asyncio.sleep(100)

    assert {kill.path for kill in await kills(monkey)} == {("top", "w")}


async def test_a_monkey_waits_for_its_supervisor_to_come(system):
    monkey = await system.start(Monkey, "top", rate=1.0)
    await asyncio.sleep(10)
    await forest(system)
    await asyncio.sleep(10)

    log = await kills(monkey)

    assert log[0].at > 10.0


async def test_a_monkey_that_is_asked_nonsense_goes_on(system):
    monkey = await system.start(Monkey, "top", rate=1.0)
    monkey.send("nonsense")

    with pytest.raises(UnexpectedRequestError):
        await monkey.call("nonsense")

    assert monkey.is_alive()


async def test_a_replay_kills_the_same_at_the_same_time(system):
    log = await rampage(seed=1)
    top = await forest(system)
    began = system.now()

    missed = await replay(log)
    await wait_until_idle(system)

    assert missed == []
    assert system.now() - began == pytest.approx(log[-1].at, abs=0.001)
    restarts = [(path, node.restarts) for path, node in walk(system.tree()) if len(path) == 3]
    assert dict(restarts) == {path: [k.path for k in log].count(path) for path, _ in restarts}
    assert top.is_alive()


async def test_a_replay_tells_whom_it_did_not_find(system):
    nobody = MonkeyKill(1.0, ("nobody",))

    assert await replay([nobody]) == [nobody]
