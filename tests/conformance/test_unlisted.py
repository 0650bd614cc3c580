"""What OTP does beside the listed cases, in their order; seen on Erlang/OTP 25.2.3 and Elixir 1.14."""

import asyncio

import pytest

from supervisors import (
    BRUTAL_KILL,
    INFINITY,
    RESTARTING,
    AlreadyStartedError,
    AutoShutdown,
    BadReturnValueError,
    CallingSelfError,
    CallTimeoutError,
    Child,
    ChildCounts,
    ChildSpec,
    ChildSpecError,
    ChildType,
    Continue,
    Crashed,
    Down,
    DynamicSupervisor,
    Exit,
    GenServer,
    Ignore,
    Keys,
    Kill,
    Killed,
    MaxChildrenError,
    NoProcess,
    NoReply,
    Normal,
    NotFoundError,
    ProcessExit,
    Registry,
    Reply,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Stop,
    Strategy,
    Supervisor,
    SupFlags,
    System,
    TaskSupervisor,
    Timeout,
    UnexpectedRequestError,
    call,
    cancel_timer,
    cast,
    count_children,
    current,
    delete_child,
    exit_signal,
    link,
    monitor,
    multi_call,
    register,
    registered,
    reply,
    restart_child,
    resume,
    send,
    send_after,
    start_child,
    stop,
    suspend,
    terminate_child,
    unregister,
    whereis,
    which_children,
)
from supervisors.testing import wait_until_idle
from tests.support import (
    Plain,
    Runner,
    Worker,
    finish,
    in_turn,
    infos_of,
    kill,
    kill_child,
    nothing,
    outcome_in,
    raises,
    refs,
    run_in,
    steps,
    stops_with,
    subtree,
    supervise,
    worker,
)

BOOM = ValueError("boom")

ABNORMAL = {
    "boom": lambda _: Stop("boom"),
    "an error": raises(BOOM),
    "exit(kill)": raises(ProcessExit(Kill())),
    "stop kill": lambda _: Stop(Kill()),
}
HARMLESS = {
    "normal": lambda _: Stop(Normal()),
    "shutdown": lambda _: Stop(Shutdown()),
    "{shutdown, x}": lambda _: Stop(Shutdown("x")),
}


def ways(*groups):
    """Parametrize a test with ``way``, which has a `Worker` that is cast it end."""
    named = {name: way for group in groups for name, way in group.items()}
    return pytest.mark.parametrize("way", named.values(), ids=named)


def is_ignored(_worker):
    return Ignore()


async def end(ref, way):
    """Cast ``way`` to a `Worker`, and wait until it has ended."""
    ref.cast(way)
    await ref.wait_exit()


async def kill_all_at_once(sup, ids):
    """Kill children in the order of ``ids`` before ``sup`` looks at the first of them."""
    children = await refs(sup)
    await suspend(sup)
    for name in ids:
        await kill(children[name])
    await resume(sup)


def ids_of(children):
    return [child.id for child in children]


# Child specs, flags, start


def test_a_worker_is_permanent_and_has_five_seconds_to_stop():
    """A spec of id and start alone is of a permanent worker, shutdown 5 s, not significant."""
    spec = ChildSpec("a", Worker.start_link)

    assert (spec.restart, spec.shutdown, spec.type) == (Restart.PERMANENT, 5.0, ChildType.WORKER)
    assert (spec.significant, spec.modules) == (False, ())
    assert Worker.child_spec().modules == (Worker,)


def test_a_child_spec_without_an_id_cannot_be_written():
    """A spec needs an id; Erlang's missing_id is a TypeError here, as for any argument that is missing."""
    with pytest.raises(TypeError, match="id"):
        ChildSpec(start=Worker.start_link)


async def test_the_next_child_starts_when_init_of_the_one_before_is_done(system):
    """Children start one after the other, and the starter of their supervisor waits for all of them."""
    log = []

    async def slowly(process):
        await asyncio.sleep(1)
        log.append(("done", process.id))

    await supervise(system, [worker(name, log, on_init=slowly) for name in "ab"])

    assert log == [("start", "a"), ("done", "a"), ("start", "b"), ("done", "b")]
    assert system.now() == pytest.approx(2, abs=0.01)


class Ignored(Supervisor):
    def init(self):
        return Ignore()


async def test_a_supervisor_whose_init_ignores_is_not_started(system):
    """Its starter gets None, and as a child it is kept without a process."""
    alone = await system.start(Ignored)
    outer = await supervise(system, [Ignored.child_spec(id="ignored"), worker("b", [])])

    assert alone is None
    assert await which_children(outer) == [
        Child("b", (await refs(outer))["b"], ChildType.WORKER, (Worker,)),
        Child("ignored", None, ChildType.SUPERVISOR, (Ignored,)),
    ]


@pytest.mark.parametrize("value", ["foo", None, (SupFlags(), "foo"), (SupFlags(), 7), SupFlags()], ids=repr)
async def test_a_supervisor_whose_init_returns_nonsense_is_not_started(system, value):
    """What is not (flags, list of child specs) is the ChildSpecError that the start fails with."""

    class Nonsense(Supervisor):
        def init(self):
            return value

    with pytest.raises(StartError) as failed:
        await system.start(Nonsense)

    assert isinstance(failed.value.reason.error, ChildSpecError)


