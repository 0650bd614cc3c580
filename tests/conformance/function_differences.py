"""Where we answer otherwise than the original, on purpose, and what of it is not ported.

Numbers ``D-xx`` are those of the original's register of defects; ``-`` is a difference in which neither is wrong.
"""

import re
from ipaddress import IPv4Address, IPv6Address

from macula_actors.core.pubsub.topic import HASH, Pattern
from macula_actors.core.wire.types import OWN_TYPES, MessageType
from tests.conformance.erlang_terms import REFUSED, Atom, text
from tests.conformance.function_difference import Difference, of
from tests.conformance.routing_differences import ROUTING_DIFFERENCES
from tests.conformance.wire_function_differences import WIRE_DIFFERENCES

OWN = [each for each in MessageType if each in OWN_TYPES]
UNREAD = (REFUSED, ((0, 0, 0, 0), 0))  # the second is macula_gateway_quic_server's
ENDPOINT = re.compile(r"(https?://)?(\[(?P<ipv6>[^]]*)\]|(?P<name>[^]:/[]*))(:(?P<port>[0-9]{1,5}))?/*", re.IGNORECASE)
LABELS = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*", re.ASCII)
ENDS_IN_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)", re.ASCII | re.IGNORECASE)
URI = re.compile(r"macula://(?P<realm>[^/]*)/[0-9a-fA-F]{64}", re.ASCII)
REALM = re.compile(r"(?=.{1,255}\Z)[\w-]+(\.[\w-]+)*", re.ASCII)
SEGMENT = re.compile(r"[\w-]+", re.ASCII)
HEX = re.compile(r"[0-9a-fA-F]*")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WHITE_SPACE = "\t\n\v\f\r \x85\u200e\u200f\u2028\u2029"
WILDCARD_IN_SEGMENT = re.compile(r"[^.]*[*#][^.]+|[^.]+[*#][^.]*")
DOUBLED_END = re.compile(r"(.*?)(\.#){2,}")


def is_text(term):
    try:
        return isinstance(text(term), str)
    except ValueError:
        return False


def is_endpoint(term):
    parts = is_text(term) and ENDPOINT.fullmatch(text(term))
    return bool(parts) and int(parts["port"] or 0) <= 65535 and (is_ipv6(parts["ipv6"]) or is_name(parts["name"]))


def is_ipv6(host):
    return is_address(IPv6Address, host or "") and "%" not in host


def is_name(host):
    """Tell whether ``host`` is a DNS name, or the IPv4 address that it looks like."""
    if host is None or not LABELS.fullmatch(host) or len(host) > 253:
        return False
    return is_address(IPv4Address, host) if ENDS_IN_NUMBER.fullmatch(host) else True


def is_address(kind, host):
    try:
        return kind(host) is not None
    except ValueError:
        return False


def host_in(term):
    return ENDPOINT.fullmatch(text(term))["name"] or ""


def is_realm(term):
    return is_text(term) and REALM.fullmatch(text(term)) is not None


def is_uri(term):
    parts = isinstance(term, bytes) and is_text(term) and URI.fullmatch(text(term))
    return bool(parts) and is_realm(parts["realm"].encode())


def is_dialect(separator, one, many):
    if not all(isinstance(each, bytes) and is_text(each) for each in (separator, one, many)):
        return False
    separator, one, many = map(text, (separator, one, many))
    is_separator = len(separator) == 1 and not separator.isalnum() and not separator.isspace()
    return is_separator and one != many and all(is_wildcard(each, separator) for each in (one, many))


def is_wildcard(term, separator):
    return bool(term) and separator not in term and not SEGMENT.fullmatch(term)


def fits(address, port):
    return 0 <= port <= 65535 and all(0 <= part < {4: 256, 8: 65536}[len(address)] for part in address)


def is_mapped(term, was):
    """Tell whether the address that a function was given, or that it returned, is one of IPv4 inside IPv6."""
    pairs = [each for each in (term, was) if isinstance(each, tuple) and isinstance(each[0], tuple)]
    return any(address[:6] == (0, 0, 0, 0, 0, 65535) for address, _ in pairs)


def has_white_space_around(term):
    return text(term) != text(term).strip(WHITE_SPACE)


def has_wildcard_in_a_segment(term):
    return any(WILDCARD_IN_SEGMENT.fullmatch(segment) for segment in text(term).split("."))


def ends_where_many_wildcards_begin(topic, pattern):
    parts = DOUBLED_END.fullmatch(text(pattern))
    return parts is not None and Pattern(parts[1], HASH).matches(text(topic))


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

NORMALIZE = of(*(f"{module}:normalize" for module in ("macula_names", "macula_pubsub_topic", "macula_rpc_names")))

