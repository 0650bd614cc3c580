import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.prefixes import by_prefix, prefixes_of
from macula_actors.core.pubsub.subscribers_cache import Known, Missing, SubscribersCache
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import MQTT, Pattern
from tests.macula_actors.core.pubsub.topics import patterns_of, topics_of

STALE, EXPIRED = 5.0, 60.0  # seconds
FOREVER_MS = 10**15


def node(number):
    return NodeId(bytes(31) + bytes([number]))


def subscriber(number, *patterns, expires_at=FOREVER_MS, **fields):
    return Subscriber(node_id=node(number), patterns=patterns, expires_at=expires_at, **fields)


def a_cache(found=None, *, max_prefixes=10, max_patterns=10, **fields):
    cache = SubscribersCache(
        stale_after=STALE, expire_after=EXPIRED, max_prefixes=max_prefixes, max_patterns=max_patterns, **fields
    )
    for prefix, subscribers in (found or {}).items():
        cache.store(prefix, subscribers, 0.0)
    return cache


def plan(cache, topic="a.b", now=0.0, now_ms=0, **how):
    return cache.plan(topic, now, now_ms, **how)


ALL = subscriber(1, "**")
SOME = subscriber(2, "a.*", "a.**.c")
ONE = subscriber(3, "a.b")
FOUND = {"": [ALL], "a": [SOME], "a.b": [ONE]}


def test_the_subscribers_of_all_prefixes_are_found_without_a_lookup():
    assert plan(a_cache(FOUND)) == Known({node(1): ALL, node(2): SOME, node(3): ONE}, ())


def test_only_those_are_found_of_whom_a_pattern_matches():
    cache = a_cache({**FOUND, "a.x": [], "a.x.c": []})

    assert plan(cache, "a.x.c").subscribers == {node(1): ALL, node(2): SOME}


def test_prefixes_that_were_not_looked_up_are_missing():
    assert plan(a_cache({"a": [SOME]})) == Missing(("", "a.b"), Known({node(2): SOME}, ()))


def test_that_nobody_is_there_is_kept_as_well():
    assert plan(a_cache({"": [], "a": [], "a.b": []})) == Known({}, ())


def test_what_is_stale_is_used_and_looked_up_again():
    cache = a_cache(FOUND)
    cache.store("a", [SOME], 1.0)

    assert plan(cache, now=STALE).subscribers.keys() == {node(1), node(2), node(3)}
    assert plan(cache, now=STALE).refresh == ("", "a.b")
    assert plan(cache, now=STALE + 1).refresh == ("", "a", "a.b")


def test_for_a_strict_plan_what_is_stale_is_missing_though_known_and_looked_up_from_half_of_that_on():
    cache = a_cache(FOUND)
    cache.store("a", [SOME], 1.0)
    known = {node(1): ALL, node(2): SOME, node(3): ONE}

    assert plan(cache, now=STALE / 2 - 0.1, is_strict=True) == Known(known, ())
    assert plan(cache, now=STALE / 2, is_strict=True) == Known(known, ("", "a.b"))
    assert plan(cache, now=STALE, is_strict=True) == Missing(("", "a.b"), Known(known, ("a",)))


def test_what_has_expired_is_missing():
    cache = a_cache(FOUND)
    cache.store("a", [SOME], 1.0)

    assert plan(cache, now=EXPIRED) == Missing(("", "a.b"), Known({node(2): SOME}, ("a",)))
    assert len(cache) == 1


def test_what_has_expired_takes_no_room():
    cache = a_cache(FOUND)
    cache.store("a", [SOME], 1.0)

    assert cache.prune(EXPIRED) == 2
    assert (len(cache), cache.patterns) == (1, 2)


def test_a_subscriber_whose_record_has_expired_is_left_out():
    cache = a_cache({**FOUND, "a": [subscriber(2, "a.*", expires_at=1000)]})

    assert plan(cache, now_ms=999).subscribers.keys() == {node(1), node(2), node(3)}
    assert plan(cache, now_ms=1000).subscribers.keys() == {node(1), node(3)}


def test_a_node_is_found_once_by_what_expires_last():
    early, late = subscriber(1, "**", expires_at=1), subscriber(1, "a.*", expires_at=3)
    middle = subscriber(1, "a.b", expires_at=2)

    assert plan(a_cache({"": [early], "a": [late], "a.b": [middle]})).subscribers == {node(1): late}


def test_of_two_records_of_a_node_under_one_prefix_the_one_that_expires_last_counts():
    late, early = subscriber(1, "a.*", expires_at=3), subscriber(1, "a.**", expires_at=2)
    cache = a_cache({"": [], "a": [late, early], "a.b": []})

    assert plan(cache).subscribers == {node(1): late}
    assert cache.patterns == 1


