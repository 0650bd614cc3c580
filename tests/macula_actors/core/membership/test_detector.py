from dataclasses import replace
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.membership.decisions import Alive, Dead, Probe, ProbeIndirectly, Suspected
from macula_actors.core.membership.detector import Detector
from macula_actors.core.membership.gossip import GossipQueue
from macula_actors.core.membership.member import Status, member_of
from macula_actors.core.membership.member_list import MemberList
from tests.macula_actors.core.membership.exchange import SETTINGS, Exchange, a_member, node_id

OWN = 99


class Alone:
    """One detector; ``at(t)`` returns what is due at t, if t is when it said that something is."""

    def __init__(self, *connected, table=None, most=1000, **how):
        self.members = MemberList(node_id(OWN), most, {} if table is None else table, 0.0)
        self.gossip = GossipQueue(256)
        self.detector = Detector(replace(SETTINGS, **how), self.members, self.gossip, 0.0, Random(1))
        for number in connected:
            self.detector.connected(node_id(number), None, 0.0)
            self.detector.acked(node_id(number), 0, 0.0)

    def at(self, now):
        assert self.detector.next_due() <= now
        return self.detector.due(now)

    def next_probe(self):
        """Return the next member that is probed, and when."""
        while True:
            now = self.detector.next_due()
            for decision in self.detector.due(now):
                return decision, now

    def hear(self, claim, now=0.0):
        return self.detector.heard([claim], now)

    def told(self, recipient, about=None):
        updates = self.detector.gossip_for(node_id(recipient), node_id(recipient if about is None else about))
        return [member_of(update) for update in updates]


def test_a_node_without_peers_has_nothing_to_do():
    assert Alone().detector.next_due() == inf


def test_who_connects_is_a_member_and_is_pinged_at_once():
    one = Alone()

    assert one.detector.connected(node_id(1), Endpoint("h", 1), 0.0) == [Alive(a_member(1)), Probe(a_member(1), 1.0)]
    assert one.members.get(node_id(1)).member.endpoint == Endpoint("h", 1)


def test_who_connects_is_a_member_though_hearsay_has_filled_the_list():
    one = Alone(1, most=3)
    for number in (2, 3, 4):
        one.hear(a_member(number))
    one.detector.connected(node_id(5), None, 1.0)

    assert set(one.members.ids()) == {node_id(1), node_id(3), node_id(5)}
    one.detector.abandoned(node_id(5))
    assert node_id(2) not in {each.member.node_id for each in one.detector.due(700.0)}


def test_connected_members_are_probed_in_turn_one_a_period():
    one = Alone(1, 2, 3)
    probed = []
    for _ in range(6):
        decision, now = one.next_probe()
        one.detector.acked(decision.member.node_id, 0, now)
        probed.append((now, decision.member))

    assert [now for now, _ in probed] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert {member for _, member in probed[:3]} == {member for _, member in probed[3:]} == {*map(a_member, (1, 2, 3))}


def test_who_does_not_answer_is_probed_by_others_then_suspected_then_dead_then_forgotten():
    one = Alone(1, 2, 3, 4, 5)
    decision, now = one.next_probe()
    suspect = decision.member
    (indirectly,) = one.at(now + 0.5)
    later = [each for each in one.at(now + 1.0) if getattr(each, "member", None).node_id == suspect.node_id]

    assert indirectly.member == suspect
    assert len(set(indirectly.via) - {suspect.node_id}) == 3
    assert indirectly.timeout == 0.5
    assert Suspected(replace(suspect, status=Status.SUSPECT)) in later
    one.detector.abandoned(suspect.node_id)
    assert Dead(replace(suspect, status=Status.DEAD)) in one.detector.due(now + 6.0)
    one.detector.disconnected(suspect.node_id, now + 6.0)
    one.detector.due(now + 307.0)
    assert suspect.node_id not in one.members


def test_nobody_is_asked_to_help_who_is_being_probed_itself():
    one = Alone(1, 2, 3)
    for number in (1, 2, 3):
        one.hear(a_member(number, "suspect"), 0.5)

    assert one.at(1.0) == []


def test_a_ping_that_fails_early_has_others_asked_early():
    one = Alone(1, 2)
    decision, now = one.next_probe()
    (other,) = {node_id(1), node_id(2)} - {decision.member.node_id}

    assert one.detector.failed(decision.member.node_id, now + 0.1) == [
        ProbeIndirectly(decision.member, (other,), pytest.approx(0.9))
    ]
    assert one.detector.failed(decision.member.node_id, now + 0.2) == []
    assert one.detector.failed(node_id(7), now) == []


def test_an_answer_in_time_ends_the_probe_whoever_got_it():
    one = Alone(1, 2)
    decision, now = one.next_probe()
    one.at(now + 0.5)
    one.detector.acked(decision.member.node_id, 0, now + 0.9)
    one.detector.due(now + 1.0)

    assert one.members.get(decision.member.node_id).member.status is Status.ALIVE


