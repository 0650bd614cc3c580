from collections import Counter
from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.sender_limits import Excess, SenderBook, SenderLimits, sender_of
from macula_actors.core.peer.contact import Contact

ONE, OTHER = NodeId.of(b"one"), NodeId.of(b"other")
FEW = SenderLimits(stores_per_minute=6, records_per_minute=4, max_records=3, max_senders=2, recount_after=10.0)


def slot(number, owner=b"owner"):
    return NodeId.of(b"%d" % number), NodeId.of(owner)


def bring(book, kept, sender, number, now):
    """Bring a record that is not here; return why it is not kept."""
    excess = book.sent(sender, now) or book.room(sender, now)
    kept.update([] if excess else [slot(number)])
    [book.brought(sender, slot(number), now) for _ in range(excess is None)]
    return excess


def test_who_says_its_id_is_known_by_that_and_who_does_not_by_its_address():
    at = list(starmap(Endpoint, (("10.0.0.1", 1), ("10.0.0.1", 2), ("2001:db8::1", 1), ("2001:db8::2", 1))))

    assert {sender_of(Contact(each, ONE)) for each in at} == {ONE}
    assert len({sender_of(Contact(each)) for each in at}) == 2


def test_a_burst_of_a_thousand_replicated_records_hits_no_limit():
    kept = set()
    book = SenderBook(SenderLimits(), kept)

    assert [bring(book, kept, ONE, number, 0.0) for number in range(1000)] == [None] * 1000


def test_a_sender_may_send_so_many_stores_a_minute_and_others_too():
    book = SenderBook(FEW, set())
    answers = [book.sent(ONE, 1.0) for _ in range(7)]

    assert answers == [None] * 6 + [Excess("STOREs of one sender a minute", 6)]
    assert book.sent(OTHER, 1.0) is None
    assert [book.sent(ONE, now) for now in (10.9, 11.0)] == [Excess("STOREs of one sender a minute", 6), None]


def test_a_sender_may_bring_so_many_new_records_a_minute():
    kept = set()
    book = SenderBook(SenderLimits(records_per_minute=2), kept)

    answers = [bring(book, kept, ONE, number, 0.0) for number in range(3)]

    assert answers == [None, None, Excess("new records of one sender a minute", 2)]


def test_a_sender_that_has_brought_as_many_as_are_allowed_brings_more_when_some_are_gone():
    kept = set()
    book = SenderBook(FEW, kept)
    for number in range(3):
        bring(book, kept, ONE, number, 0.0)
    full = book.room(ONE, 100.0)
    kept.discard(slot(0))

    assert full == Excess("records of one sender", 3)
    assert book.room(ONE, 109.0) == full  # it was looked at 9 seconds ago
    assert book.room(ONE, 110.0) is None


def test_a_record_that_comes_again_counts_for_who_brought_it_last():
    book = SenderBook(FEW, {slot(number) for number in range(3)})
    for number in range(3):
        book.brought(ONE, slot(number), 0.0)
    book.brought(OTHER, slot(0), 100.0)

    assert book.room(ONE, 100.0) is None


def test_who_has_been_quiet_for_longest_is_forgotten_when_there_are_too_many():
    book = SenderBook(FEW, set())
    for sender in (ONE, OTHER, ONE, NodeId.of(b"third")):
        book.sent(sender, 0.0)

    assert len(book) == 2
    assert [book.sent(ONE, 0.0) for _ in range(5)][-1] == Excess("STOREs of one sender a minute", 6)


EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.floats(0.0, 20.0), st.integers(0, 20)), max_size=120
)


@given(EVENTS)
def test_nobody_ever_gets_more_in_than_the_limits_say(events):
    limits = SenderLimits(stores_per_minute=6, records_per_minute=4, max_records=3, max_senders=8)
    kept, brought, times = set(), {}, []
    book = SenderBook(limits, kept)
    now = 0.0
    for who, number, wait, gone in events:
        now += wait
        kept.discard(slot(gone))
        excess = book.sent(bytes_id(who), now)
        times += [(who, now)] * (excess is None)
        is_new = slot(number) not in kept
        fits = excess is None and is_new and book.room(bytes_id(who), now) is None
        kept.update([slot(number)] * fits)
        brought.update({slot(number): who} if fits else {})
        [book.brought(bytes_id(who), slot(number), now) for _ in range(fits)]

        held = Counter(brought[each] for each in kept)
        assert max(held.values(), default=0) <= limits.max_records

    for who, at in times:
        assert sum(other == who and at <= then < at + 60.0 for other, then in times) <= 2 * limits.stores_per_minute


def bytes_id(number):
    return NodeId.of(bytes([number]))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 500)), max_size=300))
def test_what_is_remembered_of_records_is_bounded_by_what_is_kept(events):
    kept = set()
    book = SenderBook(SenderLimits(), kept)
    for who, number in events:
        kept.clear()
        kept.add(slot(number))
        book.brought(bytes_id(who), slot(number), 0.0)

        assert len(book._bringers) <= 2 * len(kept) + 64


@pytest.mark.parametrize("name", SenderLimits.__slots__)
def test_limits_are_above_0(name):
    with pytest.raises(ValueError, match="above 0"):
        SenderLimits(**{name: 0})
