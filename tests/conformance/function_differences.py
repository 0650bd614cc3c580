"""Where we answer otherwise than the original, on purpose, and what of it is not ported.

Numbers ``D-xx`` are those of the original's register of defects; ``-`` is a difference in which neither is wrong.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.topic import HASH, Pattern
from macula_actors.core.wire.types import MessageType
from tests.conformance.erlang_terms import REFUSED
from tests.conformance.function_ports import PORTS, text

UNREAD = (REFUSED, ((0, 0, 0, 0), 0))  # the second is macula_gateway_quic_server's
ENDPOINT = re.compile(r"(https?://)?(\[[0-9a-f:]+\]|\w[\w.-]*)(:(?P<port>\d{1,5}))?/*", re.ASCII | re.IGNORECASE)
URI = re.compile(r"macula://[\w-]+(\.[\w-]+)*/[0-9a-fA-F]{64}", re.ASCII)
REALM = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
WILDCARD_IN_SEGMENT = re.compile(r"[^.]*[*#][^.]+|[^.]+[*#][^.]*")
DOUBLED_END = re.compile(r"(.*?)(\.#){2,}")


@dataclass(frozen=True)
class Difference:
    """Some of the arguments that ``functions`` may be given, and why the original's answer to them is not ours."""

    functions: frozenset
    defect: str
    reason: str
    applies: Callable  # (args, the original's outcome) -> bool


def of(*named):
    """Return the ported functions among ``named``: "module" or "module:function"."""
    return frozenset(key for key in PORTS if key[0] in named or ":".join(key) in named)


def is_text(term):
    try:
        return isinstance(text(term), str)
    except ValueError:
        return False


def is_endpoint(term):
    parts = is_text(term) and ENDPOINT.fullmatch(text(term))
    return bool(parts) and int(parts["port"] or 0) <= 65535


def has_wildcard_in_a_segment(term):
    return any(WILDCARD_IN_SEGMENT.fullmatch(segment) for segment in text(term).split("."))


def ends_where_many_wildcards_begin(topic, pattern):
    parts = DOUBLED_END.fullmatch(text(pattern))
    return parts is not None and Pattern(parts[1], HASH).matches(text(topic))


def makes_progress(local_id, envelope, next_hop):
    target, near, far = (
        NodeId.normalize(each) for each in (envelope[b"destination_node_id"], next_hop["node_id"], local_id)
    )
    return target.distance(near) < target.distance(far) and next_hop["node_id"] != envelope[b"source_node_id"]


TEXTS = of(
    "macula_core_types:realm_id",
    "macula_gateway_pubsub",
    "macula_names",
    "macula_pubsub_topic",
    "macula_rpc_names",
    "macula_utils:topic_matches",
) | (of("macula_realm") - of("macula_realm:from_binary"))

ENDPOINTS = of(
    "macula_connection",
    "macula_gateway_pubsub_router",
    "macula_gateway_quic_server",
    "macula_peer_connector",
    "macula_utils:parse_host_port",
    "macula_utils:parse_url",
)

