"""Who is alive, found out by asking one after another and by hearsay: SWIM.

Erlang: macula_membership_detector (functions that nobody calls: D-51). Paper: Das, Gupta, Motivala, SWIM (2002),
sections 3.1 (direct and indirect probes), 4.1 (gossip), 4.2 (suspicion) and 4.3 (probes in turn).

Ours goes over connections that there are, where the paper's members reach all others by datagrams. So a node probes the
members that it is connected to; one whose last connection it loses it has probed by others; and one that it has heard
nothing new of for long, and is not connected to, it suspects, so that it says that it is alive. Who is suspected or
said to be dead, and is connected, is pinged and told so at once: it can refute that before others believe it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.decisions import Alive, Dead, Decision, Probe, ProbeIndirectly, Suspected
from macula_actors.core.membership.gossip import GossipQueue, transmissions
from macula_actors.core.membership.member import Member, Status
from macula_actors.core.membership.member_list import Change, MemberList
from macula_actors.core.membership.turns import Turns
from macula_actors.core.peer.deadlines import Deadlines
from macula_actors.core.wire.messages import SwimUpdate

__all__ = ["Detector", "DetectorSettings"]

HEARSAY: Final = 4  # times as long has a suspect whom this node did not find silent itself: its peers know better


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Tunables. Durations are seconds; for each, see `macula_actors.config.MembershipConfig`."""

    period: float
    probe_timeout: float
    indirect_probes: int
    suspect_timeout: float
    gossip: int
    forget_after: float


@dataclass(slots=True)
class _Probing:
    ends_at: float
    is_indirect: bool = False


