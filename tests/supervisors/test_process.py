"""Processes beyond the OTP cases: being killed anywhere, other threads and loops, and leaving nothing behind."""

import asyncio
import contextlib
import gc
import itertools
import threading
import weakref

import pytest
from loguru import logger

from supervisors import (
    Crashed,
    Down,
    Exit,
    GenServer,
    Kill,
    Killed,
    NoCurrentProcessError,
    NoProcess,
    NoReply,
    Normal,
    ProcessExit,
    Reply,
    ServerDownError,
    StartError,
    Stop,
    System,
    call,
    current,
    exit_signal,
    link,
    monitor,
    reply,
    send_after,
    unlink,
)
from supervisors.testing import run, wait_until_idle
from tests.support import Plain, Runner, Worker, infos_of, kill, run_in, stops_with, supervise, worker

HOUR = 3600


class Server(GenServer):
    """Runs any function of itself, and remembers nothing."""

    def handle_call(self, request, from_):
        return request(self, from_)

    def handle_cast(self, request):
        return request(self)


async def busy(system, callback, log=None):
    """Return a `Worker` that is in the midst of the async ``callback``."""
    ref = await system.start(Worker, "a", [] if log is None else log)
    ref.cast(callback)
    await asyncio.sleep(0.01)
    return ref


# Killed in a callback


async def test_kill_ends_a_callback_that_swallows_its_cancellation(system):
    async def swallow(_):
        while True:
            try:
                await asyncio.sleep(HOUR)
            except asyncio.CancelledError:
                continue

    ref = await busy(system, swallow)

    await kill(ref)

    assert ref.exit_reason == Killed()
    assert system.now() < 1


async def test_kill_ends_a_callback_that_survives_even_its_closing(system):
    reported = []
    sink = logger.add(lambda message: reported.append(message.record["extra"]["report"]))
    logger.enable("supervisors")

    async def survive(_):
        try:
            await asyncio.sleep(HOUR)
        finally:
            try:
                await asyncio.sleep(HOUR)
            finally:
                await asyncio.sleep(HOUR)

    ref = await busy(system, survive)

    await kill(ref)
    logger.disable("supervisors")
    logger.remove(sink)

    assert ref.exit_reason == Killed()
    assert reported == ["immortal"]


async def gather_sleeps():
    await asyncio.gather(asyncio.sleep(HOUR), asyncio.sleep(HOUR))


async def group_sleeps():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(HOUR))
        group.create_task(asyncio.sleep(HOUR))


async def wait_for_sleep():
    await asyncio.wait_for(asyncio.sleep(HOUR), 2 * HOUR)


async def wait_for_task():
    await asyncio.create_task(asyncio.sleep(HOUR))


async def sleep_in_time():
    async with asyncio.timeout(2 * HOUR):
        await asyncio.sleep(HOUR)


async def wait_for_two():
    tasks = [asyncio.create_task(asyncio.sleep(HOUR)) for _ in range(2)]
    try:
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize(
    "work", [gather_sleeps, group_sleeps, wait_for_sleep, wait_for_task, sleep_in_time, wait_for_two]
)
async def test_kill_takes_what_the_callback_waits_for_along(system, work):
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    ref = await busy(system, lambda _: work())

    await kill(ref)
    await asyncio.sleep(0)
    gc.collect()

    assert ref.exit_reason == Killed()
    assert len(asyncio.all_tasks()) == 1
    assert system.now() < 1
    assert problems == []


async def test_kill_does_not_wait_for_a_task_that_swallows_its_cancellation(system):
    async def stubborn():
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            await asyncio.sleep(HOUR)

    async def wait(_):
        await asyncio.create_task(stubborn())

    ref = await busy(system, wait)

    await kill(ref)

    assert system.now() < 1
    await asyncio.sleep(2 * HOUR)


async def test_kill_leaves_what_was_shielded(system):
    done = []

    async def save():
        await asyncio.sleep(1)
        done.append("saved")

    ref = await busy(system, lambda _: asyncio.shield(save()))

    await kill(ref)
    await asyncio.sleep(2)

    assert done == ["saved"]