async def test_a_second_supervisor_of_that_name_starts_nothing(system):
    """A supervisor's name is taken: AlreadyStartedError with who has it, and no child of the second was started."""
    log = []
    first = await system.start(Supervisor, SupFlags(), [worker("a", log)], name="sup")

    with pytest.raises(AlreadyStartedError) as failed:
        await system.start(Supervisor, SupFlags(), [worker("b", log)], name="sup")

    assert failed.value.ref is first
    assert steps(log) == ["start a"]


async def test_a_supervisor_is_not_ended_by_messages_it_does_not_know(system):
    """An unknown message or cast is dropped, an unknown call refused; the children stay.

    Differs: in Erlang only the message is dropped, cast and call are a function_clause that ends the supervisor.
    """
    sup = await supervise(system, [worker("a", [])])
    before = await refs(sup)

    send(sup, "hello")
    cast(sup, "hello")
    with pytest.raises(UnexpectedRequestError):
        await call(sup, "hello")

    assert await refs(sup) == before


# Start failure and rollback


@pytest.mark.parametrize(
    ("on_init", "reason"),
    [
        (raises(BOOM), Crashed(BOOM)),
        (raises(ProcessExit(Normal())), Normal()),
        (lambda _: Stop(Normal()), Normal()),
        (lambda _: Stop(Shutdown()), Shutdown()),
        (lambda _: Stop(Shutdown("x")), Shutdown("x")),
    ],
    ids=repr,
)
async def test_whatever_its_reason_a_child_that_does_not_start_is_a_failure(system, on_init, reason):
    """An error, and even a normal end of init, undo the children before it."""
    log = []

    with pytest.raises(StartError) as failed:
        await supervise(system, [worker("a", log), worker("b", log, on_init=on_init)])

    assert (failed.value.reason.detail.id, failed.value.reason.detail.reason) == ("b", reason)
    assert steps(log) == ["start a", "start b", "stop a"]


async def test_a_child_whose_init_returns_nonsense_is_a_failure(system):
    """The reason names the value: Crashed(BadReturnValueError)."""
    with pytest.raises(StartError) as failed:
        await supervise(system, [worker("a", [], on_init=lambda _: "zz")])

    error = failed.value.reason.detail.reason.error
    assert isinstance(error, BadReturnValueError)
    assert error.value == "zz"


async def test_only_of_a_temporary_child_that_ignores_nothing_is_kept(system):
    """Of children whose init ignores the permanent and the transient are kept, not running, and counted."""
    specs = [worker(restart, [], restart=restart, on_init=is_ignored) for restart in Restart]

    sup = await supervise(system, specs)

    assert await refs(sup) == {Restart.PERMANENT: None, Restart.TRANSIENT: None}
    assert await count_children(sup) == ChildCounts(specs=2, active=0, supervisors=0, workers=2)


async def test_a_rollback_waits_for_a_child_as_long_as_its_shutdown_says(system):
    """A child that hangs in terminate is killed after its 0.1 s, and only then does the start fail."""
    hang = lambda _: asyncio.sleep(3600)
    specs = [worker("a", [], on_terminate=hang, shutdown=0.1), worker("b", [], on_init=stops_with("bad"))]

    with pytest.raises(StartError):
        await supervise(system, specs)

    assert system.now() == pytest.approx(0.1, abs=0.01)


# Restart strategies


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_child_that_ignores_its_restart_is_left_alone(system, strategy):
    """It is kept, not running, is not tried again, and does not keep the others from being started."""
    log = []
    specs = [worker("a", log, on_init=in_turn(nothing, is_ignored)), worker("b", log)]
    sup = await supervise(system, specs, strategy)

    await kill_child(sup, "a")
    children = await refs(sup)

    assert children["a"] is None
    assert children["b"].is_alive()
    assert log.count(("start", "a")) == 2
    assert await restart_child(sup, "a") is None


async def test_a_restarted_child_keeps_its_place(system):
    """which_children lists a restarted child where it was."""
    sup = await supervise(system, [worker(name, []) for name in "abc"])

    await kill_child(sup, "a")

    assert ids_of(await which_children(sup)) == ["c", "b", "a"]


async def test_a_group_that_dies_at_once_is_restarted_once(system):
    """Under one_for_all, intensity 1, all die, the last first: nobody is left to stop, and all start, in order."""
    log = []
    sup = await supervise(system, [worker(name, log) for name in "abc"], Strategy.ONE_FOR_ALL, intensity=1)
    log.clear()

    await kill_all_at_once(sup, "cab")
    await refs(sup)

    assert steps(log) == ["start a", "start b", "start c"]


