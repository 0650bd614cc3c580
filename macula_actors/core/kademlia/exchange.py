"""What DHT messages say of contacts, and what an error says of the peer that was asked.

Erlang: macula_routing_protocol:encode_node_info/1, decode_node_info/1 (address in one place, endpoint in the other:
D-09).
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from functools import lru_cache

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import NodeInfo
from macula_actors.errors import (
    ConnectionLostError,
    LocalProtocolError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
    SelfDialError,
)

__all__ = ["Verdict", "contacts_of", "node_infos_of", "verdict_of"]

UNAVAILABLE = "unavailable"  # of an `Error` message: what handles the message is not there at present


class Verdict(Enum):
    """What an error says of the peer that was asked."""

    ALIVE = auto()  # it answered, if not as it should
    UNKNOWN = auto()  # nothing
    LATER = auto()  # something of it, or of this node, is being restarted: ask again
    SILENT = auto()
    SELF = auto()  # it is this node


def node_infos_of(contacts: Iterable[Contact]) -> tuple[NodeInfo, ...]:
    """Return ``contacts``, those with a node id, as a reply has them."""
    return tuple(
        NodeInfo(node_id=bytes(each.node_id), endpoint=None if each.endpoint is None else str(each.endpoint))
        for each in contacts
        if each.node_id is not None
    )


def contacts_of(infos: Sequence[NodeInfo] | None, most: int) -> list[Contact]:
    """Return up to ``most`` contacts that a reply names, in its order. What can't be read is left out.

    One that is said to be "undefined" has no endpoint.
    """
    return [_contact(info) for info in (infos or ())[:most]]


def verdict_of(error: Exception) -> Verdict:
    """Return what ``error``, with which a query ended, says; an error of the runtime is this node's fault."""
    match error:
        case ConnectionLostError(by="local"):
            return Verdict.LATER
        case RefusedError() if error.code == UNAVAILABLE:
            return Verdict.LATER
        case RefusedError() | RemoteProtocolError():
            return Verdict.ALIVE
        case OverloadedError() | LocalProtocolError():  # perhaps this node was
            return Verdict.UNKNOWN
        case SelfDialError():
            return Verdict.SELF
        case _:
            return Verdict.SILENT


def _contact(info: NodeInfo) -> Contact:
    return Contact(_endpoint(info.endpoint) or _endpoint(info.address), NodeId.normalize(info.node_id))


@lru_cache(4096)  # the same nodes are told of again and again, and reading an address takes 10 us
def _endpoint(text: str | None) -> Endpoint | None:
    try:
        return None if text is None or text == "undefined" else Endpoint.parse(text)
    except ValueError:
        return None
