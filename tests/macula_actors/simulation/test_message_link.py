from itertools import starmap
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.simulation.message_link import MessageLink, link_chance

NUMBERS = st.integers(1, 100_000)


@pytest.mark.parametrize("wrong", [{"latency": -1.0}, {"jitter": -1.0}, {"loss": 1.1}, {"loss": -0.1}])
def test_a_number_out_of_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match="out of its range"):
        MessageLink(**wrong)


def test_a_message_arrives_after_the_latency():
    assert MessageLink(latency=0.25).transit(1, 2, 3, 10.0) == 10.25


@given(NUMBERS, NUMBERS, st.floats(0.0, 1e6))
def test_jitter_is_added_to_the_latency(source, target, now):
    due = MessageLink(latency=0.25, jitter=0.5).transit(0, source, target, now)

    assert now + 0.25 <= due <= now + 0.75


def test_as_many_are_lost_as_the_chance_says():
    link = MessageLink(loss=0.2)

    lost = [link.transit(0, source, target, 1.0) is None for source in range(100) for target in range(100)]

    assert mean(lost) == pytest.approx(0.2, abs=0.02)


def test_jitter_is_spread_evenly_though_some_are_lost():
    link = MessageLink(latency=0.0, jitter=1.0, loss=0.3)

    dues = [due for n in range(10_000) if (due := link.transit(0, 1, 2, n / 1000)) is not None]

    assert mean(due - round(due * 1000) / 1000 for due in dues) == pytest.approx(0.0, abs=0.01)
    assert len(dues) == pytest.approx(7000, abs=200)


@given(st.integers(0, 2**70), NUMBERS, NUMBERS, st.floats(0.0, 1e6))
def test_chance_is_at_least_0_and_below_1_and_always_the_same(seed, source, target, now):
    chance = link_chance(seed, source, target, now)

    assert 0.0 <= chance < 1.0
    assert chance == link_chance(seed, source, target, now)


def test_each_link_direction_instant_and_seed_has_chance_of_its_own():
    links = [(0, 1, 2, 1.0), (0, 2, 1, 1.0), (0, 1, 3, 1.0), (0, 1, 2, 1.001), (1, 1, 2, 1.0)]

    assert len(set(starmap(link_chance, links))) == len(links)
