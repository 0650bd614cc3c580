import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.failure import Code
from macula_actors.core.rpc.forwarding import FindCloser, Offer, OverSession, forwarding
from macula_actors.core.wire.messages import Call, Pong, Reply, RpcRoute
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
)

CALL = Call(procedure="add", args=b"", call_id=bytes(16))


def node(byte):
    return NodeId(bytes([byte]) * 32)


LOCAL, SOURCE, TARGET, FAR, NEAR = node(0xF0), node(0x70), node(0x01), node(0x60), node(0x03)


def contact(node_id):
    return Contact(Endpoint("192.0.2.1", 9443), node_id)


STRAIGHT = Contact(None, TARGET)
REPLY = Reply(call_id=CALL.call_id, result=b"3")
LOST = ConnectionLostError("network", 0)
NO_ROUTE = NoRouteError("x")


def begin(*, hop_count=3, max_hops=10, previous_hop=SOURCE, via=None, connected=(), has_sessions=False, is_over=False):
    route = RpcRoute(
        destination_node_id=TARGET,
        source_node_id=SOURCE,
        payload_type="call",
        payload=CALL,
        hop_count=hop_count,
        max_hops=max_hops,
    )
    return forwarding(
        LOCAL,
        route,
        previous_hop=previous_hop,
        via=via,
        connected=connected,
        has_sessions=has_sessions,
        is_over=lambda: is_over,
    )


def answer(payload=REPLY):
    return RpcRoute(destination_node_id=SOURCE, source_node_id=TARGET, payload_type="reply", payload=payload)


def returned(steps, outcome):
    """Return what ``steps`` lead to after ``outcome``, which ends them."""
    with pytest.raises(StopIteration) as stop:
        steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
    return stop.value.value


def found(*contacts, **how):
    """Return the steps of a node that has just found ``contacts``, and the first of them after that."""
    steps = begin(**how)
    assert next(steps) == FindCloser(TARGET)
    return steps, steps.send(contacts)


def test_it_goes_to_the_nearest_with_a_hop_more_and_the_answer_is_the_reply():
    steps, step = found(contact(FAR), contact(NEAR))

    assert step == Offer(contact(NEAR), 4)
    assert returned(steps, answer()) == REPLY


def test_the_way_from_the_source_to_the_first_hop_does_not_count():
    _, step = found(contact(NEAR), previous_hop=None, hop_count=0)

    assert step == Offer(contact(NEAR), 0)


def test_a_gateway_that_is_named_gets_it_and_nobody_else():
    steps = begin(via=contact(FAR), previous_hop=None, hop_count=0, connected={TARGET})

    assert next(steps) == Offer(contact(FAR), 0)
    with pytest.raises(NoRouteError):
        steps.throw(LOST)


def test_a_destination_that_is_connected_gets_it_and_nobody_is_looked_for():
    assert next(begin(connected={TARGET})) == Offer(STRAIGHT, 4)


def test_a_session_with_the_destination_comes_before_a_connection_and_both_before_others():
    steps = begin(connected={TARGET}, has_sessions=True)

    assert next(steps) == OverSession(4)
    assert steps.throw(NO_ROUTE) == Offer(STRAIGHT, 4)
    assert steps.throw(LOST) == FindCloser(TARGET)


@pytest.mark.parametrize("error", [OverloadedError("x", 1), CallTimeoutError("x", 1.0), RefusedError("x", "")])
def test_what_a_session_does_not_take_goes_nowhere_else(error):
    steps = begin(has_sessions=True)
    next(steps)

    with pytest.raises(type(error)):
        steps.throw(error)


def test_who_is_connected_comes_before_who_is_nearer():
    _, step = found(contact(FAR), contact(NEAR), connected={FAR})

    assert step == Offer(contact(FAR), 4)


@pytest.mark.parametrize("error", [LOST, NO_ROUTE, RefusedError("x", ""), OverloadedError("x", None)])
def test_who_does_not_take_it_gives_way_to_the_next(error):
    steps, _ = found(contact(FAR), contact(NEAR))

    assert steps.throw(error) == Offer(contact(FAR), 4)
    with pytest.raises(NoRouteError) as none:
        steps.throw(LOST)
    assert [each for _, each in none.value.tried] == [error, LOST]


@pytest.mark.parametrize("error", [RefusedError("x", ""), OverloadedError("x", None)])
def test_what_the_destination_itself_refuses_goes_nowhere_else(error):
    steps, step = found(contact(FAR), contact(TARGET))
    assert step.contact == contact(TARGET)

    with pytest.raises(type(error)):
        steps.throw(error)


def test_what_this_node_has_no_room_for_may_go_another_way():
    steps, _ = found(contact(FAR), contact(TARGET))

    assert steps.throw(OverloadedError("x", 1)) == Offer(contact(FAR), 4)


@pytest.mark.parametrize(("error", "is_over"), [(LocalProtocolError("x", ""), False), (LOST, True)])
def test_what_cannot_be_sent_or_is_too_late_goes_nowhere_else(error, is_over):
    steps, _ = found(contact(FAR), contact(NEAR), is_over=is_over)

    with pytest.raises(type(error)):
        steps.throw(error)


@pytest.mark.parametrize("nonsense", [Pong(timestamp=0, server_time=0), answer(Reply(call_id=bytes(15) + b"x")), None])
def test_who_answers_nonsense_gives_way_to_the_next(nonsense):
    steps, _ = found(contact(NEAR))

    with pytest.raises(NoRouteError) as none:
        steps.send(nonsense)
    assert isinstance(none.value.tried[0][1], RemoteProtocolError)


def test_without_anybody_nearer_there_is_no_route():
    steps = begin()
    next(steps)

    with pytest.raises(NoRouteError):
        steps.send(())


@pytest.mark.parametrize("connected", [(), {TARGET}])
def test_without_a_hop_left_it_is_refused(connected):
    steps = begin(hop_count=10, connected=connected)
    outcome = None
    if not connected:
        next(steps)
        outcome = (contact(TARGET),)

    assert returned(steps, outcome).error.code == Code.MAX_HOPS_EXCEEDED


@given(st.lists(st.integers(0, 255).map(node), max_size=8), st.booleans(), st.booleans(), st.sets(st.integers(0, 255)))
def test_each_that_is_nearer_is_offered_it_once_until_one_takes_it(ids, is_near, has_sessions, connected):
    near = {*map(node, connected)} - {TARGET} | ({TARGET} if is_near else set())
    steps = begin(connected=near, has_sessions=has_sessions)
    offered, step = [], next(steps)
    with pytest.raises(NoRouteError):
        while True:
            match step:
                case Offer(to):
                    offered.append(to)
                    step = steps.throw(LOST)
                case OverSession():
                    step = steps.throw(NO_ROUTE)
                case FindCloser():
                    step = steps.send(map(contact, ids))

    looked_up = [each.node_id for each in offered if each is not STRAIGHT and each != STRAIGHT]
    assert (STRAIGHT in offered) == is_near
    assert len(set(looked_up)) == len(looked_up)
    assert set(looked_up) == {each for each in ids if TARGET.distance(each) < TARGET.distance(LOCAL)} - {SOURCE}
