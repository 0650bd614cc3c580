"""A fifth of the nodes is malicious, at message level."""

from math import inf

import pytest

from macula_actors.simulation.dht_malice import Malice
from tests.simulation.meshes import finds, mesh, state

SIZES = [150, pytest.param(1000, marks=pytest.mark.long)]
ALL_KINDS = [*Malice]


def fifth(size, kinds):
    return [(kind, size // 5 // len(kinds)) for kind in kinds]


async def honest_finds(size, kinds, **options):
    async with mesh(size - size // 5, malicious=fifth(size, kinds), records=60) as (population, keys):
        honest = population.nodes[: size - size // 5]
        outcome = await finds(population, keys * 2, honest, **options)
        right = sum(any(record.payload == {b"a": 1} for record in each.records) for each in outcome.finds)
        state(
            f"{size} nodes, 20 % {', '.join(kinds)}: {outcome}; {right / len(outcome.finds):.2%} have the right record"
        )
        return outcome, right / len(outcome.finds)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [Malice.SILENCE, Malice.RUBBISH, Malice.FALSE_ADDRESSES])
async def test_records_are_found_though_a_fifth_of_the_nodes_is_malicious(size, kind):
    outcome, right = await honest_finds(size, [kind])

    assert right >= 0.99
    assert outcome.p99 <= 3.0


@pytest.mark.parametrize("size", SIZES)
async def test_records_are_found_among_wrong_ones_when_all_closest_are_asked(size):
    _, right = await honest_finds(size, [Malice.WRONG_VALUES], stop_after=inf)

    assert right >= 0.99


async def test_a_few_holders_with_records_of_their_own_hide_few_others():
    outcome, right = await honest_finds(200, [Malice.WRONG_VALUES])

    assert outcome.found == 1.0
    assert right >= 0.9


@pytest.mark.parametrize("size", SIZES)
async def test_records_are_found_though_a_fifth_of_the_nodes_is_malicious_in_all_ways(size):
    _, right = await honest_finds(size, ALL_KINDS, stop_after=inf)

    assert right >= 0.99


async def test_what_its_owner_has_not_signed_is_never_found():
    async with mesh(200, records=20, malicious=[(Malice.WRONG_VALUES, 40)]) as (population, keys):
        outcome = await finds(population, keys, population.nodes[:200], stop_after=inf)

        payloads = [record.payload for each in outcome.finds for record in each.records]
        assert {b"wrong": True} in payloads  # who signs it may say what it likes, as itself
        assert {b"wrong": False} not in payloads