DIFFERENCES = [
    Difference(
        TEXTS,
        "-",
        "Names, realms and topics are text: bytes that are no UTF-8 are refused where they are decoded.",
        lambda args, was: was is not REFUSED and not all(is_text(term) for term in args if isinstance(term, bytes)),
    ),
    Difference(
        ENDPOINTS,
        "D-10",
        "One parser reads what only some of the original's six read: URLs, host:port, IPv6, either case.",
        lambda args, was: was in UNREAD and is_endpoint(args[0]),
    ),
    Difference(
        ENDPOINTS,
        "D-10",
        "Refused, not passed on: no host, a port above 65535 or with a sign, white space, a user, a path.",
        lambda args, was: was is not REFUSED and not is_endpoint(args[0]),
    ),
    Difference(
        of("macula_connection", "macula_utils:parse_url"),
        "D-10",
        "http and https are the same to QUIC and have the same default port.",
        lambda args, was: re.fullmatch(r"http://[^:/]+", text(args[0])) and was is not REFUSED,
    ),
    Difference(
        of("macula_connection", "macula_utils:parse_url"),
        "D-10",
        "The slash after a host is no part of it.",
        lambda args, was: re.fullmatch(r"https?://[^:/]+/+", text(args[0])) and was is not REFUSED,
    ),
    Difference(
        of("macula_gateway_quic_server"),
        "D-10",
        "A name stays one until it is dialled, and an IPv6 address is not taken for 127.0.0.1.",
        lambda args, was: was not in UNREAD and not re.match(r"https?://[\d.]+(:|/|$)", text(args[0])),
    ),
    Difference(
        of("macula_core_types:encode_address"),
        "-",
        "A port that does not fit 16 bits is refused, not cut.",
        lambda args, was: was is not REFUSED and not 0 <= args[0][1] <= 65535,
    ),
    Difference(
        of("macula_protocol_types"),
        "D-07",
        "Types that the original has no number for have one of ours.",
        lambda args, was: was is REFUSED and args[0] in {form for each in MessageType for form in (each, each.label)},
    ),
    Difference(
        of("macula_routing_nodeid:leading_zeros", "macula_routing_nodeid:to_hex"),
        "D-11",
        "A node id has 32 bytes; nothing else is measured or shown as one.",
        lambda args, was: was is not REFUSED and len(args[0]) != 32,
    ),
    Difference(
        of("macula_uri:get_node_id", "macula_uri:get_realm", "macula_uri:is_valid", "macula_uri:parse"),
        "D-11",
        "A URI whose realm is no realm or whose node id is not 64 hexadecimal digits is none.",
        lambda args, was: was not in {REFUSED, False} and not URI.fullmatch(text(args[0])),
    ),
    Difference(
        of("macula_uri:equals"),
        "D-11",
        "URIs are compared, not their texts: what is none is refused, not equal to itself.",
        lambda args, was: not all(is_text(term) and URI.fullmatch(text(term)) for term in args),
    ),
    Difference(
        of("macula_uri:new"),
        "D-11",
        "No URI is made that could not be read again.",
        lambda args, was: was is not REFUSED and not (REALM.fullmatch(text(args[0])) and len(args[1]) == 32),
    ),
    Difference(
        of("macula_names:validate", "macula_pubsub_topic:validate"),
        "D-42",
        "A wildcard is a whole segment: a pattern with one inside a segment would match no topic, and silently.",
        lambda args, was: was is not REFUSED and has_wildcard_in_a_segment(args[0]),
    ),
    Difference(
        of("macula_pubsub_topic:matches"),
        "D-42",
        "Wildcards for any number of segments match none also where several end the pattern.",
        lambda args, was: was is False and ends_where_many_wildcards_begin(*args),
    ),
    Difference(
        of("macula_rpc_router:select_provider"),
        "-",
        "One selector has all strategies: none sends its caller to another function, which it had forgotten to call.",
        lambda args, was: args[0] in {"round_robin", "closest"} and was is REFUSED and args[1:] != [[], []],
    ),
    Difference(
        of("macula_rpc_routing:wrap_call", "macula_rpc_routing:wrap_reply"),
        "-",
        "An envelope has two ids and a whole call or reply in it: what no node could answer is not made.",
        lambda args, was: was is not REFUSED and not (all(args[:2]) and len(args[2].get("call_id", b"")) == 16),
    ),
    Difference(
        of("macula_pubsub_routing:route_or_deliver", "macula_rpc_routing:route_or_deliver"),
        "D-56",
        "What has arrived is delivered, after however many hops.",
        lambda args, was: was is REFUSED and args[1][b"destination_node_id"] == args[0],
    ),
    Difference(
        of("macula_pubsub_routing:route_or_deliver", "macula_rpc_routing:route_or_deliver"),
        "D-56",
        "The next hop is nearer to the destination than this node, and is not the source.",
        lambda args, was: was[0] == "forward" and not makes_progress(args[0], args[1], was[1]),
    ),
]

DROPPED = {
    ("macula_gateway", "get_node_id"): ("D-11", "A node has one id: the SHA-256 of its public key."),
    ("macula_gateway_quic_server", "get_node_id"): ("D-11", "A node has one id: the SHA-256 of its public key."),
    ("macula_utils", "ensure_binary"): ("-", "Text is str; nothing else is taken for it."),
    ("macula_utils", "next_message_id"): ("D-34", "Counters of two nodes give equal ids; ours are random."),
    ("macula_utils", "normalize_provider"): ("D-05", "A record is decoded into its type, whatever its keys were."),
}

NOT_YET_PORTED = {
    "macula_protocol_encoder": "core/wire, which frames.json compares",
    "macula_routing_protocol": "core/wire, which frames.json compares",
    "macula_time": "nothing needs it yet",
}


def difference(key, args, was):
    """Return the first difference that names this call, or None."""
    return next((each for each in DIFFERENCES if key in each.functions and each.applies(args, was)), None)
