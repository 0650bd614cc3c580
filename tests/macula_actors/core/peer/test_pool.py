from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.pool import ConnectionPool, PoolLimits
from macula_actors.core.peer.pool_decisions import (
    BackingOff,
    Close,
    CloseReason,
    Dialling,
    Fail,
    Live,
    Refusal,
    Refuse,
    Serve,
    StartDial,
    Use,
    Wait,
)

OWN, SMALL, LARGE = NodeId(b"\x80" * 32), NodeId(b"\x11" * 32), NodeId(b"\xee" * 32)
HERE, THERE = Endpoint("192.0.2.1", 9443), Endpoint("192.0.2.2", 9443)
ERROR = OSError("refused")
RNG = Random(1)
FAR = 1e6


def new_pool(**limits):
    return ConnectionPool(OWN, limits=PoolLimits(**limits), backoff=Backoff(jitter=0.0))


def dialled(pool, contact, connection, node_id, now=0.0):
    """Dial ``contact`` for nobody in particular; return what its success brought but the answer to that nobody."""
    pool.want(contact, "nobody", now + FAR, now)
    pool.withdraw("nobody")
    return list(pool.established(contact.key, connection, node_id, now))


def test_many_waiters_share_one_dial():
    pool = new_pool()

    answers = [pool.want(Contact(HERE, LARGE), waiter, 5.0, 0.0) for waiter in "abc"]

    assert answers == [StartDial(LARGE, Contact(HERE, LARGE), 1), Wait(), Wait()]
    assert pool.state(Contact(node_id=LARGE)) == Dialling(1, 3)
    assert list(pool.established(LARGE, "c1", LARGE, 1.0)) == [Serve(waiter, "c1") for waiter in "abc"]


def test_a_live_connection_is_used_by_node_id_and_by_the_endpoints_that_led_to_it():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)

    answers = [
        pool.want(contact, "a", 5.0, 1.0) for contact in (Contact(HERE), Contact(node_id=LARGE), Contact(THERE, LARGE))
    ]

    assert answers == [Use("c1")] * 3
    assert pool.stats().hits == 3
    assert pool.state(Contact(HERE)) == Live("c1", 0)


def test_a_live_connection_is_given_without_a_waiter():
    pool = new_pool()
    assert pool.use(Contact(HERE, LARGE), 0.0) is None
    dialled(pool, Contact(HERE), "c1", LARGE)

    assert pool.use(Contact(node_id=LARGE), 1.0) == "c1"
    assert pool.stats().hits == 1


def test_a_connection_that_is_closed_on_purpose_soon_after_its_dial_costs_no_back_off():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)

    pool.discard("c1", 1.0)
    pool.discard("c1", 1.0)
    pool.closed("c1", None, 1.0, RNG)

    assert pool.want(Contact(HERE, LARGE), "a", 5.0, 1.0) == StartDial(LARGE, Contact(HERE, LARGE), 1)


def test_nobody_waits_for_the_next_dial_after_a_failure_that_lasts():
    pool = new_pool()
    pool.want(Contact(HERE), "a", FAR, 0.0)

    decisions = list(pool.failed(HERE, ERROR, 1.0, RNG, lasting=True))

    assert decisions == [Fail("a", Refusal.DIAL_FAILED, ERROR)]
    assert pool.want(Contact(HERE), "b", FAR, 1.1) == Refuse(Refusal.DIAL_FAILED, ERROR)
    assert pool.want(Contact(HERE), "b", FAR, 100.0) == StartDial(HERE, Contact(HERE), 2)


def test_an_accepted_connection_serves_who_waits_for_the_node():
    pool = new_pool()
    pool.want(Contact(HERE, LARGE), "a", 5.0, 0.0)

    assert list(pool.accepted("c1", LARGE, 1.0)) == [Serve("a", "c1")]
    assert pool.stats().dialling == 1


def test_a_contact_that_names_a_node_does_not_wait_for_a_dial_that_expects_nobody():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 5.0, 0.0)

    assert pool.want(Contact(HERE, LARGE), "b", 5.0, 0.0) == StartDial(LARGE, Contact(HERE, LARGE), 1)
    assert list(pool.established(HERE, "c1", LARGE, 1.0)) == [Serve("a", "c1"), Serve("b", "c1")]


