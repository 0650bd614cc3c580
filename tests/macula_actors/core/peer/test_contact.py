import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

HERE = Endpoint("127.0.0.1", 9443)
NODE = NodeId(bytes.fromhex("0badcafe") + bytes(28))


@pytest.mark.parametrize(
    ("contact", "key", "text"),
    [
        (Contact(HERE), HERE, "127.0.0.1:9443"),
        (Contact(node_id=NODE), NODE, "0badcafe"),
        (Contact(HERE, NODE), NODE, "0badcafe@127.0.0.1:9443"),
    ],
)
def test_a_contact_is_known_by_its_node_id_else_its_endpoint_and_shown_short(contact, key, text):
    assert (contact.key, str(contact)) == (key, text)


def test_a_contact_is_of_something():
    with pytest.raises(ValueError, match="an endpoint, a node id or both"):
        Contact()
