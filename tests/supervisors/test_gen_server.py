"""Servers beyond the OTP cases: what callbacks may return and raise, bounded mailboxes, callers that give up."""

import asyncio
import concurrent.futures
import types
from functools import partial

import pytest
from loguru import logger

from supervisors import (
    BadReturnValueError,
    CallTimeoutError,
    Continue,
    Crashed,
    Down,
    Exit,
    GenServer,
    Ignore,
    Killed,
    NoReply,
    Normal,
    OverloadedError,
    Refuse,
    Reply,
    ServerDownError,
    StartError,
    Stop,
    Timeout,
    UnexpectedRequestError,
    cast,
    exit_signal,
    link,
    monitor,
    reply,
    stop,
)
from supervisors.server_process import ServerProcess
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, kill, refs, run_in, supervise

HOUR = 3600


class Server(GenServer):
    """Returns from each callback what the function returns that it is sent."""

    def init(self, function=lambda _: None):
        return function(self)

    def handle_call(self, request, from_):
        return request(from_)

    def handle_cast(self, request):
        return request()

    def handle_info(self, info):
        return info()

    def handle_continue(self, term):
        return term()


async def failure_of(awaitable):
    """Return the error that a call which ends the server raises."""
    with pytest.raises(ServerDownError) as failed:
        await awaitable
    return failed.value.reason.error


# What callbacks return


async def items():
    """Be an async generator, which is no result."""
    yield Reply(1)


NONSENSE = [
    1,
    "reply",
    object(),
    ("reply", 1),
    [Reply(1)],
    Reply,
    Timeout(),
    Ignore(),
    Continue("term"),
    items,
    items(),
    (n for n in ()),
    lambda: Reply(1),
]


@pytest.mark.parametrize("nonsense", [*NONSENSE, None], ids=repr)
async def test_nonsense_from_handle_call_ends_the_server(system, nonsense):
    ref = await system.start(Server)

    error = await failure_of(ref.call(lambda _: nonsense))

    assert isinstance(error, BadReturnValueError)
    assert (error.callback, error.value) == ("handle_call", nonsense)


@pytest.mark.parametrize("nonsense", [*NONSENSE, Reply(1), Refuse(ValueError()), Stop(Normal(), 1)], ids=repr)
@pytest.mark.parametrize(("verb", "callback"), [("cast", "handle_cast"), ("send", "handle_info")])
async def test_nonsense_from_handle_cast_or_info_ends_the_server(system, nonsense, verb, callback):
    ref = await system.start(Server)

    getattr(ref, verb)(lambda: nonsense)
    error = (await ref.wait_exit()).error

    assert isinstance(error, BadReturnValueError)
    assert (error.callback, error.value) == (callback, nonsense)


@pytest.mark.parametrize("nonsense", [*NONSENSE[:7], items, items(), Reply(1), Stop(Normal(), 1)], ids=repr)
async def test_nonsense_from_init_fails_the_start(system, nonsense):
    with pytest.raises(StartError) as failed:
        await system.start(Server, lambda _: nonsense)

    assert isinstance(failed.value.reason.error, BadReturnValueError)
    assert system.processes == []


async def test_nonsense_from_handle_continue_ends_the_server(system):
    ref = await system.start(Server, lambda _: Continue(lambda: "nonsense"))

    error = (await ref.wait_exit()).error

    assert (error.callback, error.value) == ("handle_continue", "nonsense")


@pytest.mark.parametrize("nonsense", NONSENSE[:6], ids=repr)
async def test_what_terminate_returns_does_not_matter(system, nonsense):
    ref = await system.start(Plain, "a", [], None, lambda _: nonsense)

    await stop(ref)

    assert ref.exit_reason == Normal()


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", object()], ids=repr)
async def test_a_timeout_that_is_no_time_ends_the_server(system, timeout):
    ref = await system.start(Server)

    ref.cast(lambda: NoReply(timeout=timeout))

    assert isinstance((await ref.wait_exit()).error, BadReturnValueError)


@pytest.mark.parametrize("reason", [None, Normal], ids=repr)
async def test_a_stop_without_a_reason_is_an_error_where_it_is_made(system, reason):
    ref = await system.start(Server)

    assert isinstance(await failure_of(ref.call(lambda _: Stop(reason))), TypeError)


@types.coroutine
def generated(value):
    """Be awaitable as a generator."""
    yield
    return value  # noqa: B901 -- what a generator awaited is worth


