from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.kept import KeptValues
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.pubsub.topic import DOTTED, MQTT
from macula_actors.core.wire.values import pack

OWN, ONE, OTHER = (NodeId.of(name) for name in (b"own", b"one", b"other"))


def an_event(topic, number=1, value="x"):
    return EncodedEvent(topic=topic, payload=pack(value), publisher=OWN, message_id=bytes([number]) * 16, retain=True)


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


def test_no_value_and_a_deleted_one_are_not_kept():
    kept = values(an_event("a.b"), an_event("a.c"), an_event("a.b", 2, value=None))
    kept.delete("a.c")

    assert kept.matching("**") == kept.topics == ()


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
