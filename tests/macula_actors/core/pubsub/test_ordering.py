from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.ordering import Reorderer, Stamp, Taken, Verdict

A, B, C = (NodeId.of(bytes([number])) for number in range(3))
GAP, HOLD = 0.25, 30.0  # seconds


def a_reorderer(max_waiting=8, max_total=100, max_publishers=10):
    return Reorderer(
        gap_timeout=GAP,
        hold_timeout=HOLD,
        max_waiting=max_waiting,
        max_total=max_total,
        max_publishers=max_publishers,
    )


@pytest.fixture
def reorderer():
    return a_reorderer()


def take(reorderer, sequence, now=0.0, *, publisher=A, epoch=1, pending_from=None):
    """Take the event that is its own sequence; before it nothing is pending, unless it is said."""
    stamp = Stamp(epoch, sequence, sequence if pending_from is None else pending_from)
    return reorderer.take(publisher, stamp, sequence, now)


def test_what_comes_in_order_is_delivered_at_once(reorderer):
    assert [take(reorderer, each) for each in range(3)] == [Taken(Verdict.IN_ORDER, (each,)) for each in range(3)]
    assert reorderer.next_due() == inf


def test_what_comes_early_waits_for_what_is_missing(reorderer):
    assert take(reorderer, 2) == take(reorderer, 1) == Taken(Verdict.EARLY)
    assert take(reorderer, 0) == Taken(Verdict.IN_ORDER, (0, 1, 2))
    assert reorderer.stats.waiting == 0


def test_what_comes_twice_is_delivered_once(reorderer):
    take(reorderer, 0)
    take(reorderer, 2)

    assert take(reorderer, 0) == Taken(Verdict.REPEATED)
    assert take(reorderer, 2) == Taken(Verdict.EARLY)
    assert take(reorderer, 1).events == (1, 2)
    assert reorderer.stats.repeated == 1


def test_a_gap_is_waited_for_shortly_if_it_may_never_come(reorderer):
    take(reorderer, 2, 1.0)
    take(reorderer, 3, 1.2)

    assert reorderer.next_due() == 1.0 + GAP
    assert reorderer.due(1.2) == ()
    assert reorderer.due(1.0 + GAP) == (2, 3)
    assert (reorderer.stats.skipped, reorderer.next_due()) == (2, inf)


def test_a_gap_is_waited_for_longer_if_its_publisher_repeats_it(reorderer):
    take(reorderer, 1, 1.0, pending_from=0)

    assert reorderer.due(1.0 + GAP) == ()
    assert reorderer.next_due() == 1.0 + HOLD
    assert take(reorderer, 0, 20.0).events == (0, 1)


def test_a_publisher_that_falls_silent_is_not_waited_for_for_ever(reorderer):
    take(reorderer, 1, 1.0, pending_from=0)

    assert reorderer.due(1.0 + HOLD) == (1,)


def test_a_gap_that_is_given_up_by_its_publisher_is_waited_for_no_longer(reorderer):
    take(reorderer, 1, 1.0, pending_from=0)

    take(reorderer, 2, 5.0, pending_from=1)

    assert reorderer.next_due() == 1.0 + GAP
    assert reorderer.due(5.0) == (1, 2)


def test_that_something_is_settled_is_not_forgotten_for_what_was_sent_before(reorderer):
    take(reorderer, 5, 1.0, pending_from=3)

    take(reorderer, 4, 1.1, pending_from=0)

    assert reorderer.next_due() == 1.0 + GAP


def test_of_a_gap_only_what_may_never_come_is_skipped(reorderer):
    take(reorderer, 3, 1.0, pending_from=1)

    assert reorderer.due(1.0 + GAP) == ()
    assert reorderer.stats.skipped == 1
    assert take(reorderer, 1, 2.0).events == (1,)
    assert take(reorderer, 2, 2.0).events == (2, 3)


def test_a_second_gap_is_waited_for_as_long(reorderer):
    take(reorderer, 1, 1.0)
    take(reorderer, 3, 1.0)

    assert reorderer.due(2.0) == (1,)
    assert reorderer.due(2.0 + GAP) == (3,)


def test_what_comes_after_its_gap_was_skipped_is_late_and_not_repeated(reorderer):
    take(reorderer, 1)
    reorderer.due(GAP)

    assert take(reorderer, 0) == Taken(Verdict.LATE)
    assert take(reorderer, 1) == Taken(Verdict.REPEATED)
    assert reorderer.stats.late == 1


def test_of_what_is_forgotten_none_is_taken_for_repeated(reorderer):
    for sequence in range(0, 300, 2):
        take(reorderer, sequence + 1, float(sequence))
        reorderer.due(sequence + GAP)

    assert {take(reorderer, sequence).verdict for sequence in range(0, 300, 2)} == {Verdict.LATE}
    assert take(reorderer, 299).verdict is Verdict.REPEATED


