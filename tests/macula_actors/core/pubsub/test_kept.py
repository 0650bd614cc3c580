from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.kept import MAX_GIVEN, KeptValues
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import DOTTED, MQTT
from macula_actors.core.wire.values import pack

OWN, ONE, OTHER = (NodeId.of(name) for name in (b"own", b"one", b"other"))


def an_event(topic, number=1, value="x", at=None):
    return EncodedEvent(
        topic=topic,
        payload=pack(value),
        publisher=OWN,
        message_id=bytes([number]) * 16,
        retain=True,
        published_at=number if at is None else at,
    )


def values(*events, dialect=DOTTED):
    kept = KeptValues(max_topics=10, max_bytes=1000, dialect=dialect)
    for event in events:
        kept.put(event)
    return kept


def subscriber(*patterns, node_id=ONE, dialect=DOTTED):
    return Subscriber(node_id=node_id, patterns=patterns, dialect=dialect)


def test_the_last_value_of_each_topic_is_kept():
    first, second, third = an_event("a.b", 1), an_event("a.c", 2), an_event("a.b", 3)
    kept = values(first, second, third)

    assert kept.matching("a.*") == (second, third)
    assert (kept.topics, len(kept)) == (("a.c", "a.b"), 2)


def test_the_value_that_was_published_last_is_kept_in_whatever_order_they_come():
    old, new = an_event("a", 9, at=1), an_event("a", 2, at=2)
    kept = values()

    assert [kept.put(each) for each in (new, old, new)] == [True, False, False]
    assert kept.matching("a") == (kept.get("a"),) == (new,)


def test_of_two_values_of_one_instant_all_nodes_keep_the_same():
    one, other = an_event("a", 1, at=7), an_event("a", 2, at=7)

    assert values(one, other).get("a") == values(other, one).get("a") == other


def test_that_there_is_no_value_any_more_is_known_and_given_to_other_nodes_but_to_no_subscriber():
    old, none = an_event("a.b", 1), an_event("a.b", 2, value=None)
    kept = values(none, old)

    assert (kept.get("a.b"), kept.matching("**")) == (none, ())
    assert kept.missing_at(subscriber("a.*")) == (none,)
    assert kept.has_match(["a.*"])
    assert not kept.has_match(["b.*"])


def test_that_there_is_no_value_is_forgotten_in_time_and_a_value_is_not():
    kept = values(an_event("a", at=1), an_event("b", at=1, value=None), an_event("c", at=2, value=None))

    kept.prune(before=2)

    assert kept.topics == ("a", "c")


def test_a_deleted_value_is_not_kept():
    kept = values(an_event("a"))

    kept.delete("a")

    assert (kept.get("a"), kept.topics, kept.matching("**")) == (None, (), ())


def test_only_so_many_nodes_are_remembered_for_a_value():
    event = an_event("a")
    kept = values(event)
    nodes = [NodeId.of(number.to_bytes(2)) for number in range(MAX_GIVEN + 10)]

    kept.note_given(event, nodes)

    assert sum(not kept.missing_at(subscriber("a", node_id=each)) for each in nodes) == MAX_GIVEN


def test_a_subscriber_misses_what_it_wants_until_it_is_given_each_once():
    first, second = an_event("a.b", 1), an_event("a.c", 2)
    kept = values(first, second, an_event("b", 3))
    wanting = subscriber("a.*", "a.b", "a.**")

    assert kept.missing_at(wanting) == (first, second)
    kept.note_given(first, (ONE, OTHER))
    assert kept.missing_at(wanting) == (second,)
    assert kept.missing_at(subscriber("b", "a.*", node_id=OTHER)) == (an_event("b", 3), second)


def test_a_new_value_has_been_given_to_nobody_whatever_becomes_of_the_one_before():
    old, new = an_event("a", 1), an_event("a", 2)
    kept = values(old, new)

    kept.note_given(old, (ONE,))

    assert kept.missing_at(subscriber("a")) == (new,)


def test_what_was_not_given_after_all_is_missing_again():
    first, second = an_event("a.b", 1), an_event("a.c", 2)
    kept = values(first, second)
    for event in (first, second):
        kept.note_given(event, (ONE,))

    kept.forget_given(ONE, second.message_id)
    assert kept.missing_at(subscriber("a.*")) == (second,)
    kept.forget_all_given(ONE, ("a.b",))
    assert kept.missing_at(subscriber("a.*")) == (first, second)


def test_patterns_are_read_as_who_has_written_them_says():
    event = an_event("a/b")
    kept = values(event, dialect=MQTT)

    assert kept.matching("a/+") == kept.missing_at(subscriber("a/+", dialect=MQTT)) == (event,)
    assert kept.missing_at(subscriber("a/+", dialect=DOTTED)) == ()


def test_a_node_that_keeps_nothing_forgets_nothing():
    kept = values()

    kept.forget_given(ONE, bytes(16))
    kept.note_given(an_event("a"), (ONE,))

    assert len(kept) == 0
