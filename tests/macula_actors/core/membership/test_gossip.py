from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.membership.gossip import GossipQueue, transmissions
from tests.macula_actors.core.membership.exchange import a_member, node_id


def a_queue(*numbers, most=10):
    queue = GossipQueue(most)
    for number in numbers:
        queue.add(a_member(number))
    return queue


def numbers(claims):
    return [int.from_bytes(claim.node_id) for claim in claims]


def test_the_least_transmitted_goes_first_and_of_those_the_newest():
    queue = a_queue(1, 2, 3)

    assert numbers(queue.take(2, 9)) == [3, 2]
    assert numbers(queue.take(2, 9)) == [1, 3]


def test_what_was_transmitted_often_enough_is_not_passed_on():
    queue = a_queue(1)

    assert [numbers(queue.take(1, 3)) for _ in range(5)] == [[1], [1], [1], [], []]
    assert len(queue) == 0


def test_newer_news_of_a_member_replace_the_older_and_count_anew():
    queue = a_queue(1)
    queue.take(1, 3)
    queue.add(a_member(1, "suspect"))

    assert [queue.take(1, 3) for _ in range(4)] == [*[[a_member(1, "suspect")]] * 3, []]


def test_nobody_is_told_news_of_itself():
    queue = a_queue(1, 2)

    assert numbers(queue.take(5, 9, without=node_id(2))) == [1]


def test_one_piece_of_news_too_many_replaces_the_most_transmitted():
    queue = a_queue(1, 2, most=2)
    queue.take(1, 9)
    queue.add(a_member(3))

    assert sorted(numbers(queue.take(5, 9))) == [1, 3]


def test_nothing_is_taken_where_there_is_no_room():
    assert a_queue(1).take(-1, 9) == []


@given(st.integers(0, 100_000))
def test_transmissions_grow_with_the_logarithm(members):
    assert 3 <= transmissions(members) <= transmissions(2 * members + 2) <= transmissions(members) + 6


@given(st.lists(st.integers(1, 20)), st.integers(1, 5), st.integers(0, 4), st.integers(1, 9))
def test_a_queue_never_holds_more_than_it_may_and_empties_after_its_transmissions(added, most, size, limit):
    queue = a_queue(*added, most=most)
    assert len(queue) <= most

    taken = [claim for _ in range(most * limit) for claim in queue.take(size, limit)]

    assert max(map(taken.count, taken), default=0) <= limit
    assert size == 0 or len(queue) == 0
