import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.bounded_queue import BoundedQueue, FullPolicy, Put


def a_queue(policy, *items, max_items=2):
    queue = BoundedQueue(max_items, policy)
    for item in items:
        queue.put(item)
    return queue


@pytest.mark.parametrize("policy", FullPolicy)
def test_items_come_out_in_the_order_in_which_they_came_in(policy):
    queue = a_queue(policy, 1, 2)

    assert (queue.policy, queue.is_full, queue.dropped) == (policy, True, 0)
    assert [queue.get(), queue.get(), queue.get()] == [1, 2, None]


@pytest.mark.parametrize(
    ("policy", "outcome", "left"),
    [
        (FullPolicy.DROP_OLDEST, (Put.DROPPED_OLDEST, (1,)), (2, 3)),
        (FullPolicy.DROP_NEWEST, (Put.DROPPED, (3,)), (1, 2)),
        (FullPolicy.HOLD, (Put.HELD, ()), (1, 2)),
        (FullPolicy.DISCONNECT, (Put.DISCONNECTED, (3,)), (1, 2)),
    ],
)
def test_of_an_item_too_many_becomes_what_the_policy_says(policy, outcome, left):
    queue = a_queue(policy, 1, 2)

    assert queue.put(3) == outcome
    assert tuple(queue) == left
    assert (queue.dropped, queue.held) == ((0, 1) if policy is FullPolicy.HOLD else (1, 0))


def test_who_was_held_gets_in_when_there_is_room():
    queue = a_queue(FullPolicy.HOLD, 1, 2, 3)
    queue.get()

    assert queue.put(3) == (Put.QUEUED, ())
    assert queue.clear() == (2, 3)


def test_a_receiver_that_is_given_up_gets_nothing_more():
    queue = a_queue(FullPolicy.DISCONNECT, 1, 2, 3)
    queue.clear()

    assert queue.is_disconnected
    assert queue.put(4) == (Put.DISCONNECTED, (4,))
    assert (len(queue), queue.dropped) == (0, 2)


def test_items_are_taken_out_of_the_middle():
    queue = a_queue(FullPolicy.HOLD, 1, 2, 3, 4, max_items=4)

    assert queue.take_if(lambda item: item % 2 == 0) == (2, 4)
    assert tuple(queue) == (1, 3)


@pytest.mark.parametrize(
    ("policy", "outcome", "left"),
    [
        (FullPolicy.DROP_OLDEST, (Put.DROPPED_OLDEST, ("aaa", "b")), ("ccccccc", "d")),
        (FullPolicy.DROP_NEWEST, (Put.DROPPED, ("d",)), ("aaa", "b", "ccccccc")),
        (FullPolicy.HOLD, (Put.HELD, ()), ("aaa", "b", "ccccccc")),
        (FullPolicy.DISCONNECT, (Put.DISCONNECTED, ("d",)), ("aaa", "b", "ccccccc")),
    ],
)
def test_a_queue_is_full_with_so_many_bytes_as_well(policy, outcome, left):
    queue = BoundedQueue(9, policy, max_bytes=8, length_of=len)
    for item in ("aaa", "b", "ccccccc"):
        assert queue.put(item) == (Put.QUEUED, ())

    assert queue.is_full
    assert queue.put("d") == outcome
    assert tuple(queue) == left


def test_bytes_that_were_taken_are_room_again():
    queue = BoundedQueue(9, FullPolicy.HOLD, max_bytes=4, length_of=len)
    for take in (queue.get, queue.clear, lambda: queue.take_if(lambda item: item == "aaaa")):
        queue.put("aaaa")
        assert queue.is_full
        take()
        assert not queue.is_full


def test_a_queue_without_room_is_refused():
    with pytest.raises(ValueError, match="the least is 1"):
        BoundedQueue(0, FullPolicy.HOLD)


@given(st.sampled_from(FullPolicy), st.integers(1, 4), st.lists(st.booleans(), max_size=40))
def test_no_queue_is_above_its_bound_and_each_item_comes_out_or_was_named(policy, max_items, steps):
    queue, out, named = BoundedQueue(max_items, policy), [], []
    for item, is_put in enumerate(steps):
        put, dropped = queue.put(item) if is_put else (None, (queue.get(),))
        (named if is_put else out).extend((item,) if put is Put.HELD else dropped)
        assert len(queue) <= max_items

    taken = [item for item in [*out, *queue.clear()] if item is not None]
    assert taken == sorted(taken)
    assert sorted(taken + [item for item in named if item is not None]) == [
        item for item, is_put in enumerate(steps) if is_put
    ]
