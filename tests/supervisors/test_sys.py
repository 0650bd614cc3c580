import asyncio

import pytest
from loguru import logger

from supervisors import (
    CallingSelfError,
    GenServer,
    NoProcess,
    NoReply,
    Reply,
    ServerDownError,
    TableOwner,
    reply,
    stop,
    which_children,
)
from supervisors.errors import CallbackFailedError
from supervisors.sys import (
    In,
    Out,
    get_log,
    get_state,
    get_status,
    log,
    peek,
    replace_state,
    resume,
    statistics,
    suspend,
    trace,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, kill, run_in, supervise, worker


class Counter(GenServer):
    """Keeps its whole state in ``state``."""

    max_mailbox = 2

    def init(self):
        self.state = 0

    def handle_call(self, request, from_):
        self.state += request
        return Reply(self.state)

    def handle_cast(self, request):
        self.state += request


class Later(GenServer):
    """Answers with `reply`, after the callback."""

    def handle_call(self, request, from_):
        reply(from_, request)
        return NoReply()


async def test_state_is_the_attribute_state_where_there_is_one(system):
    ref = await system.start(Counter)
    await ref.call(3)

    assert await get_state(ref) == 3
    assert await replace_state(ref, lambda state: state * 2) == 6
    assert await ref.call(1) == 7


async def test_state_of_a_supervisor_is_its_children(system):
    sup = await supervise(system, [worker("a", []), worker("b", [])])

    assert list(await get_state(sup)) == await which_children(sup)


async def test_state_of_a_supervisor_cannot_be_replaced(system):
    sup = await supervise(system, [worker("a", [])])

    with pytest.raises(CallbackFailedError) as failed:
        await replace_state(sup, lambda _: ())

    assert isinstance(failed.value.__cause__, TypeError)
    assert len(await which_children(sup)) == 1


async def test_state_of_another_shape_is_refused(system):
    ref = await system.start(Plain, "a", [])

    with pytest.raises(CallbackFailedError):
        await replace_state(ref, lambda _: "no mapping")

    assert (await get_state(ref)).id == "a"


async def test_a_process_looks_into_another_and_not_into_itself(system):
    counter, runner = await system.start(Counter), await system.start(Runner)

    async def look_into_itself():
        with pytest.raises(CallingSelfError):
            await get_state(runner)

    assert await run_in(runner, get_state, counter) == 0
    await run_in(runner, look_into_itself)


async def test_the_dead_cannot_be_looked_into(system):
    ref = await system.start(Counter)
    await kill(ref)

    with pytest.raises(ServerDownError) as down:
        await get_state(ref)

    assert down.value.reason == NoProcess()


async def test_a_server_is_found_by_its_name(system):
    await system.start(Counter, name="counter")

    assert await get_state("counter") == 0


async def test_log_keeps_the_last_events_only(system):
    ref = await system.start(Counter)

    await log(ref, 2)
    for _ in range(3):
        await ref.call(1)

    assert await get_log(ref) == (In("handle_call", 1), Out(None, 3))


async def test_log_of_another_length_keeps_what_was_logged(system):
    ref = await system.start(Counter)

    await log(ref, True)
    await ref.call(1)
    await log(ref, 1)

    assert await get_log(ref) == (Out(None, 1),)


async def test_log_has_casts_infos_and_who_was_answered_but_nothing_of_the_system(system):
    ref, runner = await system.start(Worker, "a", []), await system.start(Runner)

    await log(ref, True)
    ref.cast("cast")
    ref.send("info")
    await run_in(runner, ref.call, "call")
    await get_state(ref)

    assert await get_log(ref) == (
        In("handle_cast", "cast"),
        In("handle_info", "info"),
        In("handle_call", "call"),
        Out(runner, "call"),
    )


async def test_log_has_nothing_that_was_no_message(system):
    ref = await system.start(Worker, "a", [])

    await log(ref, True)
    ref.cast(lambda process: setattr(process, "handle_continue", lambda _: None) or NoReply(continue_="term"))
    await wait_until_idle(system)

    assert [event.callback for event in await get_log(ref)] == ["handle_cast"]


async def test_log_has_no_reply_that_leaves_after_the_callback(system):
    ref = await system.start(Later)

    await log(ref, True)
    await ref.call("request")

    assert await get_log(ref) == (In("handle_call", "request"),)


@pytest.mark.parametrize("count", [0, -1])
async def test_log_of_no_length_is_refused(system, count):
    ref = await system.start(Counter)

    with pytest.raises(ValueError, match="at least one"):
        await log(ref, count)


async def test_trace_writes_events_at_debug_level_and_keeps_them(system):
    ref = await system.start(Counter)
    written = []
    sink = logger.add(lambda message: written.append(message.record), level="DEBUG")
    logger.enable("supervisors")

    try:
        await trace(ref, True)
        await ref.call(1)
        kept = await get_log(ref)
        await trace(ref, False)
        await ref.call(1)
    finally:
        logger.disable("supervisors")
        logger.remove(sink)

    assert [(record["level"].name, record["extra"]["event"]) for record in written] == [
        ("DEBUG", In("handle_call", 1)),
        ("DEBUG", Out(None, 1)),
    ]
    assert kept == (In("handle_call", 1), Out(None, 1))


async def test_statistics_count_from_when_they_are_switched_on(system):
    ref = await system.start(Counter)
    await ref.call(1)

    before = await statistics(ref)
    await statistics(ref, True)
    await ref.call(1)
    ref.cast(1)
    counted = await statistics(ref)
    await statistics(ref, False)

    assert before is None
    assert (counted.messages_in, counted.messages_out) == (2, 1)
    assert counted.started_at <= counted.current_at == system.now()
    assert await statistics(ref) is None


async def test_status_tells_all_there_is_to_know(system):
    runner = await system.start(Runner)
    ref = await run_in(runner, lambda: Counter.start_link(name="counter"))
    await suspend(ref)
    for _ in range(3):
        ref.cast(1)

    status = await get_status(ref)

    assert (status.module, status.state, status.parent, status.name) == (Counter, 0, runner, "counter")
    assert (status.suspended, status.mailbox_length, status.links, status.dropped) == (True, 2, 1, 1)


async def test_messages_from_before_the_suspension_keep_their_place(system):
    ref = await system.start(Worker, "a", [])

    ref.send("before")
    await suspend(ref)
    ref.send("during")
    await resume(ref)
    ref.send("after")
    await wait_until_idle(system)

    assert (await get_state(ref)).infos == ["before", "during", "after"]


async def test_a_glance_at_a_server_needs_no_message(system):
    counter = await system.start(Counter, name="counter")
    await counter.call(3)

    assert peek("counter", lambda server: server.state) == 3
    await stop(counter)
    with pytest.raises(ServerDownError):
        peek("counter", lambda server: server.state)


class Keeper(GenServer):
    async def init(self, tables):
        self.kept = await TableOwner.claim(tables, "kept", max_entries=3)
        self.kept["a"] = 1


async def test_a_glance_sees_the_tables_that_the_server_holds(system):
    tables = await system.start(TableOwner)
    keeper = await system.start(Keeper, tables)

    assert peek(keeper, lambda server: dict(server.kept)) == {"a": 1}


class Late(GenServer):
    async def init(self, begun, go):
        begun.set()
        await go.wait()
        self.state = "made"


async def test_a_glance_at_a_server_that_has_not_made_its_state_finds_none(system):
    begun, go = asyncio.Event(), asyncio.Event()
    starting = asyncio.create_task(system.start(Late, begun, go, name="late"))
    await begun.wait()

    with pytest.raises(ServerDownError):
        peek("late", lambda server: server.state)
    go.set()
    await starting

    assert peek("late", lambda server: server.state) == "made"
