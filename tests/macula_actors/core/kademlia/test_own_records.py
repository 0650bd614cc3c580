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
OTHER = Identity.from_seed(bytes([1]) * 32)
KEY = NodeId.of(b"key")
NOW_MS = 1_700_000_000_000
SETTINGS = RepublishSettings(jitter=0.001)
MOST = 100
RNG = Random(0)


def ms(now):
    return NOW_MS + int(1000 * now)


def records(published=None, limits=None, now=0.0, store=None):
    store = store or RecordStore(IDENTITY.node_id, limits)
    return OwnRecords(IDENTITY, store, {} if published is None else published, SETTINGS, now), store


def due_at(own, now=0.0):
    return own.next_due(now, ms(now))


def publish(own, now=0.0, payload=1, ttl=60, key=KEY):
    record = own.seal(key, payload, ttl, ms(now))
    own.publish(record, now, ms(now), RNG)
    return record


def test_a_sealed_record_replaces_the_one_before():
    own, store = records()
    first = own.seal(KEY, 1, 60, NOW_MS)
    second = own.seal(KEY, 2, 60, NOW_MS)

    assert second.sequence == first.sequence + 1
    assert store.get(KEY, NOW_MS) == (second,)
    assert due_at(own) == inf


def test_what_is_published_is_due_soon_again_and_later_if_somebody_took_it():
    own, _ = records()
    publish(own)
    assert due_at(own) == pytest.approx(5.0, abs=0.1)
    own.stored(KEY, 0.0, ms(0.0), RNG)

    assert due_at(own) == pytest.approx(20.0, abs=0.1)
    assert own.due(19.0, ms(19.0), RNG, MOST) == []
    (again,) = own.due(21.0, ms(21.0), RNG, MOST)
    assert (again.payload, again.expires_at) == (1, ms(81.0))


def test_what_is_published_outlives_its_keeper():
    published = {}
    own, store = records(published)
    publish(own)
    again, _ = records(published, now=7.0, store=store)

    assert len(again) == 1
    assert [record.payload for record in again.due(7.0, ms(7.0), RNG, MOST)] == [1]


def test_a_tombstone_is_published_as_it_is_until_it_expires():
    own, store = records()
    publish(own)
    tombstone = own.delete(KEY, 1.0, ms(1.0), RNG)
    own.stored(KEY, 1.0, ms(1.0), RNG)

    assert store.get(KEY, ms(1.0)) == ()
    assert own.due(500.0, ms(500.0), RNG, MOST) == [tombstone]
    assert own.due(5000.0, ms(5000.0), RNG, MOST) == []
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
    assert due_at(own) == inf
    assert store.get(KEY, NOW_MS) == ()


@pytest.mark.parametrize(("now", "kept_at_first"), [(1.0, 1), (100.0, 0)])
def test_a_record_from_disk_is_due_at_once_and_sealed_anew(now, kept_at_first):
    source, _ = records()
    record = publish(source)
    own, store = records()
    own.restore(record, now, ms(now))
    assert own.next_due(now, ms(now)) == now
    assert len(store.get(KEY, ms(now))) == kept_at_first

    (again,) = own.due(now, ms(now), RNG, MOST)
    assert (again.payload, again.sequence, again.expires_at) == (1, ms(now), ms(now + 60))
    assert store.get(KEY, ms(now)) == (again,)


def test_a_record_from_disk_takes_the_place_of_no_newer_one_and_of_no_other_owner_s():
    source, _ = records()
    record = publish(source)
    other = OwnRecords(OTHER, RecordStore(OTHER.node_id), {}, SETTINGS, 0.0)
    own, store = records()
    newer = publish(own, payload=2)
    own.restore(record, 1.0, ms(1.0))
    other.restore(record, 1.0, ms(1.0))

    assert store.get(KEY, ms(1.0)) == (newer,)
    assert len(other) == 0


def test_what_is_published_is_sealed_anew_though_it_has_expired_at_home():
    own, store = records()
    publish(own, ttl=10)
    store.expire(ms(50.0))
    assert store.get(KEY, ms(50.0)) == ()

    assert [record.payload for record in own.due(50.0, ms(50.0), RNG, MOST)] == [1]
    assert [record.payload for record in store.get(KEY, ms(50.0))] == [1]


def test_what_expires_by_a_wall_clock_that_jumps_is_due_by_it():
    own, _ = records()
    publish(own, ttl=300)
    own.stored(KEY, 0.0, ms(0.0), RNG)
    assert own.next_due(1.0, ms(1.0)) == pytest.approx(100.0, abs=0.2)

    assert own.next_due(1.0, ms(401.0)) <= 1.0
    assert [record.expires_at for record in own.due(1.0, ms(401.0), RNG, MOST)] == [ms(701.0)]


def test_what_has_expired_can_still_be_deleted():
    own, store = records()
    publish(own, ttl=10)
    store.expire(ms(50.0))
    tombstone = own.delete(KEY, 50.0, ms(50.0), RNG)

    assert tombstone.is_tombstone
    assert own.due(100.0, ms(100.0), RNG, MOST) == [tombstone]


def test_none_is_no_value_of_a_record():
    own, _ = records()

    with pytest.raises(LocalProtocolError, match="delete"):
        own.seal(KEY, None, 60, NOW_MS)


def test_so_many_are_published_and_no_more():
    own = OwnRecords(IDENTITY, RecordStore(IDENTITY.node_id), {}, SETTINGS, 0.0, most=1)
    publish(own)
    publish(own, payload=2)

    with pytest.raises(OverloadedError):
        own.seal(NodeId.of(b"other"), 1, 60, NOW_MS)


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
