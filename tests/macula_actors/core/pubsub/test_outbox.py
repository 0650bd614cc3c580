from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.node_outbox import OutboxSettings
from macula_actors.core.pubsub.ordering import Reorderer, Stamp, Verdict
from macula_actors.core.pubsub.outbox import Outbox
from macula_actors.core.pubsub.outbox_decisions import (
    Disconnect,
    Hold,
    Outgoing,
    Reason,
    Resume,
    Send,
    Unacknowledged,
)

PUBLISHER = NodeId.of(b"publisher")
A, B, C = (NodeId.of(bytes([number])) for number in range(3))
EPOCH = 1000
SETTINGS = OutboxSettings(
    window=2, max_queued=2, max_nodes=2, ack_timeout=1.0, backoff=Backoff(initial=0.5, maximum=2.0, jitter=0.0)
)


def an_outbox(**fields):
    return Outbox(replace(SETTINGS, **fields), epoch=EPOCH, rng=Random(1))


def message(name, qos=1, deadline=60.0, length=0):
    return Outgoing(message_id=name.encode(), event=name, qos=qos, deadline=deadline, length=length)


def publish(outbox, name, *nodes, now=0.0, **fields):
    return outbox.publish(message(name, **fields), nodes or (A,), now)


def sent(decisions):
    """Return what is sent, and the numbers of the attempts."""
    return [(each.message.event, each.attempt) for each in decisions if isinstance(each, Send)]


def full(outbox):
    """Return ``outbox`` with two messages in flight to A and two that wait."""
    for name in "1234":
        publish(outbox, name)
    return outbox


def test_a_message_is_sent_to_each_node_once_at_once():
    decisions = publish(an_outbox(), "1", A, B, A)

    assert decisions == [Send(node, message("1"), Stamp(EPOCH, 0, 0), 1) for node in (A, B)]


def test_a_message_that_is_published_again_is_not_sent_again():
    outbox = full(an_outbox())

    assert [publish(outbox, name) for name in "14"] == [[], []]
    assert (outbox.stats.in_flight, outbox.stats.queued) == (2, 2)


def test_so_many_are_in_flight_as_the_window_allows_and_the_others_follow_in_order():
    outbox = full(an_outbox())

    assert sent(outbox.acknowledged(A, b"2", 0.0)) == [("3", 1)]
    assert sent(outbox.acknowledged(A, b"1", 0.0)) == [("4", 1)]
    assert outbox.stats.acknowledged == 2


def test_the_window_is_shut_by_bytes_as_well_and_opens_when_a_message_is_done_with():
    outbox = an_outbox(window=9, window_bytes=100)

    assert [sent(publish(outbox, name, qos=0, length=60)) for name in "123"] == [[("1", 1)], [("2", 1)], []]
    assert sent(outbox.acknowledged(A, b"1", 0.0)) == [("3", 1)]
    outbox.failed(A, b"2", 1, 0.0)
    outbox.failed(A, b"3", 1, 0.0)
    publish(outbox, "4", length=60, deadline=2.0)
    publish(outbox, "5", length=60, deadline=2.0)
    assert sent(outbox.due(1.0)) == [("4", 1), ("5", 1)]
    outbox.due(2.0)
    assert sent(publish(outbox, "6", length=200)) == [("6", 1)]


def test_who_publishes_is_held_when_so_many_bytes_wait_as_well():
    outbox = an_outbox(window=1, max_queued=9, max_queued_bytes=100, policy=FullPolicy.HOLD)
    for name in "123":
        publish(outbox, name, length=60)

    assert publish(outbox, "4", length=1) == [Hold((A,))]
    assert outbox.acknowledged(A, b"1", 0.0)[-1] == Resume(A)


def test_stamps_are_numbered_for_each_node_and_tell_what_is_pending():
    outbox = an_outbox(window=9)
    publish(outbox, "1", A, B)
    publish(outbox, "2", A)

    (third,) = publish(outbox, "3", A, qos=0)
    outbox.acknowledged(A, b"1", 0.0)
    (fourth,) = publish(outbox, "4", A, qos=0)
    outbox.acknowledged(A, b"2", 0.0)
    (fifth,) = publish(outbox, "5", A, qos=0)
    (other,) = publish(outbox, "2", B)

    assert [each.stamp for each in (third, fourth, fifth)] == [
        Stamp(EPOCH, 2, 0),
        Stamp(EPOCH, 3, 1),
        Stamp(EPOCH, 4, 4),
    ]
    assert other.stamp == Stamp(EPOCH, 1, 0)


