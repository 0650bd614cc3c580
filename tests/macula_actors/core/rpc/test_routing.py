from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.failure import Code
from macula_actors.core.rpc.routing import Deliver, ForwardTo, Refuse, decide, validate_max_hops
from macula_actors.core.wire.messages import Call, Publish, PubsubRoute, RpcRoute

CALL = Call(procedure="add", args=b"", call_id=bytes(16))


def node(byte):
    return NodeId(bytes([byte]) * 32)


LOCAL, SOURCE, TARGET = node(0xF0), node(0x70), node(0x01)


def contact(node_id):
    return Contact(Endpoint("192.0.2.1", 9443), node_id)


def route(destination=TARGET, source=SOURCE, **fields):
    return RpcRoute(destination_node_id=destination, source_node_id=source, payload_type="call", payload=CALL, **fields)


@pytest.mark.parametrize("hop_count", [0, 9, 10, 11, 255])
def test_what_has_arrived_is_delivered_after_any_number_of_hops(hop_count):
    assert decide(TARGET, route(hop_count=hop_count), []) == Deliver(CALL)


@pytest.mark.parametrize(("hop_count", "max_hops"), [(10, 10), (11, 10), (0, 0), (255, 255)])
def test_what_has_no_hops_left_is_refused(hop_count, max_hops):
    sent = route(hop_count=hop_count, max_hops=max_hops)

    assert decide(LOCAL, sent, [contact(TARGET)]) == Refuse(Code.MAX_HOPS_EXCEEDED)


def test_what_has_one_hop_left_is_forwarded():
    sent = route(hop_count=9)

    assert decide(LOCAL, sent, [contact(TARGET)]) == ForwardTo((contact(TARGET),))


def test_the_nearest_to_the_destination_is_the_next_hop_and_the_others_come_after_it():
    far, near, nearest = contact(node(0x60)), contact(node(0x10)), contact(node(0x03))

    assert decide(LOCAL, route(), [far, nearest, near]).contacts == (nearest, near, far)


def test_the_destination_comes_before_all_others():
    assert decide(LOCAL, route(), [contact(node(0x03)), contact(TARGET)]).contacts[0] == contact(TARGET)


def test_no_node_as_far_as_this_one_is_a_next_hop():
    assert decide(node(0x02), route(), [contact(node(0x02)), contact(node(0x04))]) == Refuse(Code.NO_ROUTE)


def test_neither_the_source_nor_the_previous_hop_is_a_next_hop():
    back = [contact(SOURCE), contact(node(0x03))]

    assert decide(LOCAL, route(), back, previous_hop=node(0x03)) == Refuse(Code.NO_ROUTE)


def test_a_contact_that_names_no_node_is_no_next_hop():
    assert decide(LOCAL, route(), [Contact(Endpoint("192.0.2.1", 9443))]) == Refuse(Code.NO_ROUTE)


def test_a_node_that_is_named_twice_is_tried_once():
    assert decide(LOCAL, route(), [contact(TARGET)] * 2).contacts == (contact(TARGET),)


def test_an_id_of_v08_that_has_not_32_bytes_stands_for_its_hash():
    assert decide(NodeId.of(b"short"), route(b"short"), []) == Deliver(CALL)
    assert decide(LOCAL, route(source=b"short"), [contact(NodeId.of(b"short"))]) == Refuse(Code.NO_ROUTE)


@st.composite
def meshes(draw):
    """Draw nodes with tables of any others, a source, a destination perhaps outside of it, and which hop is taken."""
    ids = draw(st.lists(st.binary(min_size=32, max_size=32).map(NodeId), min_size=2, max_size=20, unique=True))
    tables = {each: draw(st.lists(st.sampled_from(ids), max_size=8)) for each in ids}
    return tables, draw(st.sampled_from(ids)), draw(st.sampled_from(ids)), draw(st.integers(0, 12)), draw(st.randoms())


def travel(tables, source, destination, max_hops, rng):
    """Return the nodes that a call goes through, each forwarding to any of the contacts allowed, and what ends it."""
    visited, sent, previous = [source], route(destination, source, max_hops=max_hops), None
    decision = decide(source, sent, map(contact, tables[source]))
    while isinstance(decision, ForwardTo):
        previous, at = visited[-1], rng.choice(decision.contacts).node_id
        visited.append(at)
        sent = replace(sent, hop_count=sent.hop_count + 1)
        decision = decide(at, sent, map(contact, tables[at]), previous)
    return visited, decision


@given(meshes())
def test_a_call_ends_within_its_hops_and_each_is_nearer_to_the_destination(mesh):
    _, _, destination, max_hops, _ = mesh

    visited, decision = travel(*mesh)

    distances = [destination.distance(each) for each in visited]
    assert len(visited) - 1 <= max_hops
    assert all(after < before for before, after in pairwise(distances))
    assert isinstance(decision, Deliver) == (visited[-1] == destination)


@given(st.lists(st.binary(min_size=32, max_size=32).map(NodeId), min_size=2, max_size=20, unique=True), st.randoms())
def test_in_a_mesh_where_all_know_all_every_call_arrives_with_one_hop_per_node_at_most(ids, rng):
    visited, decision = travel(dict.fromkeys(ids, ids), ids[0], ids[1], len(ids), rng)

    assert visited[-1] == ids[1]
    assert decision == Deliver(CALL)


EVENT = Publish(topic="a.b", payload=b"", message_id=bytes(16))


@pytest.mark.parametrize("hop_count", [0, 9, 10, 255])
@pytest.mark.parametrize("local_id", [LOCAL, TARGET])
@pytest.mark.parametrize("candidates", [[], [contact(SOURCE)], [contact(TARGET), contact(node(0x03))]])
def test_an_event_goes_where_a_call_would_go(local_id, hop_count, candidates):
    sent = PubsubRoute(
        destination_node_id=TARGET, source_node_id=SOURCE, topic="a.b", payload=EVENT, hop_count=hop_count
    )

    called = decide(local_id, route(hop_count=hop_count), candidates)

    expected = {
        Deliver: lambda: Deliver(EVENT),
        ForwardTo: lambda: called,
        Refuse: lambda: called,
    }
    assert decide(local_id, sent, candidates) == expected[type(called)]()


@pytest.mark.parametrize("max_hops", ["x", 1.5, None, True, -1])
def test_a_number_of_hops_that_is_none_is_refused(max_hops):
    with pytest.raises(ValueError, match="allowed is a whole number, 0 or more"):
        validate_max_hops(max_hops)


@pytest.mark.parametrize("max_hops", [0, 10, 10**6])
def test_any_number_of_hops_may_be_asked_for(max_hops):
    validate_max_hops(max_hops)
