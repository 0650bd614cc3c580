from macula_actors.actors.routing.job_queue import JobQueue


def filled(lookups, stores, most=10):
    queue = JobQueue(most)
    for number in range(stores):
        queue.put(f"store {number}", is_store=True)
    for number in range(lookups):
        queue.put(f"lookup {number}", is_store=False)
    return queue


def test_lookups_and_stores_take_turns_each_in_their_order():
    queue = filled(2, 3)

    assert [queue.pop(may_store=True) for _ in range(6)] == [
        "lookup 0",
        "store 0",
        "lookup 1",
        "store 1",
        "store 2",
        None,
    ]


def test_stores_wait_while_there_may_be_none_and_hold_up_no_lookup():
    queue = filled(1, 1)

    assert [queue.pop(may_store=False) for _ in range(2)] == ["lookup 0", None]
    assert queue.pop(may_store=True) == "store 0"


def test_it_is_full_when_both_together_are_as_many_as_there_may_be():
    assert not filled(1, 1, most=3).is_full
    assert filled(2, 1, most=3).is_full
    assert len(filled(2, 1)) == 3