def test_what_failed_is_sent_again_in_order_after_a_while_with_the_same_stamp():
    outbox = an_outbox()
    first = [*publish(outbox, "1"), *publish(outbox, "2")]

    assert outbox.failed(A, b"2", 1, 0.0) == outbox.failed(A, b"1", 1, 0.1) == []
    assert outbox.next_due() == 0.5
    assert outbox.due(0.4) == []
    assert outbox.due(0.5) == [replace(each, attempt=2) for each in first]
    assert outbox.stats.retries == 2


def test_nothing_new_is_sent_to_a_node_that_is_left_alone():
    outbox = an_outbox()
    publish(outbox, "1")
    outbox.failed(A, b"1", 1, 0.0)

    assert publish(outbox, "2") == []
    assert sent(outbox.due(0.5)) == [("1", 2), ("2", 1)]


def test_a_node_is_left_alone_for_longer_after_each_failure_until_it_acknowledges():
    outbox, now = an_outbox(ack_timeout=100.0), 0.0
    publish(outbox, "1", deadline=inf)
    for attempt, wait in enumerate([0.5, 1.0, 2.0, 2.0], start=1):
        outbox.failed(A, b"1", attempt, now)
        assert outbox.due(now + wait - 0.01) == []
        assert outbox.next_due() == now + wait
        now += wait
        assert sent(outbox.due(now)) == [("1", attempt + 1)]

    outbox.acknowledged(A, b"1", now)
    publish(outbox, "2", now=now, deadline=inf)
    outbox.failed(A, b"2", 1, now)

    assert sent(outbox.due(now + 0.5)) == [("2", 2)]


def test_what_is_not_acknowledged_in_time_has_failed():
    outbox = an_outbox()
    publish(outbox, "1")

    assert outbox.next_due() == 1.0
    assert outbox.due(1.0) == []
    assert sent(outbox.due(1.5)) == [("1", 2)]


def test_only_the_last_attempt_of_a_message_can_fail():
    outbox = an_outbox()
    publish(outbox, "1")
    outbox.failed(A, b"1", 1, 0.0)
    outbox.due(0.5)

    assert outbox.failed(A, b"1", 1, 0.6) == outbox.failed(A, b"x", 1, 0.6) == outbox.failed(B, b"1", 1, 0.6) == []
    assert sent(publish(outbox, "2", now=0.6)) == [("2", 1)]


def test_a_late_acknowledgement_counts():
    outbox = an_outbox()
    publish(outbox, "1")
    outbox.failed(A, b"1", 1, 0.0)

    outbox.acknowledged(A, b"1", 0.1)

    assert outbox.due(0.5) == []
    assert (outbox.stats.acknowledged, outbox.stats.in_flight) == (1, 0)


def test_an_acknowledgement_of_what_is_not_in_flight_does_not_matter():
    outbox = full(an_outbox())

    assert outbox.acknowledged(A, b"4", 0.0) == outbox.acknowledged(B, b"1", 0.0) == []
    assert outbox.stats.acknowledged == 0


def test_at_its_deadline_a_message_is_given_up_and_its_publisher_told():
    outbox = an_outbox(max_queued=3)
    for name in "123":
        publish(outbox, name, deadline=0.9)
    publish(outbox, "4", qos=0, deadline=0.9)
    publish(outbox, "5")

    decisions = outbox.due(0.9)

    assert decisions[:3] == [Unacknowledged(A, name, Reason.DEADLINE) for name in (b"1", b"2", b"3")]
    assert sent(decisions) == [("5", 1)]
    assert (outbox.stats.unacknowledged, outbox.stats.lost) == (3, 1)


def test_a_message_that_waits_to_be_sent_again_is_given_up_at_its_deadline_too():
    outbox = an_outbox()
    publish(outbox, "1", deadline=0.2)
    outbox.failed(A, b"1", 1, 0.0)

    assert outbox.due(0.2) == [Unacknowledged(A, b"1", Reason.DEADLINE)]
    assert outbox.due(0.5) == []
    assert sent(publish(outbox, "2", now=0.5)) == [("2", 1)]


def test_a_message_of_qos_0_is_tried_once():
    outbox = an_outbox()
    publish(outbox, "1", qos=0)

    assert outbox.failed(A, b"1", 1, 0.0) == outbox.due(0.5) == []
    assert (outbox.stats.lost, outbox.stats.in_flight) == (1, 0)


def test_of_a_full_queue_the_oldest_message_is_dropped():
    outbox = full(an_outbox(policy=FullPolicy.DROP_OLDEST))

    assert publish(outbox, "5") == [Unacknowledged(A, b"3", Reason.DROPPED)]
    assert sent(outbox.acknowledged(A, b"1", 0.0)) == [("4", 1)]


def test_or_the_newest():
    outbox = full(an_outbox(policy=FullPolicy.DROP_NEWEST))

    assert publish(outbox, "5") == [Unacknowledged(A, b"5", Reason.DROPPED)]
    assert publish(outbox, "6", qos=0) == []
    assert (outbox.stats.lost, outbox.stats.queued) == (1, 2)


