"""Passes events on to nodes that are not this one: over a session, a connection, or to a node that is nearer.

Erlang: macula_pubsub_routing (D-56). As `macula_actors.actors.rpc.worker` does with calls.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.routing import ForwardTo, decide
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message, PubsubRoute
from macula_actors.errors import CallTimeoutError, LocalProtocolError, MaculaError, NoRouteError, OverloadedError
from macula_actors.messages.names import GATEWAY_PUBSUB, PEER_CONNECTOR, ROUTING_SERVER
from macula_actors.messages.peer import Exchange, Request
from macula_actors.messages.pubsub import ForClients
from macula_actors.messages.routing_server import FindClosest
from supervisors import RequestId, SupervisorsError, System, send_request, whereis

__all__ = ["Router"]

CANDIDATES: Final = 8  # next hops that are looked at
MAX_ROUTED: Final = 1024  # events at once

_Done: TypeAlias = Callable[[Message | None, Exception | None], None]


class _Way(Enum):
    SESSION = auto()  # of this gateway with the destination
    STRAIGHT = auto()  # over a connection that there is
    LOOK_UP = auto()  # who is nearer


@dataclass(slots=True, eq=False)
class _Routed:
    route: PubsubRoute
    previous_hop: NodeId | None
    deadline: float
    done: _Done
    ways: deque[_Way | Contact]  # a contact: the next hop
    tried: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def destination(self) -> NodeId:
        return NodeId.normalize(self.route.destination_node_id)


class Router:
    """The events on their way through this node. It never waits.

    Args:
        config: who this node is.
        is_connected: whether there is a connection to a node.
    """

    def __init__(self, config: PubsubConfig, is_connected: Callable[[NodeId], bool]) -> None:
        self._own_id: Final = config.identity.node_id
        self._is_connected: Final = is_connected
        self._system: Final = System.current()
        self._asked: Final[dict[RequestId, _Routed]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def route(self, route: PubsubRoute, previous_hop: NodeId | None, deadline: float, done: _Done) -> None:
        """Get ``route`` to its destination, another node; ``done`` is given the answer or an error.

        Args:
            route: as it came in, or at its source as it is to go out.
            previous_hop: who sent it; None at the source.
            deadline: an instant of the System's clock.
            done: not called before this returns.

        Raises:
            OverloadedError: too many are on their way.
            LocalProtocolError: it can't be sent: what came in just so may be too long to go out.
        """
        if len(self._asked) >= MAX_ROUTED:
            raise OverloadedError("events on their way to other nodes", MAX_ROUTED)
        ways: deque[_Way | Contact] = deque([_Way.LOOK_UP])
        routed = _Routed(route, previous_hop, deadline, done, ways)
        if self._is_connected(routed.destination):
            ways.appendleft(_Way.STRAIGHT)
        if whereis(GATEWAY_PUBSUB) is not None:
            ways.appendleft(_Way.SESSION)
        self._go_on(routed)

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._asked

    def answered(self, request: RequestId) -> None:
        """Take an answer."""
        routed = self._asked.pop(request)
        try:
            answer = request.result()
        except (MaculaError, SupervisorsError) as error:
            self._failed(routed, error)
            return
        if isinstance(request.request, FindClosest):
            self._found(routed, answer)
        else:
            routed.done(answer, None)

    def _failed(self, routed: _Routed, error: Exception) -> None:
        """Try the next way, unless the event may have arrived, or cannot."""
        routed.tried.append((str(routed.destination), error))
        if isinstance(error, CallTimeoutError | LocalProtocolError) and self._system.now() >= routed.deadline:
            routed.done(None, error)
        elif routed.ways:
            self._go_on_or_end(routed)
        else:
            routed.done(None, NoRouteError(str(routed.destination), tuple(routed.tried)))

    def _found(self, routed: _Routed, candidates: tuple[Contact, ...]) -> None:
        match decide(self._own_id, routed.route, candidates, routed.previous_hop):
            case ForwardTo(contacts) if contacts:
                routed.ways.extend(contacts)
                self._go_on_or_end(routed)
            case _:
                routed.done(None, NoRouteError(str(routed.destination), tuple(routed.tried)))

    def _go_on_or_end(self, routed: _Routed) -> None:
        try:
            self._go_on(routed)
        except LocalProtocolError as error:
            routed.done(None, error)

    def _go_on(self, routed: _Routed) -> None:
        way = routed.ways.popleft()
        match way:
            case _Way.SESSION:
                sender = routed.previous_hop or self._own_id
                request = send_request(GATEWAY_PUBSUB, ForClients(routed.route, sender, routed.deadline))
            case _Way.STRAIGHT:
                request = self._send(routed, Contact(None, routed.destination))
            case _Way.LOOK_UP:
                request = send_request(ROUTING_SERVER, FindClosest(routed.destination, CANDIDATES))
            case _:
                request = self._send(routed, way)
        self._asked[request] = routed

    def _send(self, routed: _Routed, contact: Contact) -> RequestId:
        now = self._system.now()
        route = replace(routed.route, hop_count=min(routed.route.hop_count + 1, routed.route.max_hops))
        exchange = Exchange(encode(route), routed.deadline, wants_reply=True)
        connect_by = now + (routed.deadline - now) / 2
        return send_request(PEER_CONNECTOR, Request(contact, exchange, connect_by))