@pytest.mark.real_clock
async def test_kill_does_not_wait_for_a_thread(system):
    released = threading.Event()
    ref = await busy(system, lambda _: asyncio.to_thread(released.wait))

    await kill(ref)

    assert ref.exit_reason == Killed()
    released.set()


async def test_kill_lets_a_callback_clean_up_as_long_as_it_does_not_wait(system):
    steps = []

    async def clean_up(_):
        try:
            await asyncio.sleep(HOUR)
        finally:
            steps.append("first")
            await asyncio.sleep(0)
            steps.append("second")

    ref = await busy(system, clean_up)

    await kill(ref)

    assert steps == ["first"]


async def test_kill_before_the_first_step_of_a_callback_keeps_it_from_starting(system):
    started = []
    ref = await system.start(Worker, "a", [])

    async def start(_):
        started.append("started")

    ref.cast(start)
    asyncio.get_running_loop().call_soon(exit_signal, ref, Kill())
    await ref.wait_exit()

    assert ref.exit_reason == Killed()


async def test_kill_during_init_fails_the_start(system):
    starting = asyncio.ensure_future(system.start(Worker, "a", [], lambda _: asyncio.sleep(HOUR), name="a"))
    await asyncio.sleep(0.01)

    exit_signal(system.whereis("a"), Kill())

    with pytest.raises(StartError) as failed:
        await starting
    assert failed.value.reason == Killed()
    assert system.whereis("a") is None


async def test_kill_during_terminate_ends_it(system):
    ref = await system.start(Worker, "a", [], None, lambda _: asyncio.sleep(HOUR))
    ref.cast(stops_with("done"))
    await asyncio.sleep(0.01)

    await kill(ref)

    assert ref.exit_reason == Killed()
    assert system.now() < 1


async def test_a_signal_to_itself_acts_at_the_next_suspension_point(system):
    steps = []

    async def end(_):
        exit_signal(current(), Kill())
        steps.append("before")
        await asyncio.sleep(0)
        steps.append("after")

    ref = await system.start(Server)
    ref.cast(end)

    assert await ref.wait_exit() == Killed()
    assert steps == ["before"]


async def test_a_signal_to_itself_in_a_plain_callback_acts_when_that_returns(system):
    ref = await system.start(Server)

    def end(_server, _from):
        exit_signal(current(), "mine")
        return Reply("never sent")

    with pytest.raises(ServerDownError) as failed:
        await ref.call(end)
    assert failed.value.reason == "mine"


async def test_a_signal_to_itself_in_init_wins_over_what_init_raises(system):
    def init(_):
        exit_signal(current(), "mine")
        raise ValueError

    with pytest.raises(StartError) as failed:
        await system.start(Plain, "a", [], init)

    assert failed.value.reason == "mine"


async def test_a_process_that_kills_its_peer_in_a_callback_finishes_that_before_it_dies(system):
    steps = []
    peer = await system.start(Plain, "peer", [])
    ref = await system.start(Server)

    async def end(_):
        link(peer)
        exit_signal(peer, Kill())
        steps.append(ref.is_alive())

    ref.cast(end)

    assert await ref.wait_exit() == Killed()
    assert steps == [True]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_a_cancelled_callback_task_is_a_kill(system, steps):
    log = []
    ref = await system.start(Worker, "a", log)
    watcher = await system.start(Runner)
    mref = await run_in(watcher, monitor, ref)
    ref.cast(lambda _: asyncio.sleep(HOUR))
    while ref._process.callback_task is None:
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)

    ref._process.callback_task.cancel()

    assert await ref.wait_exit() == Killed()
    assert log == [("start", "a")]
    assert await infos_of(watcher) == [Down(mref, ref, Killed())]


async def test_a_callback_that_raises_cancelled_error_is_killed(system):
    def plain(_):
        raise asyncio.CancelledError

    async def suspended(_):
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    refs = [await system.start(Server), await system.start(Server)]
    refs[0].cast(plain)
    refs[1].cast(suspended)

    assert [await ref.wait_exit() for ref in refs] == [Killed(), Killed()]