def test_a_publisher_that_was_restarted_begins_anew(reorderer):
    take(reorderer, 5, epoch=1)

    assert take(reorderer, 0, epoch=2) == Taken(Verdict.IN_ORDER, (5, 0))
    assert take(reorderer, 6, epoch=1) == Taken(Verdict.STALE)
    assert take(reorderer, 1, epoch=2).events == (1,)
    assert (reorderer.stats.late, reorderer.stats.publishers, reorderer.next_due()) == (1, 1, inf)


def test_publishers_do_not_wait_for_each_other(reorderer):
    take(reorderer, 1, publisher=A)

    assert take(reorderer, 0, publisher=B).events == (0,)


def test_a_publisher_that_is_forgotten_leaves_what_waited(reorderer):
    take(reorderer, 2)
    take(reorderer, 1)

    assert reorderer.forget(A) == (1, 2)
    assert reorderer.forget(A) == ()
    assert (reorderer.stats.waiting, reorderer.next_due()) == (0, inf)


def test_if_too_many_wait_for_what_may_never_come_it_is_skipped():
    reorderer = a_reorderer(max_waiting=2)
    take(reorderer, 2)
    take(reorderer, 4)

    assert take(reorderer, 5) == Taken(Verdict.EARLY, (2,))
    assert take(reorderer, 3).events == (3, 4, 5)


def test_if_too_many_wait_for_what_still_comes_others_have_to_come_again():
    reorderer = a_reorderer(max_waiting=1)
    take(reorderer, 1, pending_from=0)

    assert take(reorderer, 2, pending_from=0) == Taken(Verdict.FULL)
    assert take(reorderer, 0).events == (0, 1)
    assert take(reorderer, 2).events == (2,)
    assert reorderer.stats.full == 1


def test_all_publishers_together_have_a_bound():
    reorderer = a_reorderer(max_total=1)
    take(reorderer, 1, publisher=A)

    assert take(reorderer, 1, publisher=B, pending_from=0) == Taken(Verdict.FULL)
    assert take(reorderer, 1, publisher=B) == Taken(Verdict.IN_ORDER, (1,))


def test_of_too_many_publishers_one_for_which_nothing_waits_is_forgotten():
    reorderer = a_reorderer(max_publishers=2)
    take(reorderer, 1, publisher=A)
    take(reorderer, 0, publisher=B)

    assert take(reorderer, 0, publisher=C).events == (0,)
    assert take(reorderer, 0, publisher=A).events == (0, 1)


def test_of_too_many_publishers_for_which_something_waits_the_first_waits_no_longer():
    reorderer = a_reorderer(max_publishers=2)
    take(reorderer, 1, publisher=A)
    take(reorderer, 2, publisher=B)

    assert take(reorderer, 0, publisher=C) == Taken(Verdict.IN_ORDER, (1, 0))
    assert reorderer.stats.publishers == 2


@st.composite
def arrivals(draw):
    """Draw the events of two publishers, restarted now and then, in any order, some twice or never, and the times."""
    numbers = st.tuples(st.sampled_from([A, B]), st.integers(1, 2), st.integers(0, 12), st.integers(0, 12))
    found = draw(st.lists(st.tuples(numbers, st.sampled_from([0.0, 0.1, 0.3, 40.0])), max_size=60))
    return [(publisher, Stamp(epoch, s, min(s, pending)), pause) for (publisher, epoch, s, pending), pause in found]


@given(arrivals(), st.integers(1, 4), st.integers(1, 6))
def test_no_event_is_delivered_twice_or_out_of_order_and_no_bound_is_passed(events, max_waiting, max_total):
    reorderer, now, delivered = a_reorderer(max_waiting, max_total), 0.0, []
    for publisher, stamp, pause in events:
        now += pause
        delivered += reorderer.due(now)
        assert reorderer.next_due() > now
        delivered += reorderer.take(publisher, stamp, (publisher, stamp.epoch, stamp.sequence), now).events
        assert reorderer.stats.waiting <= max_total
    delivered += reorderer.due(inf)

    for publisher in (A, B):
        of_it = [event for event in delivered if event[0] == publisher]
        assert of_it == sorted(set(of_it))


@given(arrivals())
def test_each_event_is_delivered_or_its_publisher_learns_that_it_was_not(events):
    reorderer, now, delivered, refused = a_reorderer(), 0.0, [], set()
    for publisher, stamp, pause in events:
        now += pause
        delivered += reorderer.due(now)
        event = (publisher, stamp.epoch, stamp.sequence)
        taken = reorderer.take(publisher, stamp, event, now)
        delivered += taken.events
        refused |= {event} if taken.verdict in {Verdict.LATE, Verdict.STALE, Verdict.FULL} else set()
    delivered += reorderer.forget(A) + reorderer.forget(B)

    assert {(publisher, stamp.epoch, stamp.sequence) for publisher, stamp, _ in events} == {*delivered, *refused}


@given(st.permutations(range(8)), st.integers(0, 7))
def test_if_all_come_within_the_wait_all_are_delivered_in_order(order, pending):
    reorderer, delivered = a_reorderer(), []
    for index, sequence in enumerate(order):
        stamp = replace(Stamp(1, sequence, sequence), pending_from=min(pending, sequence))
        delivered += reorderer.take(A, stamp, sequence, index * GAP / 9).events

    assert delivered == list(range(8))
