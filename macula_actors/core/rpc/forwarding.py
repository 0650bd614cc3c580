"""What a node does to pass a call on: one thing after the other, until somebody has answered.

Erlang: macula_gateway_rpc_router, which gave a call to the nearest node that it knew, and to no other if that was gone.
"""

from collections.abc import Callable, Container, Generator, Iterable
from typing import Any, NamedTuple, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.failure import Code, failure
from macula_actors.core.rpc.routing import ForwardTo, Refuse, decide
from macula_actors.core.wire.messages import Message, Reply, RpcRoute
from macula_actors.errors import (
    ConnectionLostError,
    LocalProtocolError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
)

__all__ = ["FindCloser", "Forwarding", "Offer", "OverSession", "Step", "forwarding"]


class Offer(NamedTuple):
    """Send it to ``contact``, after ``hop_count`` hops. Only connecting is to be hurried: nothing is done twice."""

    contact: Contact
    hop_count: int


class OverSession(NamedTuple):
    """Send it, after ``hop_count`` hops, over the session that its destination has with this node, a gateway."""

    hop_count: int


class FindCloser(NamedTuple):
    """Look who is known near ``destination``."""

    destination: NodeId


Step: TypeAlias = Offer | OverSession | FindCloser
Forwarding: TypeAlias = Generator[Step, Any, Reply]
"""Yields what is to be done, and is sent what came of it: the `Message` that was answered, or the contacts; a
`MaculaError` is thrown in. Returns the reply, which may be a failure, or raises the `MaculaError` to be answered."""


def forwarding(
    local_id: NodeId,
    route: RpcRoute,
    *,
    previous_hop: NodeId | None,
    via: Contact | None,
    connected: Container[NodeId],
    has_sessions: bool,
    is_over: Callable[[], bool],
) -> Forwarding:
    """Begin to pass ``route``, which carries a call, on to whoever takes it first.

    Args:
        local_id: this node.
        route: what came in; at the source what is to go out.
        previous_hop: who sent it; None at the source.
        via: the gateway to give it to; None: whoever is nearer to the destination.
        connected: the nodes that there is a connection to, at any time.
        has_sessions: whether this node is a gateway.
        is_over: tells whether nobody waits any more.

    Raises:
        LocalProtocolError: it can't be sent.
        RefusedError, OverloadedError: the destination itself, or the relay, does not take it.
        CallTimeoutError: it was taken, but not answered in time.
        NoRouteError: nobody took it.
    """
    hop_count = route.hop_count + (previous_hop is not None)  # the way to the first hop does not count
    if via is not None:
        return (yield from _offer((via,), route, hop_count, is_over))
    destination = NodeId.normalize(route.destination_node_id)
    if has_sessions or destination in connected:
        match decide(local_id, route, (Contact(None, destination),), previous_hop):
            case Refuse(code):
                return _refusal(route, code)
            case ForwardTo(contacts):
                if has_sessions:
                    try:
                        return _reply_in((yield OverSession(hop_count)), route)
                    except (NoRouteError, ConnectionLostError):
                        pass  # there is no session, or it has just ended
                if destination in connected:
                    try:
                        return (yield from _offer(contacts, route, hop_count, is_over))
                    except NoRouteError:
                        pass  # another node may know a better way
    match decide(local_id, route, (yield FindCloser(destination)), previous_hop):
        case ForwardTo(contacts):
            # who is nearer still but has to be dialled may be silent, and that takes time
            first = sorted(contacts, key=lambda each: each.node_id not in connected)
            return (yield from _offer(first, route, hop_count, is_over))
        case Refuse(Code.MAX_HOPS_EXCEEDED as code):
            return _refusal(route, code)  # noqa: B901 -- what the yields lead to
        case _:
            raise NoRouteError(str(destination))


def _offer(contacts: Iterable[Contact], route: RpcRoute, hop_count: int, is_over: Callable[[], bool]) -> Forwarding:
    """Give it to the first of ``contacts`` that takes it."""
    destination = NodeId.normalize(route.destination_node_id)
    tried: list[tuple[str, Exception]] = []
    for contact in contacts:
        try:
            answer = yield Offer(contact, hop_count)
            return _reply_in(answer, route)  # noqa: B901 -- as above
        except MaculaError as error:
            if isinstance(error, LocalProtocolError) or is_over():
                raise
            if _has_refused(error) and contact.node_id == destination:
                raise  # it would, whoever brought it
            tried.append((str(contact), error))
    raise NoRouteError(str(destination), tuple(tried))


def _reply_in(answer: Message, route: RpcRoute) -> Reply:
    match answer:
        case RpcRoute(payload=Reply() as reply) if reply.call_id == route.payload.call_id:
            return reply
        case _:
            raise RemoteProtocolError("bad_answer", "a call was answered with something else than its reply")


def _refusal(route: RpcRoute, code: Code) -> Reply:
    return Reply(call_id=route.payload.call_id, error=failure(code))


def _has_refused(error: MaculaError) -> bool:
    """Tell whether the peer has answered that it does not take what it was sent."""
    return isinstance(error, RefusedError) or (isinstance(error, OverloadedError) and error.limit is None)
