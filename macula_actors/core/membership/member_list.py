"""All members that a node knows of, and its own incarnation.

Erlang: macula_membership_list (whose gossip lets a lower incarnation replace a higher one, and does not refute what is
said of the node itself: D-51). Paper: SWIM, section 4.2.
"""

from collections.abc import Container, Iterator, MutableMapping
from dataclasses import dataclass, replace
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.member import Member, Status

__all__ = ["Change", "Entry", "MemberList"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A member, and since when that is believed of it, in monotonic seconds."""

    member: Member
    since: float


@dataclass(frozen=True, slots=True)
class Change:
    """What is believed now; ``was`` is the status before, None of who was not known."""

    member: Member
    was: Status | None


class MemberList:
    """Claims merged, one a member. All instants are of one monotonic clock, in seconds.

    Args:
        node_id: this node, which is no member of its own list.
        max_members: how many; one more takes the place of a dead one, or is not known of.
        table: where they are kept, this node too; it may outlive this.
        now: the present.
    """

    def __init__(self, node_id: NodeId, max_members: int, table: MutableMapping[NodeId, Entry], now: float) -> None:
        self._node_id: Final = node_id
        self._max_members: Final = max_members
        self._table: Final = table
        table.setdefault(node_id, Entry(Member(node_id=node_id), now))

    def __len__(self) -> int:
        return len(self._table) - 1

    def __iter__(self) -> Iterator[Entry]:
        return (self._table[node_id] for node_id in self.ids())

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._table and node_id != self._node_id

    def ids(self) -> Iterator[NodeId]:
        """Yield the members' ids."""
        return (node_id for node_id in self._table if node_id != self._node_id)

    @property
    def itself(self) -> Member:
        """What this node claims of itself: that it is alive."""
        return self._table[self._node_id].member

    def get(self, node_id: NodeId) -> Entry | None:
        """Return a member; None if it is not known."""
        return self._table.get(node_id) if node_id != self._node_id else None

    def apply(self, claim: Member, now: float) -> Change | None:
        """Believe ``claim`` if it overrides what was believed; None if it is no news.

        Of this node itself only a higher incarnation is news: its answer to a claim that it is suspect or dead. That
        somebody unknown is dead is none.
        """
        if claim.node_id == self._node_id:
            return self._refute(claim, now)
        known = self._table.get(claim.node_id)
        if known is None:
            return self._meet(claim, now)
        merged = known.member.merge(claim)
        if merged == known.member:
            return None
        self._table[claim.node_id] = Entry(merged, now)
        return Change(merged, known.member.status)

    def set_endpoint(self, node_id: NodeId, endpoint: Endpoint | None) -> None:
        """Note where a member can be dialled, if that is known."""
        known = self._table.get(node_id)
        if known is not None and endpoint is not None:
            self._table[node_id] = replace(known, member=replace(known.member, endpoint=endpoint))

    def make_room(self, keep: Container[NodeId]) -> None:
        """If there is no room for one more, forget the member of which nothing was heard longest, but none of ``keep``.

        It is for a member that is certain to be there: hearsay may name any number of them.
        """
        if len(self) >= self._max_members:
            others = (node_id for node_id in self.ids() if node_id not in keep)
            self.forget(min(others, key=lambda node_id: self._table[node_id].since, default=self._node_id))

    def forget(self, node_id: NodeId) -> None:
        """Know of a member no more."""
        if node_id in self:
            del self._table[node_id]

    def _meet(self, claim: Member, now: float) -> Change | None:
        if claim.status is Status.DEAD or not self._make_room():
            return None
        self._table[claim.node_id] = Entry(claim, now)
        return Change(claim, None)

    def _make_room(self) -> bool:
        if len(self) < self._max_members:
            return True
        dead = [entry for entry in self if entry.member.status is Status.DEAD]
        if not dead:
            return False
        del self._table[min(dead, key=lambda entry: entry.since).member.node_id]
        return True

    def _refute(self, claim: Member, now: float) -> Change | None:
        own = self.itself
        if not claim.overrides(own):
            return None
        # a node that has started anew is told by others how far it had come
        incarnation = claim.incarnation + (claim.status is not Status.ALIVE)
        self._table[self._node_id] = Entry(replace(own, incarnation=incarnation), now)
        return Change(self.itself, Status.ALIVE)
