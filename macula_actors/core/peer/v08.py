"""What is special about peers of v0.8, in an open mesh. spec/wire.md, Streams; spec/behaviour.md 1.5.4."""

from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.errors import RemoteProtocolError

__all__ = ["is_client_of_v08", "is_told_to_v08", "unnamed"]

_CLIENT_CAPABILITIES: Final = frozenset({"pubsub", "rpc"})  # macula_connection; ours have more
_TOLD: Final = frozenset({"not_a_map", "missing_field", "bad_field"})


def unnamed(host: str, port: int) -> PeerInfo:
    """Return the peer that has sent no CONNECT, from the address ``host`` and ``port``; nobody can dial it there."""
    here, _zone, _ = host.partition("%")
    return PeerInfo(node_id=None, public_key=None, endpoint=Endpoint(here, port), capabilities=(), verified=False)


def is_client_of_v08(peer: PeerInfo) -> bool:
    """Tell whether who has dialled this node takes events alone over that connection.

    A client of v0.8 drops all else (spec/behaviour.md 1.5.4). What its node is asked goes to its gateway's endpoint.
    """
    is_like_it = bool(peer.capabilities) and _CLIENT_CAPABILITIES.issuperset(peer.capabilities)
    return is_like_it and not peer.verified and peer.endpoint is not None


def is_told_to_v08(error: RemoteProtocolError) -> bool:
    """Tell whether a peer of v0.8 hears of ``error``: where it would have crashed itself, not where it says nothing."""
    return error.code in _TOLD
