from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.bucket_decisions import Added, Cached, Evicted, Kept, Ping, Refusal, Refused
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable, SavedContact
from macula_actors.core.peer.contact import Contact
from tests.macula_actors.core.kademlia.networks import contact_of, nearest, random_ids

OWN = NodeId(bytes(32))
SEEDS = st.integers(0, 2**32)
NO_LIMIT = BucketLimits(max_per_address=1000)


def id_in(index, n=0):
    """Return the n-th id of the bucket ``index`` of OWN, below 255."""
    return NodeId(((1 << (255 - index)) + n).to_bytes(32))


def table(*ids, **limits):
    made = RoutingTable(OWN, replace(NO_LIMIT, **limits))
    for each in ids:
        made.seen(contact_of(each), 0.0)
    return made


def ids_near(own, count, rng):
    """Return ids at all distances from ``own``."""
    made = RoutingTable(own)
    return [made.random_id(min(int(rng.expovariate(0.2)), 255), rng) for _ in range(count)]


def filled(seed, count, k=20):
    """Return a table with contacts at all distances, and ids of all kinds to ask it for."""
    rng = Random(seed)
    made = RoutingTable(random_ids(1, rng)[0], BucketLimits(k=k, max_per_address=k))
    for each in ids_near(made.node_id, count, rng):
        made.seen(contact_of(each), 0.0)
    known = [each.node_id for each in made]
    return made, [made.node_id, *random_ids(5, rng), *ids_near(made.node_id, 5, rng), *known[:3]]


def test_a_contact_that_answered_is_in_the_bucket_of_the_bits_it_shares():
    made = table()

    assert made.seen(contact_of(id_in(7)), 0.0) == Added()
    assert [each.contact for each in made.bucket(7).known] == [contact_of(id_in(7))]
    assert (made.indices, len(made), id_in(7) in made) == ([7], 1, True)


def test_this_node_never_enters():
    made = table()

    assert made.seen(contact_of(OWN), 0.0) == Refused(Refusal.OWN_NODE)
    assert made.heard_of(contact_of(OWN)) == Refused(Refusal.OWN_NODE)
    assert (len(made), OWN in made) == (0, False)


def test_a_contact_without_node_id_never_enters():
    nobody = Contact(Endpoint("192.0.2.1", 1))

    assert table().seen(nobody, 0.0) == Refused(Refusal.NO_NODE_ID)
    assert table().heard_of(nobody) == Refused(Refusal.NO_NODE_ID)


def test_hearsay_is_worth_a_ping_where_there_is_room_and_is_not_kept():
    made = table(id_in(0))

    assert made.heard_of(contact_of(id_in(0, 1))) == Ping(contact_of(id_in(0, 1)))
    assert len(made) == 1


def test_hearsay_changes_nothing_about_who_is_known():
    made = table(id_in(0))

    assert made.heard_of(Contact(Endpoint("192.0.2.66", 1), id_in(0))) == Refused(Refusal.KNOWN)
    assert list(made) == [contact_of(id_in(0))]


def test_hearsay_does_not_get_into_a_full_bucket():
    made = table(id_in(0), k=1)

    assert made.heard_of(contact_of(id_in(0, 1))) == Refused(Refusal.FULL)
    assert made.bucket(0).cached == []


def test_a_contact_whose_peer_is_gone_leaves_and_its_replacement_is_used():
    made = table(id_in(0, 0), id_in(0, 1), k=1, max_failures=2)

    decisions = [made.failed(id_in(0, 0), now) for now in (1.0, 3.0)]

    assert decisions == [Kept(1), Evicted(contact_of(id_in(0, 0)), promoted=contact_of(id_in(0, 1)))]
    assert list(made) == [contact_of(id_in(0, 1))]


def test_a_bucket_without_contacts_is_gone():
    made = table(id_in(3), id_in(200))

    assert made.remove(id_in(3)) == Evicted(contact_of(id_in(3)))
    assert (made.indices, made.closest(id_in(3), 9)) == ([200], [contact_of(id_in(200))])


def test_who_is_not_known_can_neither_fail_nor_be_removed():
    made = table(id_in(3))

    assert (made.failed(id_in(4), 0.0), made.remove(OWN)) == (None, None)


def test_contacts_are_listed_farthest_bucket_first():
    assert list(table(id_in(9), id_in(3), id_in(9, 1))) == [
        contact_of(each) for each in (id_in(3), id_in(9), id_in(9, 1))
    ]


