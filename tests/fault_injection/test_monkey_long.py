"""The shop of `examples.chaos` under a monkey, for long."""

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter

import pytest
from loguru import logger

from examples.chaos import work
from supervisors import Killed, System
from supervisors.process import Process
from supervisors.testing import assert_tree

SHOP = {"shop": {"tables": {}, "queue": {}, "floor": {0: {}, 1: {}, 2: {}, 3: {}}}}
GROWTH = 1 << 20  # bytes; a process kept for each kill of a minute would be several times as much


class Restarts:
    """Reads the reports: which ends were answered with a start by the same supervisor, and which were not yet."""

    def __init__(self):
        self.open = set()
        self.killed = Counter()
        self.given_up = []

    def __call__(self, message):
        report = message.record["extra"]
        child = (report.get("supervisor"), report.get("offender"))
        match report["report"], report.get("context"):
            case "supervisor", "child_terminated" | "start_error":
                self.open.add(child)
                self.killed[str(child[1])] += report["reason"] == Killed()
            case "supervisor", "shutdown":
                self.given_up.append(child)
            case "progress", _:
                self.open.discard(child)


@pytest.fixture
def restarts():
    reader = Restarts()
    logger.remove()  # pytest would keep what stderr gets
    logger.add(reader, level="INFO", format="{message}", catch=False)
    logger.enable("supervisors")
    yield reader
    logger.disable("supervisors")
    logger.remove()
    logger.add(sys.stderr)


def alive(system):
    """Return the processes that exist, as the garbage collector sees it, and those that ``system`` knows."""
    gc.collect()
    exist = {p for p in gc.get_objects() if isinstance(p, Process) and getattr(p, "_system", None) is system}
    return exist, set(system.processes)


def pending_timers():
    return [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]


def results_of(jobs):
    return sum(number * number for number in range(jobs + 1))


async def test_an_hour_of_chaos_loses_no_job_and_every_kill_is_answered_with_a_restart(restarts):
    async with System(seed=0) as system:
        sums, log = await work(3600.0, rate=1.0, duration=1.0)

        assert_tree(system, SHOP)
        exist, known = alive(system)
        assert exist == known
        assert len(known) == 8

    assert len(log) > 3400
    assert sums["done"] == sums["accepted"] > 10_000
    assert sums["results"] == results_of(sums["accepted"])
    assert restarts.killed == Counter(kill.path[-1] for kill in log)
    assert restarts.open == set()
    assert restarts.given_up == []
    assert system.processes == []


@pytest.mark.long
@pytest.mark.real_clock
@pytest.mark.timeout(180)
async def test_a_minute_of_chaos_leaves_nothing_behind_and_does_not_grow(restarts):
    sizes = []

    def weigh():
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    async with System() as system:
        asyncio.get_running_loop().call_later(10.0, weigh)
        sums, log = await work(60.0)
        weigh()

        assert_tree(system, SHOP)
        exist, known = alive(system)
        assert exist == known
        assert len(known) == 8
    tracemalloc.stop()

    assert len(log) > 1000
    assert sums["done"] == sums["accepted"]
    assert sums["results"] == results_of(sums["accepted"])
    assert restarts.given_up == []
    assert sizes[1] - sizes[0] < GROWTH
    assert system.processes == []
    assert pending_timers() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
