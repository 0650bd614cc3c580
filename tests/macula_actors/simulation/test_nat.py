import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.simulation.nat import Nat, NatType

INNER = ("192.168.1.2", 5000)
NEIGHBOUR = ("192.168.1.3", 5000)
REMOTE = ("10.0.0.1", 443)
SAME_IP = ("10.0.0.1", 444)
STRANGER = ("10.0.0.2", 443)
LIFETIME = 30.0
MAPPING = [kind for kind in NatType if kind is not NatType.UDPBLOCK]
addresses = st.sampled_from([REMOTE, SAME_IP, STRANGER])
inner_addresses = st.sampled_from([INNER, NEIGHBOUR, ("192.168.1.2", 6000)])


def nat(kind, **options):
    return Nat("home", kind, "10.0.0.9", random.Random(0), mapping_lifetime=LIFETIME, **options)


@pytest.mark.parametrize(
    ("kind", "same_ports", "kept"),
    [
        (NatType.FULLCONE, 1, True),
        (NatType.ADDR, 1, True),
        (NatType.PORT, 1, True),
        (NatType.LINUX, 1, True),
        (NatType.SYMMETRIC, 3, False),
    ],
)
def test_mapping_is_that_of_the_type(kind, same_ports, kept):
    box = nat(kind)

    outer = [box.outbound(INNER, remote, 0.0) for remote in (REMOTE, SAME_IP, STRANGER)]

    assert {ip for ip, _ in outer} == {"10.0.0.9"}
    assert len(set(outer)) == same_ports
    assert (outer[0][1] == INNER[1]) is kept


@pytest.mark.parametrize(
    ("kind", "passed"),
    [
        (NatType.FULLCONE, [True, True, True]),
        (NatType.ADDR, [True, True, False]),
        (NatType.PORT, [True, False, False]),
        (NatType.LINUX, [True, False, False]),
        (NatType.SYMMETRIC, [True, False, False]),
    ],
)
def test_filtering_is_that_of_the_type(kind, passed):
    box = nat(kind)
    _, port = box.outbound(INNER, REMOTE, 0.0)

    assert [box.inbound(remote, port, 1.0) == INNER for remote in (REMOTE, SAME_IP, STRANGER)] == passed


def test_no_udp_passes_a_box_that_blocks_it():
    assert nat(NatType.UDPBLOCK).outbound(INNER, REMOTE, 0.0) is None


@pytest.mark.parametrize("kind", MAPPING)
def test_two_hosts_with_one_port_are_told_apart(kind):
    box = nat(kind)

    mine, theirs = (box.outbound(host, REMOTE, 0.0)[1] for host in (INNER, NEIGHBOUR))

    assert mine != theirs
    assert box.inbound(REMOTE, mine, 0.0) == INNER
    assert box.inbound(REMOTE, theirs, 0.0) == NEIGHBOUR


def test_linux_keeps_a_port_for_two_hosts_that_write_to_different_remotes():
    box = nat(NatType.LINUX)

    assert box.outbound(INNER, REMOTE, 0.0) == box.outbound(NEIGHBOUR, STRANGER, 0.0) == ("10.0.0.9", 5000)
    assert box.inbound(REMOTE, 5000, 0.0) == INNER
    assert box.inbound(STRANGER, 5000, 0.0) == NEIGHBOUR


@pytest.mark.parametrize("kind", MAPPING)
def test_a_mapping_ends_with_its_lifetime(kind):
    box = nat(kind)
    _, port = box.outbound(INNER, REMOTE, 0.0)

    assert box.inbound(REMOTE, port, LIFETIME - 0.1) == INNER
    assert box.inbound(REMOTE, port, LIFETIME) is None


def test_a_port_has_an_owner_until_the_last_mapping_on_it_is_gone():
    box = nat(NatType.LINUX, max_mappings=2)
    box.outbound(INNER, REMOTE, 0.0)
    box.outbound(INNER, STRANGER, 1.0)

    box.outbound(("192.168.1.3", 7), REMOTE, LIFETIME)
    assert (box.owner(INNER[1]), box.owner(7)) == (INNER, ("192.168.1.3", 7))

    box.outbound(("192.168.1.3", 8), REMOTE, LIFETIME + 1)
    assert box.owner(INNER[1]) is None


def test_a_symmetric_box_gives_out_another_port_after_the_lifetime():
    box = nat(NatType.SYMMETRIC)

    assert box.outbound(INNER, REMOTE, 0.0) != box.outbound(INNER, REMOTE, LIFETIME)