@given(SEEDS, st.integers(0, 300), st.integers(1, 20), st.integers(0, 50))
def test_closest_are_those_that_sorting_all_would_give(seed, count, k, asked):
    made, targets = filled(seed, count, k)
    known = [each.node_id for each in made]

    for target in targets:
        assert [each.node_id for each in made.closest(target, asked)] == nearest(known, target, asked)


@given(SEEDS, st.integers(1, 200), st.integers(0, 50))
def test_closest_for_an_asker_has_others_in_its_place(seed, count, asked):
    made, targets = filled(seed, count)
    asker = targets[-1]
    known = [each.node_id for each in made if each.node_id != asker]

    assert [each.node_id for each in made.closest(asker, asked, without=asker)] == nearest(known, asker, asked)


@given(SEEDS, st.integers(0, 200), st.integers(1, 8))
def test_each_contact_is_in_its_bucket_and_no_bucket_is_over_full(seed, count, k):
    made, _ = filled(seed, count, k)

    for index in made.indices:
        assert {made.node_id.bucket_index(each.node_id) for each in made.bucket(index).known} == {index}
        assert 1 <= len(made.bucket(index)) <= k
    assert len(made) == len(list(made)) == sum(len(made.bucket(index)) for index in made.indices)


@given(SEEDS, st.integers(0, 255))
def test_a_random_id_belongs_into_its_bucket(seed, index):
    own = random_ids(1, Random(seed))[0]

    assert own.bucket_index(RoutingTable(own).random_id(index, Random(seed))) == index


@pytest.mark.parametrize("index", [-1, 256])
def test_there_are_256_buckets(index):
    with pytest.raises(ValueError, match="there are 0 to 255"):
        table().random_id(index, Random(0))


def test_a_new_table_has_all_buckets_refreshed_down_to_its_nearest_contact():
    assert table(id_in(3)).to_refresh(0.0) == [0, 1, 2, 3]
    assert table().to_refresh(0.0) == []


def test_a_bucket_is_refreshed_when_nothing_was_looked_up_in_it_for_a_while():
    made = RoutingTable(OWN, refresh_after=100.0, jitter=0.0)
    made.seen(contact_of(id_in(1)), 0.0)
    made.looked_up(id_in(0), 10.0, Random(0))
    made.looked_up(id_in(1, 5), 20.0, Random(0))

    assert [made.to_refresh(now) for now in (100.0, 110.0, 120.0)] == [[], [0], [0, 1]]


def test_a_lookup_of_this_nodes_own_id_refreshes_the_nearest_buckets_that_it_has_found_all_of():
    made = RoutingTable(OWN, refresh_after=100.0, jitter=0.0)
    for index in (0, 1, 1, 3, 4):
        made.seen(contact_of(id_in(index, len(made))), 0.0)

    made.looked_up_self(3, 0.0, Random(0))

    assert made.to_refresh(1.0) == [0, 1]
    assert made.to_refresh(100.0) == [0, 1, 2, 3, 4]


def test_a_bucket_of_which_a_lookup_of_this_nodes_own_id_need_not_have_found_all_is_refreshed():
    made = table(id_in(0), id_in(1), id_in(1, 1))

    made.looked_up_self(3, 0.0, Random(0))

    assert made.to_refresh(1.0) == [0]


@given(SEEDS, st.integers(0, 60))
def test_a_table_counts_who_is_nearer_to_a_key_than_this_node(seed, count):
    rng = Random(seed)
    own, key, *ids = random_ids(count + 2, rng)

    made = complete(own, ids, 64)

    assert made.nearer(key) == sum(each.distance(key) < own.distance(key) for each in ids)


def test_buckets_that_were_refreshed_at_once_are_not_due_at_once():
    due = []
    for seed in range(50):
        made = RoutingTable(OWN, refresh_after=100.0)
        made.seen(contact_of(id_in(0)), 0.0)
        made.looked_up(id_in(0), 0.0, Random(seed))
        due.append(made.next_refresh())

    assert min(due) >= 50.0
    assert max(due) <= 100.0
    assert max(due) - min(due) > 10.0


