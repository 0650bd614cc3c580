from dataclasses import replace
from math import log2
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.lookup import Lookup, LookupLimits
from macula_actors.core.kademlia.lookup_decisions import Holder, Outcome, Query, Wait
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from tests.macula_actors.core.kademlia.networks import (
    QUERY_TIMEOUT,
    ROUND_TRIP,
    Network,
    contact_of,
    nearest,
    random_ids,
    run,
)

TARGET = NodeId(bytes(32))
OWN = NodeId(b"\xff" * 32)
SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=20)  # networks take long to make


def node(n, port=9443):
    """Return a contact at the distance ``n``."""
    return contact_of(NodeId(n.to_bytes(32)), port)


def nodes(*numbers):
    return [node(n) for n in numbers]


def lookup(*numbers, contacts=None, **limits):
    contacts = nodes(*numbers) if contacts is None else contacts
    return Lookup(TARGET, node_id=OWN, contacts=contacts, limits=LookupLimits(**limits), now=0.0)


def queries(lookup, now=0.0):
    """Return who is to be asked until the lookup waits or ends."""
    return list(_queries(lookup, now))


def _queries(lookup, now):
    while isinstance(step := lookup.next(now), Query):
        yield step.contact


def result(lookup, now=0.0):
    """Return the result of a lookup that has ended."""
    return lookup.next(now).result


def answer_all(lookup, values=(), now=0.0):
    """Let all that are asked answer, with no contacts, to the end; return the result."""
    while contacts := queries(lookup, now):
        for each in contacts:
            lookup.answered(each, (), values)
    return result(lookup, now)


def test_alpha_nearest_are_asked_first():
    made = lookup(5, 1, 4, 2, 3, alpha=3)

    assert queries(made) == nodes(1, 2, 3)


def test_once_holders_have_answered_no_more_are_asked_than_three_beyond_those_that_are_missing():
    made = lookup(*range(1, 11), alpha=5, stop_after=3)
    assert queries(made) == nodes(1, 2, 3, 4, 5)
    made.answered(node(1), (), ["value"])
    assert queries(made) == nodes(6)
    made.answered(node(2), (), ["value"])
    assert queries(made) == []
    made.failed(node(3))
    assert queries(made) == nodes(7)


def test_an_answer_makes_room_for_the_next_query_at_once():
    made = lookup(1, 2, 3, 4, 5, alpha=3)
    queries(made)

    made.answered(node(2))

    assert queries(made) == nodes(4)


def test_a_failure_makes_room_for_the_next_query_at_once():
    made = lookup(1, 2, 3, 4, 5, alpha=3)
    queries(made)

    made.failed(node(1))

    assert queries(made) == nodes(4)


def test_nearer_contacts_of_an_answer_are_asked_next():
    made = lookup(10, 20, 30, alpha=1)
    queries(made)

    made.answered(node(10), nodes(5, 25))

    assert queries(made) == nodes(5)


def test_it_ends_when_the_k_closest_have_answered():
    made = lookup(10, 20, 30, k=2, alpha=2)
    queries(made)
    made.answered(node(10))
    made.answered(node(20))

    found = result(made)

    assert (found.outcome, found.contacts, found.queries) == (Outcome.CLOSEST, tuple(nodes(10, 20)), 2)


def test_it_does_not_end_while_a_closer_one_may_answer():
    made = lookup(10, 20, 30, k=1, alpha=2)
    queries(made)
    made.failed(node(10))
    queries(made)
    made.answered(node(20), nodes(5))

    assert queries(made) == nodes(5)
    assert isinstance(made.next(0.0), Wait)


def test_nobody_beyond_the_k_closest_is_asked():
    made = lookup(*range(1, 10), k=3, alpha=9)

    assert queries(made) == nodes(1, 2, 3)


def test_a_slow_one_does_not_hold_up_the_others():
    made = lookup(1, 2, 3, k=2, alpha=1, slow_after=0.5)
    queries(made)

    assert made.next(0.25) == Wait(0.5)
    assert queries(made, 0.5) == nodes(2)


def test_twice_what_the_slowest_answer_took_is_slow():
    made = lookup(1, 2, 3, 4, 5, alpha=2, slow_after=1.0, min_slow_after=0.125)
    queries(made)
    made.answered(node(1))

    assert queries(made, 0.25) == nodes(3)  # 2 is slow after 0.5 s, and so is 3
    assert queries(made, 0.49) == []
    assert queries(made, 0.5) == nodes(4)
    assert made.next(0.5) == Wait(0.75)


