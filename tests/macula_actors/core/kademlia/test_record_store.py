import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from macula_actors.config import ServiceConfig
from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_decisions import Ignored, RecordRefusal, Refreshed, Refused, Stored
from macula_actors.core.kademlia.record_store import RecordLimits, RecordStats, RecordStore
from macula_actors.core.peer.handshake import Security
from tests.macula_actors.core.kademlia.records import KEY, KEYS, NOW, OWNERS, sealed

OWN = OWNERS[5].node_id
FORGED = bytes(64)
EMPTY = RecordStats(0, 0, 0, 0)
SMALL = RecordLimits(
    max_per_key=3, max_per_owner=3, max_records=8, max_bytes=3500, max_bytes_per_key=1200, max_bytes_per_owner=1200
)


def store(**limits):
    return RecordStore(OWN, RecordLimits(**limits))


def open_store(**limits):
    return RecordStore(OWN, RecordLimits(**limits), security=Security.OPEN)


def unsigned(owner=0, key=KEY, now_ms=NOW, **fields):
    value = {b"node_id": bytes(OWNERS[owner].node_id), **{name.encode(): item for name, item in fields.items()}}
    return Record.from_value(key, value, security=Security.OPEN, now_ms=now_ms)


def filled(records, **limits):
    full = store(**limits)
    assert all(isinstance(full.put(record, NOW), Stored) for record in records)
    return full


def at(distance):
    """Return the key that is ``distance`` away from the node's own id."""
    return NodeId((int.from_bytes(OWN) ^ distance).to_bytes(ID_BYTES))


def content(records):
    """Return what there is under all keys, in no order."""
    return {slot: records.find(*slot, NOW) for slot in records.slots()}


def test_a_record_is_found_under_its_key():
    records = store()

    assert records.put(sealed(), NOW) == Stored()
    assert (records.get(KEY, NOW), records.get(KEYS[1], NOW)) == ((sealed(),), ())
    assert records.find(KEY, OWNERS[0].node_id, NOW) == sealed()
    assert records.keys() == (KEY,)


def test_an_owner_has_one_record_under_a_key_and_the_owner_that_came_last_is_first():
    records = filled([sealed(0), sealed(1), sealed(2)])

    assert records.put(sealed(1, sequence=2), NOW) == Stored(replaced=sealed(1))
    assert records.get(KEY, NOW) == (sealed(2), sealed(1, sequence=2), sealed(0))


def test_the_same_record_again_refreshes():
    assert filled([sealed()]).put(sealed(), NOW + 1) == Refreshed()


def test_what_is_held_already_is_not_verified_again():
    """Ed25519 takes 85 us; nothing else here takes 10."""
    forged = replace(sealed(), signature=FORGED)
    records = store()
    records._write((forged.key, forged.owner), None, forged, NOW)

    assert records.put(forged, NOW) == Refreshed()


def test_an_older_record_is_ignored_and_the_newer_one_shown():
    records = filled([sealed(sequence=2)])

    assert records.put(sealed(sequence=1), NOW) == Ignored(newer=sealed(sequence=2))
    assert records.put(replace(sealed(sequence=1), signature=FORGED), NOW) == Ignored(newer=sealed(sequence=2))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(sealed(), signature=FORGED), RecordRefusal.BAD_SIGNATURE),
        (replace(sealed(), packed=b"\x01"), RecordRefusal.BAD_SIGNATURE),
        (replace(sealed(sequence=9), owner=OWNERS[1].node_id), RecordRefusal.OWNER_MISMATCH),
        (unsigned(), RecordRefusal.UNSIGNED),
        (sealed(now_ms=NOW - 300_000), RecordRefusal.EXPIRED),
        (sealed(now_ms=NOW + 300_001), RecordRefusal.FROM_THE_FUTURE),
        (sealed(payload=bytes(7000)), RecordRefusal.TOO_LARGE),
    ],
)
def test_what_is_not_fit_is_refused(record, reason):
    records = store(max_record_bytes=7000)

    assert records.put(record, NOW) == Refused(reason)
    assert (records.stats(), records.slots(), records.next_expiry()) == (EMPTY, (), None)


