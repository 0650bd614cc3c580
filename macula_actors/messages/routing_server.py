"""What RoutingServer is asked. Erlang: macula_routing_server."""

from typing import NamedTuple

from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import FindNodeReply, FindValueReply, StoreReply
from macula_actors.messages.gateway_dht import DhtMessage
from supervisors import Server, call

__all__ = ["HandleMessage", "handle_message"]


class HandleMessage(NamedTuple):
    """Do what ``message`` of the peer ``sender`` asks; answered with the reply to it, or refused with a `MaculaError`.

    ``sender`` has a node id; its endpoint only if it can be dialled.
    """

    sender: Contact
    message: DhtMessage


async def handle_message(
    server: Server, sender: Contact, message: DhtMessage
) -> FindNodeReply | FindValueReply | StoreReply:
    """Return the reply to ``message``.

    Raises:
        MaculaError: it is refused; the peer is told so.
    """
    reply: FindNodeReply | FindValueReply | StoreReply = await call(server, HandleMessage(sender, message))
    return reply
