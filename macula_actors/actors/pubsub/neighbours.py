"""The nodes that there is a connection to, and telling them what this node has subscribed to."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Subscribe
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import Exchange, PeerUp, Request
from macula_actors.messages.pubsub import BATCH_CAPABILITY
from supervisors import Ref, RequestId, System, monitor, send_request

__all__ = ["Neighbours"]

MAX_TOPICS: Final = 1024  # of one message


class Neighbours:
    """Those that are connected. In an open mesh none is told: a gateway takes a Subscribe for that of a v0.8 client.

    Args:
        config: bounds.
    """

    def __init__(self, config: PubsubConfig) -> None:
        self._config: Final = config
        self._system: Final = System.current()
        self._nodes: Final[dict[Ref, tuple[NodeId, bool]]] = {}  # and whether it takes batches
        self._connected: Final[Counter[NodeId]] = Counter()
        self._single: Final[Counter[NodeId]] = Counter()  # of the connections, those whose node takes none

    def is_connected(self, node_id: NodeId) -> bool:
        """Tell whether there is a connection to the node."""
        return node_id in self._connected

    def takes_batches(self, node_id: NodeId) -> bool:
        """Tell whether there is a connection to the node, and it knows messages with several events."""
        return self._connected[node_id] > 0 and self._single[node_id] == 0

    def up(self, up: PeerUp) -> NodeId | None:
        """Take note of a connection; return its node if it is the first one there."""
        node_id = up.peer.node_id
        if node_id is None or up.connection in self._nodes:
            return None
        monitor(up.connection)
        takes_batches = BATCH_CAPABILITY in up.peer.capabilities
        self._nodes[up.connection] = node_id, takes_batches
        self._connected[node_id] += 1
        self._single[node_id] += not takes_batches
        return node_id if self._connected[node_id] == 1 else None

    def down(self, connection: Ref) -> bool:
        """Take note that a connection has ended; return whether it was one of these."""
        found = self._nodes.pop(connection, None)
        if found is None:
            return False
        node_id, takes_batches = found
        self._connected[node_id] -= 1
        self._single[node_id] -= not takes_batches
        if not self._connected[node_id]:
            del self._connected[node_id], self._single[node_id]
        return True

    def tell_all(self, patterns: Sequence[str]) -> list[RequestId]:
        """Tell the nodes that this one has subscribed to ``patterns``; return what they will answer."""
        nodes = islice(self._connected, self._config.max_told)
        return [request for node_id in nodes for request in self.tell(node_id, patterns)]

    def tell(self, node_id: NodeId, patterns: Sequence[str]) -> list[RequestId]:
        """Tell one node."""
        if self._config.security is Security.OPEN:
            return []
        deadline = self._system.now() + self._config.announce_timeout
        starts = range(0, len(patterns), MAX_TOPICS)
        frames = [encode(Subscribe(topics=tuple(patterns[start : start + MAX_TOPICS]))) for start in starts]
        contact = Contact(None, node_id)
        return [send_request(PEER_CONNECTOR, Request(contact, Exchange(each, deadline, False))) for each in frames]  # noqa: FBT003
