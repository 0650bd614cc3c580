from math import inf

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.gathering import Gathering


def an_event(topic, number=1):
    return EncodedEvent(topic=topic, payload=b"x", publisher=NodeId.of(b"own"), message_id=bytes([number]) * 16)


def gathering(max_topics=10):
    return Gathering(patience=1.0, max_topics=max_topics)


def test_a_value_waits_for_as_long_as_the_first_one_of_its_topic_may_and_the_last_one_counts():
    waiting = gathering()
    waiting.put(an_event("a", 1), 0.0)
    waiting.put(an_event("b", 2), 0.5)
    waiting.put(an_event("a", 3), 0.9)

    assert waiting.next_due() == 1.0
    assert waiting.due(0.9) == ()
    assert waiting.due(1.0) == (an_event("a", 3),)
    assert ("a" in waiting, "b" in waiting, waiting.next_due()) == (False, True, 1.5)


def test_what_is_deleted_does_not_come():
    waiting = gathering()
    waiting.put(an_event("a"), 0.0)

    waiting.delete("a")
    waiting.delete("a")

    assert (waiting.due(9.0), waiting.next_due()) == ((), inf)


def test_the_one_that_has_waited_longest_makes_room_at_once():
    waiting = gathering(max_topics=1)
    waiting.put(an_event("a"), 5.0)
    waiting.put(an_event("b"), 5.0)

    assert waiting.next_due() < 5.0
    assert waiting.due(5.0) == (an_event("a"),)
    assert waiting.next_due() == 6.0
