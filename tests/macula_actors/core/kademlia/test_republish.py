from collections import Counter
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.kademlia.republish import Replicate, ReplicationPlan, RepublishPlan, RepublishSettings
from tests.macula_actors.core.kademlia.records import KEY, KEYS, NOW, OWNERS, sealed

OWN = OWNERS[5].node_id
ttls = st.integers(1, 86_400)
seeds = st.integers(0, 2**32).map(Random)
RNG = Random(1)
MOST = 100


def holding(*records):
    store = RecordStore(OWN)
    plan = ReplicationPlan(store, OWN)
    for record in records:
        store.put(record, NOW)
        plan.heard(record, 0.0, Random(1))
    return store, plan


def later(seconds):
    return NOW + int(1000 * seconds)


def test_what_is_added_is_due_from_the_instant_given():
    plan = RepublishPlan()
    plan.add(KEY, 300, 5.0)

    assert (plan.next_due(), plan.due(4.9, RNG, MOST), plan.due(5.0, RNG, MOST)) == (5.0, (), (KEY,))


@given(ttls, seeds)
def test_an_owner_publishes_twice_more_before_a_record_expires(ttl, rng):
    plan, times = RepublishPlan(), []
    plan.add(KEY, ttl, 0.0)
    for _ in range(3):
        times.append(plan.next_due())
        assert plan.due(times[-1], rng, MOST) == (KEY,)
        plan.published(KEY, times[-1], rng)

    assert times[0] == 0.0
    assert times[2] <= ttl * 2 / 3
    assert 0.8 * min(ttl / 3, 3600) <= times[1] <= max(min(ttl / 3, 3600), 0.25)


def test_two_keys_published_together_are_not_due_together():
    plan = RepublishPlan()
    for key in KEYS:
        plan.add(key, 300, 0.0)
        plan.published(key, 0.0, RNG)

    assert len({plan._timers._instants[key] for key in KEYS}) == len(KEYS)
    assert plan.due(plan.next_due(), RNG, MOST)[1:] == ()


@pytest.mark.parametrize("is_told", [True, False])
def test_what_failed_or_was_never_answered_is_due_again_soon(is_told):
    plan = RepublishPlan()
    plan.add(KEY, 300, 0.0)
    plan.due(0.0, RNG, MOST)
    for _ in range(is_told):
        plan.failed(KEY, 0.0, RNG)

    assert 20.0 <= plan.next_due() <= 25.0
    assert plan.due(25.0, RNG, MOST) == (KEY,)


def test_what_is_withdrawn_is_not_published_again_whoever_answers_late():
    plan = RepublishPlan()
    plan.add(KEY, 300, 0.0)
    plan.due(0.0, RNG, MOST)
    plan.withdraw(KEY)
    plan.withdraw(KEY)
    plan.published(KEY, 1.0, RNG)
    plan.failed(KEY, 1.0, RNG)

    assert (len(plan), plan.next_due(), plan.due(1e9, RNG, MOST)) == (0, inf, ())


def keys_of(count):
    return [NodeId.of(b"%d" % number) for number in range(count)]


def carry_out(plan, until, *, most=MOST, seconds=0.1):
    """Ask ten times a second what is due, and tell that it was taken; return when each key was."""
    times = []
    for tick in range(int(until / seconds)):
        now = tick * seconds
        for key in plan.due(now, RNG, most):
            times.append((now, key))
            plan.published(key, now, RNG)
    return times


def test_what_is_due_together_is_spread_over_a_part_of_the_ttl():
    plan = RepublishPlan(RepublishSettings(spread=1 / 24))
    for key in keys_of(10_000):
        plan.add(key, 300, 0.0)
    times = [now for now, _key in carry_out(plan, until=80.0)]
    seconds = Counter(int(now) for now in times)

    assert len(times) == 10_000
    assert max(seconds.values()) <= 10_000 / (300 / 24) + 1
    assert times[-1] < 80.0


def test_few_are_sent_at_the_least_rate_the_first_at_once():
    plan = RepublishPlan(RepublishSettings(min_rate=5.0))
    for key in keys_of(11):
        plan.add(key, 86_400, 7.0)

    times = [now for now, _key in carry_out(plan, until=10.0)]
    assert times[0] == pytest.approx(7.0, abs=0.11)
    assert times[-1] == pytest.approx(9.0, abs=0.3)


def test_those_that_expire_first_come_first_where_there_is_no_room_for_all():
    plan = RepublishPlan()
    slow, fast = keys_of(6)[:5], keys_of(6)[5]
    for key in slow:
        plan.add(key, 86_400, 0.0)
    plan.add(fast, 2, 1.0)
    first = plan.due(0.0, RNG, 1)
    plan.due(1.0, RNG, 0)

    assert first[0] in slow
    assert plan.due(2.0, RNG, 1) == (fast,)