def test_after_a_failed_dial_who_has_time_waits_and_the_others_fail():
    pool = new_pool()
    pool.want(Contact(HERE), "short", 1.4, 0.0)
    pool.want(Contact(HERE), "long", 9.0, 0.0)

    assert list(pool.failed(HERE, ERROR, 1.0, RNG)) == [Fail("short", Refusal.DIAL_FAILED, ERROR)]
    assert pool.want(Contact(HERE), "late", 1.5, 1.1) == Refuse(Refusal.DIAL_FAILED, ERROR)
    assert pool.want(Contact(HERE), "in time", 1.6, 1.1) == Wait()
    assert pool.state(Contact(HERE)) == BackingOff(1.5, 1, ERROR)
    assert pool.next_due() == 1.5
    assert list(pool.due(1.5)) == [StartDial(HERE, Contact(HERE), 2)]


def test_nobody_is_dialled_for_nobody():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 1.0, 0.0)
    pool.failed(HERE, ERROR, 0.0, RNG)
    pool.withdraw("a")

    assert list(pool.due(100.0)) == []
    assert pool.want(Contact(HERE), "b", 200.0, 100.0) == StartDial(HERE, Contact(HERE), 2)


def test_the_next_attempt_goes_to_the_endpoint_named_last():
    pool = new_pool()
    pool.want(Contact(HERE, LARGE), "a", 9.0, 0.0)
    pool.failed(LARGE, ERROR, 0.0, RNG)
    pool.want(Contact(THERE, LARGE), "b", 9.0, 0.1)
    pool.want(Contact(node_id=LARGE), "c", 9.0, 0.2)

    assert list(pool.due(0.5)) == [StartDial(LARGE, Contact(THERE, LARGE), 2)]


def test_a_failed_dial_to_a_node_that_came_by_itself_is_no_failure():
    pool = new_pool()
    pool.want(Contact(HERE, LARGE), "a", 9.0, 0.0)
    pool.accepted("c1", LARGE, 0.1)

    assert list(pool.failed(LARGE, ERROR, 0.2, RNG)) == []
    pool.closed("c1", None, 1.0, RNG)
    assert pool.state(Contact(node_id=LARGE)) is None


def test_waiters_past_their_deadline_fail_with_the_last_error():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 2.0, 0.0)
    pool.failed(HERE, ERROR, 0.0, RNG)
    pool.due(0.5)

    assert pool.next_due() == 2.0
    assert list(pool.due(2.0)) == [Fail("a", Refusal.EXPIRED, ERROR)]
    assert pool.want(Contact(HERE), "b", 2.0, 2.0) == Refuse(Refusal.EXPIRED, ERROR)


def test_a_waiter_that_has_ended_is_not_served():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 5.0, 0.0)

    pool.withdraw("a")
    pool.withdraw("a")

    assert list(pool.established(HERE, "c1", LARGE, 1.0)) == []
    assert pool.next_due() == 61.0


def test_nobody_waits_twice():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 5.0, 0.0)

    with pytest.raises(ValueError, match="waits already"):
        pool.want(Contact(THERE), "a", 5.0, 0.0)


@pytest.mark.parametrize(
    ("limits", "last", "reason"),
    [
        ({"max_waiters": 2}, Contact(HERE), Refusal.TOO_MANY_WAITERS),
        ({"max_waiters_per_peer": 1}, Contact(HERE), Refusal.TOO_MANY_WAITERS),
        ({"max_dials": 2}, Contact(node_id=SMALL), Refusal.TOO_MANY_DIALS),
    ],
)
def test_at_a_limit_waiters_are_refused(limits, last, reason):
    pool = new_pool(**limits)
    pool.want(Contact(HERE), "a", 5.0, 0.0)
    pool.want(Contact(THERE), "b", 5.0, 0.0)

    assert pool.want(last, "c", 5.0, 0.0) == Refuse(reason)
    assert pool.stats().refusals == 1
    assert pool.state(Contact(node_id=SMALL)) is None


def test_a_retry_waits_for_a_dial_to_end_when_all_are_in_use():
    pool = new_pool(max_dials=1)
    pool.want(Contact(HERE), "a", 50.0, 0.0)
    pool.failed(HERE, ERROR, 0.0, RNG)
    pool.want(Contact(THERE), "b", 40.0, 0.1)

    assert list(pool.due(1.0)) == []
    assert pool.next_due() == 40.0
    pool.established(THERE, "c1", SMALL, 2.0)
    assert pool.next_due() == 0.5
    assert list(pool.due(2.0)) == [StartDial(HERE, Contact(HERE), 2)]