class Detector:
    """A state machine. Carry out what each method returns, in order; call `due` at `next_due`.

    All instants are of one monotonic clock, in seconds. A member that answers is dead for nobody for longer than its
    refutation takes to go round. One that has ended is dead for all within two periods for each member that its peers
    are connected to, the time that a suspect has, and what gossip takes.

    Args:
        settings: how often, how long.
        members: who is known. It may have been filled by a detector before this one.
        gossip: what is passed on.
        now: the present.
        rng: chance.
    """

    def __init__(
        self, settings: DetectorSettings, members: MemberList, gossip: GossipQueue, now: float, rng: Random
    ) -> None:
        self._settings: Final = settings
        self._members: Final = members
        self._gossip: Final = gossip
        self._rng: Final = rng
        self._connected: Final[dict[NodeId, None]] = {}
        self._probes: Final[dict[NodeId, _Probing]] = {}
        self._steps: Final = Deadlines[NodeId]()  # of probes
        self._silent: Final[set[NodeId]] = set()  # suspects that did not answer this node either
        self._timers: Final = Deadlines[NodeId]()  # of members: to be suspected, dead, forgotten
        self._round_at = inf
        self._targets: Final = Turns(rng)
        self._fillers: Final = Turns(rng)
        for entry in list(members):
            self._set_timer(entry.member, now)

    @property
    def probes(self) -> int:
        """How many members are being probed."""
        return len(self._probes)

    # What happens

    def connected(self, node_id: NodeId, endpoint: Endpoint | None, now: float) -> list[Decision]:
        """Take note that there is a connection to a member, the first one; ``endpoint`` is where it can be dialled.

        It is pinged at once: one that is believed dead hears of it and refutes it, and both hear the news.
        """
        if not self._connected:
            self._round_at = now + self._settings.period
        self._connected[node_id] = None
        if node_id not in self._members:
            self._members.make_room(self._connected)
        decisions = self._hear(Member(node_id=node_id), now)
        self._members.set_endpoint(node_id, endpoint)
        self._reset_timer(node_id, now)
        return decisions + self._probe(node_id, now)

    def disconnected(self, node_id: NodeId, now: float) -> list[Decision]:
        """Take note that there is no connection to a member any more. Others are asked whether it is alive."""
        if node_id not in self._connected:
            return []
        del self._connected[node_id]
        if not self._connected:
            self._round_at = inf
        known = self._members.get(node_id)
        if known is None or known.member.status is Status.DEAD:
            return []
        self._reset_timer(node_id, now)
        probing = self._probes.setdefault(node_id, self._probing(now))
        return self._go_indirect(node_id, probing, now)

    def acked(self, node_id: NodeId, incarnation: int | None, now: float) -> list[Decision]:
        """Take note that a member has answered, to this node or another one; None: it did not say its incarnation."""
        self.abandoned(node_id)
        decisions = [] if incarnation is None else self._hear(Member(node_id=node_id, incarnation=incarnation), now)
        self._reset_timer(node_id, now)
        return decisions

    def failed(self, node_id: NodeId, now: float) -> list[Decision]:
        """Take note that a ping will not be answered any more. That no other member's was is no news."""
        probing = self._probes.get(node_id)
        return [] if probing is None else self._go_indirect(node_id, probing, now)

    def abandoned(self, node_id: NodeId) -> None:
        """Take note that a member could not be asked, for a reason of this node's own: that says nothing of it."""
        if self._probes.pop(node_id, None) is not None:
            self._steps.discard(node_id)

    def heard(self, claims: Iterable[Member], now: float) -> list[Decision]:
        """Take what members say of each other."""
        return [decision for claim in claims for decision in self._hear(claim, now)]

    def due(self, now: float) -> list[Decision]:
        """Return what time has brought."""
        decisions = [each for node_id in self._steps.pop_due(now) for each in self._step(node_id, now)]
        decisions += [each for node_id in self._timers.pop_due(now) for each in self._time_out(node_id, now)]
        if now >= self._round_at:
            self._round_at = now + self._settings.period
            decisions += self._next_round(now)
        return decisions

    def next_due(self) -> float:
        """Return when `due` has something to do; infinity: not before something else happens."""
        return min(self._round_at, self._steps.next(), self._timers.next())

    def gossip_for(self, recipient: NodeId, about: NodeId) -> tuple[SwimUpdate, ...]:
        """Return what a message to ``recipient`` about the member ``about`` is to carry.

        That is: this node itself; that ``about`` is suspected, or believed dead; news; and, as far as there is room,
        members in turn, so that who comes later, or missed some news, gets to know all.
        """
        most = self._settings.gossip
        claims = {self._members.itself.node_id: self._members.itself}
        claims |= {claim.node_id: claim for claim in self._accusation(about)}
        limit = transmissions(len(self._members))
        news = self._gossip.take(most - len(claims), limit, without=recipient)
        claims |= {claim.node_id: claim for claim in news if claim.node_id not in claims}
        claims = {claim.node_id: claim for claim in self._filler(most - len(claims), recipient)} | claims
        return tuple(claim.to_update() for claim in claims.values())[:most]

    # Probes

    def _probing(self, now: float) -> _Probing:
        return _Probing(now + max(self._settings.period, 2 * self._settings.probe_timeout))

    def _probe(self, node_id: NodeId, now: float) -> list[Decision]:
        known = self._members.get(node_id)
        if known is None or node_id in self._probes:
            return []
        self._probes[node_id] = probing = self._probing(now)
        self._steps.set(node_id, now + self._settings.probe_timeout)
        return [Probe(known.member, probing.ends_at - now)]

    def _next_round(self, now: float) -> list[Decision]:
        for _ in range(len(self._connected)):
            for node_id in self._targets.take(1, self._connected):
                if node_id in self._connected and node_id not in self._probes:
                    return self._probe(node_id, now)
        return []

    def _step(self, node_id: NodeId, now: float) -> list[Decision]:
        probing = self._probes[node_id]
        if not probing.is_indirect:
            return self._go_indirect(node_id, probing, now)
        del self._probes[node_id]
        decisions = self._suspect(node_id, now)
        self._confirm(node_id, now)
        return decisions

    def _go_indirect(self, node_id: NodeId, probing: _Probing, now: float) -> list[Decision]:
        if probing.is_indirect:
            return []
        probing.is_indirect = True
        self._steps.set(node_id, probing.ends_at)
        known, via = self._members.get(node_id), self._helpers(node_id)
        return [ProbeIndirectly(known.member, via, probing.ends_at - now)] if known is not None and via else []

    def _helpers(self, node_id: NodeId) -> tuple[NodeId, ...]:
        others = [each for each in self._connected if each != node_id and each not in self._probes]
        return tuple(self._rng.sample(others, min(self._settings.indirect_probes, len(others))))

    # Members

    def _hear(self, claim: Member, now: float) -> list[Decision]:
        change = self._members.apply(claim, now)
        if change is None:
            return []
        self._gossip.add(change.member)
        if change.member.node_id == self._members.itself.node_id:
            return []
        self._set_timer(change.member, now)
        return [*_news(change), *self._tell(change.member, now)]

    def _tell(self, accused: Member, now: float) -> list[Decision]:
        """Ping who is accused: the ping tells it so, and its answer refutes it."""
        is_accused = accused.status is not Status.ALIVE and accused.node_id in self._connected
        return self._probe(accused.node_id, now) if is_accused else []

    def _suspect(self, node_id: NodeId, now: float) -> list[Decision]:
        known = self._members.get(node_id)
        if known is None or known.member.status is not Status.ALIVE:
            return []
        return self._hear(replace(known.member, status=Status.SUSPECT), now)

    def _confirm(self, node_id: NodeId, now: float) -> None:
        """Take note that a suspect did not answer this node either, which shortens the time it has, once."""
        known = self._members.get(node_id)
        if known is not None and known.member.status is Status.SUSPECT and node_id not in self._silent:
            self._silent.add(node_id)
            self._timers.set(node_id, now + self._suspect_timeout())

    def _suspect_timeout(self) -> float:
        """Return seconds, more in a large group, where a refutation takes longer to go round."""
        return self._settings.suspect_timeout * max(1.0, math.log10(len(self._members)))

    def _time_out(self, node_id: NodeId, now: float) -> list[Decision]:
        known = self._members.get(node_id)
        if known is None:  # it had to make room
            self._silent.discard(node_id)
            return []
        match known.member.status:
            case Status.ALIVE:
                return self._suspect(node_id, now)
            case Status.SUSPECT:
                return self._hear(replace(known.member, status=Status.DEAD), now)
            case Status.DEAD:
                self._members.forget(node_id)
                return []

    def _reset_timer(self, node_id: NodeId, now: float) -> None:
        """Begin to wait anew until a member that is alive, and not connected, is to be suspected."""
        known = self._members.get(node_id)
        if known is not None and known.member.status is Status.ALIVE:
            self._set_timer(known.member, now)

    def _set_timer(self, member: Member, now: float) -> None:
        self._silent.discard(member.node_id)
        forget_after = self._settings.forget_after
        match member.status:
            case Status.ALIVE if member.node_id in self._connected:
                self._timers.discard(member.node_id)
            case Status.ALIVE:  # at another time at each node: the first one's suspicion is enough for all
                self._timers.set(member.node_id, now + forget_after * (1 + self._rng.random()))
            case Status.SUSPECT:
                self._timers.set(member.node_id, now + HEARSAY * self._suspect_timeout())
            case Status.DEAD:
                self._timers.set(member.node_id, now + forget_after)

    # Gossip

    def _accusation(self, about: NodeId) -> list[Member]:
        known = self._members.get(about)
        return [] if known is None or known.member.status is Status.ALIVE else [known.member]

    def _filler(self, most: int, recipient: NodeId) -> list[Member]:
        turn = self._fillers.take(max(most, 0), self._members.ids())
        entries = [self._members.get(node_id) for node_id in turn if node_id != recipient]
        return [entry.member for entry in entries if entry is not None]


def _news(change: Change) -> list[Decision]:
    if change.member.status is change.was:
        return []
    match change.member.status:
        case Status.ALIVE:
            return [Alive(change.member)]
        case Status.SUSPECT:
            return [Suspected(change.member)]
        case Status.DEAD:
            return [Dead(change.member)]
