"""An Alarm wakes its process once, at the earliest of the instants asked for."""

import asyncio
from math import inf

import pytest
from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from supervisors import GenServer, Reply


class Sleeper(GenServer):
    def init(self):
        self._alarm = Alarm("wake")
        self._woken = []

    @override
    def handle_call(self, request, from_):
        now = asyncio.get_running_loop().time()
        for seconds in request:
            self._alarm.set(now + seconds, now)
        return Reply(self._woken)

    @override
    def handle_info(self, info):
        self._alarm.rang()
        self._woken.append(round(asyncio.get_running_loop().time(), 3))


@pytest.mark.parametrize("instants", [[5], [5, 9], [9, 5], [5, 5], [inf, 5]])
async def test_it_wakes_its_process_once_at_the_earliest_instant(system, instants):
    sleeper = await system.start(Sleeper)
    await sleeper.call(instants)

    await asyncio.sleep(20)

    assert await sleeper.call([]) == [5]


async def test_it_is_set_anew_once_it_rang(system):
    sleeper = await system.start(Sleeper)
    await sleeper.call([2])
    await asyncio.sleep(3)
    await sleeper.call([4])
    await asyncio.sleep(20)

    assert await sleeper.call([]) == [2, 7]


async def test_infinity_asks_for_nothing(system):
    sleeper = await system.start(Sleeper)
    await sleeper.call([inf])
    await asyncio.sleep(1_000_000)

    assert await sleeper.call([]) == []