@pytest.mark.parametrize(("count", "ttl", "most"), [(200, 10, 16), (10_000, 300, 10), (5, 1, 16)])
def test_no_key_waits_longer_than_it_lives(count, ttl, most):
    plan = RepublishPlan()
    for key in keys_of(count):
        plan.add(key, ttl, 0.0)
        plan.published(key, 0.0, RNG)
    taken = dict.fromkeys(keys_of(count), 0.0)
    gaps = []
    for now, key in carry_out(plan, until=3.0 * ttl, most=most):
        gaps.append(now - taken[key])
        taken[key] = now

    assert len(gaps) >= 2 * count
    assert max(gaps) < 0.75 * ttl


def test_what_is_late_already_is_withdrawn_too_or_begun_anew():
    plan = RepublishPlan()
    for key in KEYS[:3]:
        plan.add(key, 86_400, 0.0)
    plan.due(0.0, RNG, 0)
    assert plan.next_due() == -inf
    plan.withdraw(KEYS[0])
    plan.add(KEYS[1], 300, 50.0)
    plan.published(KEYS[2], 0.0, RNG)

    assert plan.next_due() == 50.0
    assert plan.due(49.0, RNG, MOST) == ()


def test_all_is_due_when_it_is_hurried():
    plan = RepublishPlan()
    for key in KEYS:
        plan.add(key, 300, 0.0)
        plan.published(key, 0.0, RNG)
    plan.hurry(10.0)

    assert plan.next_due() == 10.0


@given(ttls, seeds)
def test_a_holder_is_quiet_as_long_as_the_owner_is_heard(ttl, rng):
    """It waits longer than the owner does, whatever the jitter of the two."""
    record = sealed(ttl=ttl)
    store, plan = holding()
    owner = RepublishPlan()
    store.put(record, NOW)
    owner.add(KEY, ttl, 0.0)
    owner.published(KEY, 0.0, rng)
    plan.heard(record, 0.0, rng)

    assert owner.next_due() <= plan.next_due() or ttl * 0.4 > 0.8 * 3600


def test_a_holder_sends_what_it_has_not_heard_of_for_half_its_life():
    _store, plan = holding(sealed(0), sealed(1), sealed(2, KEYS[1]))

    assert 120.0 <= plan.next_due() <= 150.0
    due = plan.due(150.0, later(150), RNG)
    assert {each.key: set(each.owners) for each in due} == {
        KEY: {OWNERS[0].node_id, OWNERS[1].node_id},
        KEYS[1]: {OWNERS[2].node_id},
    }
    assert 270.0 <= plan.next_due() <= 300.0


def test_hearing_of_one_record_does_not_keep_another_of_its_key_quiet():
    _store, plan = holding(sealed(0), sealed(1))

    plan.heard(sealed(0), 100.0, RNG)

    assert plan.due(150.0, later(150), RNG) == (Replicate(KEY, (OWNERS[1].node_id,)),)


def test_what_the_store_has_no_more_is_forgotten():
    store, plan = holding(sealed(0), sealed(1, ttl=600))
    store.forget(KEY, OWNERS[1].node_id)

    assert plan.due(300.0, later(300), RNG) == ()
    assert (len(plan), plan.next_due()) == (0, inf)


def test_a_tombstone_is_sent_on_as_well():
    tombstone = sealed().tombstone(OWNERS[0], now_ms=NOW)
    _store, plan = holding(sealed(), tombstone)

    assert plan.due(450.0, later(450), RNG) == (Replicate(KEY, (OWNERS[0].node_id,)),)


def test_own_records_are_not_the_holders_to_send():
    store, plan = holding(sealed(5))
    plan.resume(0.0, NOW, RNG)

    assert (store.stats().records, len(plan), plan.next_due()) == (1, 0, inf)


def test_a_new_plan_over_an_old_store_knows_its_records():
    store, _plan = holding(sealed(0), sealed(1, ttl=60), sealed(5))
    plan = ReplicationPlan(store, OWN)

    plan.resume(0.0, later(100), RNG)

    assert [each.owners for each in plan.due(200.0, later(200), RNG)] == [(OWNERS[0].node_id,)]


def test_timers_that_are_set_again_leave_nothing_behind():
    _store, plan = holding()
    for n in range(1000):
        plan.heard(sealed(n % 3), float(n), RNG)

    assert len(plan) == 3
    assert len(plan._timers._heap) <= 2 * 3 + 64


@pytest.mark.parametrize(
    "settings", [{"republish_after": 0}, {"jitter": 1}, {"min_interval": 0}, {"max_interval": 0.1}, {"max_batch": 0}]
)
def test_a_setting_that_is_none_is_refused(settings):
    with pytest.raises(ValueError, match="above 0"):
        RepublishSettings(**settings)
