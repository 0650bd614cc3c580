from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.admission import Accept, Admission, AdmissionLimits, AskRetry, Refuse, RefuseReason

HOST = "192.0.2.1"
OTHER = "192.0.2.2"


def admission(**limits):
    return Admission(AdmissionLimits(**limits))


def open_many(admission, count, host=HOST, *, established=False):
    for _ in range(count):
        admission.opened(host)
        (admission.established if established else str)(host)


def flood(admission, *, rate, start, seconds):
    """First packets at a constant rate, each from another address; return the decisions."""
    count = int(rate * seconds)
    return [
        admission.decide(f"198.51.{n // 256 % 256}.{n % 256}", validated=False, now=start + n / rate)
        for n in range(count)
    ]


def test_a_quiet_listener_accepts():
    assert admission().decide(HOST, validated=False, now=0.0) == Accept()


def test_above_the_rate_addresses_must_prove_themselves():
    listener = admission()

    decisions = flood(listener, rate=1000, start=0.0, seconds=1)

    assert decisions[:40] == [Accept()] * 40
    assert decisions[60:] == [AskRetry()] * 940
    assert listener.decide(HOST, validated=True, now=1.0) == Accept()


def test_retry_ends_some_time_after_the_flood():
    listener = admission()
    flood(listener, rate=1000, start=0.0, seconds=1)

    assert listener.decide(HOST, validated=False, now=10.0) == AskRetry()
    assert listener.decide(HOST, validated=False, now=25.0) == Accept()


def test_once_asked_for_retry_goes_on_above_half_the_rate():
    listener = admission()
    flood(listener, rate=1000, start=0.0, seconds=1)

    assert flood(listener, rate=30, start=1.0, seconds=60)[-1] == AskRetry()
    assert flood(listener, rate=20, start=61.0, seconds=60)[-1] == Accept()


@given(st.floats(1, 500), st.floats(0, 1e6))
def test_a_constant_rate_does_not_make_retry_flap(rate, start):
    decisions = flood(admission(), rate=rate, start=start, seconds=min(60, 1500 / rate))

    assert sum(before != after for before, after in pairwise(decisions)) <= 1


@given(st.lists(st.ip_addresses().map(str), max_size=200))
def test_packets_that_prove_nothing_leave_nothing(hosts):
    listener = admission()
    for n, host in enumerate(hosts):
        listener.decide(host, validated=False, now=n / 1000)

    assert (listener.stats().addresses, listener._addresses) == (0, {})


def test_half_the_handshakes_are_kept_for_addresses_that_proved_themselves():
    listener = admission(max_handshakes=4)
    open_many(listener, 2)

    assert listener.decide(OTHER, validated=False, now=0.0) == AskRetry()
    assert listener.decide(OTHER, validated=True, now=0.0) == Accept()


def test_a_forger_cannot_use_up_the_handshakes_of_the_address_it_forges():
    listener = admission(max_handshakes_per_address=4)
    open_many(listener, 2)

    assert listener.decide(HOST, validated=False, now=0.0) == AskRetry()
    assert listener.decide(HOST, validated=True, now=0.0) == Accept()
    assert listener.decide(OTHER, validated=False, now=0.0) == Accept()


@pytest.mark.parametrize(
    ("limits", "established", "host", "reason"),
    [
        ({"max_connections": 3}, True, OTHER, RefuseReason.CONNECTIONS),
        ({"max_connections_per_address": 3}, True, HOST, RefuseReason.CONNECTIONS_PER_ADDRESS),
        ({"max_handshakes": 3}, False, OTHER, RefuseReason.HANDSHAKES),
        ({"max_handshakes_per_address": 3}, False, HOST, RefuseReason.HANDSHAKES_PER_ADDRESS),
    ],
)
def test_at_a_limit_a_connection_is_refused_until_another_one_closes(limits, established, host, reason):
    listener = admission(**limits)
    open_many(listener, 3, established=established)

    assert listener.decide(host, validated=True, now=0.0) == Refuse(reason)
    listener.closed(HOST, established=established)
    assert listener.decide(host, validated=True, now=0.0) == Accept()
    assert listener.stats().refused == {**dict.fromkeys(RefuseReason, 0), reason: 1}


def test_handshakes_that_are_done_make_room_for_others():
    listener = admission(max_handshakes=3)
    open_many(listener, 3)

    listener.established(HOST)

    assert listener.decide(HOST, validated=True, now=0.0) == Accept()


def test_where_retry_is_asked_for_a_listener_full_of_handshakes_still_asks():
    listener = admission(max_handshakes=2)
    open_many(listener, 2)

    assert listener.decide(OTHER, validated=False, now=0.0) == AskRetry()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:c000:202", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_an_ipv6_address_counts_as_its_64_bit_prefix_and_a_mapped_one_as_ipv4(one, other, is_same):
    listener = admission(max_connections_per_address=1)
    open_many(listener, 1, host=one, established=True)

    assert (listener.decide(other, validated=True, now=0.0) != Accept()) == is_same


@given(st.lists(st.tuples(st.sampled_from([HOST, OTHER, "2001:db8::1"]), st.booleans()), max_size=50), st.randoms())
def test_when_all_are_closed_nothing_is_left(connections, rng):
    listener = admission()
    for host, established in connections:
        open_many(listener, 1, host, established=established)
    opened = listener.stats()
    rng.shuffle(connections)
    for host, established in connections:
        listener.closed(host, established=established)

    assert (opened.connections, opened.handshakes) == (
        len(connections),
        sum(not established for _, established in connections),
    )
    assert opened.addresses == len({host for host, _ in connections})
    assert (listener.stats().connections, listener.stats().handshakes, listener.stats().addresses) == (0, 0, 0)


def test_decisions_are_counted():
    listener = admission(retry_above=2.0)

    for _ in range(3):
        listener.decide(HOST, validated=False, now=0.0)

    assert (listener.stats().accepted, listener.stats().retried) == (2, 1)


def test_a_connection_that_is_not_open_cannot_close():
    with pytest.raises(KeyError):
        admission().closed(HOST, established=True)


@pytest.mark.parametrize("name", AdmissionLimits.__slots__)
def test_limits_are_above_zero(name):
    with pytest.raises(ValueError, match="above 0"):
        admission(**{name: 0})