def test_quick_answers_leave_the_others_a_least_time():
    made = lookup(1, 2, 3, 4, alpha=2, slow_after=1.0, min_slow_after=0.125)
    queries(made)
    made.answered(node(1))

    assert queries(made, 0.0625) == nodes(3)
    assert made.next(0.0625) == Wait(0.125)


def test_a_late_answer_makes_it_patient_again():
    made = lookup(1, 2, 3, 4, 5, 6, alpha=2, slow_after=1.0, min_slow_after=0.125)
    queries(made)
    made.answered(node(1))
    queries(made, 0.0625)
    queries(made, 0.125)  # 2 is slow

    made.answered(node(2))

    assert queries(made, 0.25) == []  # 3 and 4 are not yet: that would be after 0.5 s
    assert made.next(0.25) == Wait(0.5625)


def test_a_slow_one_may_answer_yet():
    made = lookup(1, 2, k=2, alpha=1, slow_after=0.5)
    queries(made)
    queries(made, 0.5)

    made.answered(node(2))
    assert made.answered(node(1))

    assert result(made).contacts == tuple(nodes(1, 2))


def test_it_ends_without_the_slow_when_k_others_have_answered():
    made = lookup(1, 2, 3, k=2, alpha=3, slow_after=0.5)
    queries(made)
    made.answered(node(2))
    queries(made, 0.5)
    made.answered(node(3))

    assert result(made, 0.5).contacts == tuple(nodes(2, 3))


def test_it_waits_for_the_slow_when_hardly_anybody_has_answered():
    made = lookup(1, 2, slow_after=0.5, timeout=10.0, min_answers=2)
    queries(made)
    made.answered(node(2))

    assert made.next(1.0) == Wait(10.0)
    made.failed(node(1))
    assert result(made, 2.0).failures == 1


def test_it_does_not_wait_for_the_slow_when_some_have_answered():
    made = lookup(1, 2, slow_after=0.5, min_answers=1)
    queries(made)
    made.answered(node(2))

    assert made.next(0.25) == Wait(0.5)
    assert result(made, 0.5).contacts == (node(2),)


def test_it_ends_at_its_time_out_with_what_was_found():
    made = lookup(1, 2, timeout=10.0)
    queries(made)
    made.answered(node(2))

    found = result(made, 10.0)

    assert (found.outcome, found.contacts) == (Outcome.TIMEOUT, tuple(nodes(2)))


def test_without_contacts_it_ends_at_once():
    found = result(lookup())

    assert (found.outcome, found.contacts, found.hops, found.queries) == (Outcome.CLOSEST, (), 0, 0)


def test_values_of_all_holders_are_merged_each_once_the_nearest_holder_first():
    made = lookup(1, 2, 3)
    queries(made)
    made.answered(node(2), (), ["b", "a"])
    made.answered(node(1), (), ["a", "c"])
    made.answered(node(3))

    found = result(made)

    assert found.values == ("a", "c", "b")
    assert found.holders == (Holder(node(1), ("a", "c")), Holder(node(2), ("b", "a")))
    assert found.without_value == (node(3),)


def test_it_ends_at_the_first_holder_if_one_is_enough():
    made = lookup(1, 2, 3, stop_after=1)
    queries(made)
    made.answered(node(1))
    made.answered(node(2), (), ["value"])

    found = result(made)

    assert (found.outcome, found.values, found.without_value) == (Outcome.ENOUGH, ("value",), (node(1),))


def test_a_holder_met_on_the_way_counts():
    made = lookup(100, k=1, alpha=1)
    queries(made)
    made.answered(node(100), nodes(1), ["value"])

    found = answer_all(made)

    assert (found.values, found.contacts) == (("value",), (node(1),))


def test_hops_are_the_longest_chain_that_found_one_of_the_closest():
    made = lookup(100, k=1, alpha=1)
    queries(made)
    made.answered(node(100), nodes(50))
    queries(made)
    made.answered(node(50), nodes(25))

    assert answer_all(made).hops == 2


def test_this_node_and_contacts_without_node_id_are_not_asked():
    made = lookup(contacts=[contact_of(OWN), Contact(Endpoint("192.0.2.1", 1)), node(1)])
    queries(made)
    made.answered(node(1), [contact_of(OWN), Contact(Endpoint("192.0.2.1", 1))])

    assert result(made).queries == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"])
def test_an_address_that_is_nobodys_is_not_asked(host):
    assert queries(lookup(contacts=[replace(node(1), endpoint=Endpoint(host, 1))])) == []


def test_port_0_is_not_asked():
    assert queries(lookup(contacts=[node(1, 0)])) == []