def test_who_could_not_be_asked_is_not_suspected():
    one = Alone(1)
    _, now = one.next_probe()
    one.detector.abandoned(node_id(1))
    one.detector.due(now + 0.99)

    assert one.detector.probes == 0
    assert one.members.get(node_id(1)).member.status is Status.ALIVE


def test_an_answer_without_an_incarnation_ends_the_probe_too():
    one = Alone(1)
    one.next_probe()
    one.detector.acked(node_id(1), None, 1.1)

    assert one.detector.probes == 0


def test_who_loses_its_last_connection_is_probed_by_others():
    one = Alone(1, 2)

    assert one.detector.disconnected(node_id(1), 0.5) == [ProbeIndirectly(a_member(1), (node_id(2),), 1.0)]
    assert one.detector.disconnected(node_id(1), 0.5) == []
    assert Suspected(a_member(1, "suspect")) in one.at(1.5)


def test_who_has_lost_all_peers_suspects_them_and_then_does_nothing():
    one = Alone(1)
    one.detector.disconnected(node_id(1), 0.0)

    assert one.at(1.0) == [Suspected(a_member(1, "suspect"))]
    assert one.at(6.0) == [Dead(a_member(1, "dead"))]
    assert one.at(306.0) == []
    assert one.detector.next_due() == inf


def test_a_connected_member_that_is_accused_is_pinged_at_once_and_told_so():
    one = Alone(1, 2)
    accused = a_member(1, "suspect", 4)

    assert one.hear(accused) == [Suspected(accused), Probe(accused, 1.0)]
    assert accused in one.told(1)
    assert accused in one.told(2, about=1)
    assert one.hear(a_member(1, "dead", 4)) == [Dead(a_member(1, "dead", 4))]


def test_a_dead_member_that_connects_again_is_told_that_it_is_believed_dead_and_is_back():
    one = Alone(1)
    one.detector.disconnected(node_id(1), 0.0)
    one.at(1.0)
    one.at(6.0)
    dead = a_member(1, "dead")

    assert one.detector.connected(node_id(1), None, 7.0) == [Probe(dead, 1.0)]
    assert dead in one.told(1)
    assert one.detector.acked(node_id(1), 1, 7.1) == [Alive(a_member(1, incarnation=1))]


def test_a_suspicion_of_this_node_is_answered_to_all():
    one = Alone(1)

    assert one.hear(a_member(OWN, "suspect")) == []
    assert one.told(1)[0] == a_member(OWN, incarnation=1)


def test_a_member_that_is_not_connected_and_of_which_nothing_new_is_heard_is_suspected_in_the_end():
    one = Alone()
    one.hear(a_member(1))

    assert 300.0 <= one.detector.next_due() <= 600.0
    assert one.detector.due(600.0) == [Suspected(a_member(1, "suspect"))]


def test_a_refutation_puts_the_suspicion_off():
    one = Alone()
    one.hear(a_member(1))
    one.hear(a_member(1, "suspect"))

    assert one.hear(a_member(1, "alive", 1), 4.0) == [Alive(a_member(1, incarnation=1))]
    assert one.detector.next_due() >= 304.0


def test_in_a_large_group_a_suspect_has_more_time():
    one = Alone(1)
    one.detector.heard(map(a_member, range(2, 102)), 0.0)
    one.detector.disconnected(node_id(1), 0.0)
    one.at(1.0)

    assert one.detector.next_due() == pytest.approx(11.0, abs=0.05)


def test_who_is_suspected_by_hearsay_alone_has_longer_to_refute_it():
    one = Alone()
    one.hear(a_member(1))
    one.hear(a_member(1, "suspect"))

    assert one.detector.next_due() == 20.0


def test_a_suspect_that_stays_silent_does_not_get_time_again_by_each_probe():
    one = Alone(1)
    decisions = []
    while one.detector.next_due() < 8.0:
        decisions += one.detector.due(one.detector.next_due())

    assert Dead(a_member(1, "dead")) in decisions


def test_a_message_says_who_sends_it_and_no_more_than_it_may():
    one = Alone(*range(1, 30))

    assert one.told(1)[0] == a_member(OWN) or a_member(OWN) in one.told(1)
    assert {len(one.told(1)) for _ in range(50)} <= set(range(2, 9))


def test_members_are_told_in_turn_so_that_a_newcomer_gets_to_know_all():
    one = Alone(*range(1, 30))
    one.gossip.take(99, 1)
    told = {claim.node_id for _ in range(8) for claim in one.told(1)}

    assert {node_id(number) for number in range(2, 30)} <= told


def test_what_a_detector_before_this_one_knew_goes_on():
    table = {}
    Alone(table=table).hear(a_member(1))
    Alone(table=table).hear(a_member(1, "suspect"))
    one = Alone(table=table)

    assert one.at(20.0) == [Dead(a_member(1, "dead"))]


# Many


