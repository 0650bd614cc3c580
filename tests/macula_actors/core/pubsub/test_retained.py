import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.retained import Retained, RetainedStore
from macula_actors.core.pubsub.topic import MQTT, Pattern
from tests.macula_actors.core.pubsub.topics import dialects, patterns_of, topics_of


def a_store(*topics, max_topics=3, max_bytes=100):
    store = RetainedStore(max_topics=max_topics, max_bytes=max_bytes)
    for topic in topics:
        store.put(topic, f"event of {topic}", b"12")
    return store


def topics_in(found):
    return [each.topic for each in found]


def test_the_last_value_is_kept():
    store = a_store("a.b")
    store.put("a.b", "later", b"123")

    assert store.matching("a.b") == (Retained("a.b", "later", 6),)
    assert (store.get("a.b"), store.get("a.*")) == ("later", None)
    assert (len(store), store.total_bytes, store.topics) == (1, 6, ("a.b",))


def test_an_empty_payload_deletes_the_value():
    store = a_store("a.b")

    assert not store.put("a.b", "none", b"")
    assert (len(store), store.total_bytes, store.matching("**")) == (0, 0, ())
    assert not store.delete("a.b")


def test_the_value_that_was_set_longest_ago_makes_room_for_one_too_many():
    store = a_store("a", "b", "c")
    store.put("a", "again", b"1")

    assert store.put("d", "d", b"1")
    assert topics_in(store.matching("*")) == ["c", "a", "d"]
    assert store.evicted == 1


def test_as_many_make_room_as_there_are_bytes_to_be_made():
    store = a_store("a", "b", "c", max_bytes=9)

    assert store.put("d", "d", b"12345")
    assert topics_in(store.matching("*")) == ["c", "d"]
    assert (store.total_bytes, store.evicted) == (9, 2)


def test_a_value_for_which_there_never_is_room_is_not_kept_nor_is_the_one_before():
    store = a_store("a", "b", max_bytes=9)

    assert not store.put("a", "a", b"123456789")
    assert topics_in(store.matching("*")) == ["b"]


@pytest.mark.parametrize("bounds", [{"max_topics": 0}, {"max_bytes": 0}])
def test_a_store_of_no_room_keeps_nothing(bounds):
    assert len(a_store("a", **bounds)) == 0


def test_patterns_of_another_dialect_are_read():
    assert topics_in(a_store("a/b", "a/c", "b/c").matching("a/+", MQTT)) == ["a/b", "a/c"]


@given(dialects, st.data())
def test_a_new_subscriber_gets_what_its_pattern_matches(dialect, data):
    topics = data.draw(st.lists(topics_of(dialect), max_size=8, unique=True))
    pattern = data.draw(patterns_of(dialect) | st.sampled_from(topics or [""]))

    store = a_store(*topics, max_topics=8, max_bytes=10_000)

    assert topics_in(store.matching(pattern, dialect)) == [
        topic for topic in topics if Pattern(pattern, dialect).matches(topic)
    ]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=12)), max_size=40))
def test_no_bound_is_passed_and_the_bytes_are_those_of_what_is_there(puts):
    store, latest = a_store(max_bytes=20), {}
    for topic, payload in puts:
        store.put(topic, payload, payload)
        latest[topic] = payload
        kept = store.matching("**")
        assert len(kept) == len(store) <= 3
        assert store.total_bytes == sum(1 + len(each.event) for each in kept) <= 20
        assert all(each.event and each.event == latest[each.topic] for each in kept)
