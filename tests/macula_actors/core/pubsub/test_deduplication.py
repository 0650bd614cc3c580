import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.deduplication import Deduplicator

A, B, C = (NodeId.of(bytes([number])) for number in range(3))


def a_deduplicator(window=60.0, max_publishers=2, max_ids=3):
    return Deduplicator(window=window, max_publishers=max_publishers, max_ids=max_ids)


@pytest.fixture
def deduplicator():
    return a_deduplicator()


def test_a_message_is_new_once(deduplicator):
    assert deduplicator.is_new(A, b"1", 0.0)
    assert not deduplicator.is_new(A, b"1", 1.0)
    assert deduplicator.duplicates == 1


def test_two_publishers_may_have_the_same_id(deduplicator):
    assert deduplicator.is_new(A, b"1", 0.0)
    assert deduplicator.is_new(B, b"1", 0.0)


def test_an_id_is_remembered_for_a_window_after_it_came_last(deduplicator):
    deduplicator.is_new(A, b"1", 0.0)

    assert not deduplicator.is_new(A, b"1", 59.0)
    assert not deduplicator.is_new(A, b"1", 118.0)
    assert deduplicator.is_new(A, b"1", 178.0)


def test_of_too_many_ids_the_one_that_came_longest_ago_is_forgotten(deduplicator):
    for message_id in (b"1", b"2", b"1", b"3", b"4"):
        deduplicator.is_new(A, message_id, 0.0)

    assert deduplicator.ids(A) == 3
    assert not deduplicator.is_new(A, b"1", 0.0)
    assert deduplicator.is_new(A, b"2", 0.0)


def test_of_too_many_publishers_the_one_heard_longest_ago_is_forgotten(deduplicator):
    for publisher in (A, B, A, C):
        deduplicator.is_new(publisher, b"1", 0.0)

    assert deduplicator.publishers == 2
    assert not deduplicator.is_new(A, b"1", 0.0)
    assert deduplicator.is_new(B, b"1", 0.0)


def test_a_message_that_is_forgotten_may_come_again(deduplicator):
    deduplicator.is_new(A, b"1", 0.0)

    deduplicator.forget(A, b"1")
    deduplicator.forget(B, b"1")

    assert deduplicator.publishers == 0
    assert deduplicator.is_new(A, b"1", 0.0)


def test_what_is_forgotten_leaves_the_others(deduplicator):
    deduplicator.is_new(A, b"1", 0.0)
    deduplicator.is_new(A, b"2", 0.0)

    deduplicator.forget(A, b"1")

    assert not deduplicator.is_new(A, b"2", 0.0)


def test_what_is_too_old_takes_no_room(deduplicator):
    deduplicator.is_new(A, b"1", 0.0)
    deduplicator.is_new(B, b"1", 1.0)

    deduplicator.prune(60.0)

    assert (deduplicator.publishers, deduplicator.ids(A), deduplicator.ids(B)) == (1, 0, 1)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 9), st.floats(0, 5)), max_size=60))
def test_nothing_is_new_twice_as_long_as_there_is_room_and_no_bound_is_passed(arrivals):
    roomy, tight = a_deduplicator(1e9, 3, 10), a_deduplicator()
    now, fresh = 0.0, []
    for publisher, number, pause in arrivals:
        now += pause
        fresh += [(publisher, number)] * roomy.is_new(publisher, bytes([number]), now)
        tight.is_new(publisher, bytes([number]), now)
        assert tight.publishers <= 2
        assert all(tight.ids(each) <= 3 for each in (A, B, C))

    assert len(fresh) == len(set(fresh))
    assert set(fresh) == {(publisher, number) for publisher, number, _ in arrivals}