def test_or_its_node_is_given_up_with_all_that_was_for_it():
    outbox = full(an_outbox(policy=FullPolicy.DISCONNECT))

    assert publish(outbox, "5") == [
        *(Unacknowledged(A, name, Reason.DISCONNECTED) for name in (b"1", b"2", b"3", b"4", b"5")),
        Disconnect(A),
    ]
    assert (outbox.stats.nodes, outbox.next_due()) == (0, inf)
    assert publish(outbox, "6")[0].stamp == Stamp(EPOCH + 1, 0, 0)


def test_or_the_publisher_is_held_and_the_message_goes_to_nobody_until_there_is_room():
    outbox = full(an_outbox(policy=FullPolicy.HOLD))

    assert publish(outbox, "5", B, A) == [Hold((A,))]
    assert publish(outbox, "4", A) == []
    assert outbox.stats.holds == 1
    resumed = outbox.acknowledged(A, b"1", 0.0)
    assert sent(resumed) == [("3", 1)]
    assert resumed[-1] == Resume(A)
    assert sent(publish(outbox, "5", B, A)) == [("5", 1)]
    assert not any(isinstance(each, Resume) for each in outbox.acknowledged(A, b"2", 0.0))


@pytest.mark.parametrize("make_room", [lambda outbox: outbox.forget_node(A), lambda outbox: outbox.due(60.0)])
def test_a_publisher_that_is_held_learns_of_any_room(make_room):
    outbox = full(an_outbox(policy=FullPolicy.HOLD))
    publish(outbox, "5")

    assert Resume(A) in make_room(outbox)


def test_a_node_that_is_forgotten_gets_nothing_more():
    outbox = full(an_outbox())

    assert outbox.forget_node(A) == [Unacknowledged(A, name, Reason.FORGOTTEN) for name in (b"1", b"2", b"3", b"4")]
    assert outbox.forget_node(A) == outbox.due(100.0) == []
    assert outbox.next_due() == inf


def test_of_too_many_nodes_one_for_which_there_is_nothing_is_forgotten_and_begins_anew():
    outbox = an_outbox()
    publish(outbox, "1", A, B)
    outbox.acknowledged(B, b"1", 0.0)

    publish(outbox, "2", C)
    outbox.acknowledged(A, b"1", 0.0)
    (back,) = publish(outbox, "3", B)

    assert back.stamp == Stamp(EPOCH + 2, 0, 0)
    assert outbox.stats.nodes == 2


def test_there_is_nothing_for_more_nodes_than_allowed():
    outbox = an_outbox()
    publish(outbox, "1", A, B)

    assert publish(outbox, "2", C) == [Unacknowledged(C, b"2", Reason.OVERLOADED)]
    assert publish(outbox, "3", C, qos=0) == []
    assert (outbox.stats.lost, outbox.stats.unacknowledged) == (1, 1)


@pytest.mark.parametrize("field", ["window", "max_queued", "max_nodes", "ack_timeout"])
def test_a_bound_of_nothing_is_refused(field):
    with pytest.raises(ValueError, match="above 0"):
        replace(SETTINGS, **{field: 0})


def test_timers_that_do_not_count_any_more_are_thrown_out():
    outbox = an_outbox(ack_timeout=1e5)
    for number in range(500):
        publish(outbox, str(number), now=float(number), deadline=1e6)
        outbox.failed(A, str(number).encode(), 1, float(number))
        outbox.due(number + 0.5)
        outbox.acknowledged(A, str(number).encode(), number + 0.6)

    assert outbox.stats.acknowledged == 500
    assert len(vars(outbox)["_timers"]) < 100
    assert outbox.next_due() < inf


