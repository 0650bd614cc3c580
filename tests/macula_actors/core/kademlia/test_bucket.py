from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits, KBucket
from macula_actors.core.kademlia.bucket_decisions import (
    Added,
    Cached,
    Evicted,
    Kept,
    PingFirst,
    Refusal,
    Refused,
    Updated,
)
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact


def contact(n, host=None, port=9443):
    """Return the node n; each has an address of its own, unless ``host`` is given."""
    return Contact(Endpoint(host or f"192.0.2.{n}", port), node_id(n))


def node_id(n):
    return NodeId(n.to_bytes(32))


A, B, C, D = map(contact, range(1, 5))


def bucket(*contacts, **limits):
    """Return a bucket that has seen ``contacts`` at 0.0, 1.0 and so on."""
    made = KBucket(BucketLimits(**limits))
    for at, each in enumerate(contacts):
        made.insert(each, float(at))
    return made


def contacts_of(bucket):
    return [each.contact for each in bucket.known]


def cached_of(bucket):
    return [each.contact for each in bucket.cached]


def test_a_newcomer_is_added_as_the_newest():
    made = bucket(A)

    assert made.insert(B, 1.0) == Added()
    assert contacts_of(made) == [A, B]
    assert B.node_id in made


def test_a_contact_seen_again_becomes_the_newest():
    made = bucket(A, B)

    assert made.insert(A, 2.0) == Updated()
    assert contacts_of(made) == [B, A]


def test_a_contact_seen_elsewhere_is_found_there():
    made = bucket(A)

    made.insert(contact(1, port=1), 1.0)

    assert contacts_of(made) == [contact(1, port=1)]


def test_a_contact_that_comes_without_endpoint_keeps_the_one_it_had():
    made = bucket(A)

    assert made.insert(Contact(node_id=A.node_id), 1.0) == Updated()
    assert contacts_of(made) == [A]


def test_a_contact_without_node_id_is_refused():
    assert bucket().insert(Contact(A.endpoint), 0.0) == Refused(Refusal.NO_NODE_ID)


def test_a_full_bucket_asks_to_ping_its_oldest_contact():
    made = bucket(A, B, k=2, stale_after=60.0)

    assert made.insert(C, 60.0) == PingFirst(oldest=A, candidate=C)
    assert contacts_of(made) == [A, B]


def test_an_oldest_contact_that_was_seen_a_moment_ago_is_not_pinged():
    made = bucket(A, B, k=2, stale_after=60.0)

    assert made.insert(C, 59.0) == Cached()
    assert cached_of(made) == [C]


def test_an_oldest_contact_that_failed_is_pinged_however_fresh():
    made = bucket(A, B, k=2)
    made.failed(A.node_id, 2.0)

    assert made.insert(C, 3.0) == PingFirst(A, C)


def test_one_ping_at_a_time_is_asked_for():
    made = bucket(A, B, k=2, stale_after=0.0, ping_again_after=30.0)
    made.insert(C, 10.0)

    assert made.insert(D, 39.0) == Cached()
    assert made.insert(D, 40.0) == PingFirst(A, D)


def test_the_oldest_that_answers_its_ping_stays_and_the_candidate_waits():
    made = bucket(A, B, k=2, stale_after=0.0)
    made.insert(C, 10.0)

    assert made.confirmed(A.node_id, 11.0)
    assert (contacts_of(made), cached_of(made)) == ([B, A], [C])


def test_the_oldest_that_does_not_answer_its_ping_gives_its_place_to_the_candidate():
    made = bucket(A, B, k=2, stale_after=0.0)
    made.insert(C, 10.0)

    assert made.failed(A.node_id, 15.0) == Evicted(A, promoted=C)
    assert (contacts_of(made), cached_of(made)) == ([B, C], [])


def test_a_contact_that_was_not_pinged_does_not_give_its_place_at_the_first_failure():
    made = bucket(A, B, k=1, max_failures=2)

    assert made.failed(A.node_id, 2.0) == Kept(1)
    assert cached_of(made) == [B]


def test_a_contact_is_evicted_after_failures_in_a_row():
    made = bucket(A, max_failures=3)

    decisions = [made.failed(A.node_id, now) for now in (10.0, 20.0, 30.0)]

    assert decisions == [Kept(1), Kept(2), Evicted(A)]
    assert contacts_of(made) == []


def test_an_answer_wipes_out_failures():
    made = bucket(A, max_failures=2)
    made.failed(A.node_id, 10.0)
    made.insert(A, 20.0)

    assert made.failed(A.node_id, 20.1) == Kept(1)


def test_failures_of_one_moment_are_one():
    made = bucket(A, max_failures=2, same_failure_within=1.0)

    decisions = [made.failed(A.node_id, now) for now in (10.0, 10.5, 10.9, 11.0)]

    assert decisions == [Kept(1), Kept(1), Kept(1), Evicted(A)]


def test_the_newest_of_the_cache_is_promoted_to_the_place_of_its_age():
    made = bucket(A, B, k=2)
    made.insert(C, 2.0)
    made.insert(D, 3.0)
    made.insert(B, 4.0)

    assert made.remove(A.node_id) == Evicted(A, promoted=D)
    assert (contacts_of(made), cached_of(made)) == ([D, B], [C])


def test_a_full_cache_forgets_its_oldest():
    made = bucket(A, k=1, max_cached=2)

    for n in range(2, 5):
        made.insert(contact(n), 0.0)

    assert cached_of(made) == [contact(3), contact(4)]


