"""Nodes that come and go, at message level: join storms, churn, parts that were cut from each other."""

import asyncio

import pytest

from macula_actors.simulation.dht_population import DhtPopulation
from macula_actors.simulation.dht_settings import DhtSettings
from macula_actors.simulation.message_network import MessageNetwork
from tests.simulation.meshes import finds, finds_meanwhile, mesh, state

MINUTE = 60.0  # seconds
LONGEST = [pytest.mark.long, pytest.mark.timeout(3600)]  # a quarter of an hour, if it has a core for itself


def closest_known(population, node):
    """Return which part of the live nodes closest to ``node`` its table has."""
    others = (each.node_id for each in population.live if each is not node)
    closest = sorted(others, key=node.node_id.distance)[:20]
    return sum(each in node.table for each in closest) / len(closest)


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_mesh_of_a_few_nodes_finds_what_it_stores(size):
    with MessageNetwork(seed=size) as network:
        population = DhtPopulation(network, seed=size, seeds=1)
        population.add(size)
        await population.join(population.nodes[1:])
        key = population.nodes[0].node_id
        population.nodes[-1].publish(key, {b"a": 1})
        await asyncio.sleep(1.0)

        outcome = await finds(population, [key] * 3)

        assert outcome.found == 1.0


async def test_who_joins_before_its_bootstrap_is_there_joins_when_it_comes():
    with MessageNetwork() as network:
        population = DhtPopulation(network, seeds=1)
        first, second = population.add(2)
        first.stop()
        joining = asyncio.create_task(population.join([second]))
        await asyncio.sleep(5 * MINUTE)
        assert not second.has_joined

        first.port = network.attach(first.contact, first.handle)
        await joining

        assert first.node_id in second.table


@pytest.mark.parametrize(("size", "newcomers"), [(30, 40), pytest.param(1000, 500, marks=pytest.mark.long)])
async def test_all_of_a_join_storm_get_in_and_find_everything(size, newcomers):
    async with mesh(size) as (population, keys):
        started = population.network.now
        joined = population.add(newcomers)

        await population.join(joined)
        await asyncio.sleep(10.0)

        outcome = await finds(population, keys * 2, joined)
        known = [closest_known(population, node) for node in joined]
        state(f"{newcomers} nodes joined {size}: {outcome}; of the 20 closest each knows {sum(known) / len(known):.1%}")
        assert population.network.now - started < MINUTE
        assert outcome.found == 1.0
        assert min(known) >= 0.9


async def test_a_node_that_joins_gets_the_records_whose_keys_are_near_to_it():
    async with mesh(100, records=50) as (population, keys):
        newcomer = population.add(1)[0]

        await population.join([newcomer])
        await asyncio.sleep(5.0)

        here = {key for key in keys if newcomer.records.get(key, newcomer.now_ms())}
        belong = {key for key in keys if newcomer.node_id in nearest(population, key)}
        assert belong
        assert belong <= here


def nearest(population, key):
    return sorted((each.node_id for each in population.live), key=key.distance)[:20]


@pytest.mark.parametrize(
    ("size", "minutes"),
    [(50, 3), pytest.param(150, 60, marks=pytest.mark.long), pytest.param(1000, 60, marks=LONGEST)],
)
async def test_records_are_found_while_a_tenth_of_the_nodes_is_replaced_each_minute(size, minutes):
    async with mesh(size) as (population, keys):
        population.stay()
        churning = asyncio.create_task(population.churn(0.1, minutes))

        outcome = await finds_meanwhile(population, keys, minutes * MINUTE)

        holders = [sum(bool(each.records.get(key, each.now_ms())) for each in population.live) for key in keys]
        state(
            f"{size} nodes, {await churning} replaced in {minutes} minutes: {outcome}; {min(holders)} holders at least"
        )
        assert outcome.found >= 0.995
        assert min(holders) > 0


@pytest.mark.parametrize("size", [30, pytest.param(1000, marks=pytest.mark.long)])
async def test_all_records_are_found_again_after_a_partition_has_healed(size):
    settings = DhtSettings(refresh_period=300.0)
    async with mesh(size, settings=settings) as (population, keys):
        population.stay()
        halves = population.nodes[::2], population.nodes[1::2]
        population.network.partition(*([each.port for each in half] for half in halves))
        await asyncio.sleep(10 * MINUTE)
        cut = await finds(population, keys * 2)
        population.network.heal()

        await asyncio.sleep(2 * settings.refresh_period)

        outcome = await finds(population, keys * 2)
        across = [sum(each.node_id in node.table for each in halves[1]) for node in halves[0]]
        state(f"{size} nodes: cut: {cut}; healed: {outcome}; each knows {min(across)} of the other half at least")
        assert outcome.found == 1.0
        assert min(across) > 0


async def test_what_was_stored_on_one_side_of_a_partition_is_found_on_the_other_when_it_has_healed():
    settings = DhtSettings(refresh_period=300.0)
    async with mesh(30, settings=settings, records=0) as (population, _):
        population.stay()
        halves = population.nodes[::2], population.nodes[1::2]
        population.network.partition(*([each.port for each in half] for half in halves))
        await asyncio.sleep(10 * MINUTE)
        keys = [node.node_id for node in halves[0]]
        for key in keys:
            halves[0][0].publish(key, {b"side": 0}, ttl=3600)
        await asyncio.sleep(10.0)
        assert (await finds(population, keys, halves[1])).found == 0.0

        population.network.heal()
        await asyncio.sleep(2 * settings.refresh_period)

        assert (await finds(population, keys, halves[1])).found == 1.0


async def test_a_record_outlives_its_owner_until_it_expires():
    async with mesh(50, records=5, ttl=600) as (population, keys):
        for node in [each for each in population.nodes if any(key in each._own for key in keys)]:
            node.stop()

        await asyncio.sleep(500.0)
        before = await finds(population, keys)
        await asyncio.sleep(200.0)
        after = await finds(population, keys)

        assert (before.found, after.found) == (1.0, 0.0)


async def test_an_owner_that_stays_keeps_its_record_alive():
    async with mesh(50, records=5, ttl=300) as (population, keys):
        await asyncio.sleep(3600.0)

        assert (await finds(population, keys)).found == 1.0
