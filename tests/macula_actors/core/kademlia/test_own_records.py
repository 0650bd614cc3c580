from math import inf
from random import Random

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.own_records import OwnRecords
from macula_actors.core.kademlia.record_store import RecordLimits, RecordStore
from macula_actors.core.kademlia.republish import RepublishSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import LocalProtocolError, OverloadedError, RefusedError

IDENTITY = Identity.from_seed(bytes(32))
KEY = NodeId.of(b"key")
NOW_MS = 1_700_000_000_000
SETTINGS = RepublishSettings(jitter=0.001, max_batch=2)
RNG = Random(0)


def ms(now):
    return NOW_MS + int(1000 * now)


def records(published=None, limits=None, now=0.0, store=None):
    store = store or RecordStore(IDENTITY.node_id, limits)
    return OwnRecords(IDENTITY, store, {} if published is None else published, SETTINGS, now), store


def publish(own, now=0.0, payload=1, ttl=60, key=KEY):
    record = own.seal(key, payload, ttl, ms(now))
    own.publish(record, now, RNG)
    return record


def test_a_sealed_record_replaces_the_one_before():
    own, store = records()
    first = own.seal(KEY, 1, 60, NOW_MS)
    second = own.seal(KEY, 2, 60, NOW_MS)

    assert second.sequence == first.sequence + 1
    assert store.get(KEY, NOW_MS) == (second,)
    assert own.next_due() == inf


def test_what_is_published_is_due_soon_again_and_later_if_somebody_took_it():
    own, _ = records()
    publish(own)
    assert own.next_due() == pytest.approx(5.0, abs=0.1)
    own.stored(KEY, 0.0, RNG)

    assert own.next_due() == pytest.approx(20.0, abs=0.1)
    assert own.due(19.0, ms(19.0), RNG) == []
    (again,) = own.due(21.0, ms(21.0), RNG)
    assert (again.payload, again.expires_at) == (1, ms(81.0))


def test_a_batch_is_due_at_once():
    own, _ = records()
    for number in range(3):
        publish(own, key=NodeId.of(bytes([number])))

    assert len(own.due(10.0, ms(10.0), RNG)) == 2
    assert len(own.due(10.0, ms(10.0), RNG)) == 1


def test_what_is_published_outlives_its_keeper():
    published = {}
    own, store = records(published)
    publish(own)
    again, _ = records(published, now=7.0, store=store)

    assert len(again) == 1
    assert [record.payload for record in again.due(7.0, ms(7.0), RNG)] == [1]


def test_a_tombstone_is_published_as_it_is_until_it_expires():
    own, store = records()
    publish(own)
    tombstone = own.delete(KEY, 1.0, ms(1.0), RNG)
    own.stored(KEY, 1.0, RNG)

    assert store.get(KEY, ms(1.0)) == ()
    assert own.due(500.0, ms(500.0), RNG) == [tombstone]
    assert own.due(5000.0, ms(5000.0), RNG) == []
    assert len(own) == 0
    assert own.delete(KEY, 5000.0, ms(5000.0), RNG) is None


def test_what_is_deleted_already_is_not_deleted_again():
    own, _ = records()
    publish(own)
    own.delete(KEY, 1.0, ms(1.0), RNG)

    assert own.delete(KEY, 2.0, ms(2.0), RNG) is None


def test_what_is_withdrawn_is_not_due():
    own, store = records()
    publish(own)

    assert own.withdraw(KEY)
    assert not own.withdraw(KEY)
    assert own.next_due() == inf
    assert store.get(KEY, NOW_MS) == ()


def test_a_record_from_disk_is_due_at_once_and_sealed_anew_if_it_has_expired():
    source, _ = records()
    record = publish(source)
    for now, sequence in ((1.0, record.sequence), (100.0, ms(100.0))):
        own, store = records()
        own.restore(record, now, ms(now))
        assert own.next_due() == now
        (kept,) = store.get(KEY, ms(now))
        assert (kept.payload, kept.sequence) == (1, sequence)


def test_a_tombstone_from_disk_that_has_expired_is_forgotten():
    source, _ = records()
    publish(source)
    tombstone = source.delete(KEY, 1.0, ms(1.0), RNG)
    own, store = records()
    own.restore(tombstone, 9000.0, ms(9000.0))

    assert (len(own), store.keys()) == (0, ())


def test_what_does_not_fit_is_refused():
    own, _ = records(limits=RecordLimits(max_records=1))
    own.seal(KEY, 1, 60, NOW_MS)
    with pytest.raises(OverloadedError):
        own.seal(NodeId.of(b"other"), 1, 60, NOW_MS)
    small, _ = records(limits=RecordLimits(max_record_bytes=100))
    with pytest.raises(RefusedError):
        small.seal(KEY, 1, 60, NOW_MS)
    with pytest.raises(LocalProtocolError):
        own.seal(KEY, object(), 60, NOW_MS)