@pytest.mark.parametrize(
    ("id", "expected"),
    [("a", ["stop c", "stop b", "start a", "start b", "start c"]), ("c", ["start c"])],
)
async def test_rest_for_one_restarts_all_with_the_first_and_one_with_the_last(system, id, expected):
    """The first child to die takes all others along, the last nobody."""
    log = []
    sup = await supervise(system, [worker(name, log) for name in "abc"], Strategy.REST_FOR_ONE)
    log.clear()

    await kill_child(sup, id)
    await refs(sup)

    assert steps(log) == expected


async def test_who_is_not_restarted_takes_nobody_along(system):
    """Under rest_for_one, intensity 0, a transient child ends normally, a temporary one crashes: no one is stopped."""
    log = []
    specs = [
        worker("a", log),
        worker("b", log, restart=Restart.TRANSIENT),
        worker("t", log, restart=Restart.TEMPORARY),
        worker("c", log),
    ]
    sup = await supervise(system, specs, Strategy.REST_FOR_ONE, intensity=0)
    before = await refs(sup)

    await finish(before["b"], Normal())
    await finish(before["t"], "boom")

    assert await refs(sup) == {"c": before["c"], "b": None, "a": before["a"]}


# simple_one_for_one


def template(**spec):
    return worker("template", [], **spec)


@pytest.mark.parametrize("specs", [[], [worker("a", []), worker("b", [])]], ids=["none", "two"])
async def test_simple_one_for_one_needs_exactly_one_template(system, specs):
    """No child spec and two are a ChildSpecError."""
    with pytest.raises(StartError) as failed:
        await supervise(system, specs, Strategy.SIMPLE_ONE_FOR_ONE)

    assert isinstance(failed.value.reason.error, ChildSpecError)


@pytest.mark.parametrize("args", ["foo", 7, template()], ids=["a string", "a number", "a spec"])
async def test_what_is_no_list_of_arguments_starts_nothing(system, args):
    """start_child under simple_one_for_one wants a list; anything else is an error, and the supervisor goes on."""
    sup = await supervise(system, [template()], Strategy.SIMPLE_ONE_FOR_ONE)

    with pytest.raises(ChildSpecError):
        await start_child(sup, args)

    assert await which_children(sup) == []


async def test_a_simple_child_is_restarted_with_the_arguments_of_its_own(system):
    """A killed child is started again with the arguments that start_child gave, those of its template first."""
    seen = []

    async def start(*args):
        seen.append(args)
        return await Runner.start_link()

    sup = await supervise(system, [ChildSpec("a", lambda *args: start("x", *args))], Strategy.SIMPLE_ONE_FOR_ONE)

    await kill(await start_child(sup, ["y"]))
    await which_children(sup)

    assert seen == [("x", "y")] * 2


@pytest.mark.parametrize(("shutdown", "fast"), [(0.1, Shutdown()), (BRUTAL_KILL, Killed()), (0, Killed())])
async def test_simple_children_are_stopped_together_each_in_its_time(system, shutdown, fast):
    """Who is busy for longer than shutdown is killed, all at the same instant; who is not ends in its own way."""
    sup = await supervise(system, [template(shutdown=shutdown)], Strategy.SIMPLE_ONE_FOR_ONE)
    children = [await start_child(sup, []) for _ in range(3)]
    for child in children[1:]:
        child.cast(lambda _: asyncio.sleep(3600))
    await asyncio.sleep(0)

    await stop(sup)

    assert [child.exit_reason for child in children] == [fast, Killed(), Killed()]
    assert system.now() <= 0.11


# Restart type and exit reason


@ways(HARMLESS, ABNORMAL)
async def test_a_permanent_child_is_restarted_whatever_its_reason(system, way):
    """It runs again, as a new process."""
    sup = await supervise(system, [worker("a", [])])
    before = (await refs(sup))["a"]

    await end(before, way)
    after = (await refs(sup))["a"]

    assert after.is_alive()
    assert after is not before


@ways(HARMLESS)
async def test_a_transient_child_that_ends_as_it_should_is_kept_and_not_restarted(system, way):
    """Normal, shutdown and {shutdown, _} are no failures."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TRANSIENT)], intensity=0)

    await end((await refs(sup))["a"], way)

    assert await refs(sup) == {"a": None}


@ways(ABNORMAL)
async def test_a_transient_child_that_fails_is_restarted(system, way):
    """An error, any other reason, and kill as a reason of its own, are failures."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TRANSIENT)])

    await end((await refs(sup))["a"], way)

    assert (await refs(sup))["a"].is_alive()


