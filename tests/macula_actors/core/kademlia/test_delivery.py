from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.delivery import Delivery
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

CONTACTS = [Contact(Endpoint("10.0.0.1", port), NodeId.of(bytes([port]))) for port in (1, 2, 3)]
RECORDS = ["a record", "another"]


def test_each_record_goes_to_each_contact_and_a_bounded_number_at_once():
    delivery = Delivery(CONTACTS, RECORDS, 4)
    first = delivery.next()
    assert delivery.next() == []
    delivery.taken(first[0][0])
    delivery.lost()
    second = delivery.next()

    assert (len(first), len(second)) == (4, 2)
    assert set(first + second) == {(contact, record) for contact in CONTACTS for record in RECORDS}


def test_it_is_done_when_all_that_was_sent_was_taken_or_lost():
    delivery = Delivery(CONTACTS[:2], RECORDS[:1], 4)
    assert not delivery.is_done
    delivery.next()
    delivery.taken(CONTACTS[0])
    assert not delivery.is_done
    delivery.lost()

    assert delivery.is_done
    assert delivery.takers == {CONTACTS[0].node_id}


def test_nothing_to_deliver_is_done():
    assert Delivery([], RECORDS, 4).is_done