class Awaitable:
    """Is awaitable, and no coroutine."""

    def __await__(self):
        yield
        return Reply("answer")


async def answers():
    await asyncio.sleep(0.01)
    return Reply("answer")


@pytest.mark.parametrize(
    "awaitable",
    [
        answers,
        Awaitable,
        partial(generated, Reply("answer")),
        lambda: asyncio.ensure_future(answers()),
        lambda: asyncio.wait_for(answers(), 1),
    ],
    ids=["coroutine", "object", "generator", "task", "wait_for"],
)
async def test_whatever_may_be_awaited_may_be_returned(system, awaitable):
    ref = await system.start(Server)

    assert await ref.call(lambda _: awaitable()) == "answer"


async def test_init_may_return_an_awaitable(system):
    ref = await system.start(Server, lambda _: asyncio.ensure_future(asyncio.sleep(0.01)))

    assert ref.is_alive()


# What callbacks raise


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, RecursionError, MemoryError, KeyError])
async def test_any_exception_of_a_plain_callback_is_a_crash(system, error):
    log = []
    ref = await system.start(Worker, "a", log)

    def crash(_):
        raise error

    ref.cast(crash)
    reason = await ref.wait_exit()

    assert isinstance(reason.error, error)
    assert log[-1] == ("stop", "a", reason)


@pytest.mark.parametrize("error", [StopAsyncIteration, RecursionError, TimeoutError, KeyError])
async def test_any_exception_of_an_async_callback_is_a_crash(system, error):
    log = []
    ref = await system.start(Worker, "a", log)

    async def crash(_):
        await asyncio.sleep(0)
        raise error

    ref.cast(crash)
    reason = await ref.wait_exit()

    assert isinstance(reason.error, error)
    assert log[-1] == ("stop", "a", reason)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupt_in_a_callback_ends_the_process_and_the_program(error, is_async):
    refs = []

    async def main():
        from supervisors import System

        system = System()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        refs.append(await system.start(Plain, "a", []))
        refs.append(await system.start(Runner))
        await run_in(refs[1], link, refs[0])
        refs[0].cast(suspended if is_async else plain)
        await asyncio.sleep(60)

    def plain(_):
        raise error

    async def suspended(_):
        await asyncio.sleep(0)
        raise error

    with pytest.raises(error):
        asyncio.run(main())

    assert isinstance(refs[0].exit_reason.error, error)
    assert refs[1].exit_reason == refs[0].exit_reason


async def test_a_refused_call_raises_the_error_and_the_server_goes_on(system):
    ref = await system.start(Server)

    with pytest.raises(KeyError):
        await ref.call(lambda _: Refuse(KeyError("no")))

    assert await ref.call(lambda _: Reply(1)) == 1


async def test_a_refusal_with_what_is_no_exception_ends_the_server(system):
    ref = await system.start(Server)

    assert isinstance(await failure_of(ref.call(lambda _: Refuse("no"))), TypeError)


async def test_a_server_without_callbacks_ends_with_the_request_it_did_not_expect(system):
    refs = [await system.start(GenServer) for _ in range(2)]

    error = await failure_of(refs[0].call("question"))
    refs[1].cast("order")

    assert isinstance(error, UnexpectedRequestError)
    assert error.request == "question"
    assert isinstance((await refs[1].wait_exit()).error, UnexpectedRequestError)


async def test_a_server_without_handle_info_reports_and_drops_what_it_gets(system):
    reported = []
    sink = logger.add(lambda message: reported.append(message.record["extra"]["report"]))
    logger.enable("supervisors")
    ref = await system.start(GenServer)

    ref.send("info")
    await wait_until_idle(system)
    logger.disable("supervisors")
    logger.remove(sink)

    assert ref.is_alive()
    assert reported == ["unexpected"]


async def test_a_crash_in_terminate_after_a_crash_is_the_reason(system):
    first, second = ValueError("first"), KeyError("second")

    def crash(_):
        raise first

    async def crash_again(_):
        await asyncio.sleep(0)
        raise second

    ref = await system.start(Plain, "a", [], None, crash_again)
    ref.cast(crash)

    assert await ref.wait_exit() == Crashed(second)


async def test_a_time_limit_in_a_callback_is_an_error_that_it_may_catch(system):
    ref = await system.start(Server)

    async def hurry(_):
        try:
            async with asyncio.timeout(0.1):
                await asyncio.gather(asyncio.sleep(HOUR), asyncio.sleep(HOUR))
        except TimeoutError:
            return Reply("too late")

    assert await ref.call(hurry) == "too late"
    assert await ref.call(lambda _: Reply("going on")) == "going on"


