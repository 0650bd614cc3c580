import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.identity import Identity
from macula_actors.core.pubsub.prefixes import key_of_prefix, literal_prefix
from macula_actors.core.pubsub.subscription import Subscriber, subscribers_in, subscription
from macula_actors.core.pubsub.topic import DOTTED, MQTT, Dialect, Pattern
from macula_actors.core.rpc.provider import advertisement
from tests.macula_actors.core.pubsub.topics import dialects, patterns_of

OWNER = Identity.generate()
HERE = Endpoint("192.0.2.1", 9443)
GATEWAY = Contact(Endpoint("gw.example", 4000), NodeId.of(b"gateway"))
NOW_MS = 1_700_000_000_123


def record_of(payload, prefix="a"):
    """Return a record with ``payload`` as another node gets it."""
    key = key_of_prefix(prefix, realm="r", security=Security.VERIFIED)
    sealed = Record.seal(OWNER, key, payload, sequence=1, now_ms=NOW_MS, ttl=300)
    return Record.from_value(key, sealed.to_value(), security=Security.VERIFIED, now_ms=NOW_MS)


def payload_of(*patterns, endpoint=HERE, gateways=(), dialect=DOTTED):
    return subscription(patterns, endpoint=endpoint, gateways=gateways, now_ms=NOW_MS, dialect=dialect)


def test_a_record_tells_who_has_subscribed_to_what_and_how_to_reach_it():
    payload = payload_of("a.*", "a.**.c", gateways=[GATEWAY])

    assert subscribers_in([record_of(payload)], "a") == (
        Subscriber(
            node_id=OWNER.node_id,
            patterns=("a.*", "a.**.c"),
            endpoint=HERE,
            gateways=(GATEWAY,),
            expires_at=NOW_MS + 300_000,
            since=NOW_MS // 1000 * 1000,
        ),
    )
    assert subscribers_in([record_of(payload)], "a")[0].contact == Contact(HERE, OWNER.node_id)


def test_v08_finds_the_endpoint():
    assert payload_of("a.*")[b"endpoint"] == b"https://192.0.2.1:9443"


def test_a_subscriber_that_cannot_be_dialled_is_one():
    (found,) = subscribers_in([record_of(payload_of("a.*", endpoint=None, gateways=[GATEWAY]))], "a")

    assert (found.endpoint, found.gateways) == (None, (GATEWAY,))


@given(dialects, st.data())
def test_patterns_arrive_as_they_were_written(dialect, data):
    pattern = data.draw(patterns_of(dialect).filter(len))
    prefix = literal_prefix(pattern, dialect)

    (found,) = subscribers_in([record_of(payload_of(pattern, dialect=dialect), prefix)], prefix)

    assert (found.patterns, found.dialect) == ((pattern,), dialect)


def test_the_usual_dialect_takes_no_room():
    assert b"dialect" not in payload_of("a.*")
    assert payload_of("a/+", dialect=MQTT)[b"dialect"] == [b"/", b"+", b"#"]


def test_patterns_that_do_not_fit_become_wider():
    patterns = [f"a.*.{'x' * 200}.{number}" for number in range(100)]

    (found,) = subscribers_in([record_of(payload_of(*patterns))], "a")

    assert found.patterns == (f"a.*.{'x' * 200}.**",)
    assert all(Pattern(found.patterns[0]).matches(each.replace("*", "y")) for each in patterns)


@pytest.mark.parametrize("count", [1, 10, 38, 39, 40, 1000, 5000])
def test_a_record_of_any_number_of_patterns_can_be_sealed(count):
    payload = payload_of(*(f"a.*.{number:0192}" for number in range(count)), gateways=[GATEWAY] * 9)

    assert subscribers_in([record_of(payload)], "a")


@pytest.mark.parametrize("patterns", [[], ["a.*", "b.*"]])
def test_a_record_has_the_patterns_of_one_prefix(patterns):
    with pytest.raises(ValueError, match="a record has those of one"):
        payload_of(*patterns)


def test_a_pattern_that_no_record_could_carry_is_refused():
    with pytest.raises(ValueError, match="there is room for"):
        payload_of("a" * 8000)


def test_a_record_of_v08_is_a_subscription_to_the_topic_that_it_is_under():
    value = {b"node_id": NodeId.of(b"gateway"), b"endpoint": b"https://gw.example:9443", b"ttl": 300}
    record = Record.from_value(NodeId.of(b"a.b"), value, security=Security.OPEN, now_ms=NOW_MS)

    (found,) = subscribers_in([record], "a.b")

    assert (found.node_id, found.patterns) == (NodeId.of(b"gateway"), ("a.b",))
    assert subscribers_in([record], "") == ()


def test_a_provider_that_is_under_the_same_key_is_no_subscriber():
    assert subscribers_in([record_of(advertisement(HERE, (), {}, NOW_MS))], "a") == ()


def test_patterns_of_another_prefix_are_left_out():
    record = record_of({b"patterns": [b"b.*", b"a.*", b"a.*", b"**"]})

    assert [each.patterns for each in subscribers_in([record], "a")] == [("a.*",)]
    assert subscribers_in([record], "c") == ()


@pytest.mark.parametrize(
    "fields",
    [
        {b"patterns": 7},
        {b"patterns": []},
        {b"patterns": [b"\xff"]},
        {b"patterns": [b"a.*", 7]},
        {b"patterns": [b""]},
        {b"patterns": [b"a." + b"x" * 1024]},
        {b"patterns": [b"a.*"], b"dialect": 7},
        {b"patterns": [b"a.*"], b"dialect": [b".", b"*"]},
        {b"patterns": [b"a.*"], b"dialect": [b"..", b"*", b"**"]},
        {b"patterns": [b"a.*"], b"dialect": [b".", b"*", b"*"]},
        {b"patterns": [b"a.*"], b"endpoint": b"192.0.2.1:0"},
        {b"patterns": [b"a.*"], b"gateways": 7},
    ],
)
def test_what_cannot_be_read_is_left_out_and_the_others_are_not(fields):
    found = subscribers_in([record_of(fields), record_of(payload_of("a.*"))], "a")

    assert [each.endpoint for each in found] == [HERE]


def test_a_record_that_is_deleted_or_broken_is_left_out():
    record = record_of(payload_of("a.*"))
    row = record.to_row()
    broken = [record.tombstone(OWNER, now_ms=NOW_MS), Record.from_row((*row[:6], b"\xc1", row[7]))]

    assert subscribers_in(broken, "a") == ()


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=4) | st.binary(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=2), inner, max_size=2),
        max_leaves=6,
    )
)
def test_no_payload_breaks_the_reader(value):
    record = record_of({b"patterns": value, b"dialect": value, b"endpoint": value})

    assert len(subscribers_in([record], "a")) <= 1


def test_a_dialect_of_one_text_in_another_type_is_read():
    record = record_of({b"patterns": ["a/+"], b"dialect": ["/", "+", "#"]})

    assert subscribers_in([record], "a")[0].dialect == Dialect("/", "+", "#")
