import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.prefixes import literal_prefix
from macula_actors.core.pubsub.topic import Pattern
from macula_actors.core.pubsub.widening import packed_length, widened
from tests.macula_actors.core.pubsub.topics import dialects, patterns_of, topics_of


def test_patterns_that_fit_are_left_as_they_are_each_once():
    patterns = ["a.*", "a.**.c", "a.*"]

    assert widened(patterns, packed_length(patterns[:2])) == ("a.*", "a.**.c")


def test_the_longest_are_cut_first():
    patterns = ["a.*.x", "a.*.b.c1", "a.*.b.c2", "a.*.b.c3"]

    assert widened(patterns, packed_length(patterns) - 1) == ("a.*.x", "a.*.b.**")


def test_in_the_end_the_prefix_stands_for_all():
    patterns = ["a.*.b", "a.**.c", "a.*", "a"]

    assert widened(patterns, packed_length(["a.**", "a"])) == ("a.**", "a")


def test_nothing_is_cut_before_the_first_wildcard():
    with pytest.raises(ValueError, match="there is room for 5"):
        widened(["a.b.c.*"], 5)


def test_no_patterns_need_no_room():
    assert widened([], 0) == ()


@given(dialects, st.data())
def test_what_was_matched_still_is(dialect, data):
    patterns = data.draw(st.lists(patterns_of(dialect), min_size=1, max_size=8))
    topic = data.draw(topics_of(dialect))
    prefixes = {literal_prefix(each, dialect) for each in patterns}
    # a prefix stands for itself and for what begins with it; the empty one also for an empty segment
    needed = sum(2 * len(prefix.encode()) + (10 if prefix else 16) for prefix in prefixes)
    room = data.draw(st.integers(needed, needed + 40))

    found = widened(patterns, room, dialect)

    before, after = (any(Pattern(each, dialect).matches(topic) for each in group) for group in (patterns, found))
    assert after >= before
    assert packed_length(found) <= room
    assert {literal_prefix(each, dialect) for each in found} == prefixes
