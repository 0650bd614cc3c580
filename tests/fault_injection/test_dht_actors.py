"""The DHT's processes killed while stores and finds run: nothing is lost, and nobody waits for ever."""

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from operator import ge

import pytest

from macula_actors.errors import MaculaError
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY_DHT,
    PEER_CONNECTOR,
    ROUTING_JOBS,
    ROUTING_SERVER,
)
from macula_actors.messages.routing_server import stats
from supervisors import Kill, exit_signal
from tests.macula_actors.actors.routing.mesh import all_know_all, key, until
from tests.macula_actors.actors.routing.quic import quic_dht

ACTORS = [ROUTING_SERVER, GATEWAY_DHT, PEER_CONNECTOR, ENDPOINT]
DEADLINE = 4.0  # seconds that a caller gives
KEYS = 20  # of each node
PAUSE = 6.3  # seconds between two kills; each supervisor stands ten restarts a minute


class Work:
    """Each node stores the next number under one of its keys and finds one, again and again.

    ``stored`` has the number that was acknowledged last, by key.
    """

    def __init__(self, nodes):
        self.nodes = nodes
        self.stored = {}
        self.done = 0
        self.errors = []
        self.late = []
        self._numbers = count()

    async def work(self, node):
        for turn in count():
            at, number = key((node.node_id, turn % KEYS)), next(self._numbers)
            if await self._ends(node.store(at, {"n": number}, timeout=DEADLINE)):
                self.stored[at] = number
            wanted, least = node.system.random.choice(list(self.stored.items()) or [(at, 0)])
            found = await self._ends(node.find(wanted, timeout=DEADLINE))
            assert found is None or len(found) == (wanted in self.stored), (wanted, least, found)
            await asyncio.sleep(0.7)

    async def _ends(self, work):
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = None
        try:
            result = await work
            self.done += 1
        except MaculaError as error:
            self.errors.append(error)
        self.late += [loop.time() - began] * (loop.time() - began > DEADLINE + 0.1)
        return result


@asynccontextmanager
async def at_work(nodes):
    work = Work(nodes)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work.work(node)) for node in nodes]
        try:
            yield work
        finally:
            for task in tasks:
                task.cancel()


async def finds_all(node, stored):
    found = [await node.find(at) for at in stored]
    numbers = [payload["n"] for payloads in found for payload in payloads]
    return len(numbers) == len(stored) and all(map(ge, numbers, stored.values()))


async def assert_nothing_is_lost(nodes, work):
    await all_know_all(nodes)
    for node in nodes:
        await until(lambda node=node: finds_all(node, work.stored))
    assert not work.late
    assert len(work.errors) < work.done / 20


async def kill_in_turn(node, names, times):
    for number in range(times):
        before = await stats(node.server)
        exit_signal(node.system.whereis(names[number % len(names)]), Kill())
        after = await stats(node.server)
        assert after.contacts == before.contacts
        assert after.records.records >= before.records.records
        await asyncio.sleep(PAUSE)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ACTORS, ROUTING_JOBS])
async def test_a_process_of_the_dht_killed_20_times_loses_no_record_contact_or_caller(name):
    async with quic_dht() as dht:
        nodes = await dht.network(3)
        async with at_work(nodes) as work:
            await kill_in_turn(nodes[1], [name], 20)
        await assert_nothing_is_lost(nodes, work)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_all_processes_of_the_dht_killed_100_times_each_in_random_order_lose_nothing():
    async with quic_dht() as dht:
        nodes = await dht.network(3)
        names = ACTORS * 100
        nodes[1].system.random.shuffle(names)
        async with at_work(nodes) as work:
            await kill_in_turn(nodes[1], names, len(names))
        await assert_nothing_is_lost(nodes, work)