def knowing(exchange, node, status):
    """Return who of the others that run thinks so of ``node``."""
    return [each for each in exchange.nodes if each is not node and each.is_running and each.status(node) == status]


def others(exchange, node):
    return [each for each in exchange.nodes if each is not node and each.is_running]


def everybody_knows_all(exchange):
    return all(each.status(other) == "alive" for each in exchange.nodes for other in others(exchange, each))


@pytest.mark.parametrize("size", [2, 3, 8, pytest.param(30, marks=pytest.mark.slow)])
def test_a_member_that_stops_is_dead_for_all_and_no_other_is_ever_suspected(size):
    exchange = Exchange(size)
    exchange.run(10.0)
    stopped = exchange.nodes[0]
    exchange.stop(stopped)
    exchange.run(size + 6.0 + 5.0 * 1.5 + 5.0)

    assert knowing(exchange, stopped, "dead") == others(exchange, stopped)
    accused = {
        notice.member.node_id for node in exchange.nodes[1:] for _, notice in node.notices if type(notice) is not Alive
    }
    assert accused == {stopped.id}


def test_a_death_is_told_once():
    exchange = Exchange(8)
    exchange.stop(exchange.nodes[0])
    exchange.run(60.0)

    assert [sum(type(notice) is Dead for _, notice in node.notices) for node in exchange.nodes[1:]] == [1] * 7


def test_a_member_that_comes_back_knowing_nothing_is_alive_for_all():
    exchange = Exchange(8)
    back = exchange.nodes[0]
    exchange.stop(back)
    exchange.run(40.0)
    exchange.restart(back)
    exchange.run(10.0)

    assert everybody_knows_all(exchange)
    assert back.members.itself.incarnation > 0


def test_a_member_whom_one_other_cannot_reach_is_never_suspected():
    exchange = Exchange(5)
    one, other = exchange.nodes[:2]
    exchange.cut.add(frozenset((one.id, other.id)))
    exchange.run(60.0)

    assert exchange.sent["ping_req"] > 10
    assert not [notice for node in exchange.nodes for _, notice in node.notices if type(notice) is not Alive]


def test_who_joins_late_gets_to_know_all_though_it_is_connected_to_one():
    exchange = Exchange(9, connected=[(a, b) for a in range(8) for b in range(a)])
    exchange.run(60.0)
    exchange.connect(exchange.nodes[8], exchange.nodes[0])
    exchange.run(20.0)

    assert everybody_knows_all(exchange)


def test_a_node_in_the_middle_of_a_star_dies_and_all_others_get_to_know_in_the_end():
    exchange = Exchange(5, connected=[(0, number) for number in range(1, 5)])
    exchange.run(30.0)
    assert everybody_knows_all(exchange)
    hub = exchange.nodes[0]
    exchange.stop(hub)
    exchange.run(620.0)

    assert knowing(exchange, hub, "dead") or knowing(exchange, hub, None) == others(exchange, hub)
    assert [node.statuses() for node in exchange.nodes[1:] if Status.ALIVE in node.statuses().values()] == []


@pytest.mark.slow
def test_a_ring_stays_alive_though_most_are_not_connected_to_each_other():
    exchange = Exchange(8, connected=[(number, (number + 1) % 8) for number in range(8)])
    exchange.run(1500.0)

    assert everybody_knows_all(exchange)
    assert not [notice for node in exchange.nodes for _, notice in node.notices if type(notice) is Dead]


def test_two_halves_that_lost_each_other_are_one_group_again():
    exchange = Exchange(6)
    cut = {frozenset((a.id, b.id)) for a in exchange.nodes[:3] for b in exchange.nodes[3:]}
    exchange.cut |= cut
    exchange.run(60.0)
    assert knowing(exchange, exchange.nodes[0], "dead") == exchange.nodes[3:]
    exchange.cut -= cut
    exchange.run(20.0)

    assert everybody_knows_all(exchange)


def times_dead(node, member, until):
    """Return for how long each time ``node`` believed ``member`` dead."""
    changes = [(at, type(notice)) for at, notice in node.notices if notice.member.node_id == member.id]
    ends = [*changes[1:], (until, None)]
    return [end - at for (at, kind), (end, _) in zip(changes, ends, strict=True) if kind is Dead]


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(3, 8), st.integers(0, 10_000), st.floats(0.0, 0.3))
def test_over_a_lossy_network_the_dead_are_found_and_the_living_are_not_dead_for_long(size, seed, loss):
    exchange = Exchange(size, seed=seed, loss=loss)
    exchange.run(120.0)
    stopped = exchange.nodes[0]
    exchange.stop(stopped)
    exchange.run(45.0)

    assert knowing(exchange, stopped, "dead") == others(exchange, stopped)
    living = exchange.nodes[1:]
    spells = [
        spell
        for one in living
        for other in living
        if one is not other
        for spell in times_dead(one, other, exchange.now)
    ]
    assert max(spells, default=0.0) <= 15.0
