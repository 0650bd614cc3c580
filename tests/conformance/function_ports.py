"""Which of our functions answers for which of the original's: each takes Erlang terms and returns one."""

from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

from macula_actors.core import ids, names, realm
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.keys import open_key
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.topic import HASH, Dialect, Pattern, validate_pattern
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.uri import NodeUri
from macula_actors.core.wire.messages import FindNode, FindValue, Store
from macula_actors.core.wire.types import MessageType
from tests.conformance import routing_ports, wire_ports
from tests.conformance.erlang_terms import Atom, binary, text
from tests.conformance.routing_ports import node_id


def of_text(function):
    """Return ``function``, of a str, with its str in and out made terms: binaries."""

    def port(term):
        value = function(binary(term).decode())
        return value.encode() if isinstance(value, str) else value

    return port


def of_binaries(function):
    """Return ``function``, of bytes, for terms of which each must be a binary."""
    return lambda *terms: function(*map(binary, terms))


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
    match term:
        case (tuple(address), int(port)) if set(map(type, address)) == {int}:
            return Endpoint(str(address_of(address)), port).to_bytes()
        case _:
            raise ValueError(f"{term!r} is no address")


def address_of(parts):
    """Return the IP address that has these parts.

    Raises:
        ValueError: there are not 4 or 8 of them, or one is too large.
    """
    bits = {4: 8, 8: 16}.get(len(parts))
    if bits is None or not all(0 <= part < 1 << bits for part in parts):
        raise ValueError(f"{parts!r} is no address")
    packed = b"".join(part.to_bytes(bits // 8) for part in parts)
    return IPv4Address(packed) if bits == 8 else IPv6Address(packed)


def decode_address(data):
    endpoint = Endpoint.from_bytes(binary(data))
    return host_term(endpoint), endpoint.port


def distance(one, other):
    return node_id(one).distance(node_id(other)).to_bytes(32)


def compare(target, one, other):
    near, far = (node_id(target).distance(node_id(each)) for each in (one, other))
    return Atom("less" if near < far else "greater" if near > far else "equal")


def closer_to(target, one, other):
    return node_id(target).distance(node_id(one)) < node_id(target).distance(node_id(other))


def uri(term):
    return NodeUri.parse(binary(term).decode())


def uri_parts(term):
    return uri(term).realm.encode(), uri(term).node_id


def uri_is_valid(term):
    try:
        return uri(term) is not None
    except ValueError:
        return False


def message_type_id(name):
    return wire_ports.type_named(name).value


def message_type_name(number):
    """Return the label of the type with this number, as an atom.

    Raises:
        ValueError: none has it.
    """
    if type(number) is not int:
        raise ValueError(f"{number!r} is no number of a type")
    return Atom(MessageType(number).label)


def topic_matches(pattern, topic, separator=b".", one=b"*", many=b"**"):
    dialect = Dialect(*(binary(each).decode() for each in (separator, one, many)))
    return Pattern(text(pattern), dialect).matches(text(topic))


def name_validate(name, options=MappingProxyType({})):
    wildcards = options.get("allow_wildcards", False)
    return (partial(validate_pattern, dialect=HASH) if wildcards else names.validate)(binary(name).decode())


def pubsub_matches(topic, pattern):
    return Pattern(binary(pattern).decode(), HASH).matches(binary(topic).decode())


def equal_texts(one, other):
    return type(one) is type(other) and text(one) == text(other)


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
    ("macula_id", "hash_id"): of_binaries(NodeId.of),
    ("macula_id", "to_hex"): lambda data: binary(data).hex().encode(),
    ("macula_id", "to_uuid"): lambda data: ids.to_uuid(binary(data)).encode(),
    ("macula_names", "namespace"): of_text(names.namespace),
    ("macula_names", "normalize"): of_text(names.normalize),
    ("macula_names", "segment_count"): of_text(names.segment_count),
    ("macula_names", "validate"): name_validate,
    ("macula_peer_connector", "parse_endpoint"): host_and_port,
    ("macula_protocol_encoder", "encode"): wire_ports.encode_message,
    ("macula_protocol_types", "message_type_id"): message_type_id,
    ("macula_protocol_types", "message_type_name"): message_type_name,
    ("macula_provider_selector", "select_provider"): routing_ports.select_provider,
    ("macula_pubsub_routing", "route_or_deliver"): partial(
        routing_ports.route_or_deliver, routing_ports.EVENT, b"topic"
    ),
    ("macula_pubsub_routing", "should_deliver_locally"): partial(routing_ports.is_delivered, routing_ports.EVENT),
    ("macula_pubsub_routing", "wrap_publish"): routing_ports.wrap_publish,
    ("macula_pubsub_topic", "matches"): pubsub_matches,
    ("macula_pubsub_topic", "namespace"): of_text(names.namespace),
    ("macula_pubsub_topic", "normalize"): of_text(names.normalize),
    ("macula_pubsub_topic", "segment_count"): of_text(names.segment_count),
    ("macula_pubsub_topic", "validate"): of_text(partial(validate_pattern, dialect=HASH)),
    ("macula_realm", "equals"): equal_texts,
    ("macula_realm", "from_binary"): lambda data: realm.from_bytes(binary(data)).encode(),
    ("macula_realm", "id"): of_text(realm.realm_id),
    ("macula_realm", "namespace"): of_text(names.namespace),
    ("macula_realm", "normalize"): of_text(realm.normalize),
    ("macula_realm", "to_binary"): of_text(realm.to_bytes),
    ("macula_realm", "validate"): of_text(realm.validate),
    ("macula_routing_nodeid", "bucket_index"): lambda one, other: node_id(one).bucket_index(node_id(other)),
    ("macula_routing_nodeid", "closer_to"): closer_to,
    ("macula_routing_nodeid", "compare"): compare,
    ("macula_routing_nodeid", "distance"): distance,
    ("macula_routing_nodeid", "from_binary"): of_binaries(NodeId),
    ("macula_routing_nodeid", "from_hex"): lambda term: NodeId.from_hex(text(term)),
    ("macula_routing_nodeid", "leading_zeros"): lambda data: NodeId(bytes(32)).bucket_index(NodeId(binary(data))),
    ("macula_routing_nodeid", "normalize"): node_id,
    ("macula_routing_nodeid", "to_hex"): lambda data: chars(str(NodeId(binary(data)))),
    ("macula_routing_protocol", "decode_find_node"): wire_ports.decode_find_node,
    ("macula_routing_protocol", "decode_find_node_reply"): wire_ports.decode_find_node_reply,
    ("macula_routing_protocol", "decode_find_value"): wire_ports.decode_find_value,
    ("macula_routing_protocol", "decode_find_value_reply"): wire_ports.decode_find_value_reply,
    ("macula_routing_protocol", "decode_node_info"): wire_ports.decode_node_info,
    ("macula_routing_protocol", "decode_store"): wire_ports.decode_store,
    ("macula_routing_protocol", "encode_find_node"): wire_ports.encode_find_node,
    ("macula_routing_protocol", "encode_find_node_reply"): wire_ports.encode_find_node_reply,
    ("macula_routing_protocol", "encode_find_value"): wire_ports.encode_find_value,
    ("macula_routing_protocol", "encode_find_value_reply"): wire_ports.encode_find_value_reply,
    ("macula_routing_protocol", "encode_node_info"): wire_ports.encode_node_info,
    ("macula_routing_protocol", "encode_store"): wire_ports.encode_store,
    ("macula_routing_protocol", "is_find_node"): partial(wire_ports.has_type_of, FindNode),
    ("macula_routing_protocol", "is_find_value"): partial(wire_ports.has_type_of, FindValue),
    ("macula_routing_protocol", "is_store"): partial(wire_ports.has_type_of, Store),
    ("macula_rpc_names", "matches"): equal_texts,
    ("macula_rpc_names", "namespace"): of_text(names.namespace),
    ("macula_rpc_names", "normalize"): of_text(names.normalize),
    ("macula_rpc_names", "segment_count"): of_text(names.segment_count),
    ("macula_rpc_names", "validate"): of_text(validate_procedure),
    ("macula_rpc_router", "select_provider"): routing_ports.select_by_strategy,
    ("macula_rpc_router", "select_provider_closest"): routing_ports.select_closest,
    ("macula_rpc_router", "select_provider_stateful"): routing_ports.select_by_state,
    ("macula_rpc_routing", "route_or_deliver"): partial(
        routing_ports.route_or_deliver, routing_ports.CALL, b"payload_type"
    ),
    ("macula_rpc_routing", "should_deliver_locally"): partial(routing_ports.is_delivered, routing_ports.CALL),
    ("macula_rpc_routing", "wrap_call"): partial(routing_ports.wrap, b"call"),
    ("macula_rpc_routing", "wrap_reply"): partial(routing_ports.wrap, b"reply"),
    ("macula_service_registry", "service_key"): of_binaries(open_key),
    ("macula_uri", "equals"): lambda one, other: uri(one) == uri(other),
    ("macula_uri", "get_node_id"): lambda term: uri(term).node_id,
    ("macula_uri", "get_realm"): lambda term: uri(term).realm.encode(),
    ("macula_uri", "is_valid"): uri_is_valid,
    ("macula_uri", "new"): of_binaries(lambda name, data: str(NodeUri(name.decode(), NodeId(data))).encode()),
    ("macula_uri", "parse"): uri_parts,
    ("macula_utils", "parse_host_port"): host_and_port,
    ("macula_utils", "parse_url"): host_and_port,
    ("macula_utils", "topic_matches"): topic_matches,
}
