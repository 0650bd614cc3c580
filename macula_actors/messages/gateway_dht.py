"""What GatewayDHT is asked: DHT messages to peers and from them. Erlang: macula_gateway_dht."""

from typing import NamedTuple, TypeAlias

from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import FindNode, FindValue, Message, Store
from supervisors import RequestId, Server, call, send_request

__all__ = ["DhtMessage", "QueryPeer", "query_peer", "query_peer_nowait", "send_to_peer"]

DhtMessage: TypeAlias = FindNode | FindValue | Store


class QueryPeer(NamedTuple):
    """Send ``message`` to ``contact`` and answer with what it answers: a `Message`, or None. Or a `MaculaError`."""

    contact: Contact
    message: DhtMessage
    timeout: float  # seconds, dialling too


async def query_peer(server: Server, contact: Contact, message: DhtMessage, timeout: float) -> Message | None:
    """Return what ``contact`` answers.

    Raises:
        MaculaError: it could not be reached, did not answer in time, or refused the message.
    """
    reply: Message | None = await call(server, QueryPeer(contact, message, timeout), None)
    return reply


def query_peer_nowait(server: Server, contact: Contact, message: DhtMessage, timeout: float) -> RequestId:
    """Ask ``contact``; a `supervisors.Response` with what it answers comes to the process that asked."""
    return send_request(server, QueryPeer(contact, message, timeout))


async def send_to_peer(server: Server, contact: Contact, message: Store, timeout: float) -> None:
    """Have ``message`` handled by ``contact``. Raises what `query_peer` does."""
    await query_peer(server, contact, message, timeout)
