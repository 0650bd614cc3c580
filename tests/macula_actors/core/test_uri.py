import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.uri import NodeUri

NODE = NodeId(bytes(range(32)))
realms = st.from_regex(r"[a-zA-Z0-9_-]{1,9}(\.[a-zA-Z0-9_-]{1,9}){0,5}", fullmatch=True)
node_ids = st.binary(min_size=32, max_size=32).map(NodeId)


@given(realms, node_ids)
def test_a_uri_is_read_from_the_text_it_is_shown_as(realm, node_id):
    uri = NodeUri(realm, node_id)

    assert NodeUri.parse(str(uri)) == uri


def test_a_uri_names_realm_and_node():
    uri = NodeUri.parse(f"macula://com.example/{NODE}")

    assert uri == NodeUri("com.example", NODE)
    assert str(uri) == f"macula://com.example/{NODE}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "macula://",
        f"http://r/{NODE}",
        f"macula:///{NODE}",
        f"macula://r//{NODE}",
        f"macula://r/{NODE}/",
        f" macula://r/{NODE}",
    ],
)
def test_what_is_not_written_as_a_uri_is_refused(text):
    with pytest.raises(ValueError, match="macula://REALM/NODE-ID"):
        NodeUri.parse(text)


@pytest.mark.parametrize("node_id", ["00", "z" * 64, "00" * 33])
def test_a_uri_without_a_node_id_is_refused(node_id):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        NodeUri.parse(f"macula://r/{node_id}")


@pytest.mark.parametrize("realm", ["a b", "a..b", "*"])
def test_a_uri_of_no_realm_is_neither_made_nor_read(realm):
    with pytest.raises(ValueError, match="realm"):
        NodeUri(realm, NODE)
    with pytest.raises(ValueError, match="realm"):
        NodeUri.parse(f"macula://{realm}/{NODE}")