def test_a_loop_that_closes_kills_what_is_in_a_callback():
    log, refs = [], []

    async def main():
        ref = await System().start(Worker, "a", log)
        refs.append(ref)
        ref.cast(lambda _: asyncio.sleep(HOUR))
        await asyncio.sleep(0)

    asyncio.run(main())

    assert refs[0].exit_reason == Killed()
    assert log == [("start", "a")]


def test_nothing_sent_to_a_process_of_a_closed_loop_is_an_error():
    refs = []

    async def main():
        refs.append(await System().start(Plain, "a", []))

    async def ask():
        await refs[0].call("request")

    asyncio.run(main())
    refs[0].cast("cast")
    refs[0].send("info")
    exit_signal(refs[0], "boom")

    with pytest.raises(ServerDownError) as failed:
        asyncio.run(ask())
    assert failed.value.reason == NoProcess()


# Links


async def test_ten_thousand_linked_processes_die_of_the_first(system):
    refs = [await system.start(Server) for _ in range(10_000)]
    for one, other in itertools.pairwise(refs):
        one._process.link(other._process)

    exit_signal(refs[0], "boom")

    assert {ref.exit_reason for ref in refs} == {"boom"}
    assert system.processes == []


async def test_ten_thousand_processes_started_by_one_another_die_of_the_first(system):
    class Nest(GenServer):
        async def handle_call(self, depth, from_):
            child = await Nest.start_link()
            return Reply(child)

    refs = [await system.start(Nest)]
    for _ in range(10_000):
        refs.append(await refs[-1].call(None))

    exit_signal(refs[0], Kill())

    assert {ref.exit_reason for ref in refs} == {Killed()}


async def test_a_link_that_is_made_twice_is_undone_once(system):
    runner = await system.start(Runner, True)
    peer = await system.start(Plain, "peer", [])

    await run_in(runner, link, peer)
    await run_in(runner, link, peer)
    await run_in(runner, unlink, peer)
    await kill(peer)

    assert await infos_of(runner) == []


async def test_code_outside_processes_cannot_link_or_monitor(system):
    ref = await system.start(Server)

    for verb in (link, unlink, monitor):
        with pytest.raises(NoCurrentProcessError):
            verb(ref)


async def test_a_task_that_outlives_its_process_is_no_process(system):
    left, problems = [], []
    other = await system.start(Server)

    async def leave():
        await asyncio.sleep(1)
        try:
            link(other)
        except NoCurrentProcessError as error:
            problems.append(error)

    ref = await system.start(Server)
    ref.cast(lambda _: left.append(asyncio.create_task(leave())))
    await wait_until_idle(system)

    await kill(ref)
    await left[0]

    assert len(problems) == 1
    assert other._process._links is None


async def test_an_exit_reason_must_be_a_value(system):
    with pytest.raises(TypeError):
        ProcessExit(None)
    with pytest.raises(TypeError):
        ProcessExit(Normal)


async def test_an_exception_to_exit_with_is_a_crash(system):
    error = ValueError("boom")
    ref = await system.start(Server)

    def end(_):
        raise ProcessExit(error)

    ref.cast(end)

    assert await ref.wait_exit() == Crashed(error)


# Other threads, other loops


