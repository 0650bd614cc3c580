import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.pattern_index import PatternIndex
from macula_actors.core.pubsub.topic import MQTT, Pattern
from macula_actors.errors import OverloadedError
from tests.macula_actors.core.pubsub.topics import dialects, patterns_of, topics_of


@st.composite
def entries(draw):
    """Draw a pattern, a subscriber and a dialect."""
    dialect = draw(dialects)
    return draw(patterns_of(dialect)), draw(st.integers(0, 3)), dialect


topics = dialects.flatmap(topics_of)


def an_index(*pairs, max_entries=1000):
    index = PatternIndex(max_entries=max_entries)
    for each in pairs:
        index.add(*each)
    return index


@given(st.lists(entries(), max_size=12), topics)
def test_those_are_found_of_whom_a_pattern_matches_each_once(added, topic):
    found = an_index(*added).match(topic)

    assert len(set(found)) == len(found)
    assert set(found) == {
        subscriber for pattern, subscriber, dialect in added if Pattern(pattern, dialect).matches(topic)
    }


@given(st.lists(st.tuples(st.booleans(), entries()), max_size=30), topics)
def test_what_was_removed_is_not_found_and_all_else_is(changes, topic):
    index, left = an_index(), {}
    for is_added, entry in changes:
        assert (index.add if is_added else index.remove)(*entry) is (is_added != (entry in left))
        left = {each: None for each in [*left, entry] if is_added or each != entry}

    assert len(index) == len(left)
    assert set(index.match(topic)) == set(an_index(*left).match(topic))


@given(st.lists(entries(), max_size=12), st.randoms())
def test_an_index_of_which_all_was_removed_holds_nothing(added, rng):
    index = an_index(*added)
    for entry in sorted(set(added), key=lambda _: rng.random()):
        index.remove(*entry)

    assert len(index) == 0
    assert vars(index) == vars(an_index())  # no node of its tree either


def test_subscribers_come_in_an_order_that_repeats():
    index = an_index(("a.b", 3), ("a.*", 1), ("**", 2), ("a.b", 1))

    assert index.match("a.b") == (3, 1, 2)


def test_a_pattern_of_one_dialect_is_none_in_another():
    index = an_index(("a/+", "mqtt", MQTT), ("a.+", "dotted"))

    assert index.match("a/b") == ("mqtt",)
    assert index.match("a.b") == ()
    assert not index.remove("a/+", "mqtt")


def test_one_entry_too_many_is_refused_but_not_one_that_is_there():
    index = an_index(("a", 1), ("a", 2), max_entries=2)

    with pytest.raises(OverloadedError, match="patterns"):
        index.add("b", 1)
    assert not index.add("a", 2)
    assert (len(index), index.match("b"), index.match("a")) == (2, (), (1, 2))


def test_what_was_refused_has_left_nothing_behind():
    index = an_index(max_entries=0)

    with pytest.raises(OverloadedError):
        index.add("a.b", 1)
    assert vars(index) == vars(an_index(max_entries=0))


@pytest.mark.timeout(5)
def test_a_pattern_of_many_wildcards_is_not_slow():
    index = an_index((".".join(["**", "a"] * 60), 1), (".".join(["**"] * 500), 2))

    assert index.match(".".join("a" * 2000) + ".b") == (2,)