def test_a_cached_contact_seen_again_becomes_the_newest_of_the_cache():
    made = bucket(A, B, C, k=1)

    assert made.insert(B, 3.0) == Cached()
    assert cached_of(made) == [C, B]


def test_a_cached_contact_that_fails_is_forgotten():
    made = bucket(A, B, k=1)

    assert made.failed(B.node_id, 2.0) == Evicted(B)
    assert (contacts_of(made), cached_of(made)) == ([A], [])


def test_without_a_cache_newcomers_are_refused():
    assert bucket(A, k=1, max_cached=0).insert(B, 1.0) == Refused(Refusal.FULL)


def test_a_stranger_can_neither_fail_nor_answer_nor_be_removed():
    made = bucket(A)

    assert made.failed(B.node_id, 1.0) is None
    assert made.remove(B.node_id) is None
    assert not made.confirmed(B.node_id, 1.0)


@pytest.mark.parametrize(
    "host",
    ["192.0.2.77", "2001:db8::1", "::ffff:192.0.2.77", "peer.example", None],
)
def test_contacts_of_one_address_are_limited_the_cached_among_them(host):
    made = KBucket(BucketLimits(k=1, max_per_address=2))
    endpoints = [host and Endpoint(host, port) for port in range(3)]

    decisions = [made.insert(Contact(each, node_id(n)), 0.0) for n, each in enumerate(endpoints, 1)]

    assert decisions == [Added(), Cached(), Refused(Refusal.ADDRESS)]


def test_a_whole_ipv6_prefix_is_one_address():
    made = bucket(contact(1, "2001:db8::1"), max_per_address=1)

    assert made.insert(contact(2, "2001:db8::ffff:2"), 1.0) == Refused(Refusal.ADDRESS)
    assert made.insert(contact(3, "2001:db8:0:1::1"), 1.0) == Added()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.9.9.9"])
def test_the_processes_of_this_machine_are_not_limited(host):
    made = KBucket(BucketLimits(max_per_address=1))

    assert [made.insert(contact(n, host, n), 0.0) for n in range(1, 20)] == [Added()] * 19


def test_a_contact_cannot_move_to_an_address_that_has_its_share():
    made = bucket(A, B, max_per_address=1)

    assert made.insert(contact(1, B.endpoint.host), 2.0) == Refused(Refusal.ADDRESS)
    assert contacts_of(made) == [A, B]


def test_an_address_is_free_again_when_its_contact_is_gone_or_has_moved():
    made = bucket(A, B, max_per_address=1)
    made.remove(A.node_id)
    made.insert(contact(2, "198.51.100.1"), 2.0)

    assert made.insert(contact(3, A.endpoint.host), 3.0) == Added()
    assert made.insert(contact(4, B.endpoint.host), 3.0) == Added()


@given(st.sets(st.integers(1, 255)), st.integers(0, 2**256 - 1))
def test_nearest_is_sorted_by_distance(numbers, target):
    made = bucket(*map(contact, numbers), k=255)

    assert [each.number for each in made.nearest(target)] == sorted(numbers, key=lambda n: n ^ target)


@pytest.mark.parametrize(
    "limits", [{"k": 0}, {"max_cached": -1}, {"max_per_address": 0}, {"max_failures": 0}, {"stale_after": -1.0}]
)
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValueError, match="too small"):
        BucketLimits(**limits)


NUMBERS = st.integers(1, 30)
HOSTS = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "peer.example", "127.0.0.1"])


class Bucket(RuleBasedStateMachine):
    """A bucket that anything happens to, and what always holds of it."""

    @initialize(k=st.integers(1, 5), max_cached=st.integers(0, 4), max_per_address=st.integers(1, 4))
    def make(self, **limits):
        self.limits = BucketLimits(**limits)
        self.bucket = KBucket(self.limits)
        self.now = 0.0

    @rule(n=NUMBERS, host=HOSTS, port=st.integers(1, 3))
    def insert(self, n, host, port):
        before = set(contacts_of(self.bucket))
        decision = self.bucket.insert(contact(n, host, port), self.now)

        assert (node_id(n) in self.bucket) >= (decision in {Added(), Updated()})
        assert len(before - set(contacts_of(self.bucket))) <= (decision == Updated())

    @rule(n=NUMBERS)
    def fail(self, n):
        self.bucket.failed(node_id(n), self.now)

    @rule(n=NUMBERS)
    def answer(self, n):
        self.bucket.confirmed(node_id(n), self.now)

    @rule(n=NUMBERS)
    def remove(self, n):
        self.bucket.remove(node_id(n))

        assert node_id(n) not in self.bucket

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def it_is_within_its_limits(self):
        known, cached = self.bucket.known, self.bucket.cached
        addresses = Counter(each.address for each in [*known, *cached] if each.address is not None)

        assert len(self.bucket) == len(known) <= self.limits.k
        assert len(cached) <= self.limits.max_cached * self.bucket.is_full
        assert max(addresses.values(), default=0) <= self.limits.max_per_address
        assert addresses == self.bucket._addresses

    @invariant()
    def each_contact_is_in_it_once_and_the_oldest_is_first(self):
        known, cached = self.bucket.known, self.bucket.cached

        assert len({each.node_id for each in [*known, *cached]}) == len(known) + len(cached)
        assert all(a.seen_at <= b.seen_at for part in (known, cached) for a, b in pairwise(part))


TestBucket = Bucket.TestCase
