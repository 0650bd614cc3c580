"""Nodes of v0.8 that have called: they are told of, and not asked.

spec/wire.md: who has sent a CONNECT is in the answers to FIND_NODE. A client of v0.8 is a guest for good: it says where
its gateway is, and answers no question, so lookups would wait for it in vain.
"""

from collections import OrderedDict
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["Guests"]

MOST: Final = 256
LIFETIME: Final = 900.0  # seconds after the last call


class Guests:
    """The last ones that called, at most `MOST` of them, each for `LIFETIME` seconds."""

    def __init__(self) -> None:
        self._called: OrderedDict[NodeId, tuple[float, Contact]] = OrderedDict()  # the longest ago first

    def __len__(self) -> int:
        return len(self._called)

    def heard(self, node_id: NodeId, contact: Contact, now: float) -> None:
        """Take note of a call."""
        self._called.pop(node_id, None)
        self._called[node_id] = now, contact
        while len(self._called) > MOST or next(iter(self._called.values()))[0] <= now - LIFETIME:
            self._called.popitem(last=False)

    def among(self, contacts: list[Contact], target: NodeId, count: int, now: float) -> list[Contact]:
        """Return the nearest to ``target`` of ``contacts`` and the guests, ``count`` at most, the nearest first."""
        known = {each.node_id: each for each in contacts if each.node_id is not None}
        came = {node_id: contact for node_id, (at, contact) in self._called.items() if at > now - LIFETIME}
        nearest = sorted(came | known, key=target.distance)[:count]
        return [known.get(node_id) or came[node_id] for node_id in nearest]