def test_a_dialled_connection_is_closed_after_the_idle_time_out():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)
    pool.used("c1", 30.0)

    assert pool.next_due() == 90.0
    assert list(pool.due(90.0)) == [Close("c1", CloseReason.IDLE)]
    assert pool.stats().idle_closes == 1
    assert pool.state(Contact(HERE)) is None


def test_a_connection_with_work_in_flight_is_not_idle():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)
    pool.busy("c1", 2, 1.0)
    pool.used("c1", 2.0)

    assert pool.next_due() == inf
    pool.busy("c1", 0, 100.0)
    assert pool.next_due() == 160.0


def test_an_accepted_connection_is_left_to_the_peer():
    pool = new_pool()
    pool.accepted("c1", LARGE, 0.0)

    assert pool.next_due() == inf


def test_a_full_pool_evicts_the_dialled_connection_that_is_idle_longest():
    pool = new_pool(max_connections=3)
    pool.accepted("accepted", SMALL, 0.0)
    dialled(pool, Contact(HERE), "c1", LARGE, 1.0)
    dialled(pool, Contact(THERE), "c2", NodeId(bytes(32)), 2.0)
    pool.want(Contact(HERE), "a", 9.0, 3.0)

    assert pool.accepted("c3", NodeId(b"3" * 32), 4.0) == [Close("c2", CloseReason.EVICTED)]
    assert pool.accepted("c4", NodeId(b"4" * 32), 4.0) == [Close("c1", CloseReason.EVICTED)]
    assert pool.accepted("c5", NodeId(b"5" * 32), 4.0) == [Close("accepted", CloseReason.EVICTED)]
    assert pool.stats().evictions == 3


def test_a_dial_costs_no_connection_before_it_succeeded():
    pool = new_pool(max_connections=1)
    dialled(pool, Contact(HERE), "c1", LARGE)

    assert isinstance(pool.want(Contact(THERE), "a", 9.0, 1.0), StartDial)
    assert pool.stats().live == 1
    assert pool.established(THERE, "c2", SMALL, 2.0) == [Close("c1", CloseReason.EVICTED), Serve("a", "c2")]


def test_when_all_connections_are_busy_new_ones_are_refused():
    pool = new_pool(max_connections=1)
    pool.want(Contact(THERE), "a", 9.0, 0.0)
    dialled(pool, Contact(HERE), "c1", LARGE)
    pool.busy("c1", 1, 0.0)

    assert pool.want(Contact(node_id=SMALL), "b", 9.0, 1.0) == Refuse(Refusal.TOO_MANY_CONNECTIONS)
    assert pool.accepted("c2", SMALL, 1.0) == [Close("c2", CloseReason.OVERLOADED)]
    assert pool.established(THERE, "c3", SMALL, 1.0) == [
        Close("c3", CloseReason.OVERLOADED),
        Fail("a", Refusal.TOO_MANY_CONNECTIONS),
    ]
    assert pool.state(Contact(THERE)) is None


def test_the_next_dial_after_a_connection_that_lasted_a_moment_waits():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)
    pool.closed("c1", ERROR, 1.0, RNG)

    assert pool.state(Contact(HERE)) == BackingOff(1.5, 1, ERROR)
    assert pool.want(Contact(HERE), "a", 1.2, 1.1) == Refuse(Refusal.DIAL_FAILED, ERROR)
    dialled(pool, Contact(HERE), "c2", LARGE, 2.0)
    pool.closed("c2", ERROR, 3.0, RNG)
    assert pool.state(Contact(HERE)) == BackingOff(4.0, 2, ERROR)


def test_after_a_connection_that_lasted_the_next_dial_is_the_first():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)

    pool.closed("c1", ERROR, 10.0, RNG)
    pool.closed("c1", ERROR, 10.0, RNG)

    assert pool.want(Contact(HERE), "a", 20.0, 10.0) == StartDial(HERE, Contact(HERE), 1)


@pytest.mark.parametrize(("peer", "stays", "goes"), [(LARGE, "ours", "theirs"), (SMALL, "theirs", "ours")])
@pytest.mark.parametrize("order", [1, -1])
def test_of_two_simultaneous_dials_that_of_the_smaller_id_stays(peer, stays, goes, order):
    pool = new_pool()
    pool.want(Contact(HERE, peer), "a", 9.0, 0.0)
    arrivals = [lambda: pool.established(peer, "ours", peer, 1.0), lambda: pool.accepted("theirs", peer, 1.0)]
    for arrive in arrivals[::order]:
        arrive()

    assert pool.want(Contact(node_id=peer), "b", 9.0, 1.0) == Use(stays)
    pool.closed(stays, None, 2.0, RNG)
    assert pool.want(Contact(node_id=peer), "b", 9.0, 2.0) == Use(goes)