def test_a_node_is_not_asked_at_an_address_that_is_nobodys_when_it_is_silent():
    made = lookup(1, 2, alpha=1)
    queries(made)
    made.failed(node(1))
    queries(made)

    made.answered(node(2), [node(1, 0)])

    assert result(made).queries == 2


@pytest.mark.parametrize("endpoint", [None, Endpoint("peer.example", 1), Endpoint("2001:db8::1", 1)])
def test_other_contacts_are(endpoint):
    contact = replace(node(1), endpoint=endpoint)

    assert queries(lookup(contacts=[contact])) == [contact]


def test_only_the_first_contacts_and_values_of_an_answer_are_used():
    made = lookup(100, max_contacts=2, max_values=3)
    queries(made)
    made.answered(node(100), nodes(3, 2, 1), range(9))

    assert queries(made) == nodes(2, 3)
    made.failed(node(2))
    made.failed(node(3))
    assert result(made).values == (0, 1, 2)


def test_an_answer_that_nobody_waits_for_is_ignored():
    made = lookup(1, 2, alpha=1)
    queries(made)

    assert not made.answered(node(2), nodes(3))
    assert not made.answered(node(9), nodes(3))
    assert not made.answered(node(1, 77), nodes(3))
    assert not made.failed(node(2))
    assert made.answered(node(1))
    assert not made.answered(node(1), nodes(3))
    assert answer_all(made).contacts == tuple(nodes(1, 2))


def test_what_comes_after_the_end_is_ignored():
    made = lookup(1, timeout=1.0)
    queries(made)
    ended = made.next(1.0)

    assert not made.answered(node(1))
    assert made.next(2.0) is ended


def test_a_node_said_to_be_elsewhere_is_asked_there_when_it_is_silent():
    made = lookup(10, 20, alpha=2, slow_after=0.5)
    queries(made)
    made.answered(node(10), [node(5, 666)])
    queries(made)
    made.answered(node(20), [node(5)])

    assert queries(made, 0.5) == [node(5)]
    made.failed(node(5, 666))
    made.answered(node(5))
    assert result(made, 0.5).contacts == tuple(nodes(5, 10, 20))


def test_an_answer_from_the_first_place_counts_while_the_second_is_asked():
    made = lookup(10, 20, alpha=2, slow_after=0.5)
    queries(made)
    made.answered(node(10), [node(5, 666)])
    queries(made)
    made.answered(node(20), [node(5)])
    queries(made, 0.5)

    made.answered(node(5, 666))

    assert result(made, 0.5).contacts == (node(5, 666), *nodes(10, 20))


def test_a_failure_at_the_first_place_does_not_end_the_query_to_the_second():
    made = lookup(10, 20, 30, alpha=2, k=2, slow_after=0.5)
    queries(made)
    made.answered(node(10), [node(5, 666)])
    queries(made)
    made.answered(node(20), [node(5)])
    queries(made, 0.5)

    made.failed(node(5, 666))

    assert made.next(0.5) == Wait(1.0)
    made.answered(node(5))
    assert result(made, 0.5).contacts == tuple(nodes(5, 10))


def test_contacts_of_a_peer_whose_contacts_are_silent_have_to_wait_for_others():
    made = lookup(1000, 2000, k=2, alpha=2, max_bad=2)
    queries(made)
    made.answered(node(1000), nodes(*range(1, 10)))
    for n in (1, 2):
        assert queries(made) == nodes(n)
        made.failed(node(n))

    assert queries(made) == []  # 2000 is in flight, and may know better
    made.answered(node(2000), nodes(500))
    assert queries(made) == nodes(500)
    made.answered(node(500))
    assert result(made).contacts == tuple(nodes(500, 1000))


def test_contacts_of_such_a_peer_are_asked_when_there_is_nobody_else():
    made = lookup(1000, k=2, alpha=2, max_bad=2)
    queries(made)
    made.answered(node(1000), nodes(1, 2, 3))
    for each in queries(made):
        made.failed(each)

    assert queries(made) == nodes(3)


@pytest.mark.parametrize("name", LookupLimits.__slots__)
def test_limits_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match="above 0"):
        LookupLimits(**{name: 0})


def networks(min_nodes=5, max_nodes=300, ks=(8, 20), **kinds):
    return st.builds(make_network, st.integers(min_nodes, max_nodes), st.sampled_from(ks), SEEDS, **kinds)


def make_network(count, k, seed, dead=0.0, liars=0.0):
    """Return a network of which ``dead`` and ``liars`` are a part, but for its first node."""
    ids = random_ids(count, Random(seed))
    last_dead, last_liar = 1 + int(count * dead), 1 + int(count * dead) + int(count * liars)
    return Network(ids, k, seed, set(ids[1:last_dead]), set(ids[last_dead:last_liar]))