@ways(HARMLESS, ABNORMAL)
async def test_a_temporary_child_that_ends_is_forgotten(system, way):
    """Whatever its reason it is neither restarted nor kept."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TEMPORARY)], intensity=0)

    await end((await refs(sup))["a"], way)

    assert await refs(sup) == {}


# Intensity


async def test_two_deaths_within_the_period_are_one_too_many_at_intensity_1(system):
    """At 1 restart in 1 s, deaths 0.9 s apart end the supervisor."""
    sup = await supervise(system, [worker("a", [])], intensity=1, period=1.0)

    await kill_child(sup, "a")
    await asyncio.sleep(0.9)
    await kill_child(sup, "a")

    assert await sup.wait_exit() == Shutdown()


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_group_restart_is_one_restart(system, strategy):
    """At intensity 1 a group of three may be restarted once, and not twice."""
    sup = await supervise(system, [worker(name, []) for name in "abc"], strategy, intensity=1)

    await kill_child(sup, "a")
    between = await refs(sup)
    await kill_child(sup, "c")

    assert len(between) == 3
    assert await sup.wait_exit() == Shutdown()


async def test_what_is_asked_for_is_no_failure(system):
    """At intensity 0 a child may be terminated and restarted by request, again and again."""
    sup = await supervise(system, [worker("a", [])], intensity=0)

    for _ in range(3):
        await terminate_child(sup, "a")
        await restart_child(sup, "a")

    assert (await refs(sup))["a"].is_alive()


async def test_an_attempt_to_restart_that_fails_is_a_failure_like_any_other(system):
    """At intensity 2 a child that never starts again is tried twice, at once, and then the supervisor ends."""
    log = []
    sup = await supervise(system, [worker("a", log, on_init=in_turn(nothing, stops_with("bad")))], intensity=2)

    await kill_child(sup, "a")

    assert await sup.wait_exit() == Shutdown()
    assert log == [("start", "a")] * 3
    assert system.now() == 0


async def test_a_restarted_supervisor_counts_from_zero(system):
    """The inner supervisor gave up at its second restart; the next one allows a restart again."""
    outer = await supervise(system, [subtree("inner", [worker("w", [])], flags={"intensity": 1})])
    first = (await refs(outer))["inner"]

    await kill_child(first, "w")
    await kill_child(first, "w")
    await first.wait_exit()
    second = (await refs(outer))["inner"]
    await kill_child(second, "w")

    assert (await refs(second))["w"].is_alive()
    assert (await refs(outer))["inner"] is second


# Trees, exit signals to supervisors


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("x"), "boom"], ids=repr)
async def test_a_supervisor_does_not_listen_to_a_stranger(system, reason):
    """An exit signal of a process that is neither parent nor child is ignored, whatever its reason."""
    sup = await supervise(system, [worker("a", [])])
    stranger = await system.start(Runner)
    before = await refs(sup)

    await run_in(stranger, exit_signal, sup, reason)

    assert await refs(sup) == before


async def test_a_supervisor_does_not_listen_to_a_stranger_that_it_is_linked_to(system):
    """A linked process that ends with the reason kill is ignored as well."""
    sup = await supervise(system, [worker("a", [])])
    stranger = await system.start(Plain, "stranger", [])
    before = await refs(sup)
    stranger.cast(lambda _: link(sup))

    await end(stranger, raises(ProcessExit(Kill())))

    assert await refs(sup) == before


@pytest.mark.parametrize(("finished", "reason"), [(stop, Shutdown()), (kill, Killed())])
async def test_a_supervisor_that_was_stopped_or_killed_is_restarted_with_its_children(system, finished, reason):
    """Its children are stopped by it, or end with its parent's exit, and are started by the next one."""
    log = []
    outer = await supervise(system, [subtree("inner", [worker("w", log)])])
    inner = (await refs(outer))["inner"]

    await finished(inner)
    await wait_until_idle(system)

    assert (await refs(outer))["inner"].is_alive()
    assert sorted(log, key=repr) == [("start", "w"), ("start", "w"), ("stop", "w", reason)]


async def test_a_supervisor_is_terminated_and_restarted_as_a_child_with_all_below(system):
    """terminate_child of a supervisor stops its children; restart_child starts them again."""
    log = []
    outer = await supervise(system, [subtree("inner", [worker("w", log)])])

    await terminate_child(outer, "inner")
    between = await refs(outer)
    inner = await restart_child(outer, "inner")

    assert between == {"inner": None}
    assert log == [("start", "w"), ("stop", "w", Shutdown()), ("start", "w")]
    assert inner.is_alive()


# Shutdown


async def test_the_next_child_is_stopped_when_the_one_before_has_ended(system):
    """Children that need 1 s each to terminate are stopped in reverse order, and take 3 s."""
    log = []

    async def slowly(process):
        await asyncio.sleep(1)
        log.append(("done", process.id))

    sup = await supervise(system, [worker(name, log, on_terminate=slowly) for name in "abc"])
    log.clear()

    await stop(sup)

    assert steps(log) == ["stop c", "done c", "stop b", "done b", "stop a", "done a"]
    assert system.now() == pytest.approx(3, abs=0.01)


async def test_infinity_is_as_long_as_it_takes(system):
    """A child with shutdown INFINITY that is busy for an hour is waited for, and terminates then."""
    log = []
    sup = await supervise(system, [worker("a", log, shutdown=INFINITY)])
    child = (await refs(sup))["a"]
    child.cast(lambda _: asyncio.sleep(3600))

    await terminate_child(sup, "a")

    assert child.exit_reason == Shutdown()
    assert log[-1] == ("stop", "a", Shutdown())


