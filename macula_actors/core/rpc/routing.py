"""Where a routed call or event goes next.

Erlang: macula_rpc_routing, macula_pubsub_routing: alike, and what they routed went in circles (D-56).
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar, overload

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import Call, Publish, PubsubRoute, Reply, RpcRoute

__all__ = ["MAX_HOPS", "Decision", "Deliver", "EventDecision", "ForwardTo", "Refuse", "decide", "validate_max_hops"]

MAX_HOPS: Final = 255  # that the wire carries

Payload_co = TypeVar("Payload_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Deliver(Generic[Payload_co]):
    """It is for this node."""

    payload: Payload_co


@dataclass(frozen=True, slots=True)
class ForwardTo:
    """Send it on, with a hop more, to the first of ``contacts`` that takes it: at least one, nearest first."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """It gets no further: MAX_HOPS_EXCEEDED or NO_ROUTE. A call is answered with that."""

    code: Code


Decision: TypeAlias = Deliver[Call | Reply] | ForwardTo | Refuse
EventDecision: TypeAlias = Deliver[Publish] | ForwardTo | Refuse


@overload
def decide(
    local_id: NodeId, route: RpcRoute, candidates: Iterable[Contact], previous_hop: NodeId | None = None
) -> Decision: ...


@overload
def decide(
    local_id: NodeId, route: PubsubRoute, candidates: Iterable[Contact], previous_hop: NodeId | None = None
) -> EventDecision: ...


def decide(
    local_id: NodeId, route: RpcRoute | PubsubRoute, candidates: Iterable[Contact], previous_hop: NodeId | None = None
) -> Deliver[Call | Reply | Publish] | ForwardTo | Refuse:
    """Return what the node ``local_id`` does with ``route``.

    Each hop is strictly nearer to the destination by XOR than the one before, so no node sees a call or an event twice.

    Args:
        local_id: this node.
        route: what came in, or at the source what is to go out.
        candidates: contacts to choose from, in any order; those that name no node are left out.
        previous_hop: who sent it; None at the source.
    """
    destination = NodeId.normalize(route.destination_node_id)
    if destination == local_id:
        # D-56: before the hop check, so that what has arrived is never refused
        return Deliver(route.payload)
    if route.hop_count >= route.max_hops:
        return Refuse(Code.MAX_HOPS_EXCEEDED)
    seen = {NodeId.normalize(route.source_node_id), previous_hop}
    contacts = _nearer(candidates, destination, local_id, seen)
    if not contacts:
        return Refuse(Code.NO_ROUTE)
    return ForwardTo(contacts)


def validate_max_hops(max_hops: int) -> None:
    """Check that a call may be told to take ``max_hops`` hops at most.

    Raises:
        ValueError: it is no whole number, or below 0.
    """
    if type(max_hops) is not int or max_hops < 0:
        raise ValueError(f"max_hops is {max_hops!r:.80}; allowed is a whole number, 0 or more")


def _nearer(
    candidates: Iterable[Contact], destination: NodeId, local_id: NodeId, seen: Container[NodeId | None]
) -> tuple[Contact, ...]:
    """Return those nearer to ``destination`` than ``local_id`` is, nearest first, without those ``seen``."""
    limit = destination.distance(local_id)
    nearer = {
        distance: each
        for each in candidates
        if each.node_id is not None
        and each.node_id not in seen
        and (distance := destination.distance(each.node_id)) < limit
    }
    return tuple(nearer[distance] for distance in sorted(nearer))
