"""The nodes that there is a connection to, and telling them what this node has subscribed to."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from typing import Final

from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message, Subscribe, SubscriptionsChanged, Unsubscribe
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import Exchange, PeerUp, Request
from macula_actors.messages.pubsub import BATCH_CAPABILITY, CHANGES_CAPABILITY
from supervisors import Ref, RequestId, System, monitor, send_request

__all__ = ["Neighbours"]

MAX_TOPICS: Final = 1024  # of one message


class Neighbours:
    """Those that are connected.

    In an open mesh a gateway takes a Subscribe for that of a v0.8 client. So there nodes of ours are told by a message
    that v0.8 does not know, once they are known to be ours: an acceptor knows by the capabilities in CONNECT, and a
    dialler, whom PONG does not even tell the node's id, by being told first. It is answered: streams do not end there.

    Args:
        config: bounds.
    """

    def __init__(self, config: PubsubConfig) -> None:
        self._config: Final = config
        self._own_id: Final = config.identity.node_id
        self._is_open: Final = config.security is Security.OPEN
        self._system: Final = System.current()
        self._nodes: Final[dict[Ref, NodeId]] = {}
        self._capabilities: Final[dict[NodeId, dict[Ref, Collection[str]]]] = {}
        self._heard: Final[dict[Ref, bool]] = {}  # connections whose node tells of changes; whether it is known

    def is_connected(self, node_id: NodeId) -> bool:
        """Tell whether there is a connection to the node."""
        return node_id in self._capabilities

    def takes_batches(self, node_id: NodeId) -> bool:
        """Tell whether there is a connection to the node, and it knows messages with several events."""
        found = self._capabilities.get(node_id)
        return found is not None and all(BATCH_CAPABILITY in each for each in found.values())

    def up(self, up: PeerUp) -> NodeId | None:
        """Take note of a connection; return its node if it is the first one there."""
        node_id = up.peer.node_id
        if node_id is None or up.connection in self._nodes:
            return None
        monitor(up.connection)
        self._nodes[up.connection] = node_id
        known = self._capabilities.setdefault(node_id, {})
        known[up.connection] = up.peer.capabilities
        return node_id if len(known) == 1 else None

    def heard(self, connection: Ref, node_id: NodeId | None) -> bool:
        """Take note that the node at ``connection``, perhaps not up yet, tells of changes; return whether that is new.

        It is one of ours then, and takes them as well.
        """
        if connection in self._heard:
            return False
        self._heard[connection] = node_id is not None
        if connection not in self._nodes:
            monitor(connection)
        return True

    def down(self, connection: Ref) -> bool:
        """Take note that a connection has ended; return whether it was one of these."""
        self._heard.pop(connection, None)
        node_id = self._nodes.pop(connection, None)
        if node_id is None:
            return False
        left = self._capabilities[node_id]
        del left[connection]
        if not left:
            del self._capabilities[node_id]
        return True

    def tell_all(self, new: Sequence[str], gone: Sequence[str]) -> list[RequestId]:
        """Tell the nodes what this one has subscribed to, and what no more; return what they will answer."""
        frames = self._frames(new, gone)
        nodes = (each for each in self._capabilities if not self._is_open or self._takes_changes(each))
        told = self._some(nodes)
        return [self._send(each, frame, wants_reply=self._is_open) for each in told for frame in frames]

    def tell(self, whom: NodeId | Ref, patterns: Sequence[str]) -> None:
        """Tell one that is new what this one has subscribed to; in an open mesh that it is one of ours, too."""
        if not self._is_open or isinstance(whom, Ref) or self._takes_changes(whom):
            for frame in self._frames(patterns, (), is_greeting=self._is_open):
                self._send(whom, frame, wants_reply=self._is_open)

    def pass_on(self, changed: SubscriptionsChanged) -> None:
        """Tell the nodes, but those that it is about, what some have subscribed to."""
        frame = encode(changed)
        others = (each for each in self._capabilities if each not in changed.node_ids and self._takes_changes(each))
        for each in self._some(others):
            self._send(each, frame, wants_reply=False)

    def _some(self, nodes: Iterable[NodeId]) -> Iterable[NodeId | Ref]:
        """Return as many of ``nodes``, and of the connections to ours whose node is not known, as are told at once."""
        unnamed = (connection for connection, is_known in self._heard.items() if not is_known)
        yield from islice(chain[NodeId | Ref](nodes, unnamed), self._config.max_told)

    def _takes_changes(self, node_id: NodeId) -> bool:
        connections = self._capabilities[node_id].items()
        return any(CHANGES_CAPABILITY in each or connection in self._heard for connection, each in connections)

    def _frames(self, new: Sequence[str], gone: Sequence[str], *, is_greeting: bool = False) -> list[bytes]:
        messages: list[Message]
        if self._is_open:
            parts = list(_parts((*new, *gone))) or ([()] if is_greeting else [])
            messages = [SubscriptionsChanged(topics=part, node_ids=(self._own_id,)) for part in parts]
        else:
            messages = [Subscribe(topics=part) for part in _parts(new)]
            messages += [Unsubscribe(topics=part) for part in _parts(gone)]
        return [encode(each) for each in messages]

    def _send(self, whom: NodeId | Ref, frame: bytes, *, wants_reply: bool) -> RequestId:
        exchange = Exchange(frame, self._system.now() + self._config.announce_timeout, wants_reply)
        if isinstance(whom, Ref):
            return send_request(whom, exchange)
        return send_request(PEER_CONNECTOR, Request(Contact(None, whom), exchange))


def _parts(patterns: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for start in range(0, len(patterns), MAX_TOPICS):
        yield tuple(patterns[start : start + MAX_TOPICS])
