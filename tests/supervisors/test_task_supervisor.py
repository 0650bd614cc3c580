"""Tasks under a supervisor, beyond the OTP cases of group Z."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from supervisors import (
    BRUTAL_KILL,
    CallTimeoutError,
    Crashed,
    Down,
    Exit,
    Kill,
    Killed,
    MaxChildrenError,
    Normal,
    ProcessExit,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    count_children,
    current,
    demonitor,
    exit_signal,
    stop,
    which_children,
)
from supervisors.sys import resume, suspend
from supervisors.task_supervisor import Exited, Ok, OnTimeout, TaskDone, TaskSupervisor
from supervisors.testing import wait_until_idle
from tests.support import Runner, infos_of, kill, outcome_in, run_in

HOUR = 3600


async def sleep_for(seconds):
    await asyncio.sleep(seconds)
    return seconds


async def crash(*_):
    raise ProcessExit("boom")


async def start(system, *, trap_exit=False, **flags):
    """Return a task supervisor, and a process to own its tasks."""
    return await system.start(TaskSupervisor, **flags), await system.start(Runner, trap_exit)


async def collect(stream):
    return [outcome async for outcome in stream]


async def running(sup):
    return (await count_children(sup)).active


# Starting, and what a task is


async def test_a_task_is_a_process_of_its_own(system):
    sup, owner = await start(system)

    task = await run_in(owner, TaskSupervisor.async_, sup, current)

    assert await run_in(owner, task.await_) is task.ref
    assert task.owner is owner


async def test_a_tasks_parent_is_its_supervisor(system):
    sup, _ = await start(system)

    task = await TaskSupervisor.async_(sup, sleep_for, HOUR)

    assert task.ref.parent is sup
    assert [child.ref for child in await which_children(sup)] == [task.ref]


async def test_a_task_that_returned_is_forgotten_by_its_supervisor(system):
    sup, _ = await start(system)

    task = await TaskSupervisor.async_(sup, sleep_for, 1)
    await task.await_()

    assert await which_children(sup) == []


async def test_work_may_be_handed_to_a_thread(system):
    sup, _ = await start(system)

    task = await TaskSupervisor.async_(sup, asyncio.to_thread, max, 1, 2)

    assert await task.await_() == 2


async def test_a_supervisor_that_stops_ends_its_tasks(system):
    sup, _ = await start(system)
    task = await TaskSupervisor.async_(sup, sleep_for, HOUR)

    await stop(sup)

    assert await task.yield_() == Exited(Shutdown())


async def test_a_permanent_task_is_started_again_when_it_returns(system):
    sup, _ = await start(system)
    runs = []

    await TaskSupervisor.start_child(sup, lambda: runs.append(current()), restart=Restart.PERMANENT)
    await wait_until_idle(system)

    assert len(runs) == 4
    assert sup.exit_reason == Shutdown()


async def test_a_task_has_all_of_its_time_when_nobody_awaits_it(system):
    sup, _ = await start(system)

    ref = await TaskSupervisor.start_child(sup, sleep_for, HOUR)

    assert await ref.wait_exit() == Normal()
    assert system.now() >= HOUR


async def test_no_task_is_started_for_an_owner_that_has_ended(system):
    sup, owner = await start(system)
    outside = asyncio.Queue()

    async def leave_something_behind():
        try:
            await TaskSupervisor.async_(sup, sleep_for, HOUR)
        except StartError as error:
            await outside.put(error)

    left = []
    await suspend(sup)
    await run_in(owner, lambda: left.append(asyncio.create_task(leave_something_behind())))
    await asyncio.sleep(0)
    await kill(owner)
    await resume(sup)

    assert isinstance((await outside.get()).reason, Shutdown)
    assert await running(sup) == 0


# Links


async def test_a_crash_of_a_linked_task_ends_its_owner(system):
    sup, owner = await start(system)

    with pytest.raises(ServerDownError):
        await run_in(owner, TaskSupervisor.async_, sup, crash)

    assert owner.exit_reason == "boom"


async def test_the_end_of_its_owner_ends_a_linked_task(system):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_, sup, sleep_for, HOUR)

    await kill(owner)

    assert await task.ref.wait_exit() == Killed()


async def test_an_unlinked_task_survives_its_owner(system):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_nolink, sup, sleep_for, HOUR)

    await kill(owner)

    assert task.ref.is_alive()


async def test_an_owner_that_traps_exits_gets_the_exit_of_a_linked_task_as_well(system):
    sup, owner = await start(system, trap_exit=True)

    async def attempt():
        return await (await TaskSupervisor.async_(sup, crash)).await_()

    error = await outcome_in(owner, attempt)

    assert error.reason == "boom"
    assert await infos_of(owner) == [Exit(error.server, "boom")]


# Awaiting


async def test_the_crash_of_a_task_is_raised_with_its_cause(system):
    sup, _ = await start(system)
    error = ValueError("wrong")

    async def fail():
        raise error

    task = await TaskSupervisor.async_(sup, fail)

    with pytest.raises(ServerDownError) as caught:
        await task.await_()
    assert caught.value.reason == Crashed(error)
    assert caught.value.__cause__ is error


async def test_a_killed_task_is_down_for_who_awaits_it(system):
    sup, _ = await start(system)
    task = await TaskSupervisor.async_(sup, sleep_for, HOUR)

    exit_signal(task.ref, Kill())

    with pytest.raises(ServerDownError) as caught:
        await task.await_()
    assert caught.value.reason == Killed()


async def test_a_task_that_kills_itself_returns_nothing(system):
    sup, _ = await start(system)

    task = await TaskSupervisor.async_(sup, lambda: exit_signal(current(), Kill()))

    assert await task.yield_() == Exited(Killed())


async def test_a_task_may_be_awaited_again(system):
    sup, _ = await start(system)
    task = await TaskSupervisor.async_(sup, sleep_for, 2)
    with pytest.raises(CallTimeoutError):
        await task.await_(1)

    assert await task.await_() == 2
    assert await task.await_() == 2


async def test_what_a_task_returns_late_is_no_message(system):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_, sup, sleep_for, 2)
    await outcome_in(owner, task.await_, 1)

    await asyncio.sleep(HOUR)

    assert await infos_of(owner) == []


async def test_an_awaited_task_leaves_no_message(system):
    sup, owner = await start(system)

    async def await_two():
        tasks = [await TaskSupervisor.async_nolink(sup, work, 1) for work in (sleep_for, crash)]
        await asyncio.sleep(HOUR)
        return [await tasks[0].await_(), await tasks[1].yield_()]

    assert await run_in(owner, await_two) == [1, Exited("boom")]
    assert await infos_of(owner) == []


async def test_an_owner_that_does_not_wait_is_sent_the_value(system):
    sup, owner = await start(system)

    task = await run_in(owner, TaskSupervisor.async_, sup, sleep_for, 1)
    await task.ref.wait_exit()

    (message,) = await infos_of(owner)
    assert isinstance(message, TaskDone)
    assert isinstance(message, Down)
    assert (message.monitor, message.value, message.reason) == (task.monitor, 1, Normal())


async def test_an_owner_that_demonitors_a_task_is_sent_nothing(system):
    sup, owner = await start(system)
    tasks = [await run_in(owner, TaskSupervisor.async_nolink, sup, work, 1) for work in (sleep_for, sleep_for)]

    await run_in(owner, lambda: [demonitor(task.monitor) for task in tasks])
    await kill(tasks[0].ref)
    await tasks[1].ref.wait_exit()

    assert await infos_of(owner) == []


async def test_yield_returns_nothing_as_long_as_the_task_runs(system):
    sup, _ = await start(system)
    task = await TaskSupervisor.async_(sup, sleep_for, 2)

    assert await task.yield_(1) is None
    assert await task.yield_(None) == Ok(2)


async def test_after_a_yield_in_vain_the_value_comes_as_a_message(system):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_, sup, sleep_for, 2)

    assert await run_in(owner, task.yield_, 1) is None
    await task.ref.wait_exit()

    assert [message.value for message in await infos_of(owner)] == [2]


async def test_a_process_may_not_wait_for_a_task_of_code_outside(system):
    sup, owner = await start(system)
    task = await TaskSupervisor.async_(sup, sleep_for, 1)

    errors = [await outcome_in(owner, verb) for verb in (task.await_, task.yield_, task.shutdown)]

    assert [type(error).__name__ for error in errors] == ["TaskOwnerError"] * 3
    assert task.ref.is_alive()


# Shutting down


@pytest.mark.parametrize(("patience", "reason"), [(5.0, Shutdown()), (BRUTAL_KILL, Killed())])
async def test_shutdown_ends_a_task_and_spares_its_owner(system, patience, reason):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_, sup, sleep_for, HOUR)

    assert await run_in(owner, task.shutdown, patience) is None
    assert task.ref.exit_reason == reason
    assert await infos_of(owner) == []


@pytest.mark.parametrize(("work", "outcome"), [(sleep_for, Ok(1)), (crash, Exited("boom"))])
async def test_shutdown_returns_how_a_task_ended_before(system, work, outcome):
    sup, owner = await start(system)
    task = await run_in(owner, TaskSupervisor.async_nolink, sup, work, 1)
    await task.ref.wait_exit()

    assert await run_in(owner, task.shutdown) == outcome


# Streams


async def test_a_stream_out_of_order_yields_as_the_tasks_end(system):
    sup, _ = await start(system)

    stream = TaskSupervisor.async_stream(sup, sleep_for, [3, 1, 2], ordered=False)

    assert await collect(stream) == [Ok(1), Ok(2), Ok(3)]


async def test_a_stream_runs_no_more_tasks_than_it_may(system):
    sup, _ = await start(system)
    most = []

    async def work(_):
        most.append(len(system.processes))
        await asyncio.sleep(1)

    before = len(system.processes)
    await collect(TaskSupervisor.async_stream(sup, work, range(7), max_concurrency=3))

    assert max(most) - before == 3
    assert system.now() == pytest.approx(3, abs=0.01)


async def test_a_stream_takes_its_items_as_they_are_wanted(system):
    sup, _ = await start(system)
    taken = []
    endless = (taken.append(number) or 0 for number in iter(int, 1))

    async with aclosing(TaskSupervisor.async_stream(sup, sleep_for, endless, max_concurrency=2)) as stream:
        assert await anext(stream) == Ok(0)

    assert len(taken) == 2


async def test_a_stream_that_is_closed_kills_its_tasks(system):
    sup, owner = await start(system)

    async def leave_early():
        async with aclosing(TaskSupervisor.async_stream(sup, sleep_for, [0, HOUR, HOUR], timeout=None)) as stream:
            return await anext(stream)

    assert await run_in(owner, leave_early) == Ok(0)
    await wait_until_idle(system)
    assert await running(sup) == 0
    assert owner.is_alive()


async def test_the_end_of_its_owner_kills_the_tasks_of_an_unlinked_stream(system):
    sup, owner = await start(system)
    owner.cast(lambda _: collect(TaskSupervisor.async_stream_nolink(sup, sleep_for, [HOUR, HOUR], timeout=None)))
    await asyncio.sleep(1)
    assert await running(sup) == 2

    await kill(owner)
    await wait_until_idle(system)

    assert await running(sup) == 0


async def test_a_crash_in_a_linked_stream_ends_its_owner(system):
    sup, owner = await start(system)

    owner.cast(lambda _: collect(TaskSupervisor.async_stream(sup, crash, [1])))

    assert await owner.wait_exit() == "boom"


async def test_a_crash_in_a_linked_stream_is_an_outcome_for_who_traps_exits(system):
    sup, owner = await start(system, trap_exit=True)

    found = await run_in(owner, lambda: collect(TaskSupervisor.async_stream(sup, crash, [1])))

    assert found == [Exited("boom")]
    assert await infos_of(owner) == []


async def test_a_stream_ends_with_an_error_when_a_task_takes_too_long(system):
    sup, owner = await start(system)
    stream = partial(TaskSupervisor.async_stream, sup, sleep_for, [HOUR, HOUR], timeout=2.0)

    error = await outcome_in(owner, lambda: collect(stream()))

    assert isinstance(error, CallTimeoutError)
    assert error.timeout == 2.0
    assert await running(sup) == 0


async def test_each_task_of_a_stream_has_its_own_time(system):
    sup, _ = await start(system)

    stream = TaskSupervisor.async_stream(
        sup, sleep_for, [2, 9, 2], max_concurrency=1, timeout=3, on_timeout=OnTimeout.KILL_TASK
    )

    assert [type(outcome) for outcome in await collect(stream)] == [Ok, Exited, Ok]
    assert system.now() == pytest.approx(7, abs=0.01)


async def test_a_stream_over_max_children_fails_and_leaves_no_task(system):
    sup, _ = await start(system, max_children=2)

    with pytest.raises(MaxChildrenError):
        await collect(TaskSupervisor.async_stream(sup, sleep_for, [HOUR] * 3))

    await wait_until_idle(system)
    assert await running(sup) == 0


async def test_a_stream_of_nothing_yields_nothing(system):
    sup, _ = await start(system)

    assert await collect(TaskSupervisor.async_stream(sup, crash, [])) == []


async def test_a_stream_needs_room_for_one_task(system):
    sup, _ = await start(system)

    with pytest.raises(ValueError, match="max_concurrency"):
        await collect(TaskSupervisor.async_stream(sup, crash, [1], max_concurrency=0))


async def test_the_values_of_a_stream_are_no_messages(system):
    sup, owner = await start(system)

    async def work_between():
        return [
            await asyncio.sleep(9, outcome) async for outcome in TaskSupervisor.async_stream(sup, sleep_for, [1, 2])
        ]

    assert await run_in(owner, work_between) == [Ok(1), Ok(2)]
    assert await infos_of(owner) == []
