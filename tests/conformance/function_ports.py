"""Which of our functions answers for which of the original's: each takes Erlang terms and returns one."""

from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

from macula_actors.core import ids, names, realm
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.keys import open_key
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact
from macula_actors.core.pubsub.topic import HASH, Dialect, Pattern, validate_pattern
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.routing import Deliver, ForwardTo, decide
from macula_actors.core.rpc.selector import Selector, Strategy
from macula_actors.core.uri import NodeUri
from macula_actors.core.wire.fields import read, write
from macula_actors.core.wire.messages import Call, Publish, PubsubRoute, Reply, RpcRoute
from macula_actors.core.wire.types import MessageType
from tests.conformance.erlang_terms import Atom


def text(term):
    """Return the string that a binary or a char list is.

    Raises:
        ValueError: it is neither, or no UTF-8.
    """
    match term:
        case bytes():
            return term.decode()
        case list():
            return bytes(term).decode()
        case _:
            raise ValueError(f"{term!r} is no text")


def of_text(function):
    """Return ``function``, of a str, with its str in and out made terms."""

    def port(term):
        value = function(text(term))
        return value.encode() if isinstance(value, str) else value

    return port


def chars(string):
    return list(string.encode())


def host_term(endpoint):
    """Return an address as the tuple that Erlang has for it, a name as a char list."""
    try:
        address = ip_address(endpoint.host)
    except ValueError:
        return chars(endpoint.host)
    if isinstance(address, IPv4Address):
        return tuple(address.packed)
    return tuple(int.from_bytes(address.packed[i : i + 2]) for i in range(0, 16, 2))


def resolved(term):
    endpoint = Endpoint.parse(text(term), 9443)
    return host_term(endpoint), endpoint.port


def routed(term):
    endpoint = Endpoint.parse(text(term), 4433)
    return host_term(endpoint), endpoint.port


def host_and_port(term, default_port=443):
    endpoint = Endpoint.parse(text(term), default_port)
    return chars(endpoint.host), endpoint.port


def encode_address(term):
    address, port = term
    packed = b"".join(part.to_bytes(1 if len(address) == 4 else 2) for part in address)
    kind = {4: IPv4Address, 16: IPv6Address}.get(len(packed))
    if kind is None or not isinstance(port, int):
        raise ValueError("no address")
    return Endpoint(str(kind(packed)), port).to_bytes()


def decode_address(data):
    endpoint = Endpoint.from_bytes(data)
    return host_term(endpoint), endpoint.port


def node_id(term):
    if not isinstance(term, bytes):
        raise ValueError(f"{term!r} is no binary")
    return NodeId.normalize(term)


def distance(one, other):
    return node_id(one).distance(node_id(other)).to_bytes(32)


def compare(target, one, other):
    near, far = (node_id(target).distance(node_id(each)) for each in (one, other))
    return Atom("less" if near < far else "greater" if near > far else "equal")


def closer_to(target, one, other):
    return node_id(target).distance(node_id(one)) < node_id(target).distance(node_id(other))


def uri(term):
    return NodeUri.parse(text(term))


def uri_parts(term):
    return uri(term).realm.encode(), uri(term).node_id


def uri_is_valid(term):
    try:
        return uri(term) is not None
    except ValueError:
        return False


def message_type_id(name):
    try:
        return MessageType[name.upper()]
    except KeyError as error:
        raise ValueError(f"{name!r} is no type of message") from error


def topic_matches(pattern, topic, separator=b".", one=b"*", many=b"**"):
    dialect = Dialect(text(separator), text(one), text(many))
    return Pattern(text(pattern), dialect).matches(text(topic))


def name_validate(name, options=None):
    wildcards = (options or {}).get("allow_wildcards", False)
    return (partial(validate_pattern, dialect=HASH) if wildcards else names.validate)(text(name))