def test_clocks_may_differ_by_five_minutes():
    assert store().put(sealed(now_ms=NOW + 300_000), NOW) == Stored()
    assert store().put(sealed(now_ms=NOW - 299_999), NOW) == Stored()


def test_only_the_owner_can_replace_a_record():
    records = filled([sealed()])
    thief = replace(sealed(1, sequence=2), owner=OWNERS[0].node_id)

    assert records.put(thief, NOW) == Refused(RecordRefusal.OWNER_MISMATCH)
    assert records.put(replace(sealed(), packed=b"\x01"), NOW) == Refused(RecordRefusal.BAD_SIGNATURE)
    assert records.get(KEY, NOW) == (sealed(),)


def test_only_the_owner_can_delete_a_record():
    records = filled([sealed()])
    forged = replace(sealed().tombstone(OWNERS[1], now_ms=NOW), owner=OWNERS[0].node_id)

    assert records.put(forged, NOW) == Refused(RecordRefusal.OWNER_MISMATCH)
    assert records.put(sealed().tombstone(OWNERS[1], now_ms=NOW), NOW) == Stored()
    assert records.get(KEY, NOW) == (sealed(),)


def test_a_deleted_record_is_gone_and_does_not_come_back():
    tombstone = sealed().tombstone(OWNERS[0], now_ms=NOW)
    records = filled([sealed(), tombstone])

    assert records.get(KEY, NOW) == ()
    assert records.get_all(KEY, NOW) == (tombstone,)
    assert records.find(KEY, OWNERS[0].node_id, NOW) == tombstone
    assert records.put(sealed(), NOW) == Ignored(newer=tombstone)


def test_a_tombstone_counts_also_where_it_comes_first():
    tombstone = sealed().tombstone(OWNERS[0], now_ms=NOW)

    assert filled([tombstone]).put(sealed(), NOW) == Ignored(newer=tombstone)


def test_who_deleted_and_stores_again_has_come_last():
    records = filled([sealed(0), sealed(1), sealed(0).tombstone(OWNERS[0], now_ms=NOW)])

    records.put(sealed(0, sequence=3), NOW)

    assert records.get(KEY, NOW) == (sealed(0, sequence=3), sealed(1))


def test_a_record_is_there_until_it_expires():
    records = filled([sealed(ttl=60)])

    assert records.get(KEY, NOW + 59_999) == (sealed(ttl=60),)
    assert records.get(KEY, NOW + 60_000) == records.get_all(KEY, NOW + 60_000) == ()
    assert records.find(KEY, OWNERS[0].node_id, NOW + 60_000) is None


def test_what_has_expired_is_removed_when_it_is_time():
    records = filled([sealed(0, ttl=60), sealed(1, ttl=30), sealed(2, ttl=90)])

    assert (records.next_expiry(), records.expire(NOW + 29_999)) == (NOW + 30_000, 0)
    assert records.expire(NOW + 60_000) == 2
    assert (records.next_expiry(), records.stats().records) == (NOW + 90_000, 1)
    assert (records.expire(NOW + 90_000), records.next_expiry(), records.stats()) == (1, None, EMPTY)