@pytest.mark.parametrize("way", [nothing, lambda _: asyncio.sleep(3600)], ids=["idle", "busy"])
@pytest.mark.parametrize(("kind", "reason"), [(Worker, Killed()), (Plain, Shutdown())])
async def test_a_shutdown_of_zero_leaves_no_time_for_terminate(system, kind, reason, way):
    """A child that traps exits is killed at once, idle or busy; who does not trap them dies of shutdown before."""
    log = []
    sup = await supervise(system, [worker("a", log, kind=kind, shutdown=0)])
    child = (await refs(sup))["a"]
    child.cast(way)
    await asyncio.sleep(0.001)
    now = system.now()

    await terminate_child(sup, "a")

    assert child.exit_reason == reason
    assert log == [("start", "a")]
    assert system.now() == now


async def test_a_child_that_does_not_trap_exits_is_terminated_without_terminate(system):
    """terminate_child ends it with shutdown at once."""
    log = []
    sup = await supervise(system, [worker("a", log, kind=Plain)])
    child = (await refs(sup))["a"]

    await terminate_child(sup, "a")

    assert child.exit_reason == Shutdown()
    assert log == [("start", "a")]


# The management API


async def test_a_child_started_later_is_the_last(system):
    """start_child returns the ref of a child that is listed first, and counted."""
    sup = await supervise(system, [worker("a", [])])

    child = await start_child(sup, worker("b", []))

    assert ids_of(await which_children(sup)) == ["b", "a"]
    assert (await refs(sup))["b"] is child
    assert await count_children(sup) == ChildCounts(specs=2, active=2, supervisors=0, workers=2)


async def test_start_child_keeps_who_ignores_unless_temporary(system):
    """start_child returns None for each; the kept ones may be terminated, deleted and started anew."""
    sup = await supervise(system, [])

    started = [await start_child(sup, worker(restart, [], restart=restart, on_init=is_ignored)) for restart in Restart]

    assert started == [None] * 3
    assert await refs(sup) == {Restart.PERMANENT: None, Restart.TRANSIENT: None}
    assert await terminate_child(sup, Restart.TRANSIENT) is None
    await delete_child(sup, Restart.PERMANENT)
    assert (await start_child(sup, worker(Restart.PERMANENT, []))).is_alive()


# Significant children


def test_a_permanent_child_cannot_be_significant():
    """It never ends for good, so that is a ChildSpecError."""
    with pytest.raises(ChildSpecError, match="permanent"):
        worker("a", [], significant=True)


def significant(id, restart):
    return worker(id, [], restart=restart, significant=True)


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
@ways(HARMLESS)
async def test_any_significant_child_that_ends_as_it_should_ends_its_supervisor(system, restart, way):
    """Under ANY_SIGNIFICANT the first to end with normal, shutdown or {shutdown, _} is enough."""
    children = [significant("a", restart), significant("b", restart), worker("c", [])]
    sup = await supervise(system, children, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)

    await end((await refs(sup))["a"], way)

    assert await sup.wait_exit() == Shutdown()


