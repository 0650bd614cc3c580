"""Which of our functions answers for those of the original that choose a provider or a next hop."""

from random import Random

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.routing import Deliver, ForwardTo, decide
from macula_actors.core.rpc.selector import Selector, Strategy
from macula_actors.core.wire.fields import read, write
from macula_actors.core.wire.messages import Call, Publish, PubsubRoute, Reply, RpcRoute
from tests.conformance.erlang_terms import Atom, binary
from tests.conformance.wire_ports import OneMessage, a_map, sent


def node_id(term):
    return NodeId.normalize(binary(term))


LOCAL, REMOTE, NO_PROVIDER = Atom("local"), Atom("remote"), (Atom("error"), Atom("no_provider"))
CALL = RpcRoute(  # what is in an envelope of which only the outside matters
    destination_node_id=b"any",
    source_node_id=b"any",
    payload_type="call",
    payload=Call(procedure="any", args=b"", call_id=bytes(16)),
)
ANSWER = RpcRoute(
    destination_node_id=b"any",
    source_node_id=b"any",
    payload_type="reply",
    payload=Reply(call_id=bytes(16)),
)
EVENT = PubsubRoute(
    destination_node_id=b"any",
    source_node_id=b"any",
    topic="any",
    payload=Publish(topic="any", payload=b"", message_id=bytes(16)),
)


def first_of(providers, selector, turn=0):
    """Return the provider that ``selector`` puts first at the procedure's turn ``turn``.

    Raises:
        TypeError: the providers are no list.
        ValueError: there is none.
    """
    if not isinstance(providers, list):
        raise TypeError(f"{providers!r} is no list")
    terms = {NodeId.normalize(each[Atom("node_id")]): each for each in providers}
    found = [Provider(procedure="any", node_id=each) for each in terms]
    orders = [selector.order(found, "any", Random(1)) for _ in range(turn + 1)]
    first, *_ = orders[-1]
    return terms[first.node_id]


def selector_of(strategy, local_id=bytes(32)):
    return Selector(Strategy(strategy), node_id(local_id))


def select_provider(providers, strategy, state):
    counters, name = state.get(Atom("counters"), {}), state.get(Atom("current_service_id"), b"default")
    turn = counters.get(name, 0)
    chosen = first_of(providers, selector_of(strategy), turn)
    counted = {Atom("counters"): {**counters, name: turn + 1}} if strategy == Strategy.ROUND_ROBIN else {}
    return chosen, {**state, **counted}


def routed_to(local_handlers, providers, selector, turn=0):
    """Return whom a call goes to. A local handler is never left to the selector."""
    return (LOCAL, local_handlers[0]) if local_handlers else (REMOTE, first_of(providers, selector, turn))


def select_by_state(state, local_handlers, providers):
    strategy, turn = state[Atom("strategy")], state[Atom("round_robin_index")]
    try:
        chosen = routed_to(local_handlers, providers, selector_of(our_strategy(strategy)), turn)
    except ValueError:
        return NO_PROVIDER, state
    return chosen, {**state, Atom("round_robin_index"): turn + (strategy == Strategy.ROUND_ROBIN)}


def select_by_strategy(strategy, local_handlers, providers):
    return routed_to(local_handlers, providers, selector_of(our_strategy(strategy)))


def our_strategy(strategy):
    """Return ours; local_first is how we begin with each, and the original then takes a remote one at random."""
    return Strategy.RANDOM if strategy == "local_first" else strategy


def select_closest(local_id, local_handlers, providers):
    return routed_to(local_handlers, providers, selector_of(Strategy.CLOSEST, local_id))


def wrap(payload_type, source, destination, payload, max_hops):
    """Return the envelope around ``payload``, whose keys are atoms in the original until it is sent."""
    envelope = {
        b"destination_node_id": binary(destination),
        b"source_node_id": binary(source),
        b"payload_type": payload_type,
        b"payload": sent(a_map(payload)),
        b"hop_count": 0,
        b"max_hops": max_hops,
    }
    route = read(RpcRoute, envelope)
    return OneMessage(route, write(route))


def wrap_publish(source, destination, payload, max_hops):
    """Return the envelope around ``payload``, of which only the topic has to be there.

    Raises:
        ValueError: it is not.
    """
    if b"topic" not in a_map(payload):
        raise ValueError("no topic")
    envelope = {
        b"destination_node_id": binary(destination),
        b"source_node_id": binary(source),
        b"topic": sent(payload[b"topic"]),
        b"payload": sent(payload),
        b"hop_count": 0,
        b"max_hops": max_hops,
    }
    route = read(PubsubRoute, whole(envelope))
    fields = write(route)
    told = {key: value for key, value in fields[b"payload"].items() if key in envelope[b"payload"]}
    return OneMessage(route, {**fields, b"payload": told})


def whole(envelope):
    """Return the envelope of an event with what its event has not, and has to have."""
    return {**envelope, b"payload": {**write(EVENT.payload), **envelope[b"payload"]}}


def decision_of(outside, local_id, envelope, contacts=()):
    """Return what is done with ``envelope``, whatever is in it; what it has not is as ``outside``.

    Raises:
        ValueError: it has no destination.
    """
    like = ANSWER if envelope.get(b"payload_type") == b"reply" else outside
    filled = {**write(outside), **sent(envelope), b"payload": write(like.payload)}
    if b"destination_node_id" not in envelope:
        raise ValueError("no destination")
    return decide(node_id(local_id), read(type(outside), filled), contacts)


def is_delivered(outside, local_id, envelope):
    """Tell whether ``envelope`` has arrived, of which only the destination counts."""
    address = {key: each for key, each in a_map(envelope).items() if key == b"destination_node_id"}
    return isinstance(decision_of(outside, local_id, address), Deliver)


def route_or_deliver(outside, name, local_id, envelope, nodes):
    """Return what is done with ``envelope``; its field ``name`` is told with what is delivered."""
    table = RoutingTable(node_id(local_id), BucketLimits(k=20, max_per_address=1000))
    terms = {NodeId.normalize(each[Atom("node_id")]): each for each in nodes}
    for each in terms:
        table.seen(Contact(Endpoint("192.0.2.1", 9443), each), 0.0)
    closest = table.closest(NodeId.normalize(envelope[b"destination_node_id"]), 20)
    match decision_of(outside, local_id, envelope, closest):
        case Deliver():
            return Atom("deliver"), envelope[name], envelope[b"payload"]
        case ForwardTo(contacts):
            return Atom("forward"), terms[contacts[0].node_id], {**envelope, b"hop_count": envelope[b"hop_count"] + 1}
        case refused:
            raise ValueError(refused)
