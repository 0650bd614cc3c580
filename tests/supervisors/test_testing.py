import asyncio
import time

import pytest

from supervisors import GenServer, NoReply, Normal, Reply, System, stop
from supervisors.testing import (
    DeadlockError,
    LeakError,
    VirtualClockLoop,
    assert_tree,
    await_exit,
    outline,
    run,
    wait_until,
    wait_until_idle,
)
from tests.support import Worker, refs, supervise, worker


async def forever():
    await asyncio.get_running_loop().create_future()


def test_an_hour_of_sleep_passes_at_once():
    async def sleep():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()

    assert run(sleep()) == pytest.approx(3600, abs=0.001)
    assert time.monotonic() - began < 5


def test_sleepers_wake_in_the_order_of_their_time():
    woken = []

    async def sleeper(delay):
        await asyncio.sleep(delay)
        woken.append(delay)

    async def main():
        await asyncio.gather(*map(sleeper, [3, 1, 2]))

    run(main())

    assert woken == [1, 2, 3]


def test_waiting_for_what_never_comes_is_an_error():
    with pytest.raises(DeadlockError):
        run(forever())


def test_the_clock_stands_still_while_a_thread_works():
    async def main():
        await asyncio.gather(asyncio.to_thread(time.sleep, 0.01), asyncio.sleep(10))
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(10, abs=0.001)


def test_a_task_left_behind_is_an_error():
    async def main():
        main.task = asyncio.create_task(forever())

    with pytest.raises(LeakError, match="tasks are left"):
        run(main())


def test_a_timer_left_behind_is_an_error():
    async def main():
        asyncio.get_running_loop().call_later(5, print)

    with pytest.raises(LeakError, match="timers are left"):
        run(main())


def test_the_same_program_runs_in_the_same_order_each_time():
    async def main():
        trace = []
        async with System(seed=7) as system:
            children = [worker(name, trace) for name in "abc"]
            sup = await supervise(system, children)
            for _ in range(20):
                name = system.random.choice("abc")
                await asyncio.sleep(system.random.random())
                (await refs(sup))[name].cast(lambda _: 1 / 0)
        return [event[:2] for event in trace]

    assert run(main()) == run(main())


def test_a_real_loop_can_be_asked_for():
    async def main():
        return asyncio.get_running_loop()

    assert not isinstance(run(main(), virtual=False), VirtualClockLoop)


class Relay(GenServer):
    def init(self, to=None):
        self.to = to
        self.got = []

    def handle_cast(self, request):
        self.got.append(request)
        self.to and self.to.cast(request)

    async def handle_call(self, request, from_):
        await asyncio.sleep(request)
        return Reply(None)


async def test_idle_means_that_no_message_is_on_its_way(system):
    last = await system.start(Relay)
    first = last
    for _ in range(10):
        first = await system.start(Relay, first)

    first.cast("x")
    await wait_until_idle(system)

    assert last._process.server.got == ["x"]


async def test_a_process_that_sleeps_in_a_callback_is_not_idle(system):
    relay = await system.start(Relay)
    asking = asyncio.create_task(relay.call(2.0))
    await asyncio.sleep(0)

    await wait_until_idle(system)

    assert asyncio.get_running_loop().time() >= 2.0
    await asking


async def test_a_condition_is_waited_for_until_its_time_is_over(system):
    with pytest.raises(TimeoutError):
        await wait_until(lambda: False, timeout=30.0)

    assert asyncio.get_running_loop().time() >= 30.0


async def test_an_exit_is_awaited_by_name(system):
    ref = await system.start(Relay, name="relay")

    stopping = asyncio.create_task(stop(ref))

    assert await await_exit("relay") == Normal()
    await stopping


async def test_an_exit_that_does_not_come_is_an_error(system):
    ref = await system.start(Relay)

    with pytest.raises(TimeoutError):
        await await_exit(ref, timeout=1.0)


async def test_the_outline_of_a_tree_shows_who_runs(system):
    inner = worker("w", [])
    sup = await supervise(system, [worker("a", []), inner])
    (await refs(sup))["a"].cast(lambda _: NoReply())

    assert outline(system.tree()) == {str(sup): {"a": {}, "w": {}}}


async def test_assert_tree_says_what_it_found(system):
    await system.start(Worker, "a", [], name="there")

    assert_tree(system, {"there": {}})
    with pytest.raises(AssertionError, match="'there'"):
        assert_tree(system, {"elsewhere": {}})


PLUGIN_TEST = """
import asyncio
import pytest
from supervisors import GenServer, Reply

class Echo(GenServer):
    def handle_call(self, request, from_):
        return Reply(request)

{mark}
async def test_echo(system):
    echo = await system.start(Echo)
    await asyncio.sleep({seconds})
    assert await echo.call("hi") == {expected}
    {after}
"""


def plugin_run(pytester, *, mark="@pytest.mark.virtual_clock", seconds=3600, expected="'hi'", after="", ini=""):
    pytester.makeini(f"[pytest]\nfilterwarnings =\n  error\n  ignore:Module already imported\n{ini}\n")
    pytester.makepyfile(PLUGIN_TEST.format(mark=mark, seconds=seconds, expected=expected, after=after))
    return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:anyio")


def test_the_plugin_runs_a_marked_test_in_virtual_time(pytester):
    plugin_run(pytester).assert_outcomes(passed=1)


def test_the_plugin_runs_a_marked_test_in_real_time(pytester):
    plugin_run(pytester, mark="@pytest.mark.real_clock", seconds=0).assert_outcomes(passed=1)


def test_the_plugin_runs_all_async_tests_when_told_to(pytester):
    plugin_run(pytester, mark="", ini="supervisors_mode = auto").assert_outcomes(passed=1)


def test_the_plugin_fails_a_test_that_is_wrong(pytester):
    plugin_run(pytester, expected="'ho'").assert_outcomes(failed=1)


def test_the_plugin_fails_a_test_that_leaves_a_task(pytester):
    outcome = plugin_run(pytester, after="test_echo.task = asyncio.create_task(asyncio.sleep(9))")

    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*LeakError: tasks are left*"])


def test_the_plugin_leaves_unmarked_tests_to_others(pytester):
    outcome = plugin_run(pytester, mark="", seconds=0)

    assert outcome.parseoutcomes().get("passed", 0) == 0


async def test_no_timer_fires_before_its_time_though_it_is_but_a_hair_away():
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1.0)
    at = loop.time() + 1e-12
    rang = loop.create_future()

    loop.call_at(at, lambda: rang.set_result(loop.time()))
    loop.call_soon(str)  # with nothing else to do, time would go on

    assert await rang >= at