def test_only_the_node_that_dialled_it_closes_a_duplicate_and_not_while_it_is_busy():
    pool = new_pool()
    dialled(pool, Contact(HERE, SMALL), "ours", SMALL)
    pool.busy("ours", 1, 0.0)
    pool.accepted("theirs", SMALL, 1.0)

    assert pool.next_due() == inf
    pool.busy("ours", 0, 2.0)
    assert list(pool.due(7.0)) == [Close("ours", CloseReason.DUPLICATE)]
    assert pool.next_due() == inf


def test_a_duplicate_that_takes_the_place_of_the_better_one_is_kept_as_long():
    pool = new_pool()
    dialled(pool, Contact(HERE, SMALL), "ours", SMALL)
    pool.accepted("theirs", SMALL, 1.0)

    pool.closed("theirs", None, 2.0, RNG)

    assert pool.next_due() == 62.0


def test_who_dials_again_later_has_lost_the_old_connection():
    pool = new_pool()
    dialled(pool, Contact(HERE, LARGE), "old", LARGE)
    pool.busy("old", 1, 0.0)

    pool.accepted("new", LARGE, 30.0)

    assert pool.want(Contact(node_id=LARGE), "a", 99.0, 30.0) == Use("new")


def test_of_two_dials_of_one_node_the_newer_is_used():
    pool = new_pool()
    pool.accepted("old", LARGE, 0.0)
    pool.accepted("new", LARGE, 1.0)

    assert pool.want(Contact(node_id=LARGE), "a", 9.0, 1.0) == Use("new")
    assert pool.stats().duplicates == 1


def test_a_node_has_few_connections_here():
    pool = new_pool(max_duplicates=1)
    pool.accepted("c1", LARGE, 0.0)
    pool.busy("c1", 1, 0.0)
    pool.accepted("c2", LARGE, 1.0)

    assert pool.accepted("c3", LARGE, 2.0) == [Close("c1", CloseReason.DUPLICATE)]


def test_a_node_that_dials_itself_remembers_the_endpoint():
    pool = new_pool()
    pool.want(Contact(HERE), "a", 9.0, 0.0)

    assert pool.established(HERE, "c1", OWN, 0.0) == [
        Close("c1", CloseReason.OWN_NODE),
        Fail("a", Refusal.OWN_NODE),
    ]
    assert pool.want(Contact(HERE), "b", 9.0, 1.0) == Refuse(Refusal.OWN_NODE)
    assert pool.want(Contact(THERE, OWN), "b", 9.0, 1.0) == Refuse(Refusal.OWN_NODE)
    assert pool.accepted("c2", OWN, 1.0) == [Close("c2", CloseReason.OWN_NODE)]


def test_an_endpoint_leads_to_the_node_that_was_found_there_last():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", LARGE)

    dialled(pool, Contact(HERE, SMALL), "c2", SMALL)

    assert pool.want(Contact(HERE), "a", 9.0, 1.0) == Use("c2")


def test_a_node_is_found_by_few_endpoints():
    pool = new_pool(max_aliases=1)
    dialled(pool, Contact(HERE), "c1", LARGE)
    dialled(pool, Contact(THERE), "c2", LARGE)

    assert pool.state(Contact(HERE)) is None
    assert pool.state(Contact(THERE)) == Live("c2", 0)


def test_a_peer_that_does_not_tell_its_node_id_is_known_by_its_endpoint():
    pool = new_pool()
    dialled(pool, Contact(HERE), "c1", None)

    assert pool.want(Contact(HERE), "a", 9.0, 0.0) == Use("c1")
    assert isinstance(pool.want(Contact(HERE, LARGE), "a", 9.0, 0.0), StartDial)


def test_failures_are_forgotten_after_a_while_or_for_newer_ones():
    pool = new_pool(max_backing_off=1)
    for contact in (Contact(HERE), Contact(THERE)):
        pool.want(contact, "a", 0.1, 0.0)
        pool.failed(contact.key, ERROR, 0.0, RNG)

    assert pool.state(Contact(HERE)) is None
    assert pool.next_due() == 300.5
    assert list(pool.due(300.5)) == []
    assert pool.state(Contact(THERE)) is None
    assert pool.stats().dial_failures == 2


