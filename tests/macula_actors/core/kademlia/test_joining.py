from math import inf
from random import Random

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.joining import Joining
from macula_actors.core.peer.backoff import Backoff

HERE, THERE = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 1)
BACKOFF = Backoff(initial=1.0, maximum=8.0, jitter=0.0)


@pytest.fixture
def joining():
    return Joining([HERE, THERE], BACKOFF, rejoin_after=100.0, now=0.0, jitter=0.0)


def test_all_endpoints_are_asked_at_once_and_each_only_once(joining):
    assert joining.due(0.0) == [HERE, THERE]
    assert joining.due(50.0) == []
    assert joining.next_due() == inf


def test_one_that_fails_is_asked_for_ever_at_growing_intervals(joining):
    now, waits = 0.0, []
    for _ in range(6):
        assert HERE in joining.due(now)
        joining.failed(HERE, now, Random(0))
        waits.append(joining.next_due() - now)
        now = joining.next_due()

    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_one_that_answered_is_asked_again_after_a_long_time(joining):
    joining.due(0.0)
    joining.answered(HERE, 1.0, Random(0))

    assert joining.next_due() == 101.0
    assert joining.due(100.0) == []
    assert joining.due(101.0) == [HERE]


def test_one_that_answered_is_asked_at_once_by_a_node_that_knows_nobody_any_more(joining):
    joining.due(0.0)
    joining.answered(HERE, 1.0, Random(0))
    joining.failed(THERE, 1.0, Random(0))
    joining.isolated(1.5)

    assert joining.due(1.5) == [HERE]
    assert joining.due(2.0) == [THERE]


def test_ones_own_endpoint_is_not_asked_again(joining):
    joining.due(0.0)
    joining.is_self(HERE)
    joining.failed(HERE, 0.0, Random(0))
    joining.answered(HERE, 0.0, Random(0))

    assert len(joining) == 1
    assert joining.next_due() == inf


def test_nodes_that_were_answered_at_once_do_not_ask_again_at_once():
    again = []
    for seed in range(50):
        joining = Joining([HERE], BACKOFF, rejoin_after=100.0, now=0.0)
        joining.due(0.0)
        joining.answered(HERE, 0.0, Random(seed))
        again.append(joining.next_due())

    assert min(again) >= 50.0
    assert max(again) <= 100.0
    assert max(again) - min(again) > 10.0