@pytest.mark.parametrize("kind", [NatType.FULLCONE, NatType.ADDR, NatType.PORT, NatType.LINUX])
def test_a_port_is_free_for_a_neighbour_after_the_lifetime(kind):
    box = nat(kind)
    box.outbound(INNER, REMOTE, 0.0)

    assert box.outbound(NEIGHBOUR, REMOTE, LIFETIME) == ("10.0.0.9", NEIGHBOUR[1])
    assert box.outbound(INNER, REMOTE, LIFETIME) != ("10.0.0.9", INNER[1])
    assert box.inbound(REMOTE, NEIGHBOUR[1], LIFETIME) == NEIGHBOUR


@pytest.mark.parametrize("kind", MAPPING)
def test_datagrams_out_keep_a_mapping(kind):
    box = nat(kind)
    outer = box.outbound(INNER, REMOTE, 0.0)

    assert box.outbound(INNER, REMOTE, LIFETIME - 0.1) == outer
    assert box.inbound(REMOTE, outer[1], LIFETIME + 1) == INNER


@pytest.mark.parametrize("kind", MAPPING)
@pytest.mark.parametrize("refresh", [False, True])
def test_datagrams_in_keep_a_mapping_where_they_may(kind, refresh):
    box = nat(kind, refresh_on_inbound=refresh)
    _, port = box.outbound(INNER, REMOTE, 0.0)
    box.inbound(REMOTE, port, LIFETIME - 0.1)

    assert (box.inbound(REMOTE, port, LIFETIME + 1) == INNER) is refresh


@pytest.mark.parametrize("kind", [NatType.ADDR, NatType.PORT])
def test_a_permission_ends_while_the_mapping_lives_on(kind):
    box = nat(kind)
    _, port = box.outbound(INNER, REMOTE, 0.0)
    box.outbound(INNER, STRANGER, LIFETIME - 1)

    assert box.inbound(REMOTE, port, LIFETIME + 1) is None
    assert box.inbound(STRANGER, port, LIFETIME + 1) == INNER


@pytest.mark.parametrize("kind", MAPPING)
def test_after_a_rebind_the_old_port_is_shut_and_another_is_given_out(kind):
    box = nat(kind)
    _, port = box.outbound(INNER, REMOTE, 0.0)

    box.rebind()

    assert box.inbound(REMOTE, port, 0.0) is None
    assert box.owner(port) is None
    assert box.outbound(INNER, REMOTE, 0.0)[1] != port


def test_a_box_may_be_rebound_for_ever():
    box = nat(NatType.SYMMETRIC)
    for number in range(300):
        for remote_port in range(100):
            assert box.outbound(INNER, ("10.0.0.1", remote_port), float(number))
        box.rebind()

    assert len(box._burned) <= 20_000 + 100


def test_a_box_may_change_its_type():
    box = nat(NatType.SYMMETRIC)
    _, port = box.outbound(INNER, REMOTE, 0.0)

    box.change_type(NatType.FULLCONE)

    assert box.nat_type is NatType.FULLCONE
    assert box.inbound(REMOTE, port, 0.0) is None
    assert box.outbound(INNER, REMOTE, 0.0) == ("10.0.0.9", INNER[1])


@pytest.mark.parametrize("kind", MAPPING)
def test_a_full_table_drops_what_needs_a_mapping_until_one_expires(kind):
    box = nat(kind, max_mappings=2)
    for port in (1, 2):
        box.outbound(("192.168.1.2", port), REMOTE, float(port))

    assert box.outbound(("192.168.1.2", 3), REMOTE, 3.0) is None
    assert box.outbound(("192.168.1.2", 1), REMOTE, 4.0)
    assert box.outbound(("192.168.1.2", 3), REMOTE, 2.0 + LIFETIME)


@pytest.mark.parametrize("kind", [NatType.ADDR, NatType.PORT])
def test_permissions_are_bounded_too(kind):
    box = nat(kind, max_mappings=2)
    for number in (1, 2):
        box.outbound(INNER, (f"10.0.1.{number}", 1), float(number))

    assert box.outbound(INNER, ("10.0.1.3", 1), 3.0) is None
    assert box.outbound(INNER, ("10.0.1.3", 1), 1.0 + LIFETIME)


def test_a_table_larger_than_the_ports_can_serve_is_refused():
    with pytest.raises(ValueError, match="at most"):
        nat(NatType.PORT, max_mappings=50_000)


@given(
    st.sampled_from(MAPPING),
    st.lists(st.tuples(st.floats(0.0, 20.0), inner_addresses, addresses) | st.none(), max_size=60),
)
def test_who_was_written_to_can_always_answer_and_the_table_stays_whole(kind, steps):
    box, now = nat(kind, max_mappings=100), 0.0

    for step in steps:
        if step is None:
            box.rebind()
            continue
        after, inner, remote = step
        now += after
        _, port = box.outbound(inner, remote, now)
        assert box.inbound(remote, port, now) == inner

    assert len(box._by_inner) == len(box._by_outer) == sum(box._uses.values())
    assert box._uses.keys() == box._owners.keys()
