"""Detectors that exchange messages over a simulated network that loses some."""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from random import Random

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.decisions import Alive, Dead, Probe, ProbeIndirectly, Suspected
from macula_actors.core.membership.detector import Detector, DetectorSettings
from macula_actors.core.membership.gossip import GossipQueue
from macula_actors.core.membership.member import Member, Status, member_of
from macula_actors.core.membership.member_list import MemberList

SETTINGS = DetectorSettings(
    period=1.0, probe_timeout=0.5, indirect_probes=3, suspect_timeout=5.0, gossip=8, forget_after=300.0
)
DELAY = 0.02  # seconds that a message takes


def node_id(number):
    return NodeId(number.to_bytes(32))


def a_member(number=1, status=Status.ALIVE, incarnation=0, endpoint=None):
    return Member(node_id=node_id(number), status=Status(status), incarnation=incarnation, endpoint=endpoint)


@dataclass(eq=False)
class Node:
    id: NodeId
    detector: Detector
    members: MemberList
    is_running: bool = True
    peers: list = field(default_factory=list)
    notices: list = field(default_factory=list)  # (when, notice)

    def status(self, other):
        entry = self.members.get(other.id)
        return None if entry is None else entry.member.status

    def statuses(self):
        return {entry.member.node_id: entry.member.status for entry in self.members}


class Exchange:
    """Nodes, all connected unless said otherwise. ``loss``: the share of messages that are lost."""

    def __init__(self, size, *, seed=1, loss=0.0, connected=None, settings=SETTINGS):
        self.rng = Random(seed)
        self.loss = loss
        self.settings = settings
        self.now = 0.0
        self.sent = Counter()
        self.cut = set()
        self._events = []
        self._serials = count()
        self.nodes = [self._node(number) for number in range(1, size + 1)]
        self._by_id = {node.id: node for node in self.nodes}
        for one, other in connected or [(a, b) for a in range(size) for b in range(a)]:
            self.connect(self.nodes[one], self.nodes[other])

    def _node(self, number):
        members = MemberList(node_id(number), 1000, {}, self.now)
        detector = Detector(self.settings, members, GossipQueue(256), self.now, Random(self.rng.random()))
        return Node(node_id(number), detector, members)

    def connect(self, one, other):
        for this, that in [(one, other), (other, one)]:
            this.peers.append(that)
            self._do(this, this.detector.connected(that.id, None, self.now))

    def disconnect(self, one, other):
        for this, that in [(one, other), (other, one)]:
            this.peers.remove(that)
            self._do(this, this.detector.disconnected(that.id, self.now))

    def stop(self, node):
        """Have a node say nothing any more; nobody is told."""
        node.is_running = False

    def restart(self, node):
        """Start a stopped node anew: it knows nothing, and is connected to those it was connected to."""
        peers = list(node.peers)
        for peer in peers:
            self.disconnect(node, peer)
        fresh = self._node(int.from_bytes(node.id))
        node.detector, node.members, node.is_running = fresh.detector, fresh.members, True
        for peer in peers:
            self.connect(node, peer)

    def run(self, seconds):
        end = self.now + seconds
        while self._next() <= end:
            self.now = max(self.now, self._next())
            self._deliver()
            for node in self.nodes:
                while node.is_running and node.detector.next_due() <= self.now:
                    self._do(node, node.detector.due(self.now))
        self.now = end

    def _next(self):
        dues = [node.detector.next_due() for node in self.nodes if node.is_running]
        return min([*dues, *(event[0] for event in self._events[:1])], default=float("inf"))

    def _deliver(self):
        while self._events and self._events[0][0] <= self.now:
            *_, arrive = heapq.heappop(self._events)
            arrive()

    def _do(self, node, decisions):
        for decision in decisions:
            match decision:
                case Probe(member, _):
                    self.sent["ping"] += 1
                    self._ping(node, self._by_id[member.node_id], lambda claims, m=member: self._acked(node, m, claims))
                case ProbeIndirectly(member, via, _):
                    self.sent["ping_req"] += len(via)
                    for helper in via:
                        self._ask(node, self._by_id[helper], member)
                case Alive() | Suspected() | Dead():
                    node.notices.append((self.now, decision))

    def _ask(self, node, helper, member):
        def asked():
            self._do(helper, helper.detector.heard(claims, self.now))
            target = self._by_id[member.node_id]
            if target in helper.peers:
                self._ping(helper, target, lambda back: self._send(helper, node, lambda: answered(back)))

        def answered(back):
            self._acked(node, member, back)

        claims = self._claims(node, helper.id, member.node_id)
        self._send(node, helper, asked)

    def _ping(self, node, target, answered):
        def pinged():
            self._do(target, target.detector.heard(claims, self.now))
            own = target.members.itself.incarnation
            back = self._claims(target, node.id, node.id)
            self._send(target, node, lambda: answered((own, back)))

        claims = self._claims(node, target.id, target.id)
        self._send(node, target, pinged)

    def _acked(self, node, member, answer):
        incarnation, claims = answer
        self._do(node, node.detector.acked(member.node_id, incarnation, self.now))
        self._do(node, node.detector.heard(claims, self.now))

    def _claims(self, node, recipient, about):
        updates = node.detector.gossip_for(recipient, about)
        assert len(updates) <= self.settings.gossip
        return [member_of(update) for update in updates]

    def _send(self, source, target, arrive):
        def arrives():
            if source.is_running and target.is_running and frozenset((source.id, target.id)) not in self.cut:
                arrive()

        if self.rng.random() >= self.loss:
            at = self.now + DELAY * (0.5 + self.rng.random())
            heapq.heappush(self._events, (at, next(self._serials), arrives))
