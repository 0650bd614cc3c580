"""News that is passed on with messages that are sent anyway, each so often and no more.

Erlang: macula_membership_gossip. Paper: SWIM, section 4.1 (piggybacking; the least gossiped first; lambda log n times).
"""

import math
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.member import Member

__all__ = ["GossipQueue", "transmissions"]

LAMBDA: Final = 3  # the paper's: transmissions for each doubling of the group


def transmissions(members: int) -> int:
    """Return how often each of ``members`` passes on a piece of news, so that in all likelihood all hear of it."""
    return LAMBDA * math.ceil(math.log2(members + 2))


class GossipQueue:
    """The latest claim about each member that is still to be passed on.

    Args:
        max_updates: how many; one more takes the place of the one that was passed on most.
    """

    def __init__(self, max_updates: int) -> None:
        self._max_updates: Final = max_updates
        self._waiting: Final[dict[NodeId, Member]] = {}  # the newest at the end
        self._sent: Final[dict[NodeId, int]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, claim: Member) -> None:
        """Pass ``claim`` on, in place of what was said of that member before."""
        self._drop(claim.node_id)
        if len(self._waiting) >= self._max_updates:
            self._drop(max(self._waiting, key=self._sent.__getitem__))
        self._waiting[claim.node_id] = claim
        self._sent[claim.node_id] = 0

    def take(self, most: int, limit: int, *, without: NodeId | None = None) -> list[Member]:
        """Return up to ``most`` claims for one message, the least transmitted first, of those the newest.

        What was taken ``limit`` times is not passed on any more.

        Args:
            most: how many.
            limit: transmissions of each; see `transmissions`.
            without: nothing about this member.
        """
        newest_first = [node_id for node_id in reversed(self._waiting) if node_id != without]
        chosen = sorted(newest_first, key=self._sent.__getitem__)[: max(most, 0)]
        claims = [self._waiting[node_id] for node_id in chosen]
        for node_id in chosen:
            self._transmitted(node_id, limit)
        return claims

    def _transmitted(self, node_id: NodeId, limit: int) -> None:
        self._sent[node_id] += 1
        if self._sent[node_id] >= limit:
            self._drop(node_id)

    def _drop(self, node_id: NodeId) -> None:
        self._waiting.pop(node_id, None)
        self._sent.pop(node_id, None)