def test_news_of_a_dial_that_is_not_on_is_taken_as_it_is():
    pool = new_pool()

    assert pool.failed(HERE, ERROR, 0.0, RNG) == []
    assert pool.established(HERE, "c1", LARGE, 0.0) == []
    assert pool.state(Contact(HERE)) == Live("c1", 0)


def test_such_news_serves_and_fails_nobody():
    pool = new_pool(max_connections=1)
    pool.accepted("c1", LARGE, 0.0)
    pool.busy("c1", 1, 0.0)

    assert pool.established(HERE, "c2", SMALL, 0.0) == [Close("c2", CloseReason.OVERLOADED)]
    assert pool.established(HERE, "c3", OWN, 0.0) == [Close("c3", CloseReason.OWN_NODE)]


def test_a_dial_cannot_lead_to_another_node_nor_bring_a_connection_twice():
    pool = new_pool()
    pool.accepted("c1", LARGE, 0.0)

    with pytest.raises(ValueError, match="should have failed"):
        pool.established(SMALL, "c2", LARGE, 0.0)
    with pytest.raises(ValueError, match="is in the pool"):
        pool.established(LARGE, "c1", LARGE, 0.0)
    with pytest.raises(ValueError, match="is in the pool"):
        pool.accepted("c1", LARGE, 0.0)


def test_news_of_a_connection_that_is_not_in_the_pool_is_ignored():
    pool = new_pool()

    pool.used("c1", 0.0)
    pool.busy("c1", 1, 0.0)

    assert pool.stats().live == 0


@pytest.mark.parametrize("name", PoolLimits.__slots__)
def test_limits_are_above_zero(name):
    with pytest.raises(ValueError, match="above 0"):
        PoolLimits(**{name: 0})


@given(
    st.lists(st.binary(min_size=32, max_size=32).map(NodeId), min_size=2, max_size=2, unique=True),
    st.permutations(range(4)),
    st.lists(st.floats(0, 9), min_size=4, max_size=4).map(sorted),
)
def test_two_nodes_that_dial_one_another_keep_one_and_the_same_connection(ids, order, instants):
    one, other = (ConnectionPool(node_id) for node_id in ids)
    one.want(Contact(HERE, ids[1]), "a", 9.0, 0.0)
    other.want(Contact(HERE, ids[0]), "a", 9.0, 0.0)
    arrivals = [
        lambda now: one.established(ids[1], "by one", ids[1], now),
        lambda now: one.accepted("by other", ids[1], now),
        lambda now: other.established(ids[0], "by other", ids[0], now),
        lambda now: other.accepted("by one", ids[0], now),
    ]
    for which, now in zip(order, instants, strict=True):
        arrivals[which](now)

    used = one.want(Contact(node_id=ids[1]), "b", 99.0, 9.0)
    closed = [decision.connection for pool in (one, other) for decision in pool.due(20.0)]

    assert other.want(Contact(node_id=ids[0]), "b", 99.0, 20.0) == used
    assert {used.connection, *closed} == {"by one", "by other"}
    assert len(closed) == 1


ENDPOINTS = [Endpoint("192.0.2.1", port) for port in range(1, 5)]
NODES = [NodeId(bytes([n]) * 32) for n in (1, 2, 3, 0xF1, 0xF2)]
contacts = st.builds(Contact, st.sampled_from(ENDPOINTS), st.none() | st.sampled_from(NODES)) | st.builds(
    Contact, st.none(), st.sampled_from(NODES)
)
LIMITS = PoolLimits(
    max_connections=3,
    max_dials=3,
    max_waiters=6,
    max_waiters_per_peer=3,
    max_backing_off=2,
    max_duplicates=1,
    max_aliases=2,
)