async def test_a_group_in_a_callback_that_fails_is_an_error_that_it_may_catch(system):
    ref = await system.start(Server)

    async def fail():
        await asyncio.sleep(0.1)
        raise KeyError

    async def together(_):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.create_task(asyncio.sleep(HOUR))
        except* KeyError:
            pass
        return Reply("went on")

    assert await ref.call(together) == "went on"
    assert system.now() < 1


# Callers


async def test_a_cancelled_caller_gives_up_the_answer_and_not_the_work(system):
    log = []
    ref = await system.start(Plain, "a", log)

    async def work(_):
        await asyncio.sleep(1)
        log.append("done")
        return Reply("answer")

    calling = asyncio.ensure_future(ref.call(work))
    await asyncio.sleep(0.5)
    calling.cancel()
    await asyncio.sleep(1)

    assert calling.cancelled()
    assert log[-1] == "done"
    assert ref._process._calls == set()


async def test_a_caller_that_is_killed_does_not_touch_the_server(system):
    ref, caller = await system.start(Server), await system.start(Runner)
    froms = []
    caller.cast(lambda _: ref.call(lambda from_: froms.append(from_) or NoReply(), timeout=None))
    await asyncio.sleep(0.1)

    await kill(caller)
    reply(froms[0], "late")

    assert await ref.call(lambda _: Reply("alive")) == "alive"


async def test_an_answer_counts_once(system):
    ref = await system.start(Server)

    def answer_twice(from_):
        reply(from_, "first")
        reply(from_, "second")
        return Reply("third")

    assert await ref.call(answer_twice) == "first"
    assert await ref.call(lambda _: Reply("next")) == "next"


async def test_an_answer_after_the_end_of_the_server_is_lost(system):
    ref = await system.start(Server)
    froms = []

    with pytest.raises(ServerDownError):
        await ref.call(lambda from_: froms.append(from_) or Stop("end"))

    assert reply(froms[0], "late") is None


async def test_a_server_that_is_killed_fails_all_who_wait(system):
    ref = await system.start(Server)
    calls = [asyncio.ensure_future(ref.call(lambda _: NoReply(), timeout=None)) for _ in range(3)]
    await wait_until_idle(system)

    await kill(ref)
    await asyncio.wait(calls)

    assert [call.exception().reason for call in calls] == [Killed()] * 3


async def test_a_server_handles_nothing_after_its_end(system):
    log = []
    ref = await system.start(Plain, "a", log)
    ref.cast(lambda _: log.append("handled") or Stop("end"))
    ref.cast(lambda _: log.append("too late"))

    await ref.wait_exit()
    ref.cast(lambda _: log.append("much too late"))
    await asyncio.sleep(1)

    assert log == [("start", "a"), "handled", ("stop", "a", "end")]


async def test_a_busy_server_lets_others_have_their_turn(system):
    greedy, other = await system.start(Server), await system.start(Server)
    order = []
    for number in range(1000):
        greedy.cast(lambda number=number: order.append(number))
    other.cast(lambda: order.append("other"))

    await wait_until_idle(system)

    assert order.index("other") < 999


# Bounded mailboxes


class Bounded(Worker):
    """Takes three messages, and no more."""

    max_mailbox = 3


async def full(system):
    """Return a `Bounded` in a callback of an hour, its mailbox full of casts; and what it writes."""
    log = []
    ref = await system.start(Bounded, "a", log)
    ref.cast(lambda _: asyncio.sleep(HOUR))
    await asyncio.sleep(0)
    for number in range(3):
        ref.cast(lambda _, number=number: log.append(number))
    return ref, log


async def test_a_call_to_a_full_mailbox_is_refused(system):
    ref, _ = await full(system)

    with pytest.raises(OverloadedError) as failed:
        await ref.call("request")

    assert (failed.value.server, failed.value.bound, failed.value.request) == (ref, 3, "request")
    await kill(ref)


async def test_casts_and_infos_beyond_the_bound_are_dropped_and_counted(system):
    ref, log = await full(system)

    for _ in range(7):
        ref.cast(lambda _: log.append("too many"))
        ref.send("too many")
    process = ref._process
    await asyncio.sleep(HOUR + 1)

    assert process.dropped == 14
    assert log[1:] == [0, 1, 2]
    assert process.server.infos == []
    await kill(ref)


