"""What GatewayDHT is asked: DHT messages to peers and from them. Erlang: macula_gateway_dht."""

from typing import Final, NamedTuple, TypeAlias

from macula_actors.core.durations import patience
from macula_actors.core.kademlia.keys import key_from
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import (
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    Message,
    Store,
    StoreReply,
)
from macula_actors.messages.names import GATEWAY_DHT
from macula_actors.messages.peer import Inbound
from supervisors import RequestId, Server, call, send_request

__all__ = [
    "ROUTES",
    "DhtMessage",
    "DhtReply",
    "LookUpThere",
    "QueryPeer",
    "handle_find_node",
    "handle_find_value",
    "handle_query",
    "handle_store",
    "lookup_value",
    "query_peer",
    "query_peer_nowait",
    "send_to_peer",
]

DhtMessage: TypeAlias = FindNode | FindValue | Store
DhtReply: TypeAlias = FindNodeReply | FindValueReply | StoreReply

# For PeerConfig.routes: which messages of peers are GatewayDHT's.
ROUTES: Final[dict[type[Message], str]] = dict.fromkeys((FindNode, FindValue, Store), GATEWAY_DHT)


class QueryPeer(NamedTuple):
    """Send ``message`` to ``contact`` and answer with what it answers: a `Message`, or None. Or a `MaculaError`."""

    contact: Contact
    message: DhtMessage
    timeout: float  # seconds, dialling too
    is_told: bool = True  # whether RoutingServer is to be told if the contact answered; who asks may do that itself


class LookUpThere(NamedTuple):
    """Look the values under ``key`` up; passed on to RoutingServer."""

    key: NodeId


async def query_peer(server: Server, contact: Contact, message: DhtMessage, timeout: float) -> Message | None:
    """Return what ``contact`` answers.

    Raises:
        ValueError: ``timeout`` is no finite number.
        MaculaError: it could not be reached, did not answer in time, or refused the message.
    """
    reply: Message | None = await call(server, QueryPeer(contact, message, patience(timeout)), None)
    return reply


def query_peer_nowait(
    server: Server, contact: Contact, message: DhtMessage, timeout: float, *, is_told: bool = True
) -> RequestId:
    """Ask ``contact``; a `supervisors.Response` with what it answers comes to the process that asked."""
    return send_request(server, QueryPeer(contact, message, timeout, is_told))


async def send_to_peer(server: Server, contact: Contact, message: Store, timeout: float) -> None:
    """Have ``message`` handled by ``contact``. Raises what `query_peer` does."""
    await query_peer(server, contact, message, timeout)


async def handle_query(server: Server, inbound: Inbound, timeout: float = 5.0) -> DhtReply | None:
    """Return the reply to a message that came from a peer; connections ask by a plain call with the `Inbound`.

    Raises:
        MaculaError: it is refused.
    """
    reply: DhtReply | None = await call(server, inbound, timeout)
    return reply


async def handle_store(server: Server, inbound: Inbound, timeout: float = 5.0) -> StoreReply | None:
    """Do as `handle_query`, for a `Store`; None in an open mesh, where v0.8 expects no answer."""
    reply: StoreReply | None = await call(server, inbound, timeout)
    return reply


async def handle_find_value(server: Server, inbound: Inbound, timeout: float = 5.0) -> FindValueReply:
    """Do as `handle_query`, for a `FindValue`."""
    reply: FindValueReply = await call(server, inbound, timeout)
    return reply


async def handle_find_node(server: Server, inbound: Inbound, timeout: float = 5.0) -> FindNodeReply:
    """Do as `handle_query`, for a `FindNode`."""
    reply: FindNodeReply = await call(server, inbound, timeout)
    return reply


async def lookup_value(server: Server, key: NodeId, timeout: float = 10.0) -> tuple[Record, ...]:
    """Return the records under ``key``, of all holders. Raises what `routing_server.find_value` does, but tries once.

    Raises:
        ServerDownError: a server ended meanwhile.
    """
    records: tuple[Record, ...] = await call(server, LookUpThere(key_from(key)), timeout)
    return records