def test_a_prefix_that_is_invalidated_is_looked_up_again():
    cache = a_cache(FOUND)

    assert cache.invalidate("a")
    assert not cache.invalidate("a")
    assert plan(cache) == Missing(("a",), Known({node(1): ALL, node(3): ONE}, ()))


def test_it_is_known_whether_a_node_is_cached_with_some_patterns():
    cache = a_cache(FOUND)

    assert cache.has("a", node(2), ["a.*"])
    assert not cache.has("a", node(2), ["a.*", "a.x"])
    assert not cache.has("a", node(1), ["a.*"])
    assert not cache.has("b", node(2), ["a.*"])


def test_who_has_unsubscribed_is_found_by_what_it_has_left():
    cache = a_cache(FOUND)

    cache.unsubscribed("a", node(2), ["a.*"])

    assert plan(cache).subscribers.keys() == {node(1), node(3)}
    assert plan(cache, "a.b.c").known.subscribers[node(2)].patterns == ("a.**.c",)
    assert cache.patterns == 3
    cache.unsubscribed("a", node(2), ["a.**.c"])
    assert cache.patterns == 2
    assert isinstance(plan(cache), Known)


def test_what_is_left_of_wider_patterns_is_looked_up():
    cache = a_cache(FOUND)

    cache.unsubscribed("a", node(2), ["a.x"])
    cache.unsubscribed("a.b", node(9), ["a.b"])
    cache.unsubscribed("b", node(2), ["b"])

    assert plan(cache).prefixes == ("a",)


def test_a_node_that_is_forgotten_is_found_nowhere():
    cache = a_cache({**FOUND, "a.b": [ONE, subscriber(2, "a.b")]})

    assert cache.forget_node(node(2)) == 2
    assert cache.forget_node(node(2)) == 0
    assert plan(cache).subscribers.keys() == {node(1), node(3)}
    assert cache.patterns == 2


def test_the_prefix_that_was_used_longest_ago_makes_room():
    cache = a_cache({"": [ALL], "a": [SOME]}, max_prefixes=2)
    plan(cache, "x")

    cache.store("x", [], 0.0)

    assert plan(cache, "x") == Known({node(1): ALL}, ())
    assert len(cache) == 2


def test_of_too_many_patterns_those_of_the_prefix_used_longest_ago_make_room():
    cache = a_cache({"": [ALL], "a": [SOME], "a.b": [ONE]}, max_patterns=3)

    assert plan(cache) == Missing(("",), Known({node(2): SOME, node(3): ONE}, ()))
    assert cache.patterns == 3


def test_of_a_prefix_with_too_many_patterns_the_last_subscribers_are_left_out():
    found = [subscriber(1, "a.*", "a.**"), subscriber(2, "a.*", "a.**"), subscriber(3, "a.*")]
    cache = a_cache({"": [], "a": found, "a.b": []}, max_patterns=3)

    assert plan(cache).subscribers.keys() == {node(1), node(3)}
    assert cache.left_out == 1


def test_a_subscriber_with_another_dialect_is_found():
    cache = a_cache({"": [], "a": [subscriber(1, "a/+", dialect=MQTT)], "a/b": []}, dialect=MQTT)

    assert plan(cache, "a/b").subscribers.keys() == {node(1)}


@given(st.data())
def test_whoever_has_subscribed_to_a_topic_is_found_through_its_prefixes(data):
    subscribed = data.draw(st.lists(st.lists(patterns_of(), min_size=1, max_size=3), max_size=5))
    topic = data.draw(topics_of())
    cache = a_cache(max_prefixes=100, max_patterns=100)
    grouped = [by_prefix(patterns) for patterns in subscribed]
    for prefix in prefixes_of(topic):
        here = [subscriber(number, *each[prefix]) for number, each in enumerate(grouped) if prefix in each]
        cache.store(prefix, here, 0.0)

    assert plan(cache, topic).subscribers.keys() == {
        node(number)
        for number, patterns in enumerate(subscribed)
        if any(Pattern(pattern).matches(topic) for pattern in patterns)
    }


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "a.b"]), st.integers(0, 4), st.booleans()), max_size=40))
def test_no_bound_is_passed_and_the_patterns_are_those_of_what_is_there(steps):
    cache = a_cache(max_prefixes=2, max_patterns=4)
    for prefix, count, is_forgotten in steps:
        cache.store(prefix, [subscriber(number, f"{prefix}.{number}", "**") for number in range(count)], 0.0)
        cache.forget_node(node(count * is_forgotten))
        assert len(cache) <= 2
        assert 0 <= cache.patterns <= 4

    cache.prune(EXPIRED)
    assert (len(cache), cache.patterns) == (0, 0)


@pytest.mark.parametrize("topic", ["a", "a.b", "a.b.c.d"])
def test_a_topic_is_looked_up_at_most_once_more_than_it_has_segments(topic):
    assert len(plan(a_cache(), topic).prefixes) == len(topic.split(".")) + 1
