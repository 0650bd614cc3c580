from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.selector import Selector, Strategy

OWN = NodeId(bytes(32))
PROVIDERS = tuple(
    Provider(procedure="add", node_id=NodeId(bytes([byte]) * 32)) for byte in (0x40, 0x20, 0x80, 0x10, 0x60)
)
A, B, C, D, E = PROVIDERS


def selector(strategy, **limits):
    return Selector(strategy, OWN, **limits)


def test_first_keeps_the_order_in_which_they_were_found():
    assert selector(Strategy.FIRST).order(PROVIDERS, "add", Random(1)) == PROVIDERS


def test_random_puts_each_first_about_as_often():
    random, rng = selector(Strategy.RANDOM), Random(1)

    firsts = [random.order(PROVIDERS, "add", rng)[0] for _ in range(1000)]

    assert min(map(firsts.count, PROVIDERS)) > 150


def test_round_robin_puts_each_first_in_its_turn_and_the_others_after_it_in_theirs():
    turns = selector(Strategy.ROUND_ROBIN)

    orders = [turns.order(PROVIDERS[:3], "add", Random(1)) for _ in range(4)]

    assert orders == [(A, B, C), (B, C, A), (C, A, B), (A, B, C)]


def test_each_procedure_has_turns_of_its_own():
    turns = selector(Strategy.ROUND_ROBIN)

    firsts = [turns.order(PROVIDERS, procedure, Random(1))[0] for procedure in ("add", "sub", "add", "sub")]

    assert firsts == [A, A, B, B]


def test_turns_go_on_when_there_are_fewer_providers():
    turns = selector(Strategy.ROUND_ROBIN)

    firsts = [turns.order(PROVIDERS[:count], "add", Random(1))[0] for count in (5, 5, 5, 2, 1)]

    assert firsts == [A, B, C, B, A]


def test_the_turns_of_the_procedure_asked_for_least_recently_are_forgotten():
    turns = selector(Strategy.ROUND_ROBIN, max_procedures=2)

    asked = ["add", "sub", "add", "mul", "add", "sub"]
    firsts = [turns.order(PROVIDERS, procedure, Random(1))[0] for procedure in asked]

    assert firsts == [A, A, B, A, C, A]


def test_closest_goes_by_round_trip_first_and_by_distance_where_none_is_known():
    round_trips = {C.node_id: 0.010, A.node_id: 0.200, OWN: 0.0}

    order = selector(Strategy.CLOSEST).order(PROVIDERS, "add", Random(1), round_trips)

    assert order == (C, A, D, B, E)
    assert selector(Strategy.CLOSEST).order(PROVIDERS, "add", Random(1)) == (D, B, A, E, C)


@pytest.mark.parametrize("strategy", Strategy)
def test_of_none_there_is_no_order(strategy):
    assert selector(strategy).order((), "add", Random(1)) == ()


@given(st.sampled_from(Strategy), st.lists(st.sampled_from(PROVIDERS), unique=True), st.integers(1, 4))
def test_every_provider_is_in_the_order_once(strategy, providers, times):
    chosen = selector(strategy)

    for _ in range(times):
        assert sorted(chosen.order(providers, "add", Random(1)), key=id) == sorted(providers, key=id)
