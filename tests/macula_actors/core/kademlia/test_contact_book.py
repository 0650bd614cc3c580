from random import Random

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.bucket_decisions import Added, Evicted, Ping, Updated
from macula_actors.core.kademlia.contact_book import ContactBook
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable, SavedContact
from macula_actors.core.peer.contact import Contact

OWN = NodeId(bytes(32))
LIMITS = BucketLimits(k=2, max_failures=1)


def contact(number):
    """Return a contact; all are in the same bucket."""
    return Contact(Endpoint("127.0.0.1", number), NodeId(b"\xff" + bytes(30) + bytes([number])))


def a_book(saved, now=0.0, max_former=2):
    return ContactBook(RoutingTable(OWN, LIMITS), saved, max_former=max_former, now=now)


@pytest.fixture
def saved():
    return {}


@pytest.fixture
def book(saved):
    return a_book(saved)


def test_another_book_over_the_same_mapping_has_the_same_contacts(book, saved):
    assert book.seen(contact(1), 1.0) == Added()
    book.seen(contact(2), 2.0)
    book.seen(contact(1), 3.0)
    again = a_book(saved, now=10.0)

    assert list(again.table) == list(book.table) == [contact(2), contact(1)]
    assert len(again) == 2
    assert again.snapshot(10.0) == (SavedContact(contact(1), 7.0), SavedContact(contact(2), 8.0))


def test_the_mapping_follows_evictions_promotions_and_removals(book, saved):
    for number in (1, 2, 3):
        book.seen(contact(number), float(number))
    assert set(saved) == {contact(1).node_id, contact(2).node_id}

    assert book.failed(contact(1).node_id, 4.0) == Evicted(contact(1), contact(3))
    assert set(saved) == {contact(2).node_id, contact(3).node_id}
    book.remove(contact(2).node_id, 5.0)
    assert set(saved) == {contact(3).node_id}
    assert book.remove(contact(2).node_id, 5.0) is None


def test_one_that_comes_without_an_endpoint_keeps_the_one_it_had(book, saved):
    book.seen(contact(1), 1.0)
    book.seen(Contact(None, contact(1).node_id), 2.0)

    assert list(a_book(saved).table) == [contact(1)]


def test_what_does_not_fit_into_the_limits_any_more_is_dropped(saved):
    wide = ContactBook(RoutingTable(OWN), saved, max_former=2, now=0.0)
    for number in (1, 2, 3):
        wide.seen(contact(number), 0.0)
    a_book(saved)

    assert len(saved) == 2


def test_the_evicted_are_remembered_until_they_are_seen_again_removed_or_too_many(book):
    for number in (1, 2):
        book.seen(contact(number), 0.0)
        book.failed(contact(number).node_id, 1.0)
    assert sorted(book.former(5, Random(0)), key=str) == [contact(1), contact(2)]
    assert len(book.former(1, Random(0))) == 1

    book.seen(contact(1), 2.0)
    assert book.former(5, Random(0)) == [contact(2)]
    book.remember([contact(1), contact(3), contact(4)])
    assert sorted(book.former(5, Random(0)), key=str) == [contact(3), contact(4)]
    book.remove(contact(3).node_id, 3.0)
    assert book.former(5, Random(0)) == [contact(4)]
    assert book.has_former


def test_those_of_an_earlier_life_are_asked_first_until_each_was_asked_seen_or_removed(book):
    book.seen(contact(1), 0.0)
    book.failed(contact(1).node_id, 1.0)
    book.remember([contact(2)])
    assert book.former(5, Random(0)) == [contact(2)]
    book.asked(contact(2).node_id)

    assert not book.has_unasked
    assert sorted(book.former(5, Random(0)), key=str) == [contact(1), contact(2)]
    book.remember([contact(3), contact(4)])
    assert book.former(1, Random(0)) == [contact(3)]
    book.seen(contact(3), 2.0)
    book.remove(contact(4).node_id, 2.0)
    assert not book.has_unasked


def test_hearsay_is_for_a_ping(book):
    assert book.heard_of(contact(1)) == Ping(contact(1))
    assert len(book) == 0


def test_who_is_seen_again_at_once_is_not_noted_down_again(book, saved):
    book.seen(contact(1), 1.0)
    assert book.seen(contact(1), 1.5) == Updated()
    assert saved[contact(1).node_id].seen_at == 1.0
    book.seen(contact(1), 2.0)

    assert saved[contact(1).node_id].seen_at == 2.0
