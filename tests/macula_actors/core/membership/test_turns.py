from random import Random

from macula_actors.core.membership.turns import Turns
from tests.macula_actors.core.membership.exchange import node_id

EVERYBODY = [node_id(number) for number in range(10)]


def test_each_has_a_turn_before_anybody_has_a_second():
    turns = Turns(Random(1))
    rounds = [[turns.take(1, EVERYBODY)[0] for _ in EVERYBODY] for _ in range(3)]

    assert [sorted(each) for each in rounds] == [EVERYBODY] * 3
    assert rounds[0] != rounds[1]


def test_no_more_are_taken_than_there_are_or_are_wanted():
    turns = Turns(Random(1))

    assert sorted(turns.take(99, EVERYBODY)) == EVERYBODY
    assert len(turns.take(3, EVERYBODY)) == 3
    assert Turns(Random(1)).take(3, []) == []
