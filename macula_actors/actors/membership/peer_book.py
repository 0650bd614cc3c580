"""The connections to members that there are."""

from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from supervisors import Ref

__all__ = ["PeerBook"]


class PeerBook:
    """Which node each connection leads to. There may be several to one."""

    def __init__(self) -> None:
        self._nodes: Final[dict[Ref, NodeId]] = {}
        self._connections: Final[dict[NodeId, set[Ref]]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._connections

    def add(self, node_id: NodeId, connection: Ref) -> bool:
        """Note a connection; return whether it is new."""
        if connection in self._nodes:
            return False
        self._nodes[connection] = node_id
        self._connections.setdefault(node_id, set()).add(connection)
        return True

    def remove(self, connection: Ref) -> NodeId | None:
        """Forget a connection; return the node if there is none to it any more."""
        node_id = self._nodes.pop(connection, None)
        if node_id is None:
            return None
        left = self._connections[node_id]
        left.discard(connection)
        if left:
            return None
        del self._connections[node_id]
        return node_id
