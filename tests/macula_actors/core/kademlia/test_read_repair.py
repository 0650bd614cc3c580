from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.lookup_decisions import Holder, LookupResult, Outcome
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.read_repair import repairs
from tests.macula_actors.core.kademlia.networks import contact_of

TARGET = NodeId(bytes(32))


def node(n):
    return contact_of(NodeId(n.to_bytes(32)))


def result(values, outcome=Outcome.CLOSEST):
    """Return that of a lookup in which the node at distance n answered with ``values[n]``."""
    contacts = tuple(node(n) for n in sorted(values))
    return LookupResult(
        target=TARGET,
        outcome=outcome,
        contacts=contacts,
        holders=tuple(Holder(node(n), tuple(values[n])) for n in sorted(values) if values[n]),
        without_value=tuple(node(n) for n in sorted(values) if not values[n]),
        queries=len(values),
        failures=0,
        hops=1,
    )


def test_all_closest_that_lack_a_value_get_it():
    found = result({1: "", 2: "a", 3: ""})

    assert repairs(found, "a", 8) == [(node(1), "a"), (node(3), "a")]


def test_the_nearest_ones_get_it_when_there_are_too_many():
    assert repairs(result({1: "", 2: "a", 3: ""}), "a", 1) == [(node(1), "a")]


def test_nodes_beyond_all_holders_get_nothing_when_enough_holders_ended_the_lookup():
    found = result({1: "", 2: "a", 3: "a", 4: ""}, Outcome.ENOUGH)

    assert repairs(found, "a", 8) == [(node(1), "a")]


def test_who_has_an_older_value_gets_the_latest():
    assert repairs(result({1: "o", 2: "n"}), "n", 8) == [(node(1), "n")]


def test_what_no_other_node_had_is_given_to_nobody():
    assert repairs(result({1: "", 2: "a"}), "ab", 8) == [(node(1), "a")]


def test_what_nobody_has_leads_to_nothing():
    assert repairs(result({1: "", 2: ""}), "", 8) == []


@given(
    st.dictionaries(st.integers(1, 30), st.sets(st.sampled_from("abcd"))),
    st.sets(st.sampled_from("abcde")),
    st.integers(1, 40),
    st.sampled_from(Outcome),
)
def test_nobody_gets_what_it_has_and_all_closest_have_all_when_there_is_no_bound(values, latest, most, outcome):
    found = result(values, outcome)
    bounded, all_of_them = repairs(found, latest, most), repairs(found, latest, 1000)
    after = {node(n): set(held) for n, held in values.items()}
    assert not any(value in after[contact] for contact, value in all_of_them)
    for contact, value in all_of_them:
        after[contact].add(value)

    assert len(bounded) <= most
    assert bounded == all_of_them[:most]
    known = latest & set().union(*values.values())
    reached = [
        node(n) for n in sorted(values) if outcome is Outcome.CLOSEST or any(values[m] for m in values if m >= n)
    ]
    assert all(known <= after[contact] for contact in reached)
