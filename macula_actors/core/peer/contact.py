"""Whom a message is for: a node, an endpoint, or a node known to be at an endpoint.

Erlang: macula_peer_connector (endpoint text), macula_gateway_mesh (node id and address).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from typing_extensions import override

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["Contact", "Key"]

Key: TypeAlias = Endpoint | NodeId

_SHOWN_DIGITS: Final = 8  # of a node id; enough to tell a mesh's nodes apart in a log


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of a peer before it is dialled.

    Args:
        endpoint: where it is; None if only who it is is known: a live connection, a hole punch or a relay may reach it.
        node_id: who must answer there; None if anybody may.

    Raises:
        ValueError: both are None.
    """

    endpoint: Endpoint | None = None
    node_id: NodeId | None = None

    def __post_init__(self) -> None:
        if self.endpoint is None and self.node_id is None:
            raise ValueError("a contact has an endpoint, a node id or both")

    @property
    def key(self) -> Key:
        """What the peer is told from others by: the node id, else the endpoint."""
        return self.node_id or cast("Endpoint", self.endpoint)  # 32 bytes are never false, and one of the two is there

    @override
    def __str__(self) -> str:
        node = None if self.node_id is None else str(self.node_id)[:_SHOWN_DIGITS]
        return "@".join(str(part) for part in (node, self.endpoint) if part is not None)