class PoolOwner(RuleBasedStateMachine):
    """Carries out what a small pool decides, and knows only what it was told."""

    def __init__(self):
        super().__init__()
        self.pool = ConnectionPool(OWN, limits=LIMITS)
        self.rng = Random(1)
        self.now = 0.0
        self.serial = 0
        self.dials = {}
        self.waiting = {}
        self.open = {}  # connection: work in flight

    def new(self):
        self.serial += 1
        return self.serial

    def carry_out(self, decisions):
        for decision in decisions:
            match decision:
                case Serve(waiter, connection):
                    assert connection in self.open
                    del self.waiting[waiter]
                case Fail(waiter, reason):
                    deadline = self.waiting.pop(waiter)
                    assert reason is not Refusal.EXPIRED or deadline <= self.now
                case Close(connection, reason):
                    in_flight = self.open.pop(connection)
                    assert not in_flight or reason in {CloseReason.DUPLICATE, CloseReason.OVERLOADED}
                case StartDial(key, contact):
                    assert key not in self.dials
                    assert contact.key == key
                    self.dials[key] = contact

    @rule(contact=contacts, patience=st.floats(0.1, 100))
    def want(self, contact, patience):
        waiter = self.new()
        answer = self.pool.want(contact, waiter, self.now + patience, self.now)
        match answer:
            case Use(connection):
                assert connection in self.open
            case StartDial() | Wait():
                self.waiting[waiter] = self.now + patience
                self.carry_out([answer])

    @rule(data=st.data())
    @precondition(lambda self: self.dials)
    def dial_succeeds(self, data):
        key = data.draw(st.sampled_from(sorted(self.dials, key=str)))
        node_id = key if isinstance(key, NodeId) else data.draw(st.sampled_from([*NODES, None, OWN]))
        connection = self.new()
        del self.dials[key]
        self.open[connection] = 0
        self.carry_out(self.pool.established(key, connection, node_id, self.now))

    @rule(data=st.data())
    @precondition(lambda self: self.dials)
    def dial_fails(self, data):
        key = data.draw(st.sampled_from(sorted(self.dials, key=str)))
        del self.dials[key]
        self.carry_out(self.pool.failed(key, ERROR, self.now, self.rng))

    @rule(node_id=st.sampled_from(NODES))
    def accept(self, node_id):
        connection = self.new()
        self.open[connection] = 0
        self.carry_out(self.pool.accepted(connection, node_id, self.now))

    @rule(data=st.data(), in_flight=st.integers(0, 2))
    @precondition(lambda self: self.open)
    def work(self, data, in_flight):
        connection = data.draw(st.sampled_from(sorted(self.open)))
        self.open[connection] = in_flight
        self.pool.busy(connection, in_flight, self.now)

    @rule(data=st.data())
    @precondition(lambda self: self.open)
    def connection_ends(self, data):
        connection = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[connection]
        self.pool.closed(connection, ERROR, self.now, self.rng)

    @rule(data=st.data())
    @precondition(lambda self: self.waiting)
    def waiter_ends(self, data):
        waiter = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[waiter]
        self.pool.withdraw(waiter)

    @rule(seconds=st.floats(0.001, 20))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    @precondition(lambda self: self.pool.next_due() < inf)
    def wait_until_due(self):
        self.now = max(self.now, self.pool.next_due())

    @rule()
    def act_on_time(self):
        self.carry_out(self.pool.due(self.now))
        assert self.pool.next_due() > self.now
        assert all(deadline > self.now for deadline in self.waiting.values())

    @invariant()
    def counts_agree(self):
        stats = self.pool.stats()
        assert (stats.live, stats.dialling, stats.waiters) == (len(self.open), len(self.dials), len(self.waiting))

    @invariant()
    def everything_is_bounded(self):
        pool, stats = self.pool, self.pool.stats()
        assert stats.live <= LIMITS.max_connections
        assert stats.dialling <= LIMITS.max_dials
        assert stats.waiters <= LIMITS.max_waiters
        assert len(pool._failed) <= LIMITS.max_backing_off
        own = {key: peer for key, peer in pool._peers.items() if peer.key == key}
        assert all(peer.links or peer.dialling or peer.failures for peer in own.values())
        assert len(pool._peers) - len(own) == sum(len(peer.aliases) for peer in own.values())
        assert all(len(peer.aliases) <= LIMITS.max_aliases for peer in own.values())
        assert all(len(peer.links) <= 1 + LIMITS.max_duplicates for peer in own.values())

    @invariant()
    def who_waits_waits_for_something(self):
        peers = set(self.pool._waiting.values())
        assert all(not peer.links and (peer.dialling or peer.key in self.pool._retries) for peer in peers)
        assert len(self.pool._retries) == sum(not peer.dialling for peer in peers)


TestPoolOwner = PoolOwner.TestCase
TestPoolOwner.settings = settings(max_examples=100, stateful_step_count=50)