@pytest.fixture
def elsewhere():
    """Return a function that runs a coroutine on a loop in another thread, and awaits it on this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def run_there(coro):
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coro, loop))

    yield run_there
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.real_clock
async def test_casts_from_another_thread_arrive_in_order(system):
    log = []
    ref = await system.start(Plain, "a", log)

    def send_all():
        for number in range(1000):
            ref.cast(lambda _, number=number: log.append(number))

    await asyncio.to_thread(send_all)
    await ref.call("done")

    assert log[1:] == list(range(1000))


@pytest.mark.real_clock
async def test_a_signal_from_another_thread_ends_a_process(system):
    ref = await system.start(Server)

    threading.Thread(target=exit_signal, args=(ref, Kill())).start()

    assert await ref.wait_exit() == Killed()


@pytest.mark.real_clock
async def test_a_thread_may_call(system):
    ref = await system.start(Plain, "a", [])

    async def ask():
        return await ref.call("echo")

    assert await asyncio.to_thread(lambda: asyncio.run(ask())) == "echo"


@pytest.mark.real_clock
async def test_another_thread_may_answer_a_call(system):
    ref = await system.start(Server)

    def answer_elsewhere(_server, from_):
        threading.Thread(target=reply, args=(from_, "from a thread")).start()
        return NoReply()

    assert await ref.call(answer_elsewhere) == "from a thread"


@pytest.mark.real_clock
async def test_processes_of_two_loops_call_each_other(system, elsewhere):
    far_system = System("far")
    far = await elsewhere(_start_in(far_system, Runner))
    near, server = await system.start(Runner), await system.start(Plain, "near", [])

    answer = await run_in(near, call, far, (call, (server, "there and back")))

    assert answer == "there and back"
    await elsewhere(far_system.stop())


@pytest.mark.real_clock
async def test_a_call_to_a_blocked_loop_times_out(system, elsewhere):
    far_system = System("far")
    far = await elsewhere(_start_in(far_system, Server))
    released = threading.Event()
    far.cast(lambda _: released.wait() and None)

    with pytest.raises(TimeoutError):
        await far.call(lambda _server, _from: Reply(1), timeout=0.05)

    released.set()
    await elsewhere(far_system.stop())


@pytest.mark.real_clock
async def test_links_and_monitors_reach_across_loops(system, elsewhere):
    far_system = System("far")
    linked, watched = [await elsewhere(_start_in(far_system, Server)) for _ in range(2)]
    runner = await system.start(Runner, True)
    await run_in(runner, link, linked)
    mref = await run_in(runner, monitor, watched)

    linked.cast(lambda _: Stop("linked"))
    await linked.wait_exit()
    watched.cast(lambda _: Stop("watched"))
    await watched.wait_exit()
    await asyncio.sleep(0)

    assert await infos_of(runner) == [Exit(linked, "linked"), Down(mref, watched, "watched")]
    await elsewhere(far_system.stop())


@pytest.mark.real_clock
async def test_a_monitor_of_who_dies_in_another_loop_meanwhile_fires(system, elsewhere):
    far_system = System("far")
    far = await elsewhere(_start_in(far_system, Server))
    process = far._process
    await elsewhere(_kill(far))
    runner = await system.start(Runner, True)

    def watch_and_link():
        me = runner._process
        me.link(process)
        me.watch(monitor(far), process)

    await run_in(runner, watch_and_link)
    while len(await infos_of(runner)) < 3:
        await asyncio.sleep(0)

    assert {info.reason for info in await infos_of(runner)} == {NoProcess()}
    await elsewhere(far_system.stop())


async def _start_in(system, cls):
    return await system.start(cls)


async def _kill(ref):
    await kill(ref)


# Nothing is left behind


class Forgetful(GenServer):
    """Ends in all ways, and keeps what could keep it."""

    def init(self):
        self.kept = []
        send_after(0.001, self.actor_ref, "fired")
        self.timer = send_after(HOUR, self.actor_ref, "later")

    def handle_info(self, info):
        return NoReply(timeout=HOUR)

    def handle_call(self, request, from_):
        self.kept.append(from_)
        return request(self)

    def handle_cast(self, request):
        return request(self)


def crash(_):
    msg = "boom"
    raise ValueError(msg)


async def crash_later(_):
    await asyncio.sleep(0.01)
    msg = "boom"
    raise ValueError(msg)


async def crash_on_time(_):
    async with asyncio.timeout(0.01):
        await asyncio.sleep(HOUR)


async def swallow_first(_):
    try:
        await asyncio.sleep(HOUR)
    except asyncio.CancelledError:
        await asyncio.sleep(HOUR)


@pytest.fixture
def _no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def remains(system, end):
    """Return a weak reference to a process that ``end(ref)`` ended."""
    ref = await system.start(Forgetful)
    await asyncio.sleep(0.1)
    process = weakref.ref(ref._process.server)
    await end(ref)
    await ref.wait_exit()
    return process


@pytest.mark.usefixtures("_no_gc")
@pytest.mark.parametrize("callback", [crash, crash_later, crash_on_time, lambda _: Stop("end")])
async def test_a_process_that_ended_in_a_cast_is_gone(system, callback):
    async def cast(ref):
        ref.cast(callback)

    process = await remains(system, cast)
    await asyncio.sleep(1)
    gc.collect()  # a traceback has the process, and that its ref, and that the traceback

    assert process() is None
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.usefixtures("_no_gc")
@pytest.mark.parametrize("callback", [crash, crash_later, crash_on_time, lambda _: Stop("end")])
async def test_a_process_that_ended_in_a_call_is_gone(system, callback):
    async def ask(ref):
        with contextlib.suppress(ServerDownError):
            await ref.call(callback)

    process = await remains(system, ask)
    await asyncio.sleep(1)
    gc.collect()  # a traceback has the process, and that its ref, and that the traceback

    assert process() is None
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.usefixtures("_no_gc")
@pytest.mark.parametrize(
    "callback",
    [
        lambda _: NoReply(timeout=1),
        lambda _: asyncio.sleep(HOUR),
        lambda _: gather_sleeps(),
        lambda _: group_sleeps(),
        lambda _: wait_for_sleep(),
        lambda _: sleep_in_time(),
        lambda _: wait_for_task(),
        swallow_first,
    ],
)
async def test_a_process_that_was_killed_is_gone(system, callback):
    async def end(ref):
        ref.cast(callback)
        await asyncio.sleep(0.1)
        exit_signal(ref, Kill())

    process = await remains(system, end)
    await asyncio.sleep(1)

    assert process() is None
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.usefixtures("_no_gc")
async def test_a_process_that_was_killed_with_its_links_and_callers_is_gone(system):
    ref = await system.start(Forgetful)
    peer = await system.start(Forgetful)
    link_to = lambda other: lambda _: link(other)
    ref.cast(link_to(peer))
    calling = asyncio.ensure_future(ref.call(lambda _: NoReply()))
    await asyncio.sleep(0.1)
    processes = weakref.WeakSet([ref._process.server, peer._process.server])

    exit_signal(ref, Kill())
    await asyncio.wait([calling])
    failed = isinstance(calling.exception(), ServerDownError)
    del calling
    await asyncio.sleep(0)

    assert failed
    assert len(processes) == 0


@pytest.mark.usefixtures("_no_gc")
async def test_a_process_that_failed_to_start_is_gone(system):
    processes = weakref.WeakSet()

    def fail(process):
        processes.add(process)
        msg = "boom"
        raise ValueError(msg)

    async def start():
        try:
            await system.start(Plain, "a", [], fail)
        except StartError as error:
            return type(error)

    assert await start() is StartError
    await asyncio.sleep(0)
    gc.collect()  # as above

    assert len(processes) == 0


@pytest.mark.usefixtures("_no_gc")
async def test_a_supervisor_and_its_children_are_gone_when_it_was_killed(system):
    sup = await supervise(system, [worker("a", [], kind=Plain)])
    processes = weakref.WeakSet(process.server for process in system.processes)

    exit_signal(sup, Kill())
    await wait_until_idle(system)

    assert len(processes) == 0


@pytest.mark.usefixtures("_no_gc")
async def test_a_task_that_was_left_behind_does_not_keep_its_process(system):
    left = []
    ref = await system.start(Server)
    ref.cast(lambda _: left.append(asyncio.create_task(asyncio.sleep(1))))
    await wait_until_idle(system)
    process = weakref.ref(ref._process.server)

    exit_signal(ref, Kill())

    assert process() is None
    await left[0]


def test_a_thousand_crashes_leave_no_timer_and_no_task():
    async def main():
        async with System() as system:
            for _ in range(1000):
                ref = await system.start(Forgetful)
                ref.cast(crash)
                await ref.wait_exit()

    run(main())