DIFFERENCES = [
    *WIRE_DIFFERENCES,
    Difference(
        TEXTS,
        "-",
        "Names, realms and topics are text: bytes that are no UTF-8 are refused where they are decoded.",
        lambda args, was: (
            was is not REFUSED and not all(is_text(term) for term in args if isinstance(term, bytes | list))
        ),
    ),
    Difference(
        of(
            "macula_names:validate",
            "macula_pubsub_topic:validate",
            "macula_rpc_names:validate",
            "macula_realm:validate",
        ),
        "-",
        "A name has at most 255 characters, as in DNS: it has to fit in a frame that v0.8 can read.",
        lambda args, was: was is not REFUSED and len(args[0]) > 255,
    ),
    Difference(
        of("macula_realm:from_binary"),
        "-",
        "A realm has at most 255 characters, as any name.",
        lambda args, was: was is not REFUSED and len(was) > 255,
    ),
    Difference(
        of("macula_realm:to_binary"),
        "-",
        "The length of a realm that does not fit 16 bits is refused, not cut.",
        lambda args, was: was is not REFUSED and len(args[0]) > 65535,
    ),
    Difference(
        NORMALIZE | of("macula_realm:normalize"),
        "-",
        "White space is that also where a combining mark follows it: the mark is no part of a name either.",
        lambda args, was: was is not REFUSED and has_white_space_around(was),
    ),
    Difference(
        of("macula_utils:topic_matches"),
        "D-42",
        "A separator is one character and no letter, wildcards differ, have none in them, are no segments: otherwise "
        "it could not be told what is meant.",
        lambda args, was: was is not REFUSED and not is_dialect(*args[2:]),
    ),
    Difference(
        of("macula_id:from_hex", "macula_routing_nodeid:from_hex"),
        "-",
        "A byte is two hexadecimal digits: a sign is none.",
        lambda args, was: was is not REFUSED and not HEX.fullmatch(text(args[0])),
    ),
    Difference(
        of("macula_id:from_uuid"),
        "-",
        "Each of a UUID's 32 places is a hexadecimal digit: a sign is none.",
        lambda args, was: was is not REFUSED and not UUID.fullmatch(text(args[0])),
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
        "Refused, not passed on: what is no DNS name (RFC 1123) and no address that is written in full, as 127.1 or h. "
        "or none; a port above 65535, with a sign or more than five digits; white space, a user, a path.",
        lambda args, was: was is not REFUSED and not is_endpoint(args[0]),
    ),
    Difference(
        ENDPOINTS,
        "D-10",
        "Upper and lower case are the same host: it is kept in lower case, so that there is one way to write it.",
        lambda args, was: was not in UNREAD and is_endpoint(args[0]) and host_in(args[0]) != host_in(args[0]).lower(),
    ),
    Difference(
        of("macula_connection", "macula_utils:parse_url"),
        "D-10",
        "http and https are the same to QUIC and have the same default port.",
        lambda args, was: re.fullmatch(r"http://[^:/]+", text(args[0])) and was is not REFUSED,
    ),
    Difference(
        of("macula_connection", "macula_utils:parse_host_port", "macula_utils:parse_url"),
        "D-10",
        "The slash after a host is no part of it.",
        lambda args, was: re.fullmatch(r"(https?://)?[^:/]+/+", text(args[0])) and was is not REFUSED,
    ),
    Difference(
        of("macula_gateway_pubsub_router", "macula_core_types:encode_address", "macula_core_types:decode_address"),
        "D-10",
        "An IPv4 address that is mapped into IPv6 is that IPv4 address (RFC 4291, 2.5.5.2), and is written as it.",
        lambda args, was: was is not REFUSED and is_mapped(args[0], was),
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
        "A port or a part of an address that does not fit its bits is refused, not cut.",
        lambda args, was: was is not REFUSED and not fits(*args[0]),
    ),
    Difference(
        of("macula_protocol_types"),
        "D-07",
        "Types that the original has no number for have one of ours.",
        lambda args, was: was is REFUSED and args[0] in [form for each in OWN for form in (each, Atom(each.label))],
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
        lambda args, was: was is not REFUSED and was is not False and not is_uri(args[0]),
    ),
    Difference(
        of("macula_uri:equals"),
        "D-11",
        "URIs are compared, not their texts: what is none is refused, not equal to itself.",
        lambda args, was: not all(map(is_uri, args)),
    ),
    Difference(
        of("macula_uri:equals"),
        "D-11",
        "The digits of a node id are the same in either case.",
        lambda args, was: (
            was is False
            and len({text(term).rpartition("/")[2].lower() for term in args}) == 1
            and len({text(term).rpartition("/")[0] for term in args}) == 1
        ),
    ),
    Difference(
        of("macula_uri:new"),
        "D-11",
        "No URI is made that could not be read again.",
        lambda args, was: was is not REFUSED and not (is_realm(args[0]) and len(args[1]) == 32),
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
    *ROUTING_DIFFERENCES,
]

DROPPED = {
    ("macula_gateway", "get_node_id"): ("D-11", "A node has one id: the SHA-256 of its public key."),
    ("macula_gateway_quic_server", "get_node_id"): ("D-11", "A node has one id: the SHA-256 of its public key."),
    **{
        ("macula_time", name): (
            "-",
            "Durations are float seconds, instants are of the clock that is given: see style 3.3.",
        )
        for name in (
            "duration_ms",
            "format_duration_ms",
            "format_timestamp",
            "minutes_to_ms",
            "ms_to_seconds",
            "seconds_to_ms",
        )
    },
    ("macula_utils", "ensure_binary"): ("-", "Text is str; nothing else is taken for it."),
    ("macula_utils", "next_message_id"): ("D-34", "Counters of two nodes give equal ids; ours are random."),
    ("macula_utils", "normalize_provider"): ("D-05", "A record is decoded into its type, whatever its keys were."),
}


def difference(key, args, was):
    """Return the first difference that names this call, or None."""
    return next((each for each in DIFFERENCES if key in each.functions and each.applies(args, was)), None)
