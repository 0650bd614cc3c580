"""Membership: who is alive, found out with the other members.

Erlang: macula_membership_detector (functions without timers, probes or wire: D-51). Paper: SWIM (2002).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.membership.peer_book import PeerBook
from macula_actors.actors.membership.pings import Asked, Pings, Relayed
from macula_actors.config import MembershipConfig
from macula_actors.core.kademlia.exchange import Verdict, verdict_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.decisions import Alive, Dead, Decision, Probe, ProbeIndirectly, Suspected
from macula_actors.core.membership.detector import Detector, DetectorSettings
from macula_actors.core.membership.gossip import GossipQueue
from macula_actors.core.membership.member import Member, Status, member_of
from macula_actors.core.membership.member_list import MemberList
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.wire.messages import Message, SwimAck, SwimPing, SwimPingReq, SwimUpdate
from macula_actors.errors import CallTimeoutError, MaculaError, NoRouteError, OverloadedError, RefusedError
from macula_actors.messages.membership import SWIM_CAPABILITY, GetMembers, GetStats, MembershipStats
from macula_actors.messages.names import MEMBERSHIP, PEER_CONNECTOR, ROUTING_SERVER, SERVICE_REGISTRY, TABLES
from macula_actors.messages.peer import (
    GetPeers,
    Inbound,
    PeerDown,
    PeerUp,
    outcome_in,
    peers_in,
)
from macula_actors.messages.routing_server import Learned
from macula_actors.messages.service_registry import forget_node
from supervisors import (
    Continue,
    Down,
    From,
    GenServer,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    System,
    TableOwner,
    UnexpectedRequestError,
    cast,
    monitor,
    send_request,
)

__all__ = ["Membership"]

MAX_RELAYED: Final = 256  # pings under way for others; one more is refused
MS: Final = 1000  # milliseconds in a second


@dataclass(frozen=True, slots=True)
class _Due:
    """Time for what the detector has waited for."""


class Membership(GenServer):
    """Carries out what a `Detector` decides, over connections that there are: it never has one made.

    It never waits. Its members and its incarnation are in a table that outlives it; when it starts it asks which peers
    there are.
    """

    @override
    async def init(self, config: MembershipConfig) -> Continue:
        self._config = config
        self._node_id = config.identity.node_id
        self._system = System.current()
        now = self._system.now()
        table = await TableOwner.claim(TABLES, MEMBERSHIP, max_entries=config.max_members + 1)
        self.members = MemberList(self._node_id, config.max_members, table, now)
        self._gossip = GossipQueue(config.max_updates)
        self.detector = Detector(_settings(config), self.members, self._gossip, now, self._system.random)
        self._peers = PeerBook()
        self._pings = Pings(self._node_id, self.detector, self._system)
        self._deaths = 0
        self._due = Alarm(_Due())
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        self._asking_peers = send_request(PEER_CONNECTOR, GetPeers())
        self._schedule()

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        reply = self._answer(request, from_)
        self._schedule()
        return reply

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case PeerUp():
                self._up(request)
            case PeerDown(_, connection):
                self._down(connection)
            case _:
                raise UnexpectedRequestError(request)
        self._schedule()

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(reqid) if reqid is self._asking_peers:
                self._learn_peers(reqid)
            case Response(reqid):
                asked = self._pings.take(reqid)
                if asked is not None:
                    self._answered(asked, outcome_in(reqid))
            case Down(_, Ref() as connection, _):
                self._down(connection)
            case _Due():
                self._due.rang()
                self._time_has_come(self._system.now())
            case _:
                raise UnexpectedRequestError(info)
        self._schedule()

    def _answer(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case Inbound(PeerInfo(node_id=NodeId() as sender), SwimPing() as ping):
                return self._answer_ping(sender, ping)
            case Inbound(PeerInfo(node_id=NodeId() as sender), SwimPingReq() as ping_request):
                return self._relay(sender, ping_request, from_)
            case Inbound(_, SwimPing() | SwimPingReq()):
                return Refuse(RefusedError("no_node_id", "who sends this did not say who it is"))
            case GetMembers():
                return Reply(tuple(entry.member for entry in self.members))
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    # Peers

    def _learn_peers(self, reqid: RequestId) -> None:
        for up in peers_in(reqid):
            self._up(up)

    def _up(self, up: PeerUp) -> None:
        """Take note of a connection to a member. Its end is watched: the connector may not live to tell of it."""
        node_id = up.peer.node_id
        if node_id in {None, self._node_id} or SWIM_CAPABILITY not in up.peer.capabilities:
            return
        is_first = node_id not in self._peers
        if not self._peers.add(node_id, up.connection):
            return
        monitor(up.connection)
        if is_first:
            self._carry_out(self.detector.connected(node_id, up.peer.endpoint, self._system.now()))

    def _down(self, connection: Ref) -> None:
        node_id = self._peers.remove(connection)
        if node_id is not None:
            self._carry_out(self.detector.disconnected(node_id, self._system.now()))

    # Messages of members

    def _answer_ping(self, sender: NodeId, ping: SwimPing) -> Reply:
        self._hear(ping.gossip)
        return Reply(self._ack(ping.seq, sender))

    def _relay(self, asker: NodeId, request: SwimPingReq, from_: From) -> NoReply | Refuse:
        self._hear(request.gossip)
        target = NodeId.normalize(request.target)
        if target not in self._peers:
            return Refuse(RefusedError("not_connected", "this node has no connection to the target"))
        if self._pings.relayed >= MAX_RELAYED:
            return Refuse(OverloadedError("pings for other members", MAX_RELAYED))
        timeout = self._config.period if request.timeout is None else request.timeout / MS
        self._pings.ping(Relayed(target, asker, request.seq, from_), min(timeout, self._config.period))
        return NoReply()

    def _ack(self, seq: int, recipient: NodeId) -> SwimAck:
        own = self.members.itself
        gossip = self.detector.gossip_for(recipient, recipient)
        return SwimAck(seq=seq, node_id=own.node_id, incarnation=own.incarnation, status="alive", gossip=gossip)

    def _hear(self, gossip: Iterable[SwimUpdate] | None) -> None:
        claims = (member_of(update) for update in gossip or ())
        self._carry_out(self.detector.heard([claim for claim in claims if claim is not None], self._system.now()))

    # Pings

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Probe(member, timeout):
                    self._pings.ping(Asked(member.node_id), timeout)
                case ProbeIndirectly(member, via, timeout):
                    for helper in via:
                        self._pings.ask(helper, member.node_id, timeout)
                case Dead(member):
                    self._dead(member)
                case Alive() | Suspected():
                    pass

    def _answered(self, asked: Asked | Relayed, outcome: Message | MaculaError | None) -> None:
        if isinstance(outcome, SwimAck):
            self._acked(asked.target, outcome)
        if isinstance(asked, Relayed):
            self._relayed(asked, outcome)
        elif not isinstance(outcome, SwimAck) and not asked.is_indirect:
            self._unanswered(asked.target, outcome)

    def _acked(self, target: NodeId, ack: SwimAck) -> None:
        claim = member_of(SwimUpdate(node_id=target, status="alive", incarnation=ack.incarnation or 0))
        incarnation = None if claim is None else claim.incarnation
        self._carry_out(self.detector.acked(target, incarnation, self._system.now()))
        self._hear(ack.gossip)

    def _unanswered(self, target: NodeId, outcome: Message | MaculaError | None) -> None:
        """Have a member probed by others, unless ``outcome`` came from it, or is the fault of this node.

        No route: the connection is gone, which is told soon, or the connector has started anew.
        """
        match outcome:
            case MaculaError() if verdict_of(outcome) is Verdict.SILENT and not isinstance(outcome, NoRouteError):
                self._carry_out(self.detector.failed(target, self._system.now()))
            case _:
                self.detector.abandoned(target)

    def _relayed(self, relayed: Relayed, outcome: Message | MaculaError | None) -> None:
        if isinstance(outcome, SwimAck):
            gossip = self.detector.gossip_for(relayed.asker, relayed.target)
            relayed.from_.reply(replace(outcome, seq=relayed.seq, node_id=relayed.target, gossip=gossip))
        else:
            relayed.from_.refuse(RefusedError("no_answer", "the target did not answer"))

    # Others

    def _time_has_come(self, now: float) -> None:
        for asked in self._pings.expire(now):
            if isinstance(asked, Relayed):  # of its own probes the detector knows the time
                self._relayed(asked, CallTimeoutError(str(asked.target), self._config.period))
        self._carry_out(self.detector.due(now))

    def _dead(self, member: Member) -> None:
        """Have it forgotten where its silence would cost callers time."""
        self._deaths += 1
        forget_node(SERVICE_REGISTRY, member.node_id)
        cast(ROUTING_SERVER, Learned(silent=(Contact(member.endpoint, member.node_id),)))

    def statistics(self) -> MembershipStats:
        """Return its counts."""
        counts = Counter(entry.member.status for entry in self.members)
        return MembershipStats(
            incarnation=self.members.itself.incarnation,
            alive=counts[Status.ALIVE],
            suspect=counts[Status.SUSPECT],
            dead=counts[Status.DEAD],
            connected=len(self._peers),
            probing=self.detector.probes,
            relaying=self._pings.relayed,
            gossip=len(self._gossip),
            pings=self._pings.sent,
            deaths=self._deaths,
        )

    def _schedule(self) -> None:
        """Have what is due done when it is."""
        self._due.set(min(self.detector.next_due(), self._pings.next_due()), self._system.now())


def _settings(config: MembershipConfig) -> DetectorSettings:
    return DetectorSettings(
        period=config.period,
        probe_timeout=config.probe_timeout,
        indirect_probes=config.indirect_probes,
        suspect_timeout=config.suspect_timeout,
        gossip=config.gossip,
        forget_after=config.forget_after,
    )
