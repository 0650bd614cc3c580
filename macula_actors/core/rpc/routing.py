"""Where a routed call goes next. Erlang: macula_rpc_routing, whose calls went in circles (D-56)."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import Call, Reply, RpcRoute

__all__ = ["Decision", "Deliver", "ForwardTo", "Refuse", "decide"]


@dataclass(frozen=True, slots=True)
class Deliver:
    """It is for this node."""

    payload: Call | Reply


@dataclass(frozen=True, slots=True)
class ForwardTo:
    """Send ``route`` to the first of ``contacts`` that takes it: at least one, nearest to the destination first."""

    contacts: tuple[Contact, ...]
    route: RpcRoute


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a failure: MAX_HOPS_EXCEEDED or NO_ROUTE."""

    code: Code


Decision: TypeAlias = Deliver | ForwardTo | Refuse


def decide(
    local_id: NodeId, route: RpcRoute, candidates: Iterable[Contact], previous_hop: NodeId | None = None
) -> Decision:
    """Return what the node ``local_id`` does with ``route``.

    Each hop is strictly nearer to the destination by XOR than the one before, so no node sees a call twice.

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
    return ForwardTo(contacts, replace(route, hop_count=route.hop_count + 1))


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
