"""Where we choose a provider or a next hop otherwise than the original, on purpose.

Numbers ``D-xx`` are those of the original's register of defects; ``-`` is a difference in which neither is wrong.
"""

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.wire.fields import read
from macula_actors.core.wire.messages import PubsubRoute, RpcRoute
from macula_actors.errors import LocalProtocolError
from tests.conformance.erlang_terms import REFUSED, Atom
from tests.conformance.function_difference import Difference, of
from tests.conformance.routing_ports import LOCAL, whole
from tests.conformance.wire_ports import sent

NODE_ID = Atom("node_id")


def has_double(providers):
    """Tell whether two of ``providers``, if they are that, have the same node id."""
    ids = [each[NODE_ID] for each in listed(providers) if is_record(each)]
    return len(set(ids)) < len(ids)


def listed(term):
    return term if isinstance(term, list) else []


def is_record(term):
    return isinstance(term, dict) and isinstance(term.get(NODE_ID), bytes)


def is_id(term):
    return isinstance(term, bytes) and 0 < len(term) < 256


def is_envelope(term):
    kind = PubsubRoute if b"topic" in term else RpcRoute
    try:
        fields = sent(term)
        return read(kind, whole(fields) if kind is PubsubRoute else fields) is not None
    except (LocalProtocolError, TypeError, ValueError):
        return False


def is_address_of_envelope(envelope):
    """Tell whether all but the payload of ``envelope`` is that of one."""
    ids = (envelope.get(b"destination_node_id"), envelope.get(b"source_node_id", b"any"))
    hops = (envelope.get(b"hop_count", 0), envelope.get(b"max_hops", 0))
    kind = envelope.get(b"payload_type", b"call")
    return all(map(is_id, ids)) and all(each in range(256) for each in hops) and kind in {b"call", b"reply"}


def makes_progress(local_id, envelope, next_hop):
    target, near, far = (
        NodeId.normalize(each) for each in (envelope[b"destination_node_id"], next_hop["node_id"], local_id)
    )
    return target.distance(near) < target.distance(far) and next_hop["node_id"] != envelope[b"source_node_id"]


ROUTING_DIFFERENCES = [
    Difference(
        of("macula_rpc_router:select_provider"),
        "-",
        "One selector has all strategies: none sends its caller to another function, which it had forgotten to call.",
        lambda args, was: args[0] in {"round_robin", "closest"} and was is REFUSED and args[1:] != [[], []],
    ),
    Difference(
        of("macula_rpc_router:select_provider_stateful"),
        "-",
        "One selector has all strategies, also where its turn is kept.",
        lambda args, was: was[0] == (Atom("error"), Atom("use_closest_api")),
    ),
    Difference(
        of("macula_rpc_router"),
        "-",
        "Who has a handler of a procedure calls it, whatever the strategy is.",
        lambda args, was: bool(args[1]) and was[0] != LOCAL and was[0][0] != LOCAL,
    ),
    Difference(
        of("macula_provider_selector", "macula_rpc_router"),
        "D-05",
        "A provider is a record with a node id: nothing else is chosen from.",
        lambda args, was: (
            was is not REFUSED and any(not is_record(each) for where in (args[0], args[2]) for each in listed(where))
        ),
    ),
    Difference(
        of("macula_rpc_router:select_provider_closest"),
        "D-11",
        "An id that has not 32 bytes is hashed here too, as everywhere in v0.8: no record of a peer crashes a caller.",
        lambda args, was: (
            was is REFUSED
            and not args[1]
            and any(is_record(each) and len(each[NODE_ID]) != 32 for each in listed(args[2]))
        ),
    ),
    Difference(
        of("macula_provider_selector", "macula_rpc_router"),
        "D-38",
        "A node provides a procedure once: of two records with its id, the later one counts.",
        lambda args, was: has_double(args[0]) or has_double(args[2]),
    ),
    Difference(
        of("macula_pubsub_routing:wrap_publish", "macula_rpc_routing:wrap_call", "macula_rpc_routing:wrap_reply"),
        "-",
        "An envelope has two ids and a whole call, reply or event in it: what no node could answer is not made.",
        lambda args, was: was is not REFUSED and not is_envelope(was),
    ),
    Difference(
        of("macula_pubsub_routing:should_deliver_locally", "macula_rpc_routing:should_deliver_locally"),
        "D-54",
        "A node id has 1 to 255 bytes: an envelope to anything else is refused where it is decoded.",
        lambda args, was: was is not REFUSED and not is_id(args[1][b"destination_node_id"]),
    ),
    Difference(
        of("macula_pubsub_routing:route_or_deliver", "macula_rpc_routing:route_or_deliver"),
        "D-54",
        "An envelope has ids, counts and a type of payload that is known: any other is refused where it is decoded.",
        lambda args, was: was is not REFUSED and not is_address_of_envelope(args[1]),
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