def look(network, seed=0, **limits):
    """Look up from the first node; return target and trace."""
    target = random_ids(1, Random(network.seed + seed))[0]
    return target, run(network, network.ids[0], target, LookupLimits(k=network.k, **limits))


def ids_of(trace):
    return [each.node_id for each in trace.result.contacts]


def others(network):
    return network.live[1:]


@FEW
@given(networks(ks=(1, 2, 4, 8, 20)), st.integers(1, 10))
def test_it_finds_exactly_the_k_closest(network, alpha):
    target, trace = look(network, alpha=alpha)

    assert ids_of(trace) == nearest(others(network), target, network.k)
    assert trace.result.outcome is Outcome.CLOSEST


@FEW
@given(networks())
def test_it_takes_few_hops_and_few_queries_more_than_k(network):
    _, trace = look(network)

    assert trace.result.hops <= log2(len(network.ids)) + 1
    assert trace.result.queries <= network.k + 2 * log2(len(network.ids)) + 3


@FEW
@given(networks(liars=st.just(0.2)))
def test_liars_hide_none_of_the_k_closest(network):
    target, trace = look(network, timeout=60.0)

    assert ids_of(trace) == nearest(others(network), target, network.k)


# Where so many are dead or lie, a node is missed in 1 to 3 of 10,000 lookups: so these networks are always the same.
SOME = [(5 + 15 * seed, (8, 20)[seed % 2], seed) for seed in range(20)]


@pytest.mark.parametrize(("count", "k", "seed"), SOME)
def test_the_dead_that_only_this_node_takes_for_alive_hide_none_of_the_k_closest(count, k, seed):
    network = make_network(count, k, seed, dead=0.3)
    others_know = replace(network, ids=network.live, dead=set())
    others_know.liars = set(others_know.ids[1 : 1 + int(0.2 * len(others_know.ids))])
    others_know.tables = {network.ids[0]: network.table(network.ids[0])}

    target, trace = look(others_know, timeout=60.0)

    assert ids_of(trace) == nearest(others(network), target, network.k)


@pytest.mark.parametrize(("count", "k", "seed"), SOME)
def test_the_living_among_the_k_closest_are_found_if_nobody_has_noticed_the_dead(count, k, seed):
    network = make_network(count, k, seed, dead=0.3, liars=0.2)
    target, trace = look(network, timeout=60.0)
    living = [each for each in nearest(network.ids[1:], target, network.k) if each not in network.dead]

    assert ids_of(trace)[: len(living)] == living


@FEW
@given(networks(dead=st.floats(0, 0.9), liars=st.floats(0, 0.9)), st.integers(1, 10), st.floats(0.5, 20))
def test_it_ends_in_time_with_alpha_in_flight_and_nobody_asked_twice(network, alpha, timeout):
    _, trace = look(network, alpha=alpha, timeout=timeout)

    assert trace.seconds <= timeout
    assert trace.max_in_flight <= alpha
    assert len(set(trace.asked)) == len(trace.asked) == trace.result.queries
    assert network.ids[0] not in {each.node_id for each in trace.asked}


@FEW
@given(networks(5, 60, dead=st.just(0.3), liars=st.just(0.5)), st.integers(1, 40))
def test_queries_have_a_bound_whatever_is_answered(network, max_candidates):
    _, trace = look(network, max_candidates=max_candidates, timeout=1000.0)

    assert len({each.node_id for each in trace.asked}) <= max_candidates
    assert len(trace.asked) <= 3 * max_candidates


@FEW
@given(networks(), st.integers(1, 20))
def test_values_are_found_wherever_one_of_the_k_closest_has_them(network, rank):
    target = random_ids(1, Random(network.seed))[0]
    closest = nearest(others(network), target, network.k)
    network.values[closest[rank % len(closest)]] = ("value",)

    _, trace = look(network)

    assert trace.result.values == ("value",)
    assert len(trace.result.without_value) == len(closest) - 1


@FEW
@given(networks(60, 200), st.floats(ROUND_TRIP, QUERY_TIMEOUT))
def test_a_node_that_takes_long_stalls_a_lookup_for_a_moment_only(network, seconds):
    target, unhindered = look(network)
    network.slow = {nearest(others(network), target, 1)[0]: seconds}

    _, trace = look(network, slow_after=0.5)

    assert trace.seconds <= unhindered.seconds + 0.5 + 4 * ROUND_TRIP
