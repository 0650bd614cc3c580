"""What RpcHandler gives its workers to do, and what they tell it."""

from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import Call, Reply, RpcRoute
from macula_actors.messages.peer import Inbound
from supervisors import From, Ref

__all__ = ["Announce", "Forward", "Idle", "Invoke", "Job", "Key", "Work", "answer_to"]

Key: TypeAlias = tuple[Ref | None, bytes]
"""What a call is cancelled by: the connection that it came over, None for this node's own, and its call id."""


class Invoke(NamedTuple):
    """Work of a `Job`: have the handler of ``call`` run, until ``deadline``. Answered with the `Reply`.

    ``inbound``: what it came in; None for a call of this node's own. ``route``: what it was wrapped in, and the reply
    is to be wrapped in. ``json``: how arguments and result are encoded.
    """

    call: Call
    deadline: float
    json: bool
    inbound: Inbound | None = None
    route: RpcRoute | None = None


class Forward(NamedTuple):
    """Work of a `Job`: pass ``route``, which carries ``call``, on. Answered with the `Reply`, wrapped if it came so.

    Args:
        route: what came in; at the source what is to go out.
        call: what it carries.
        deadline: an instant of the System's clock, after which nobody waits.
        previous_hop: who sent it; None at the source.
        via: the gateway to give it to; None: whoever is nearer to the destination.
        connected: the nodes that there is a connection to, at any time.
    """

    route: RpcRoute
    call: Call
    deadline: float
    previous_hop: NodeId | None = None
    via: Contact | None = None
    connected: Container[NodeId] = frozenset()


Work: TypeAlias = Invoke | Forward


class Job:
    """One call, in the hands of ``worker``; if that is None, it waits for one. ``from_`` waits for its answer.

    It is what a worker is called with, and what `Workers` keeps.
    """

    __slots__ = ("from_", "key", "work", "worker")

    def __init__(self, key: Key, work: Work, from_: From) -> None:
        self.key = key
        self.work = work
        self.from_ = from_
        self.worker: Ref | None = None


class Idle(NamedTuple):
    """A cast to RpcHandler: ``worker`` has done ``job``. None: it only says that it has nothing."""

    worker: Ref
    job: Job | None


@dataclass(frozen=True, slots=True)
class Announce:
    """A cast to a worker, by a handler that has started anew: say that you are `Idle`."""


def answer_to(work: Work, reply: Reply, node_id: NodeId) -> Reply | RpcRoute:
    """Return ``reply`` as who asked for ``work`` expects it from this node, ``node_id``: as it was asked."""
    route = work.route
    if route is None or (isinstance(work, Forward) and work.previous_hop is None):
        return reply
    return RpcRoute(
        destination_node_id=route.source_node_id, source_node_id=node_id, payload_type="reply", payload=reply
    )