async def test_dropping_is_reported_at_powers_of_ten(system):
    ref, _ = await full(system)
    reported = []
    sink = logger.add(lambda message: reported.append(message.record["extra"].get("dropped")))
    logger.enable("supervisors")

    for _ in range(150):
        ref.cast("too many")
    logger.disable("supervisors")
    logger.remove(sink)

    assert reported == [1, 10, 100]
    await kill(ref)


async def test_the_messages_of_the_runtime_are_never_dropped(system):
    ref = await system.start(Bounded, "a", [])
    peers = [await system.start(Plain, number, []) for number in range(5)]
    mrefs = await ref.call(lambda _: Reply([link(peer) or monitor(peer) for peer in peers]))
    ref.cast(lambda _: asyncio.sleep(1))
    await asyncio.sleep(0)
    for _ in range(3):
        ref.cast(lambda _: None)

    for peer in peers:
        await kill(peer)
    exit_signal(ref, "trapped")
    process = ref._process
    await asyncio.sleep(2)

    gone = [message for mref, peer in zip(mrefs, peers, strict=True) for message in (Down(mref, peer, Killed()),)]
    assert [info for info in process.server.infos if isinstance(info, Down)] == gone
    assert [info.ref for info in process.server.infos if isinstance(info, Exit)] == [*peers, None]
    assert process.dropped == 0


async def test_a_full_mailbox_does_not_keep_a_server_from_being_stopped(system):
    ref, _ = await full(system)

    with pytest.raises(CallTimeoutError):
        await stop(ref, timeout=1)
    await asyncio.sleep(HOUR)

    assert ref.exit_reason == Normal()


async def test_a_mailbox_has_room_again_when_messages_were_handled(system):
    ref, _ = await full(system)

    await asyncio.sleep(HOUR + 1)

    assert await ref.call("request") == "request"


@pytest.mark.real_clock
async def test_a_bound_holds_for_other_threads_too(system):
    ref = await system.start(Bounded, "a", [])
    process = ref._process
    released = asyncio.Event()

    async def wait(_):
        await released.wait()

    ref.cast(wait)
    await asyncio.sleep(0)

    await asyncio.to_thread(lambda: [cast(ref, "too many") for _ in range(100)])
    await asyncio.sleep(0)
    length, dropped = process.mailbox_length, process.dropped

    assert (length, dropped) == (3, 97)
    await kill(ref)


# Outside


async def test_the_result_of_a_thread_may_be_awaited_in_a_callback(system):
    ref = await system.start(Server)

    async def compute(_):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return Reply(await asyncio.get_running_loop().run_in_executor(pool, sum, [1, 2]))

    assert await ref.call(compute) == 3


async def test_a_server_that_was_started_with_arguments_it_does_not_take_does_not_start(system):
    with pytest.raises(StartError) as failed:
        await system.start(Server, 1, 2, 3)

    assert isinstance(failed.value.reason.error, TypeError)
    assert system.processes == []


async def test_a_start_that_is_cancelled_kills_what_was_half_started(system):
    starting = asyncio.ensure_future(system.start(Plain, "a", [], lambda _: asyncio.sleep(HOUR), name="a"))
    await asyncio.sleep(0.1)

    starting.cancel()
    await asyncio.wait([starting])
    await asyncio.sleep(0)

    assert system.processes == []
    assert system.whereis("a") is None


OURS = {"trap_exit", "max_mailbox"}  # class attributes that a server has, as its docstring says
RUNTIMES = sorted({name for name in dir(ServerProcess) if not name.startswith("__")} - OURS)


class Hoarder(GenServer):
    """Has an attribute for every name that the runtime uses."""

    def init(self):
        for name in RUNTIMES:
            setattr(self, name, "mine")

    def handle_call(self, request, from_):
        return Reply([getattr(self, name) for name in RUNTIMES])


async def test_no_attribute_of_a_server_gets_into_the_way_of_the_runtime(system):
    sup = await supervise(system, [Hoarder.child_spec(id="hoarder")])
    before = (await refs(sup))["hoarder"]

    await kill(before)
    await wait_until_idle(system)
    after = (await refs(sup))["hoarder"]

    assert set(await after.call("all")) == {"mine"}
    assert {"_queue", "_links", "_life", "ref", "system"} <= set(RUNTIMES)