LOCAL, REMOTE, NO_PROVIDER = Atom("local"), Atom("remote"), (Atom("error"), Atom("no_provider"))
CALL = RpcRoute(  # what is in an envelope of which only the outside matters
    destination_node_id=b"any",
    source_node_id=b"any",
    payload_type="call",
    payload=Call(procedure="any", args=b"", call_id=bytes(16)),
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
        ValueError: there is none.
    """
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
    turn = state[Atom("round_robin_index")]
    try:
        chosen = routed_to(local_handlers, providers, selector_of(state[Atom("strategy")]), turn)
    except ValueError:
        return NO_PROVIDER, state
    return chosen, {**state, Atom("round_robin_index"): turn + 1}


def select_by_strategy(strategy, local_handlers, providers):
    # local_first is how we begin with each strategy; the original then takes a remote one at random
    ours = Strategy.RANDOM if strategy == "local_first" else strategy
    return routed_to(local_handlers, providers, selector_of(ours))


def select_closest(local_id, local_handlers, providers):
    return routed_to(local_handlers, providers, selector_of(Strategy.CLOSEST, local_id))


def binary_keys(fields):
    return {key.encode(): value for key, value in fields.items()}


def wrap(payload_class, source, destination, payload, max_hops):
    """Return the envelope around ``payload``, whose keys are atoms in the original until it is sent."""
    envelope = RpcRoute(
        destination_node_id=destination,
        source_node_id=source,
        payload_type=payload_class.__name__.lower(),
        payload=read(payload_class, binary_keys(payload)),
        max_hops=max_hops,
    )
    fields = write(envelope)
    return {**fields, b"payload": {Atom(key.decode()): value for key, value in fields[b"payload"].items()}}


def wrap_publish(source, destination, payload, max_hops):
    """Return the envelope around ``payload``, of which only the topic has to be there.

    Raises:
        ValueError: it is not.
    """
    if b"topic" not in payload:
        raise ValueError("no topic")
    publish = read(Publish, {**write(EVENT.payload), **payload})
    envelope = PubsubRoute(
        destination_node_id=destination,
        source_node_id=source,
        topic=publish.topic,
        payload=publish,
        max_hops=max_hops,
    )
    fields = write(envelope)
    return {**fields, b"payload": {key: fields[b"payload"][key] for key in payload}}


def decision_of(outside, local_id, envelope, contacts=()):
    """Return what is done with ``envelope``, whatever is in it; what it has not is as ``outside``.

    Raises:
        ValueError: it has no destination.
    """
    filled = {**write(outside), **envelope, b"payload": write(outside.payload)}
    if b"destination_node_id" not in envelope:
        raise ValueError("no destination")
    return decide(node_id(local_id), read(type(outside), filled), contacts)


def is_delivered(outside, *args):
    return isinstance(decision_of(outside, *args), Deliver)


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
        case ForwardTo(contacts, route):
            return Atom("forward"), terms[contacts[0].node_id], {**envelope, b"hop_count": route.hop_count}
        case refused:
            raise ValueError(refused)


PORTS = {
    ("macula_connection", "parse_server_endpoint"): lambda url: str(Endpoint.parse(text(url), 443)).encode(),
    ("macula_connection", "parse_url"): host_and_port,
    ("macula_core_types", "decode_address"): decode_address,
    ("macula_core_types", "encode_address"): encode_address,
    ("macula_core_types", "realm_id"): of_text(realm.realm_id),
    ("macula_gateway_pubsub", "topic_matches"): topic_matches,
    ("macula_gateway_pubsub_router", "parse_endpoint"): routed,
    ("macula_gateway_quic_server", "parse_endpoint"): resolved,
    ("macula_id", "from_hex"): of_text(ids.from_hex),
    ("macula_id", "from_uuid"): of_text(ids.from_uuid),
    ("macula_id", "hash_id"): NodeId.of,
    ("macula_id", "to_hex"): lambda data: data.hex().encode(),
    ("macula_id", "to_uuid"): lambda data: ids.to_uuid(data).encode(),
    ("macula_names", "namespace"): of_text(names.namespace),
    ("macula_names", "normalize"): of_text(names.normalize),
    ("macula_names", "segment_count"): of_text(names.segment_count),
    ("macula_names", "validate"): name_validate,
    ("macula_peer_connector", "parse_endpoint"): host_and_port,
    ("macula_protocol_types", "message_type_id"): message_type_id,
    ("macula_protocol_types", "message_type_name"): lambda number: Atom(MessageType(number).label),
    ("macula_provider_selector", "select_provider"): select_provider,
    ("macula_pubsub_routing", "route_or_deliver"): partial(route_or_deliver, EVENT, b"topic"),
    ("macula_pubsub_routing", "should_deliver_locally"): partial(is_delivered, EVENT),
    ("macula_pubsub_routing", "wrap_publish"): wrap_publish,
    ("macula_pubsub_topic", "matches"): lambda topic, pattern: Pattern(text(pattern), HASH).matches(text(topic)),
    ("macula_pubsub_topic", "namespace"): of_text(names.namespace),
    ("macula_pubsub_topic", "normalize"): of_text(names.normalize),
    ("macula_pubsub_topic", "segment_count"): of_text(names.segment_count),
    ("macula_pubsub_topic", "validate"): of_text(partial(validate_pattern, dialect=HASH)),
    ("macula_realm", "equals"): lambda one, other: text(one) == text(other),
    ("macula_realm", "from_binary"): lambda data: realm.from_bytes(data).encode(),
    ("macula_realm", "id"): of_text(realm.realm_id),
    ("macula_realm", "namespace"): of_text(names.namespace),
    ("macula_realm", "normalize"): of_text(realm.normalize),
    ("macula_realm", "to_binary"): of_text(realm.to_bytes),
    ("macula_realm", "validate"): of_text(realm.validate),
    ("macula_routing_nodeid", "bucket_index"): lambda one, other: node_id(one).bucket_index(node_id(other)),
    ("macula_routing_nodeid", "closer_to"): closer_to,
    ("macula_routing_nodeid", "compare"): compare,
    ("macula_routing_nodeid", "distance"): distance,
    ("macula_routing_nodeid", "from_binary"): NodeId,
    ("macula_routing_nodeid", "from_hex"): of_text(NodeId.from_hex),
    ("macula_routing_nodeid", "leading_zeros"): lambda data: NodeId(bytes(32)).bucket_index(NodeId(data)),
    ("macula_routing_nodeid", "normalize"): node_id,
    ("macula_routing_nodeid", "to_hex"): lambda data: chars(str(NodeId(data))),
    ("macula_rpc_names", "matches"): lambda one, other: text(one) == text(other),
    ("macula_rpc_names", "namespace"): of_text(names.namespace),
    ("macula_rpc_names", "normalize"): of_text(names.normalize),
    ("macula_rpc_names", "segment_count"): of_text(names.segment_count),
    ("macula_rpc_names", "validate"): of_text(validate_procedure),
    ("macula_rpc_router", "select_provider"): select_by_strategy,
    ("macula_rpc_router", "select_provider_closest"): select_closest,
    ("macula_rpc_router", "select_provider_stateful"): select_by_state,
    ("macula_rpc_routing", "route_or_deliver"): partial(route_or_deliver, CALL, b"payload_type"),
    ("macula_rpc_routing", "should_deliver_locally"): partial(is_delivered, CALL),
    ("macula_rpc_routing", "wrap_call"): partial(wrap, Call),
    ("macula_rpc_routing", "wrap_reply"): partial(wrap, Reply),
    ("macula_service_registry", "service_key"): open_key,
    ("macula_uri", "equals"): lambda one, other: uri(one) == uri(other),
    ("macula_uri", "get_node_id"): lambda term: uri(term).node_id,
    ("macula_uri", "get_realm"): lambda term: uri(term).realm.encode(),
    ("macula_uri", "is_valid"): uri_is_valid,
    ("macula_uri", "new"): lambda name, data: str(NodeUri(text(name), NodeId(data))).encode(),
    ("macula_uri", "parse"): uri_parts,
    ("macula_utils", "parse_host_port"): host_and_port,
    ("macula_utils", "parse_url"): host_and_port,
    ("macula_utils", "topic_matches"): topic_matches,
}
