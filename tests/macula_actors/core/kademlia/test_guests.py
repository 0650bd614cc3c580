from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.guests import LIFETIME, MOST, Guests
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

TARGET = NodeId(bytes(32))


def contact(number):
    return Contact(Endpoint("192.0.2.1", 1000 + number), NodeId(number.to_bytes(32)))


def guests_of(*numbers, now=0.0):
    guests = Guests()
    for number in numbers:
        guests.heard(contact(number).node_id, contact(number), now)
    return guests


def test_guests_are_told_of_among_others_by_distance():
    assert guests_of(2, 4).among([contact(1), contact(3)], TARGET, 3, 1.0) == [contact(1), contact(2), contact(3)]


def test_who_is_known_otherwise_is_told_of_as_known():
    known = Contact(Endpoint("192.0.2.9", 9), contact(2).node_id)

    assert guests_of(2).among([known], TARGET, 8, 1.0) == [known]


def test_guests_leave_some_time_after_their_last_call():
    guests = guests_of(1)
    guests.heard(contact(1).node_id, contact(1), 10.0)

    assert guests.among([], TARGET, 8, 9.0 + LIFETIME) == [contact(1)]
    assert guests.among([], TARGET, 8, 10.0 + LIFETIME) == []


def test_the_last_ones_are_kept():
    guests = guests_of(*range(MOST + 10))

    assert len(guests) == MOST
    assert guests.among([], TARGET, 1, 1.0) == [contact(10)]


def test_who_left_makes_room():
    guests = guests_of(1, 2)

    guests.heard(contact(3).node_id, contact(3), LIFETIME)

    assert len(guests) == 1
