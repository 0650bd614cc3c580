"""Where we make and read messages otherwise than the original, on purpose.

Numbers ``D-xx`` are those of the original's register of defects; ``-`` is a difference in which neither is wrong.
"""

from dataclasses import fields

from macula_actors.core.wire import decode
from macula_actors.core.wire.codec import codec_of
from macula_actors.core.wire.messages import CLASSES, NodeInfo
from macula_actors.core.wire.types import OWN_TYPES
from macula_actors.errors import LocalProtocolError, RemoteProtocolError
from tests.conformance.erlang_terms import REFUSED, Atom, Chars
from tests.conformance.function_difference import Difference, of
from tests.conformance.wire_ports import reading, type_named

PROTOCOL = "macula_routing_protocol"
INFO_KEYS = {form for field in fields(NodeInfo) for form in (Atom(field.name), field.name.encode())}


def type_of(name):
    try:
        return type_named(name)
    except ValueError:
        return None


def is_readable(frame):
    try:
        return decode(frame) is not None
    except RemoteProtocolError:
        return False


def has_all_fields(name, message):
    """Tell whether ``message`` has what one of this type must have, whatever kind of term its keys are."""
    needed = {name for _, name in codec_of(CLASSES[type_of(name)]).required}
    return isinstance(message, dict) and needed <= {key_text(key) for key in message}


def key_text(key):
    match key:
        case bytes():
            return key.decode()
        case Chars():
            return "".join(map(chr, key))
        case _:
            return str(key)


def is_without(message, name):
    return isinstance(message, dict) and name not in map(key_text, message)


def is_refused(function, term):
    """Tell whether we refuse what is in the fields of ``term``; nil is as if the field were not there."""
    try:
        reading(function, term)
    except (LocalProtocolError, ValueError):
        return True
    return False


def read_by(function):
    """Return the named difference that ``function`` looks into the fields that it is given."""
    return Difference(
        of(f"{PROTOCOL}:{function}"),
        "D-54",
        f"The original's {function} looks into no field, and what handles the message crashes or passes it on.",
        lambda args, was: was is not REFUSED and is_refused(function, args[0]),
    )


def has_id(info):
    return "node_id" in map(key_text, info)


def nodes_in(was):
    match was:
        case ("nodes", list(nodes)) | list(nodes) | {"nodes": list(nodes)}:
            return [each for each in nodes if isinstance(each, dict)]
        case _:
            return []


def has_more(info):
    return any(key not in INFO_KEYS or value is None for key, value in info.items())


WIRE_DIFFERENCES = [
    Difference(
        of("macula_protocol_encoder:encode"),
        "D-54",
        "The original checks that some fields of some types are there; ours are all checked before they are sent.",
        lambda args, was: was is not REFUSED and not is_readable(was),
    ),
    Difference(
        of("macula_protocol_encoder:encode"),
        "D-07",
        "Types that the original has no number for have one of ours.",
        lambda args, was: was is REFUSED and type_of(args[0]) in OWN_TYPES and has_all_fields(*args),
    ),
    Difference(
        of("macula_protocol_encoder:encode"),
        "D-07",
        "A PING without a time is one: it is answered with the answerer's (spec/wire.md).",
        lambda args, was: was is REFUSED and args[0] == "ping" and is_without(args[1], "timestamp"),
    ),
    Difference(
        of("macula_protocol_encoder:encode"),
        "-",
        "The name of a field is text: there are no two kinds of keys, of which some types take only the one.",
        lambda args, was: (
            was is REFUSED
            and type_of(args[0]) is not None
            and has_all_fields(*args)
            and not all(isinstance(key, Atom) for key in args[1])
        ),
    ),
    Difference(
        of(f"{PROTOCOL}:encode_node_info"),
        "D-05",
        "The name of a field is text: there are no two kinds of keys of a node info.",
        lambda args, was: was is REFUSED and not all(isinstance(key, Atom) for key in args[0]) and has_id(args[0]),
    ),
    *map(read_by, ("decode_find_node", "decode_find_value", "decode_store")),
    *map(read_by, ("decode_find_node_reply", "decode_find_value_reply", "decode_node_info")),
    Difference(
        of(f"{PROTOCOL}:decode_node_info", f"{PROTOCOL}:encode_node_info"),
        "D-09",
        "A node info has an address, an endpoint or neither: any is read and written.",
        lambda args, was: was is REFUSED and {"address", "node_id"} & set(map(key_text, args[0])) == {"node_id"},
    ),
    Difference(
        of(f"{PROTOCOL}:decode_node_info", f"{PROTOCOL}:encode_node_info"),
        "D-09",
        "What a node info has is kept: when the node was last seen, its endpoint, its key.",
        lambda args, was: was is not REFUSED and len(INFO_KEYS & args[0].keys()) > 2,
    ),
    Difference(
        of(
            *(
                f"{PROTOCOL}:{way}_{reply}"
                for way in ("decode", "encode")
                for reply in ("find_node_reply", "find_value_reply")
            )
        ),
        "D-05",
        "A node info has its fields and no others, and none that is nil.",
        lambda args, was: any(map(has_more, nodes_in(was))),
    ),
    Difference(
        of(f"{PROTOCOL}:decode_find_node_reply", f"{PROTOCOL}:decode_find_value_reply"),
        "-",
        "An empty text is the empty list: that is how the original itself writes it (spec/wire.md).",
        lambda args, was: was == b"" or (isinstance(was, tuple) and was[1] == b""),
    ),
]
