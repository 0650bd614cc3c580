"""Which records a node gives to one that has joined: those whose closest nodes the newcomer is now one of.

Erlang: none at v0.8.0; later versions replicate to joiners. Paper: section 2.5 (who is closest to the key sends, so
that not all holders do).
"""

from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable

__all__ = ["HandOver"]


class HandOver:
    """What this node gives to ``newcomer``.

    Args:
        newcomer: the node that joined.
        table: this node's, as it is when `includes` is asked; the newcomer may be in it.
        k: how many nodes keep a record.
        senders: how many holders give it, the closest to its key. Some that are taken for closer may be gone.
    """

    def __init__(self, newcomer: NodeId, table: RoutingTable, *, k: int = 20, senders: int = 4) -> None:
        self._newcomer: Final = newcomer
        self._table: Final = table
        self._k: Final = k
        self._senders: Final = senders if newcomer != table.node_id else 0

    def includes(self, key: NodeId) -> bool:
        """Tell whether what is under ``key`` is to be given; in 2 us, if this node is not one of the senders."""
        return self._is_sender(key) and self._is_holder(key)

    def _is_sender(self, key: NodeId) -> bool:
        nearer = self._table.nearer(key)
        if nearer < self._senders:
            return True
        is_newcomer_among = self._newcomer in self._table and self._is_nearer(self._table.node_id, key)
        return nearer - is_newcomer_among < self._senders

    def _is_holder(self, key: NodeId) -> bool:
        others = (each.node_id for each in self._table.closest(key, self._k, without=self._newcomer))
        nearer = sum(not self._is_nearer(each, key) for each in others if each is not None)
        return nearer + (not self._is_nearer(self._table.node_id, key)) < self._k

    def _is_nearer(self, other: NodeId, key: NodeId) -> bool:
        """Tell whether the newcomer is nearer to ``key`` than ``other`` is."""
        return self._newcomer.distance(key) < other.distance(key)
