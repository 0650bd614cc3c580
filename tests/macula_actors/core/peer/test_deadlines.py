from math import inf

from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.deadlines import Deadlines

operations = st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20)), max_size=60)


def carry_out(operations):
    deadlines, model = Deadlines(), {}
    actions = {
        False: lambda item, at: (deadlines.set(item, at), model.update({item: at})),
        True: lambda item, _: (deadlines.discard(item), model.pop(item, None)),
    }
    for item, at in operations:
        actions[at is None](item, at)
    return deadlines, model


@given(operations, st.integers(0, 20))
def test_what_is_due_is_taken_out_earliest_first(operations, now):
    deadlines, model = carry_out(operations)

    due = list(deadlines.pop_due(now))

    assert sorted(due) == sorted(item for item, at in model.items() if at <= now)
    assert [model[item] for item in due] == sorted(model[item] for item in due)
    assert len(deadlines) == len(model) - len(due)
    assert all(item not in deadlines for item in due)


@given(operations)
def test_the_next_instant_is_the_earliest_of_those_set_last(operations):
    deadlines, model = carry_out(operations)

    assert deadlines.next() == min(model.values(), default=inf)


def test_items_that_come_and_go_before_their_instant_leave_no_memory():
    deadlines = Deadlines()
    for n in range(10_000):
        deadlines.set(n, 1000.0 + n)
        deadlines.discard(n)
        deadlines.set("moved", 1000.0 + n)

    assert len(deadlines._heap) <= 100


def test_items_are_taken_only_as_they_are_asked_for():
    deadlines = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("b", 1.0)

    assert next(deadlines.pop_due(1.0)) == "a"
    assert "b" in deadlines