class Mesh:
    """A publisher's outbox and its subscribers, with a network between that loses, delays and repeats."""

    def __init__(self, settings, rng, loss):
        self.outbox = Outbox(settings, epoch=EPOCH, rng=rng)
        self.reorderers = {}
        self.rng, self.loss, self.now = rng, loss, 0.0
        self.air, self.numbers = [], count()
        self.delivered = {node: [] for node in (A, B, C)}
        self.ended, self.held = [], []

    def carry_out(self, decisions):
        for each in decisions:
            match each:
                case Send(node_id):
                    for _ in range(1 + (self.rng.random() < self.loss)):
                        self.transmit(self.arrive, node_id, each)
                    if each.message.qos == 0 or self.rng.random() < self.loss:
                        self.transmit(self.tell, node_id, each)
                case Unacknowledged(node_id, message_id):
                    self.ended.append((node_id, message_id))
                case Hold():
                    self.held.append(each)
                case _:
                    pass

    def transmit(self, action, *args):
        if self.rng.random() >= self.loss:
            heappush(self.air, (self.now + self.rng.choice([0.01, 0.05, 0.4, 3.0]), next(self.numbers), action, args))

    def tell(self, node_id, send):
        """Tell how an attempt ended, as the transport sees it."""
        message_id = send.message.message_id
        if send.message.qos == 0 and self.rng.random() < 0.5:
            self.carry_out(self.outbox.acknowledged(node_id, message_id, self.now))
        else:
            self.carry_out(self.outbox.failed(node_id, message_id, send.attempt, self.now))

    def reorderer(self, node_id):
        return self.reorderers.setdefault(
            node_id, Reorderer(gap_timeout=0.25, hold_timeout=60.0, max_waiting=8, max_total=8, max_publishers=2)
        )

    def arrive(self, node_id, send):
        taken = self.reorderer(node_id).take(PUBLISHER, send.stamp, send.message, self.now)
        self.deliver(node_id, taken.events)
        if taken.verdict is Verdict.REPEATED:
            self.transmit(self.acknowledge, node_id, send.message)

    def deliver(self, node_id, messages):
        self.delivered[node_id] += [each.message_id for each in messages]
        for each in messages:
            self.transmit(self.acknowledge, node_id, each)

    def acknowledge(self, node_id, message):
        before = self.outbox.stats.acknowledged
        decisions = self.outbox.acknowledged(node_id, message.message_id, self.now)
        if self.outbox.stats.acknowledged > before and message.qos:
            self.ended.append((node_id, message.message_id))
        self.carry_out(decisions)

    def run(self, until):
        """Let all happen that happens before ``until``."""
        while (instant := self.next_instant()) <= until:
            self.now = max(self.now, instant)
            while self.air and self.air[0][0] <= self.now:
                _, _, action, args = heappop(self.air)
                action(*args)
            self.carry_out(self.outbox.due(self.now))
            for node_id, reorderer in self.reorderers.items():
                self.deliver(node_id, reorderer.due(self.now))
        self.now = until

    def next_instant(self):
        waits = [reorderer.next_due() for reorderer in self.reorderers.values()]
        return min([self.outbox.next_due(), *waits, *(each[0] for each in self.air[:1])])


policies = st.sampled_from(FullPolicy)
publications = st.lists(
    st.tuples(
        st.lists(st.sampled_from([A, B, C]), min_size=1, unique=True), st.integers(0, 1), st.sampled_from([0, 1])
    ),
    max_size=25,
)


def run_all(policy, publications, rng, loss):
    """Publish all, let everything come to its end, and return the mesh and what was accepted, by node."""
    mesh = Mesh(replace(SETTINGS, policy=policy), rng, loss)
    accepted = []
    for number, (nodes, qos, pause) in enumerate(publications):
        sent_message = Outgoing(message_id=bytes([number]), event=number, qos=qos, deadline=mesh.now + 20.0)
        held = len(mesh.held)
        mesh.carry_out(mesh.outbox.publish(sent_message, nodes, mesh.now))
        accepted += [(node, sent_message) for node in nodes * (len(mesh.held) == held)]
        assert mesh.outbox.stats.in_flight <= 2 * 2
        assert mesh.outbox.stats.queued <= 2 * 2
        assert mesh.outbox.stats.nodes <= 2
        mesh.run(mesh.now + pause)
    mesh.run(1000.0)
    return mesh, accepted


@given(policies, publications, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.1, 0.5, 0.95]))
def test_each_message_of_qos_1_ends_acknowledged_or_reported_once(policy, published, rng, loss):
    mesh, accepted = run_all(policy, published, rng, loss)

    assert sorted(mesh.ended) == sorted((node, each.message_id) for node, each in accepted if each.qos)
    assert (mesh.outbox.stats.in_flight, mesh.outbox.stats.queued, mesh.outbox.next_due()) == (0, 0, inf)


@given(policies, publications, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.1, 0.5, 0.95]))
def test_nothing_is_delivered_twice_and_all_in_the_order_in_which_it_was_published(policy, published, rng, loss):
    mesh, _ = run_all(policy, published, rng, loss)

    for delivered in mesh.delivered.values():
        assert delivered == sorted(set(delivered))


@given(publications, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.1, 0.5, 0.95]))
def test_what_was_not_reported_as_lost_was_delivered(published, rng, loss):
    mesh, accepted = run_all(FullPolicy.HOLD, published, rng, loss)

    missing = {(node, each.message_id) for node, each in accepted if each.qos} - {
        (node, message_id) for node, delivered in mesh.delivered.items() for message_id in delivered
    }
    assert len(missing) <= mesh.outbox.stats.unacknowledged
