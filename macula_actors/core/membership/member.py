"""What a node knows of another, and which of two claims about it holds.

Erlang: macula_membership_member (whose dead never come back, and whose rules contradict those of its gossip: D-51).
Paper: Das, Gupta, Motivala, SWIM (2002), section 4.2. There a confirmed death is final; here claims have one order, so
a member that comes back says so with a higher incarnation.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.wire.messages import SwimUpdate

__all__ = ["MAX_INCARNATION", "Member", "Status", "member_of"]

MAX_INCARNATION: Final = 2**32 - 1  # no member gets there by itself


class Status(StrEnum):
    """What is thought of a member. Of one incarnation, a later status overrides an earlier one."""

    ALIVE = "alive"
    SUSPECT = "suspect"  # it did not answer; if it does not refute that in time, it is dead
    DEAD = "dead"


_RANKS: Final = {status: rank for rank, status in enumerate(Status)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A claim about a member.

    Args:
        node_id: the member.
        status: what is claimed.
        incarnation: of the claim; the member alone raises it.
        endpoint: where it can be dialled, as far as this node knows. No part of the claim.
    """

    node_id: NodeId
    status: Status = Status.ALIVE
    incarnation: int = 0
    endpoint: Endpoint | None = field(default=None, compare=False)

    @property
    def rank(self) -> tuple[int, int]:
        """Its place in the order of all claims about one member."""
        return self.incarnation, _RANKS[self.status]

    def overrides(self, other: "Member") -> bool:
        """Tell whether this is news to who believes ``other``, a claim about the same member."""
        return self.rank > other.rank

    def merge(self, other: "Member") -> "Member":
        """Return the claim that holds of the two: the same in whatever order, and however often, claims come."""
        winner, loser = (other, self) if other.overrides(self) else (self, other)
        return replace(winner, endpoint=loser.endpoint) if winner.endpoint is None else winner

    def to_update(self) -> SwimUpdate:
        """Return the claim as messages carry it."""
        return SwimUpdate(node_id=self.node_id, status=self.status.value, incarnation=self.incarnation)


def member_of(update: SwimUpdate) -> Member | None:
    """Return the claim that a message carries; None if it is one that could not be refuted."""
    status = Status(update.status)
    if update.incarnation + (status is not Status.ALIVE) > MAX_INCARNATION:
        return None
    return Member(node_id=NodeId.normalize(update.node_id), status=status, incarnation=update.incarnation)
