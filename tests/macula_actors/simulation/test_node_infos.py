from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import NodeInfo
from macula_actors.simulation.node_infos import NodeInfos

NODE_ID = NodeId(bytes(32))
CONTACT = Contact(Endpoint("10.0.0.1", 9443), NODE_ID)
INFO = NodeInfo(node_id=NODE_ID, endpoint="10.0.0.1:9443")


def test_a_contact_becomes_an_info_and_back():
    assert NodeInfos().of([CONTACT]) == (INFO,)
    assert NodeInfos().contacts([INFO]) == [CONTACT]


def test_the_same_contact_is_the_same_info_again():
    infos = NodeInfos()

    first, second = infos.of([CONTACT, CONTACT])

    assert first is second
    assert infos.contacts([first])[0] is CONTACT


def test_a_node_said_to_be_elsewhere_is_not_taken_for_where_it_was():
    infos = NodeInfos()
    infos.of([CONTACT])
    moved = NodeInfo(node_id=NODE_ID, endpoint="10.0.0.2:9443")

    assert infos.contacts([moved]) == [Contact(Endpoint("10.0.0.2", 9443), NODE_ID)]
    assert infos.of([CONTACT]) == (INFO,)


def test_a_contact_without_an_address_stays_one():
    infos = NodeInfos().of([Contact(None, NODE_ID)])

    assert NodeInfos().contacts(infos) == [Contact(None, NODE_ID)]


def test_a_contact_without_an_id_is_not_told_of():
    assert NodeInfos().of([Contact(CONTACT.endpoint)]) == ()


def test_an_address_that_cannot_be_read_is_left_out():
    assert NodeInfos().contacts([NodeInfo(node_id=NODE_ID, endpoint="::")]) == []


def test_the_cache_is_emptied_when_it_is_full():
    infos = NodeInfos(max_entries=1)
    infos.of([CONTACT])
    infos.of([Contact(None, NodeId(bytes(31) + b"1"))])

    assert infos.of([CONTACT]) == (INFO,)
    assert len(infos._entries) == 1
