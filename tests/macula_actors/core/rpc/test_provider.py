import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.identity import Identity
from macula_actors.core.rpc.provider import MAX_GATEWAYS, Provider, advertisement, providers_in

OWNER = Identity.generate()
KEY = NodeId.of(b"key")
HERE = Endpoint("192.0.2.1", 9443)
GATEWAYS = [Contact(Endpoint("gw.example", 4000 + number), NodeId.of(bytes([number]))) for number in range(9)]
NOW_MS = 1_700_000_000_123
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def record_of(payload):
    """Return a record with ``payload`` as another node gets it."""
    sealed = Record.seal(OWNER, KEY, payload, sequence=1, now_ms=NOW_MS, ttl=300)
    return Record.from_value(KEY, sealed.to_value(), security=Security.VERIFIED, now_ms=NOW_MS)


def unsigned(fields):
    """Return a record as v0.8 sends it."""
    return Record.from_value(KEY, {b"ttl": 300, **fields}, security=Security.OPEN, now_ms=NOW_MS)


def test_a_record_tells_where_a_provider_is_and_who_reaches_it():
    payload = advertisement(HERE, GATEWAYS[:2], {"version": "1.2"}, NOW_MS)

    assert providers_in([record_of(payload)], "add") == (
        Provider(
            procedure="add",
            node_id=OWNER.node_id,
            endpoint=HERE,
            gateways=tuple(GATEWAYS[:2]),
            metadata={"version": "1.2"},
            expires_at=NOW_MS + 300_000,
            advertised_at=NOW_MS // 1000 * 1000,
        ),
    )
    assert providers_in([record_of(payload)], "add")[0].contact == Contact(HERE, OWNER.node_id)


def test_v08_finds_the_endpoint_and_the_metadata_under_texts():
    payload = advertisement(HERE, (), {"version": 2}, NOW_MS)

    assert payload == {
        b"endpoint": b"https://192.0.2.1:9443",
        b"metadata": {b"version": 2},
        b"advertised_at": NOW_MS // 1000,
    }


def test_a_provider_that_cannot_be_dialled_names_no_endpoint():
    payload = advertisement(None, GATEWAYS[:1], {}, NOW_MS)

    (provider,) = providers_in([record_of(payload)], "add")

    assert b"endpoint" not in payload
    assert (provider.endpoint, provider.gateways) == (None, tuple(GATEWAYS[:1]))


def test_a_record_names_only_so_many_gateways_and_only_those_that_can_be_dialled_and_known():
    useless = [Contact(HERE), Contact(node_id=KEY)]

    (provider,) = providers_in([record_of(advertisement(HERE, useless + GATEWAYS, {}, NOW_MS))], "add")

    assert provider.gateways == tuple(GATEWAYS[:MAX_GATEWAYS])


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
def test_metadata_arrive_as_they_were_given(metadata):
    (provider,) = providers_in([record_of(advertisement(HERE, (), metadata, NOW_MS))], "add")

    assert provider.metadata == metadata


@pytest.mark.parametrize("endpoint", [b"https://192.0.2.1:9443", b"192.0.2.1:9443", b"192.0.2.1", "192.0.2.1:9443"])
def test_an_endpoint_is_read_in_any_form(endpoint):
    (provider,) = providers_in([record_of({b"endpoint": endpoint})], "add")

    assert provider.endpoint == HERE


def test_a_record_of_v08_is_read():
    node_id = NodeId.of(b"gateway")
    fields = {b"node_id": node_id, b"endpoint": b"https://gw.example:9443", b"metadata": {b"version": b"1"}}

    (provider,) = providers_in([unsigned(fields)], "add")

    assert provider.node_id == node_id
    assert provider.endpoint == Endpoint("gw.example", 9443)
    assert provider.metadata == {"version": b"1"}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "text",
        [],
        {b"endpoint": b""},
        {b"endpoint": b"ftp://192.0.2.1"},
        {b"endpoint": b"192.0.2.1:0"},
        {b"endpoint": b"\xff"},
        {b"endpoint": 7},
        {b"metadata": b"text"},
        {b"metadata": {b"\xff": 1}},
        {b"advertised_at": b"now"},
        {b"gateways": 7},
        {b"gateways": [[KEY, b"192.0.2.1:1"]] * (MAX_GATEWAYS + 1)},
        {b"gateways": [[KEY]]},
        {b"gateways": [[b"short", b"192.0.2.1:1"]]},
        {b"gateways": [[KEY, b"192.0.2.1:0"]]},
        {b"gateways": [[KEY, b"\xff"]]},
        {b"gateways": [b"text"]},
    ],
)
def test_what_cannot_be_read_is_left_out_and_the_others_are_not(payload):
    found = providers_in([record_of(payload), record_of({b"endpoint": HERE.url})], "add")

    assert [provider.endpoint for provider in found] == [HERE]


def test_bytes_that_are_no_payload_are_left_out():
    record = record_of(advertisement(HERE, (), {}, NOW_MS))
    row = record.to_row()

    assert providers_in([Record.from_row((*row[:6], b"\xc1", row[7]))], "add") == ()


@given(VALUES)
def test_no_payload_breaks_the_reader(value):
    fields = {b"endpoint": value, b"gateways": [[value, value]], b"metadata": value}

    assert len(providers_in([record_of(fields)], "add")) <= 1
