from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from macula_actors.core.peer.liveness import Liveness, LivenessConfig, Lost, LostReason, Nothing, SendPing

CONFIG = LivenessConfig()
NEVER_LATER_THAN = CONFIG.keepalive + CONFIG.max_missed * CONFIG.pong_timeout


def ping(liveness, now):
    due = liveness.due(now)
    liveness.ping_sent(due.uid, now)
    return due.uid


def measured(rtt, at=100.0):
    """A connection whose round-trip time was just measured, last heard ``at``."""
    liveness = Liveness(CONFIG, at - rtt - CONFIG.keepalive)
    liveness.ponged(ping(liveness, at - rtt), at)
    return liveness


def obey(liveness, now):
    """Do what is due; return what it was."""
    match due := liveness.due(now):
        case SendPing(uid):
            liveness.ping_sent(uid, now)
    return due


def run_silent(liveness):
    """Send every ping that is due and answer none; return when the peer is given up, and what is said then."""
    now, due = liveness.next_due(), Nothing()
    while not isinstance(due, Lost):
        now = liveness.next_due()
        due = obey(liveness, now)
    return now, due


def test_a_peer_that_is_heard_is_not_pinged():
    liveness = Liveness(CONFIG, 0.0)

    liveness.heard(14.0)

    assert liveness.due(28.9) == Nothing()
    assert liveness.next_due() == 29.0
    assert liveness.due(29.0) == SendPing(1)


def test_a_ping_is_asked_for_until_it_is_sent_then_no_more():
    liveness = Liveness(CONFIG, 0.0)

    assert liveness.due(15.0) == liveness.due(16.0) == SendPing(1)
    liveness.ping_sent(1, 16.0)
    assert liveness.due(16.0) == Nothing()
    assert liveness.next_due() == 21.0


def test_a_silent_peer_is_pinged_twice_and_lost():
    liveness = Liveness(CONFIG, 0.0)

    ping(liveness, 15.0)
    ping(liveness, 20.0)

    assert liveness.due(24.9) == Nothing()
    assert liveness.due(25.0) == liveness.due(26.0) == Lost(LostReason.SILENT)
    assert liveness.next_due() == inf


def test_later_pings_leave_the_time_of_the_first_unanswered_one():
    liveness = Liveness(CONFIG, 0.0)

    ping(liveness, 15.0)
    ping(liveness, 20.0)

    assert liveness.unanswered_since == 15.0
    liveness.heard(21.0)
    assert liveness.unanswered_since is None


def test_a_late_answer_counts_and_tells_the_round_trip_time_of_its_own_ping():
    liveness = Liveness(CONFIG, 0.0)
    first = ping(liveness, 15.0)
    second = ping(liveness, 20.0)

    assert liveness.ponged(first, 22.0) == 7.0
    assert liveness.ponged(second, 22.5) == 2.5
    assert liveness.due(30.0) == Nothing()
    assert liveness.rtt == 7.0 + (2.5 - 7.0) / 8


def test_the_packet_that_brings_an_answer_does_not_hide_it():
    liveness = Liveness(CONFIG, 0.0)
    uid = ping(liveness, 15.0)

    liveness.heard(15.1)

    assert liveness.ponged(uid, 15.1) == pytest.approx(0.1)


def test_an_answer_to_no_known_ping_is_life_without_a_time():
    liveness = Liveness(CONFIG, 0.0)

    assert liveness.ponged(99, 10.0) is None
    assert liveness.rtt is None
    assert liveness.next_due() == 25.0


def test_a_stalled_process_gives_the_peer_another_chance():
    liveness = Liveness(CONFIG, 0.0)
    ping(liveness, 15.0)

    assert isinstance(liveness.due(500.0), SendPing)


def test_a_hint_probes_at_once_and_loses_a_silent_peer_in_some_round_trips():
    liveness = measured(rtt=0.1)

    liveness.hint(101.0)

    assert liveness.next_due() == 101.0
    assert run_silent(liveness) == (pytest.approx(101.8), Lost(LostReason.FORGOTTEN))


@pytest.mark.parametrize(("rtt", "timeout"), [(0.01, 0.25), (0.1, 0.4), (2.0, 5.0)])
def test_a_probe_waits_four_round_trips_but_neither_too_short_nor_longer_than_a_ping(rtt, timeout):
    liveness = measured(rtt)
    liveness.hint(101.0)

    ping(liveness, 101.0)

    assert liveness.next_due() == pytest.approx(101.0 + timeout)


def test_a_probe_to_a_peer_that_was_never_measured_waits_as_a_ping_does():
    liveness = Liveness(CONFIG, 0.0)
    liveness.hint(1.0)

    ping(liveness, 1.0)

    assert liveness.next_due() == 6.0


