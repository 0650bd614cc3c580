import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from macula_actors.core.kademlia.keys import open_key
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.prefixes import by_prefix, key_of_prefix, literal_prefix, prefixes_of
from macula_actors.core.pubsub.topic import DOTTED, MQTT, Pattern
from tests.macula_actors.core.pubsub.topics import dialects, patterns_of, topics_of


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("a.b", "a.b"), ("a.*.c", "a"), ("a.b.**", "a.b"), ("**", ""), ("*.a", ""), ("a.b*.*", "a.b*"), ("a.#", "a.#")],
)
def test_a_pattern_is_found_under_the_segments_before_its_first_wildcard(pattern, prefix):
    assert literal_prefix(pattern) == prefix


def test_the_wildcards_are_those_of_the_dialect():
    assert literal_prefix("a/b/+/c", MQTT) == "a/b"
    assert literal_prefix("a/*/#", MQTT) == "a/*"


def test_a_topic_is_looked_up_at_each_of_its_prefixes_shortest_first():
    assert prefixes_of("a.b.c") == ("", "a", "a.b", "a.b.c")


@given(topics_of())
def test_a_topic_of_n_segments_has_at_most_n_and_one_prefixes_and_none_twice(topic):
    prefixes = prefixes_of(topic)

    assert len(prefixes) <= len(topic.split(".")) + 1
    assert len(set(prefixes)) == len(prefixes)


@given(dialects, st.data())
def test_whatever_pattern_matches_a_topic_is_under_one_of_its_prefixes(dialect, data):
    topic, pattern = data.draw(topics_of(dialect)), data.draw(patterns_of(dialect))
    assume(Pattern(pattern, dialect).matches(topic))

    assert literal_prefix(pattern, dialect) in prefixes_of(topic, dialect)


@given(dialects, st.data())
def test_each_pattern_is_under_its_prefix_once(dialect, data):
    patterns = data.draw(st.lists(patterns_of(dialect), max_size=8))

    grouped = by_prefix(patterns, dialect)

    assert {(literal_prefix(each, dialect), each) for each in patterns} == {
        (prefix, each) for prefix, found in grouped.items() for each in found
    }
    assert sum(map(len, grouped.values())) == len(set(patterns))


def test_patterns_keep_their_order():
    assert by_prefix(["a.*", "b", "a.**", "a.*"], DOTTED) == {"a": ("a.*", "a.**"), "b": ("b",)}


def test_in_an_open_mesh_a_topic_has_the_key_of_v08():
    assert key_of_prefix("a.b", realm="r", security=Security.OPEN) == open_key("a.b")


def test_in_a_verified_mesh_a_prefix_has_another_key_in_each_realm():
    keys = {key_of_prefix("a.b", realm=realm, security=Security.VERIFIED) for realm in ("r", "s")}

    assert len(keys | {open_key("a.b")}) == 3