def test_at_most_so_many_expire_at_once():
    records = filled([sealed(n) for n in range(5)])

    assert [records.expire(NOW + 300_000, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_replaced_record_does_not_come_back_when_what_replaced_it_has_expired():
    records = filled([sealed(ttl=3600), sealed(sequence=2, ttl=60)])

    assert (records.expire(NOW + 60_000), records.get(KEY, NOW + 60_000)) == (0, ())
    assert isinstance(records.put(sealed(ttl=3600), NOW + 60_000), Ignored)
    assert (records.next_expiry(), records.expire(NOW + 3_600_000)) == (NOW + 3_600_000, 1)


def test_a_record_is_kept_no_longer_than_allowed_unless_it_is_heard_of_again():
    records = filled([sealed(ttl=3600)], max_ttl=600)

    assert records.next_expiry() == NOW + 600_000
    assert records.put(sealed(ttl=3600), NOW + 500_000) == Refreshed()
    assert records.next_expiry() == NOW + 1_100_000
    assert records.get(KEY, NOW + 1_099_999) == (sealed(ttl=3600),)
    assert records.get(KEY, NOW + 1_100_000) == ()


def test_a_key_has_a_most_records():
    records = filled([sealed(0), sealed(1)], max_per_key=2)

    assert records.put(sealed(2), NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)
    assert records.put(sealed(2).tombstone(OWNERS[2], now_ms=NOW), NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)
    assert records.put(sealed(1, sequence=2), NOW) == Stored(replaced=sealed(1))
    assert records.put(sealed(2, KEYS[1]), NOW) == Stored()


def test_a_key_has_a_most_bytes():
    records = filled([sealed(0), sealed(1)], max_bytes_per_key=2 * sealed().length)

    assert records.put(sealed(2, payload=0), NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)
    assert records.put(sealed(0, payload=bytes(99), sequence=2), NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)
    assert records.put(sealed(0, payload=0, sequence=2), NOW) == Stored(replaced=sealed(0))


def test_under_a_full_key_the_deleted_give_way():
    tombstones = [sealed(n).tombstone(OWNERS[n], now_ms=NOW) for n in (0, 1)]
    records = filled([*tombstones, sealed(2)], max_per_key=3)

    assert records.put(sealed(3), NOW) == Stored(evicted=(tombstones[0],))
    assert records.put(sealed(4), NOW) == Stored(evicted=(tombstones[1],))
    assert records.put(sealed(0, sequence=9), NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)


def test_for_a_tombstone_no_other_gives_way():
    tombstones = [sealed(n).tombstone(OWNERS[n], now_ms=NOW) for n in (0, 1)]

    assert filled(tombstones[:1], max_per_key=1).put(tombstones[1], NOW) == Refused(RecordRefusal.TOO_MANY_FOR_KEY)


def test_who_replaces_its_own_tombstone_has_others_give_way():
    tombstones = [sealed(n).tombstone(OWNERS[n], now_ms=NOW) for n in (0, 1)]
    records = filled(tombstones, max_bytes_per_key=600)
    record = sealed(0, payload=bytes(200), sequence=3)

    assert records.put(record, NOW) == Stored(replaced=tombstones[0], evicted=(tombstones[1],))
    assert records.get_all(KEY, NOW) == (record,)


def test_a_forgery_evicts_nothing():
    tombstone = sealed(0).tombstone(OWNERS[0], now_ms=NOW)
    records = filled([tombstone], max_per_key=1)

    assert records.put(replace(sealed(1), signature=FORGED), NOW) == Refused(RecordRefusal.BAD_SIGNATURE)
    assert records.get_all(KEY, NOW) == (tombstone,)


def test_an_owner_has_a_most_records_and_bytes():
    kept = [sealed(key=KEYS[0]), sealed(key=KEYS[1])]
    few, short = filled(kept, max_per_owner=2), filled(kept, max_bytes_per_owner=2 * sealed().length)

    assert few.put(sealed(key=KEYS[2]), NOW) == Refused(RecordRefusal.TOO_MANY_OF_OWNER)
    assert short.put(sealed(key=KEYS[2], payload=0), NOW) == Refused(RecordRefusal.TOO_MANY_OF_OWNER)
    assert few.put(sealed(1, key=KEYS[2]), NOW) == Stored()
    assert few.stats_of_owner(OWNERS[0].node_id) == RecordStats(2, 1, 2, 2 * sealed().length)


def test_what_an_owner_has_deleted_is_no_record_of_it_and_its_oldest_tombstone_goes_for_the_next():
    records = store(max_per_owner=2)
    tombstones = [sealed(key=key).tombstone(OWNERS[0], now_ms=NOW) for key in KEYS[:3]]
    for each in tombstones[:2]:
        records.put(each, NOW)

    assert [records.put(sealed(key=key), NOW) for key in KEYS[2:4]] == [Stored()] * 2
    assert records.put(tombstones[2], NOW) == Stored(replaced=sealed(key=KEYS[2]), evicted=(tombstones[0],))
    assert records.put(sealed(key=KEYS[0], sequence=3), NOW) == Stored()
    assert records.put(sealed(key=KEYS[4]), NOW) == Refused(RecordRefusal.TOO_MANY_OF_OWNER)


def test_the_services_of_one_node_all_have_room_at_another():
    limits = RecordLimits()

    assert limits.max_per_owner >= ServiceConfig(identity=OWNERS[0], realm="r").max_local
    assert limits.max_bytes_per_owner >= limits.max_per_owner * 2 * sealed().length


def test_when_all_is_full_the_farthest_keys_go_first():
    near, far, farther = (sealed(0, at(distance)) for distance in (4, 2**200, 2**201))
    records = filled([far, farther], max_records=2)

    assert records.put(near, NOW) == Stored(evicted=(farther,))
    assert records.put(farther, NOW) == Refused(RecordRefusal.FULL)
    assert records.put(sealed(1, at(2**200)), NOW) == Refused(RecordRefusal.FULL)
    assert records.put(sealed(0, at(5)), NOW) == Stored(evicted=(far,))


def test_of_the_farthest_key_what_expires_soonest_goes_first():
    key = at(2**255)
    records = filled([sealed(0, key, ttl=60), sealed(1, key, ttl=30), sealed(2, key, ttl=90)], max_records=3)

    assert records.put(sealed(3, at(1)), NOW) == Stored(evicted=(sealed(1, key, ttl=30),))


def test_when_bytes_run_out_as_many_go_as_must_and_none_in_vain():
    small = [sealed(0, at(2**n), payload=0) for n in (100, 101, 102)]
    records = filled(small, max_bytes=sum(record.length for record in small))

    assert records.put(sealed(1, at(2**101), payload=bytes(600)), NOW) == Refused(RecordRefusal.FULL)
    assert content(records) == {(record.key, record.owner): record for record in small}
    assert records.put(sealed(1, at(1), payload=bytes(200)), NOW) == Stored(evicted=(small[2], small[1]))


def test_own_records_are_never_evicted_and_have_room_before_others():
    own = [sealed(5, at(2**255 + n)) for n in range(3)]
    records = filled([*own, sealed(0, at(1))], max_records=4, max_per_owner=1, max_bytes_per_owner=400)

    assert records.put(sealed(0, at(0)), NOW) == Refused(RecordRefusal.TOO_MANY_OF_OWNER)
    assert records.put(sealed(1, at(0)), NOW) == Stored(evicted=(sealed(0, at(1)),))
    assert records.put(sealed(5, at(2**254)), NOW) == Stored(evicted=(sealed(1, at(0)),))
    assert records.put(sealed(5, at(2**253)), NOW) == Refused(RecordRefusal.FULL)
    assert records.put(sealed(0, at(1)), NOW) == Refused(RecordRefusal.FULL)


def test_an_own_record_comes_under_a_full_key():
    assert filled([sealed(0)], max_per_key=1).put(sealed(5), NOW) == Stored()


def test_open_mode_keeps_the_latest_unsigned_record_of_a_node():
    records = open_store()

    assert records.put(unsigned(endpoint=b"a"), NOW) == Stored()
    assert records.put(unsigned(endpoint=b"b"), NOW) == Stored(replaced=unsigned(endpoint=b"a"))
    assert records.put(unsigned(endpoint=b"b"), NOW) == Refreshed()
    assert records.get(KEY, NOW) == (unsigned(endpoint=b"b"),)


def test_an_unsigned_record_never_replaces_a_signed_one():
    records = open_store()
    records.put(sealed(), NOW)

    assert records.put(unsigned(), NOW) == Ignored(newer=sealed())
    assert open_store().put(replace(sealed(), signature=FORGED), NOW) == Refused(RecordRefusal.BAD_SIGNATURE)


def test_who_only_says_to_be_this_node_has_no_privilege():
    records = open_store(max_records=1)
    records.put(unsigned(5, at(1)), NOW)

    assert records.put(sealed(0, at(0)), NOW) == Stored(evicted=(unsigned(5, at(1)),))
    assert records.put(unsigned(5, at(1)), NOW) == Refused(RecordRefusal.FULL)


def test_an_own_record_takes_the_place_of_what_was_said_to_be_one():
    records = open_store(max_bytes=900)
    records.put(unsigned(5, at(2**255)), NOW)
    records.put(sealed(0, at(1)), NOW)
    own = sealed(5, at(2**255), bytes(400))

    assert records.put(own, NOW) == Stored(replaced=unsigned(5, at(2**255)), evicted=(sealed(0, at(1)),))
    assert records.slots() == ((at(2**255), OWN),)


def test_a_record_can_be_forgotten_here_only():
    records = filled([sealed()])

    assert (records.forget(KEY, OWNERS[0].node_id), records.forget(KEY, OWNERS[0].node_id)) == (True, False)
    assert (records.stats(), records.next_expiry(), records.put(sealed(), NOW)) == (EMPTY, None, Stored())


def test_what_is_there_is_counted():
    records = filled([sealed(0), sealed(1), sealed(1, KEYS[1])])

    assert records.stats() == RecordStats(2, 2, 3, 3 * sealed().length)
    assert records.stats_of_key(KEY) == RecordStats(1, 2, 2, 2 * sealed().length)
    assert records.stats_of_key(KEYS[2]) == records.stats_of_owner(KEYS[2]) == EMPTY


def test_another_store_over_the_same_table_is_the_same_store():
    table = {}
    first = RecordStore(OWN, table=table)
    for record in (sealed(0), sealed(1, ttl=60), sealed(2), sealed(0).tombstone(OWNERS[0], now_ms=NOW), sealed(5)):
        first.put(record, NOW)
    first.put(sealed(0, sequence=3), NOW)

    second = RecordStore(OWN, table=dict(reversed(table.items())))

    assert (
        second.get(KEY, NOW) == first.get(KEY, NOW) == (sealed(0, sequence=3), sealed(5), sealed(2), sealed(1, ttl=60))
    )
    assert (second.stats(), second.next_expiry()) == (first.stats(), first.next_expiry())
    assert isinstance(second.put(sealed(3), NOW), Stored)
    assert second.get(KEY, NOW)[0] == sealed(3)


def test_a_snapshot_survives_in_a_database():
    records = filled([sealed(0), sealed(1), sealed(2, KEYS[1]), sealed(0).tombstone(OWNERS[0], now_ms=NOW)])
    database = sqlite3.connect(":memory:")
    database.execute("create table record (key, owner, public_key, sequence, ttl, expires_at, packed, signature)")
    database.executemany("insert into record values (?, ?, ?, ?, ?, ?, ?, ?)", records.snapshot())
    restored = store()

    count = restored.restore(database.execute("select * from record order by rowid").fetchall(), NOW)

    assert (count, content(restored)) == (3, content(records))
    database.close()


def test_a_snapshot_can_be_of_one_owner():
    records = filled([sealed(0), sealed(5), sealed(5, KEYS[1])])

    assert [row[:2] for row in records.snapshot(OWN)] == [(KEY, OWN), (KEYS[1], OWN)]


def test_what_is_restored_is_checked():
    rows = [replace(sealed(0), signature=FORGED).to_row(), sealed(1, now_ms=NOW - 10**6).to_row(), sealed(2).to_row()]
    records = store()

    assert (records.restore(rows, NOW), records.get(KEY, NOW)) == (1, (sealed(2),))


@pytest.mark.parametrize(
    "limits", [{"max_per_key": 0}, {"max_bytes": -1}, {"max_ttl": 0}, {"clock_skew_ms": -1}, {"max_records": 0}]
)
def test_a_limit_that_is_none_is_refused(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        RecordLimits(**limits)


def test_all_records_under_a_key_fit_into_one_reply():
    limits = RecordLimits()

    assert limits.max_bytes_per_key >= limits.max_per_key * limits.max_record_bytes
    assert limits.max_bytes_per_key + 2 * limits.max_record_bytes < 1_048_576


def a_history(owner, key):
    """Return what an owner may ever have stored under a key: another ttl and payload each time, and tombstones."""
    first = [sealed(owner, key, n, sequence=n, ttl=60 + 97 * n % 300) for n in (1, 2, 3)]
    return [*first, first[1].tombstone(OWNERS[owner], now_ms=NOW), sealed(owner, key, b"other", sequence=3)]


HISTORIES = [record for owner in (0, 1, 5) for key in KEYS[:2] for record in a_history(owner, key)]


@settings(max_examples=50)
@given(st.permutations(HISTORIES), st.permutations(HISTORIES), st.integers(0, 20))
def test_whatever_the_order_two_stores_end_with_the_same(one, other, repeated):
    left, right = store(), store()
    for record in one + one[:repeated]:
        left.put(record, NOW)
    for record in other:
        right.put(record, NOW)

    assert content(left) == content(right)
    assert left.stats() == right.stats()


def test_put_does_not_slow_down_as_the_store_grows():
    """Evictions and stale items leave nothing behind that grows."""
    records = store(max_records=50)
    for n in range(2000):
        records.put(sealed(n % 5, at(2**200 - n), n), NOW)

    assert records.stats().records == 50
    assert len(records._expiries) <= 2 * 50 + 65
    assert len(records._farthest) <= 2 * 50 + 65
    assert len(records._ranked) == len(records._farthest)
    assert [bool(records.get(at(2**200 - n), NOW)) for n in (0, 1949, 1950, 1999)] == [False, False, True, True]


def test_a_key_that_was_empty_for_a_while_can_be_evicted_again():
    records = store(max_records=1)
    for n in range(500):
        records.put(sealed(0, at(2**200 + n)), NOW)
        records.forget(at(2**200 + n), OWNERS[0].node_id)

    assert len(records._farthest) <= 66
    assert records.put(sealed(0, at(2**200)), NOW) == Stored()
    assert records.put(sealed(0, at(1)), NOW) == Stored(evicted=(sealed(0, at(2**200)),))


class Keeper(RuleBasedStateMachine):
    """A small store, and what it should have, told from the answers alone."""

    owners = st.integers(0, 5)
    keys = st.sampled_from(KEYS)

    def __init__(self):
        super().__init__()
        self.table = {}
        self.now = NOW
        self.open_the_store()

    def open_the_store(self):
        self.store = RecordStore(OWN, SMALL, security=Security.OPEN, table=self.table)

    def carry_out(self, record):
        slot = record.key, record.owner
        before = dict(self.table)
        answer = self.store.put(record, self.now)
        match answer:
            case Stored(replaced, evicted):
                assert replaced == (before[slot].record if slot in before else None)
                gone = set(before) - set(self.table)
                assert {(each.key, each.owner) for each in evicted} == gone
                assert all(each.owner != OWN or not each.is_signed for each in evicted)
                assert self.table[slot].record == record
                assert replaced is None or record.version >= replaced.version
            case Refreshed():
                assert self.table.keys() == before.keys()
                assert self.table[slot].record == record
            case Ignored(newer):
                assert self.table == before
                assert newer == self.table[slot].record
                assert newer.version > record.version
            case Refused():
                assert self.table == before
        return answer

    @rule(owner=owners, key=keys, sequence=st.integers(1, 5), ttl=st.integers(1, 600), size=st.integers(0, 600))
    def put(self, owner, key, sequence, ttl, size):
        record = sealed(owner, key, bytes(size), sequence=sequence, now_ms=self.now, ttl=ttl)
        self.carry_out(record)

    @rule(owner=owners, key=keys, size=st.integers(0, 600))
    def put_unsigned(self, owner, key, size):
        self.carry_out(unsigned(owner, key, self.now, endpoint=bytes(size)))

    @rule(owner=owners, key=keys, ttl=st.integers(1, 600))
    def put_a_forgery(self, owner, key, ttl):
        record = sealed(owner, key, sequence=9, now_ms=self.now, ttl=ttl)
        assert not isinstance(self.carry_out(replace(record, packed=b"\x00")), Stored | Refreshed)

    @rule(data=st.data())
    @precondition(lambda self: self.table)
    def put_again(self, data):
        held = data.draw(st.sampled_from(sorted(self.table.values(), key=lambda held: held.arrival)))
        self.carry_out(held.record)

    @rule(data=st.data())
    @precondition(lambda self: any(held.record.is_signed for held in self.table.values()))
    def delete(self, data):
        records = [held.record for held in self.table.values() if held.record.is_signed]
        record = data.draw(st.sampled_from(sorted(records, key=lambda each: each.signature)))
        identity = next(each for each in OWNERS if each.node_id == record.owner)
        answer = self.carry_out(record.tombstone(identity, now_ms=self.now))
        assert isinstance(answer, Stored | Refused)

    @rule(data=st.data())
    @precondition(lambda self: self.table)
    def forget(self, data):
        assert self.store.forget(*data.draw(st.sampled_from(sorted(self.table))))

    @rule(seconds=st.integers(1, 300))
    def time_passes(self, seconds):
        self.now += 1000 * seconds

    @rule(limit=st.integers(1, 9))
    def expire(self, limit):
        before = len(self.table)
        assert self.store.expire(self.now, limit) == before - len(self.table)

    @rule()
    def crash(self):
        self.open_the_store()

    @invariant()
    def what_is_found_is_live(self):
        for key in KEYS:
            found = self.store.get(key, self.now)
            held = [each for slot, each in self.table.items() if slot[0] == key and each.is_live(self.now)]
            held.sort(key=lambda each: each.arrival, reverse=True)
            assert list(found) == [each.record for each in held]
            assert all(not each.is_tombstone and each.expires_at > self.now for each in found)

    @invariant()
    def the_limits_hold(self):
        stats, own = self.store.stats(), self.store.stats_of_owner(OWN)
        assert stats.records <= SMALL.max_records
        assert stats.length <= SMALL.max_bytes
        for key in KEYS:
            of_others = [each for slot, each in self.table.items() if slot[0] == key and slot[1] != OWN]
            assert len(of_others) <= SMALL.max_per_key
            assert sum(each.record.length for each in of_others) <= SMALL.max_bytes_per_key
        for owner in OWNERS[:5]:
            held = [each.record for slot, each in self.table.items() if slot[1] == owner.node_id]
            live = [record.length for record in held if not record.is_tombstone]
            assert len(live) <= SMALL.max_per_owner
            assert sum(live) <= SMALL.max_bytes_per_owner
            assert len(held) - len(live) <= SMALL.max_per_owner
            of_owner = self.store.stats_of_owner(owner.node_id)
            assert (of_owner.records, of_owner.length) == (len(held), sum(record.length for record in held))
        assert own.records <= SMALL.max_records

    @invariant()
    def the_counts_are_those_of_the_table(self):
        lengths = [held.record.length for held in self.table.values()]
        keys, owners = {key for key, _owner in self.table}, {owner for _key, owner in self.table}
        assert self.store.stats() == RecordStats(len(keys), len(owners), len(lengths), sum(lengths))
        assert set(self.store.keys()) == keys
        for key in KEYS:
            assert self.store.stats_of_key(key).length == sum(
                held.record.length for slot, held in self.table.items() if slot[0] == key
            )

    @invariant()
    def the_next_expiry_is_that_of_the_table(self):
        assert self.store.next_expiry() == min((held.until for held in self.table.values()), default=None)

    @invariant()
    def whoever_may_be_evicted_can_be_found(self):
        foreign = {key for (key, owner), held in self.table.items() if owner != OWN or not held.record.is_signed}
        assert foreign <= self.store._ranked == {key for _distance, key in self.store._farthest}
        assert len(self.store._ranked) == len(self.store._farthest)


TestKeeper = Keeper.TestCase
TestKeeper.settings = settings(max_examples=50, stateful_step_count=40)