def test_a_forged_hint_is_ended_by_anything_from_the_peer():
    liveness = measured(rtt=0.1)
    liveness.hint(101.0)
    ping(liveness, 101.0)

    liveness.heard(101.2)

    assert liveness.due(102.0) == Nothing()
    assert liveness.next_due() == 101.2 + CONFIG.keepalive


def test_hints_while_the_probe_of_one_is_out_ask_for_no_more():
    liveness = measured(rtt=1.0)
    liveness.hint(101.0)
    ping(liveness, 101.0)

    liveness.hint(103.0)

    assert liveness.due(103.0) == Nothing()


def test_pings_missed_before_the_peer_was_heard_again_do_not_count():
    liveness = Liveness(CONFIG, 0.0)
    ping(liveness, 15.0)
    ping(liveness, 20.0)
    liveness.heard(21.0)

    assert run_silent(liveness) == (21.0 + NEVER_LATER_THAN, Lost(LostReason.SILENT))


def test_forged_hints_cost_one_probe_a_second():
    liveness, probes = measured(rtt=0.1), 0

    for tenth in range(1010, 1110):
        now = tenth / 10
        liveness.hint(now)
        probes += isinstance(obey(liveness, now), SendPing)
        liveness.heard(now + 0.05)

    assert probes == 10


@given(st.lists(st.floats(100, 130), max_size=20), st.floats(0.001, 3))
def test_no_hints_put_off_the_loss_of_a_silent_peer(hints, rtt):
    liveness = measured(rtt)
    for hint in sorted(hints):
        while liveness.next_due() <= hint:
            obey(liveness, liveness.next_due())
        liveness.hint(hint)
        obey(liveness, hint)
    while liveness.next_due() < inf:
        lost_at = liveness.next_due()
        obey(liveness, lost_at)
        assert lost_at <= 100 + NEVER_LATER_THAN + 1e-9

    assert isinstance(liveness.due(130.0), Lost)


def test_a_lost_peer_stays_lost():
    liveness = Liveness(CONFIG, 0.0)
    run_silent(liveness)

    liveness.heard(26.0)
    liveness.hint(27.0)

    assert liveness.due(27.0) == Lost(LostReason.SILENT)
    assert liveness.next_due() == inf


@given(st.lists(st.floats(0, 14.9), min_size=1, max_size=10))
def test_a_peer_is_lost_keepalive_and_all_time_outs_after_it_was_last_heard(gaps):
    liveness, now = Liveness(CONFIG, 0.0), 0.0
    for gap in gaps:
        now += gap
        liveness.heard(now)

    lost_at, due = run_silent(liveness)

    assert lost_at == pytest.approx(now + NEVER_LATER_THAN)
    assert due == Lost(LostReason.SILENT)


@pytest.mark.parametrize("name", ["keepalive", "pong_timeout", "max_missed", "min_probe_timeout", "hint_interval"])
def test_numbers_are_above_zero(name):
    with pytest.raises(ValueError, match="above 0"):
        LivenessConfig(**{name: 0})


class AnsweringPeer(RuleBasedStateMachine):
    """A peer that answers each ping after a fixed time that is within all time-outs, whatever else happens."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.liveness = Liveness(CONFIG, 0.0)
        self.answers = []  # (instant, uid), in order

    @rule(rtt=st.floats(0.0, 0.24))
    @precondition(lambda self: not self.answers and isinstance(self.liveness.due(self.now), SendPing))
    def ping(self, rtt):
        uid = ping(self.liveness, self.now)
        self.answers.append((self.now + rtt, uid))

    @rule()
    @precondition(lambda self: self.answers)
    def answer(self):
        at, uid = self.answers.pop(0)
        self.now = at
        assert self.liveness.ponged(uid, self.now) is not None

    @rule()
    @precondition(lambda self: not self.answers and self.liveness.next_due() > self.now)
    def wait(self):
        self.now = self.liveness.next_due()

    @rule()
    def hint(self):
        self.liveness.hint(self.now)

    @rule()
    def hear(self):
        self.liveness.heard(self.now)

    @invariant()
    def it_is_not_lost(self):
        assert not isinstance(self.liveness.due(self.now), Lost)
        assert len(self.liveness._sent) <= 8


TestAnsweringPeer = AnsweringPeer.TestCase
TestAnsweringPeer.settings = settings(max_examples=50, stateful_step_count=40)


def test_a_ping_that_was_not_due_measures_and_its_loss_means_nothing():
    liveness = measured(0.5)

    liveness.measuring(77, 100.0)
    assert liveness.ponged(77, 100.1) == pytest.approx(0.1)
    liveness.measuring(78, 100.2)

    assert liveness.next_due() == pytest.approx(100.1 + CONFIG.keepalive)


def test_a_probe_waits_by_the_shortest_round_trip_that_was_measured():
    liveness = measured(0.1)
    liveness.measuring(77, 100.0)
    liveness.ponged(77, 104.0)

    liveness.hint(110.0)
    ping(liveness, 110.0)

    assert liveness.next_due() == pytest.approx(110.4)