@ways(HARMLESS)
async def test_all_significant_children_must_have_ended_to_end_their_supervisor(system, way):
    """Under ALL_SIGNIFICANT a transient one that ends and a temporary one that crashes later are enough."""
    children = [significant("a", Restart.TRANSIENT), significant("b", Restart.TEMPORARY), worker("c", [])]
    sup = await supervise(system, children, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    before = await refs(sup)

    await end(before["a"], way)
    between = await refs(sup)
    await end(before["b"], raises(BOOM))

    assert between == {**before, "a": None}
    assert await sup.wait_exit() == Shutdown()


# Links, monitors


@pytest.mark.parametrize("trap_exit", [False, True])
async def test_a_kill_to_itself_cannot_be_trapped_either(system, trap_exit):
    """exit_signal(current(), Kill()) is a signal: the reason seen is Killed()."""
    ref = await system.start(Runner, trap_exit)

    ref.cast(lambda _: exit_signal(current(), Kill()))

    assert await ref.wait_exit() == Killed()


async def test_killed_is_what_the_peers_of_a_killed_process_see_and_may_trap(system):
    """The peer that traps exits gets Exit(ref, Killed()); the other ends with Killed()."""
    victim = await system.start(Plain, "victim", [])
    trapping, plain = await system.start(Runner, True), await system.start(Runner)
    await run_in(trapping, link, victim)
    await run_in(plain, link, victim)

    await kill(victim)

    assert await plain.wait_exit() == Killed()
    assert await infos_of(trapping) == [Exit(victim, Killed())]


async def test_a_link_holds_in_both_directions(system):
    """It does not matter which of the two made it."""
    maker, other = await system.start(Plain, "maker", []), await system.start(Plain, "other", [])
    maker.cast(lambda _: link(other))
    await wait_until_idle(system)

    await finish(maker, "boom")

    assert await other.wait_exit() == "boom"


async def test_a_signal_and_a_message_of_one_sender_keep_their_order(system):
    """Also when the receiver is just about to begin a callback that may wait."""
    sender, receiver = await system.start(Plain, "sender", []), await system.start(Runner, True)

    def signal_and_send(_):
        exit_signal(receiver, "first")
        send(receiver, "second")

    waiting = asyncio.ensure_future(run_in(receiver, asyncio.sleep, 1))
    await asyncio.sleep(0)  # the call is in the mailbox, and the receiver's turn comes before the sender's
    sender.cast(signal_and_send)
    await waiting

    assert await infos_of(receiver) == [Exit(sender, "first"), "second"]


async def test_a_name_is_free_when_the_down_of_its_process_comes(system):
    """So is a key of a Registry: who learns of the end may take the name at once."""
    await system.start(Registry, name="registry")
    key = Registry.via("registry", "key")
    found = []

    class Watcher(GenServer):
        def init(self, *watched):
            for ref in watched:
                monitor(ref)

        def handle_info(self, info):
            found.append((info.reason, whereis("name"), key.whereis()))

    victims = [await system.start(Plain, "a", [], name=name) for name in ("name", key)]
    await system.start(Watcher, *victims)

    for victim in victims:
        exit_signal(victim, Kill())
    await wait_until_idle(system)

    assert found == [(Killed(), None, None)] * 2


# gen_server: start


@pytest.mark.parametrize(
    ("on_init", "reason"),
    [
        (raises(BOOM), Crashed(BOOM)),
        (raises(ProcessExit("oops")), "oops"),
        (raises(ProcessExit(Normal())), Normal()),
        (lambda _: Stop(Normal()), Normal()),
        (lambda _: Stop(Shutdown()), Shutdown()),
        (lambda _: Stop("bad"), "bad"),
    ],
    ids=repr,
)
async def test_init_fails_the_start_with_the_reason_it_gives(system, on_init, reason):
    """The start fails with what init raised or stopped with, the normal reason too, and terminate does not run."""
    log = []

    with pytest.raises(StartError) as failed:
        await system.start(Worker, "a", log, on_init)

    assert failed.value.reason == reason
    assert log == [("start", "a")]


async def test_a_monitored_start_that_fails_leaves_no_message(system):
    """start_monitor raises StartError; the watcher gets neither Down nor Exit, and lives."""
    watcher = await system.start(Runner)

    error = await outcome_in(watcher, Plain.start_monitor, "a", [], stops_with("bad"))
    await wait_until_idle(system)

    assert error.reason == "bad"
    assert await infos_of(watcher) == []


async def test_a_server_may_go_on_with_any_term(system):
    """Continue(None) from init runs handle_continue(None): no term means nothing."""
    terms = []

    class Going(GenServer):
        def init(self):
            return Continue(None)

        def handle_continue(self, term):
            terms.append(term)

    await system.start(Going)
    await wait_until_idle(system)

    assert terms == [None]


# gen_server: call, reply


async def test_the_work_of_a_call_that_was_given_up_is_done_and_its_answer_lost(system):
    """A late answer is no message, and does not answer the next call."""
    caller = await system.start(Runner)
    server = await system.start(Plain, "server", [])

    async def answer_late(worker):
        await asyncio.sleep(0.08)
        worker.infos.append("done")
        return Reply("late")

    error = await outcome_in(caller, lambda: call(server, answer_late, 0.03))
    await asyncio.sleep(0.1)

    assert isinstance(error, CallTimeoutError)
    assert await run_in(caller, call, server, "next") == "next"
    assert await server.call(lambda worker: Reply(worker.infos)) == ["done"]
    assert await infos_of(caller) == []


async def test_any_process_may_answer_in_the_servers_stead(system):
    """A From that was handed on is answered by who got it."""
    helper, server = await system.start(Runner), await system.start(GenServer)

    class Delegating(GenServer):
        def handle_call(self, request, from_):
            helper.cast(lambda _: reply(from_, "other"))
            return NoReply()

    server = await system.start(Delegating)

    assert await server.call("request") == "other"


async def test_of_several_answers_to_a_call_the_first_counts_and_no_other_call_gets_one(system):
    """Two replies and a Reply answer one call once; the next call gets its own answer."""
    caller = await system.start(Runner)

    class Generous(GenServer):
        def handle_call(self, request, from_):
            reply(from_, (request, 1))
            reply(from_, (request, 2))
            return Reply((request, 3))

    server = await system.start(Generous)

    assert await run_in(caller, call, server, "a") == ("a", 1)
    assert await run_in(caller, call, server, "b") == ("b", 1)
    assert await infos_of(caller) == []


async def test_a_request_that_no_clause_matches_ends_the_server_with_its_error(system):
    """The caller gets that reason too."""

    class Matching(GenServer):
        def handle_call(self, request, from_):
            return {"known": Reply(1)}[request]

    server = await system.start(Matching)

    with pytest.raises(ServerDownError) as failed:
        await server.call("unknown")

    assert isinstance(failed.value.reason.error, KeyError)
    assert server.exit_reason == failed.value.reason


async def test_an_answer_to_a_dead_caller_does_no_harm(system):
    """The caller was killed while it waited: the server does its work and goes on."""
    caller, server = await system.start(Runner), await system.start(Plain, "server", [])

    async def answer(_):
        await asyncio.sleep(0.06)
        return Reply("to nobody")

    caller.cast(lambda _: call(server, answer))
    await asyncio.sleep(0.02)
    await kill(caller)
    await asyncio.sleep(0.1)

    assert await server.call("next") == "next"


async def test_a_call_that_is_never_answered_fails_with_the_end_of_the_server(system):
    """handle_call returned NoReply; the server stops normally: ServerDownError with Normal()."""
    server = await system.start(Plain, "server", [])
    waiting = asyncio.ensure_future(server.call(lambda _: NoReply()))
    await wait_until_idle(system)

    await stop(server)

    with pytest.raises(ServerDownError) as failed:
        await waiting
    assert failed.value.reason == Normal()


# gen_server: stop, terminate


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (lambda _: Stop(Normal()), Normal()),
        (lambda _: Stop(Shutdown()), Shutdown()),
        (lambda _: Stop(Shutdown("x")), Shutdown("x")),
        (lambda _: Stop("boom"), "boom"),
        (raises(BOOM), Crashed(BOOM)),
        (raises(ProcessExit("oops")), "oops"),
        (raises(ProcessExit(Normal())), Normal()),
        (raises(ProcessExit(Kill())), Kill()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [Plain, Worker])
async def test_terminate_runs_whenever_a_callback_ends_the_server(system, kind, way, reason):
    """terminate gets the reason, whether the server traps exits or not, and the server ends with it."""
    log = []
    server = await system.start(kind, "a", log)

    await end(server, way)

    assert log == [("start", "a"), ("stop", "a", reason)]
    assert server.exit_reason == reason


@pytest.mark.parametrize("reason", [Shutdown(), Shutdown("x"), "boom", Kill()], ids=repr)
async def test_stop_ends_a_server_with_the_reason_it_gives(system, reason):
    """stop returns None for any reason when the server ended with it, after terminate."""
    log = []
    server = await system.start(Plain, "a", log)

    assert await stop(server, reason, 1.0) is None
    assert server.exit_reason == reason
    assert log[-1] == ("stop", "a", reason)


async def test_stop_reaches_a_suspended_server(system):
    """stop is a system message: it does not wait for resume."""
    log = []
    server = await system.start(Plain, "a", log)
    await suspend(server)

    await stop(server)

    assert log[-1] == ("stop", "a", Normal())


async def test_a_server_cannot_stop_itself_with_stop(system):
    """It would wait for its own end: CallingSelfError, and it lives."""
    runner = await system.start(Runner)

    error = await outcome_in(runner, lambda: stop(runner))

    assert isinstance(error, CallingSelfError)
    assert runner.is_alive()


@pytest.mark.parametrize(("reason", "survives"), [(Normal(), True), (Shutdown(), False), (Shutdown("x"), False)])
async def test_only_a_normal_end_of_its_server_spares_a_parent_that_does_not_trap_exits(system, reason, survives):
    """Shutdown is as deadly through a link as any other reason."""
    parent = await system.start(Runner)
    server = await run_in(parent, Plain.start_link, "a", [])

    await finish(server, reason)
    await wait_until_idle(system)

    assert parent.is_alive() is survives


# Time-outs, timers


async def test_a_time_out_comes_once_when_nothing_else_does(system):
    """NoReply(timeout=0.05) brings one Timeout after 50 ms of silence, and no second one."""
    server = await system.start(Plain, "a", [])

    server.cast(lambda _: NoReply(timeout=0.05))
    await asyncio.sleep(0.04)
    early = list(server._process.server.infos)
    await asyncio.sleep(1)

    assert early == []
    assert await server.call(lambda worker: Reply(worker.infos)) == [Timeout()]


async def test_a_timer_for_the_dead_is_none(system):
    """A timer to a dead ref, or one that ends before, is not there to be cancelled."""
    dead, dying = await system.start(Plain, "a", []), await system.start(Plain, "b", [])
    await kill(dead)

    timers = [send_after(60, dead, "x"), send_after(60, dying, "x")]
    await kill(dying)

    assert [cancel_timer(timer) for timer in timers] == [None, None]


async def test_a_timer_for_a_name_finds_who_has_it_when_the_time_has_come(system):
    """Nobody there at the time is no error; a process that took the name meanwhile gets the message."""
    send_after(1, "name", "lost")
    send_after(3, "name", "found")

    await asyncio.sleep(2)
    runner = await system.start(Runner, name="name")
    await asyncio.sleep(2)

    assert await infos_of(runner) == ["found"]


def test_a_timer_does_not_run_backwards():
    """A negative delay is a ValueError."""
    with pytest.raises(ValueError, match="-1"):
        send_after(-1, "name", "x")


# sys, names, multi_call


async def test_resume_of_a_server_that_runs_is_nothing(system):
    """It answers as before."""
    server = await system.start(Plain, "a", [])

    await resume(server)

    assert await server.call("x") == "x"


async def test_a_name_can_be_given_taken_away_and_given_again(system):
    """register, whereis, registered and unregister; without its name a process runs on."""
    server = await system.start(Plain, "a", [], name="first")

    unregister("first")
    with pytest.raises(ServerDownError) as failed:
        await call("first", "x")
    register("second", server)

    assert failed.value.reason == NoProcess()
    assert (whereis("first"), whereis("second"), registered()) == (None, server, ["second"])
    assert await call("second", "x") == "x"


@pytest.mark.parametrize("finished", [kill, stop])
async def test_a_name_is_free_when_its_process_has_ended(system, finished):
    """Another process may be started with it at once."""
    server = await system.start(Plain, "a", [], name="name")

    await finished(server)

    assert whereis("name") is None
    assert (await system.start(Plain, "b", [], name="name")).is_alive()


async def test_a_name_leads_to_the_restarted_child(system):
    """The new process has the name of the one that died."""
    sup = await supervise(system, [worker("a", [], name="name")])
    before = whereis("name")

    await kill(before)
    after = (await refs(sup))["a"]

    assert whereis("name") is after
    assert after is not before


async def test_a_server_that_takes_too_long_is_a_bad_one_for_multi_call(system):
    """Who answers in time is among the replies."""
    request = lambda worker: asyncio.sleep(worker.id, Reply(worker.id))
    async with System("slow") as slow:
        await system.start(Plain, 0, [], name="server")
        await slow.start(Plain, 60, [], name="server")

        replies, bad = await multi_call([system, slow], "server", request, 0.03)
        await kill(slow.whereis("server"))

    assert (replies, bad) == ([(system, 0)], [slow])


# Elixir: DynamicSupervisor, Task.Supervisor, Registry


async def test_a_dynamic_child_that_ignores_its_restart_is_forgotten(system):
    """Nothing is kept of it; OTP's simple_one_for_one of 25 keeps an entry without a process."""
    sup = await system.start(DynamicSupervisor)
    child = await start_child(sup, worker("a", [], on_init=in_turn(nothing, is_ignored)))

    await kill(child)

    assert await which_children(sup) == []
    assert await count_children(sup) == ChildCounts(0, 0, 0, 0)


async def test_a_dynamic_child_between_two_attempts_is_listed_counted_and_can_be_terminated(system):
    """It is RESTARTING, no active one, takes its place of max_children, and is known by the ref it had."""
    sup = await system.start(DynamicSupervisor, max_children=1, intensity=1000, period=60.0)

    async def fail(_):
        await asyncio.sleep(0.02)
        return Stop("bad")

    log = []
    child = await start_child(sup, worker("a", log, on_init=in_turn(nothing, fail)))
    await kill(child)

    await asyncio.sleep(0.03)

    assert await which_children(sup) == [Child(None, RESTARTING, ChildType.WORKER, (Worker,))]
    assert await count_children(sup) == ChildCounts(specs=1, active=0, supervisors=0, workers=1)
    with pytest.raises(MaxChildrenError):
        await start_child(sup, worker("b", []))
    await terminate_child(sup, child)
    assert await which_children(sup) == []


@pytest.mark.parametrize("on_init", [stops_with("bad"), is_ignored], ids=["fails", "ignores"])
async def test_who_did_not_start_takes_no_place_of_max_children(system, on_init):
    """After a failed and an ignored start there is room as before."""
    sup = await system.start(DynamicSupervisor, max_children=1)

    await asyncio.gather(start_child(sup, worker("a", [], on_init=on_init)), return_exceptions=True)

    assert (await start_child(sup, worker("b", []))).is_alive()
    with pytest.raises(MaxChildrenError):
        await start_child(sup, worker("c", []))


async def test_a_task_is_a_child_that_can_be_terminated(system):
    """It is listed while it runs, ends with shutdown, and is gone after that."""
    sup = await system.start(TaskSupervisor)
    ref = await TaskSupervisor.start_child(sup, asyncio.sleep, 3600)
    listed = [child.ref for child in await which_children(sup)]

    await terminate_child(sup, ref)

    assert listed == [ref]
    assert ref.exit_reason == Shutdown()
    with pytest.raises(NotFoundError):
        await terminate_child(sup, ref)


async def test_the_end_of_its_supervisor_is_the_end_of_a_task_for_its_owner(system):
    """The owner of an unlinked task gets Down with shutdown."""
    sup = await system.start(TaskSupervisor)
    owner = await system.start(Runner)
    task = await run_in(owner, TaskSupervisor.async_nolink, sup, asyncio.sleep, 3600)

    await stop(sup)

    assert await infos_of(owner) == [Down(task.monitor, task.ref, Shutdown())]


async def test_a_duplicate_key_is_no_name(system):
    """A process cannot be started, nor called, by a key that may be several processes'."""
    registry = await system.start(Registry, Keys.DUPLICATE)

    with pytest.raises(ValueError, match="duplicate"):
        await system.start(Plain, "a", [], name=Registry.via(registry, "key"))
    with pytest.raises(ValueError, match="duplicate"):
        await call(Registry.via(registry, "key"), "x")

    assert Registry.count(registry) == 0