@given(SEEDS, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.floats(0.0, 50.0)), max_size=30))
def test_the_next_refresh_is_when_a_bucket_first_needs_one(seed, events):
    made, rng, now = RoutingTable(OWN, NO_LIMIT, refresh_after=100.0), Random(seed), 0.0
    for index, kind, wait in events:
        now += wait
        [made.looked_up(id_in(index), now, rng) for _ in range(kind == 0)]
        [made.remove(id_in(index)) for _ in range(kind == 1)]
        [made.seen(contact_of(id_in(index)), now) for _ in range(kind > 1)]
        at = made.next_refresh()
        assert bool(made.to_refresh(max(at, 0.0) + 0.001)) == (at < 1e9)
        assert at < 0.0 or not made.to_refresh(at - 0.001)


def test_a_contact_is_fresh_for_a_moment_where_it_was_seen_unless_it_is_in_doubt():
    made = table(id_in(0))
    elsewhere = contact_of(id_in(0), 1)
    assert made.is_fresh(contact_of(id_in(0)), 0.9, 1.0)
    assert not made.is_fresh(contact_of(id_in(0)), 1.0, 1.0)
    assert not made.is_fresh(elsewhere, 0.5, 1.0)
    assert not made.is_fresh(contact_of(id_in(1)), 0.5, 1.0)
    made.failed(id_in(0), 0.5)
    assert not made.is_fresh(contact_of(id_in(0)), 0.6, 1.0)


def complete(own, ids, k, seed=0):
    """Return a table with buckets as full as ``ids`` make them, all just refreshed."""
    made, rng = RoutingTable(own, BucketLimits(k=k, max_per_address=1000)), Random(seed)
    for each in ids:
        made.seen(contact_of(each), 0.0)
    for index in range(256):
        made.looked_up(made.random_id(index, rng), 0.0, rng)
    return made


@given(SEEDS, st.integers(1, 120), st.integers(1, 20), st.integers(1, 20))
def test_who_knows_the_closest_without_asking_has_all_of_them_in_the_table(seed, count, k, wanted):
    rng = Random(seed)
    own, *ids = random_ids(count + 1, rng)
    made = complete(own, ids, k)
    for target in [*random_ids(10, rng), *ids[:5], own]:
        found = [each.node_id for each in made.closest(target, wanted)]
        is_sure = made.knows_closest(target, wanted, 1.0, 60.0)
        assert not is_sure or found == nearest(ids, target, wanted)


def test_in_a_small_network_the_closest_of_most_keys_are_known_without_asking():
    rng = Random(1)
    own, *ids = random_ids(31, rng)
    made = complete(own, ids, 20)

    assert sum(made.knows_closest(target, 8, 1.0, 60.0) for target in random_ids(100, rng)) > 80


def test_what_was_looked_up_too_long_ago_or_is_silent_or_full_or_too_few_is_not_known():
    ids = [id_in(0, n) for n in range(3)]
    assert complete(OWN, ids, 20).knows_closest(ids[0], 3, 59.0, 60.0)
    assert not complete(OWN, ids, 20).knows_closest(ids[0], 3, 60.0, 60.0)
    assert not complete(OWN, ids, 20).knows_closest(ids[0], 4, 59.0, 60.0)
    assert not complete(OWN, ids, 3).knows_closest(ids[0], 3, 59.0, 60.0)
    assert not table(*ids, k=20).knows_closest(ids[0], 3, 59.0, 60.0)
    silent = complete(OWN, ids, 20)
    silent.failed(ids[1], 1.0)
    assert not silent.knows_closest(ids[0], 3, 1.0, 60.0)


@given(SEEDS, st.integers(0, 200), st.integers(1, 8))
def test_a_table_restored_from_a_snapshot_is_the_same(seed, count, k):
    made, _ = filled(seed, count, k)
    again = RoutingTable(made.node_id, BucketLimits(k=k, max_per_address=k))

    again.restore(made.snapshot(10.0), 5.0)

    assert again.snapshot(5.0) == made.snapshot(10.0)
    assert list(again) == list(made)


def test_a_restored_contact_is_as_old_as_it_was():
    made = table(id_in(0), k=1, stale_after=60.0)

    again = RoutingTable(OWN, replace(NO_LIMIT, k=1, stale_after=60.0))
    again.restore(made.snapshot(59.0), 1000.0)

    assert made.snapshot(59.0) == (SavedContact(contact_of(id_in(0)), 59.0),)
    assert again.seen(contact_of(id_in(0, 1)), 1000.5) == Cached()
    assert again.seen(contact_of(id_in(0, 1)), 1001.0).oldest == contact_of(id_in(0))


def test_k_is_that_of_the_limits():
    assert table(k=7).k == 7
