"""Carries DHT messages: those of peers to RoutingServer, and queries to peers through PeerConnector.

Erlang: macula_gateway_dht (whose query_peer was never written: D-23).
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.core.kademlia.exchange import UNAVAILABLE, Verdict, verdict_of
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message, Store
from macula_actors.errors import (
    CallTimeoutError,
    LocalProtocolError,
    MaculaError,
    OverloadedError,
    RefusedError,
)
from macula_actors.messages.gateway_dht import DhtMessage, LookUpThere, QueryPeer
from macula_actors.messages.names import PEER_CONNECTOR, ROUTING_SERVER
from macula_actors.messages.peer import Exchange, Inbound, PeerDown, PeerUp, Request, outcome_in
from macula_actors.messages.routing_server import HandleMessage, Learned, LookUpValue, Touch
from supervisors import (
    From,
    GenServer,
    NoReply,
    Refuse,
    RequestId,
    Response,
    System,
    UnexpectedRequestError,
    cast,
    forward,
    send_request,
    whereis,
)

__all__ = ["GatewayDHT"]

MAX_QUERIES: Final = 16_384  # under way; as many as the connector has waiters
SLACK: Final = 64  # deadlines beyond twice those in use, before the others are thrown out


@dataclass(frozen=True, slots=True)
class _Expired:
    """The time for an answer is over, if none has come."""


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    request: QueryPeer
    from_: From


class GatewayDHT(GenServer):
    """Passes calls on, and never waits. What it keeps are the queries under way, which end with it."""

    @override
    def init(self, max_queries: int = MAX_QUERIES) -> None:
        self._max_queries = max_queries
        self._system = System.current()
        self._queries: dict[RequestId, _Query] = {}
        self._deadlines: list[tuple[float, int, RequestId]] = []  # of those that are answered, too, for a while
        self._count = 0
        self._alarm = Alarm(_Expired())
        self._encoded: tuple[DhtMessage | None, bytes] = (None, b"")

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Refuse:
        match request:
            case QueryPeer():
                return self._query(request, from_)
            case Inbound(peer) if peer.node_id is None and peer.endpoint is None:
                return Refuse(RefusedError("no_node_id", "who sends this did not say who it is"))
            case Inbound(peer, message) if isinstance(message, DhtMessage):
                return _to_routing(from_, HandleMessage(Contact(peer.endpoint, peer.node_id), message))
            case LookUpThere(key):
                return _to_routing(from_, LookUpValue(key))
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case PeerUp(peer) if peer.node_id is not None:
                cast(ROUTING_SERVER, Touch(Contact(peer.endpoint, peer.node_id)))
            case PeerUp() | PeerDown():
                pass
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(reqid) if reqid in self._queries:
                _answer(self._queries.pop(reqid), outcome_in(reqid))
            case Response():
                pass  # too late
            case _Expired():
                self._alarm.rang()
                self._expire(self._system.now())
            case _:
                raise UnexpectedRequestError(info)

    def _query(self, request: QueryPeer, from_: From) -> NoReply | Refuse:
        if len(self._queries) >= self._max_queries:
            return Refuse(OverloadedError("queries under way", self._max_queries))
        try:
            frame = self._encode(request.message)
        except LocalProtocolError as error:
            return Refuse(error)
        wants_reply = not isinstance(request.message, Store)  # v0.8 answers none
        now = self._system.now()
        deadline = now + max(request.timeout, 0.0)
        reqid = send_request(PEER_CONNECTOR, Request(request.contact, Exchange(frame, deadline, wants_reply)))
        self._queries[reqid] = _Query(request, from_)
        self._remember(reqid, deadline, now)
        return NoReply()

    def _encode(self, message: DhtMessage) -> bytes:
        """Return the frame of ``message``; a lookup sends the same one to many, one after the other."""
        if message is not self._encoded[0]:
            self._encoded = message, encode(message)
        return self._encoded[1]

    def _remember(self, reqid: RequestId, deadline: float, now: float) -> None:
        self._count += 1
        if len(self._deadlines) > 2 * len(self._queries) + SLACK:
            self._deadlines = [each for each in self._deadlines if each[2] in self._queries]
            heapify(self._deadlines)
        heappush(self._deadlines, (deadline, self._count, reqid))
        self._alarm.set(deadline, now)

    def _expire(self, now: float) -> None:
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2] not in self._queries):
            query = self._queries.pop(heappop(self._deadlines)[2], None)
            if query is not None:
                _answer(query, CallTimeoutError(str(query.request.contact), query.request.timeout))
        if self._deadlines:
            self._alarm.set(self._deadlines[0][0], now)


def _answer(query: _Query, outcome: Message | MaculaError | None) -> None:
    if query.request.is_told:
        _tell(query.request.contact, outcome)
    if isinstance(outcome, MaculaError):
        query.from_.refuse(outcome)
    else:
        query.from_.reply(outcome)


def _to_routing(from_: From, request: HandleMessage | LookUpValue) -> NoReply | Refuse:
    server = whereis(ROUTING_SERVER)
    if server is None:
        return Refuse(RefusedError(UNAVAILABLE, "the routing server is being restarted"))
    forward(from_, server, request)
    return NoReply()


def _tell(contact: Contact, outcome: Message | MaculaError | None) -> None:
    if contact.node_id is None:
        return
    verdict = verdict_of(outcome) if isinstance(outcome, MaculaError) else Verdict.ALIVE
    if verdict is Verdict.ALIVE:
        cast(ROUTING_SERVER, Learned(answered=(contact,)))
    elif verdict is Verdict.SILENT:
        cast(ROUTING_SERVER, Learned(silent=(contact,)))
