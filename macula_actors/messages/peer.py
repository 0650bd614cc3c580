"""What PeerConnector is asked, and what it, the connections and the endpoint tell each other.

Erlang: macula_peer_connector:send_message/4 and, missing there, an answer.
"""

from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, NamedTuple

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact, Key
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.peer.pool_decisions import PoolStats
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Message
from macula_actors.errors import CallTimeoutError, ConnectionLostError, MaculaError, OverloadedError
from macula_actors.messages.asking import system_of
from macula_actors.transport.interface import Address, ConnectionOwner
from supervisors import CallError, Ref, RequestId, Server, call, current
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import OverloadedError as MailboxFullError

__all__ = [
    "Abandoned",
    "Announce",
    "Busy",
    "CloseConnection",
    "CloseWhenDone",
    "ConnectorStats",
    "Dial",
    "Established",
    "Exchange",
    "GatewaysChanged",
    "GetAddress",
    "GetGateways",
    "GetPeers",
    "GetStats",
    "Inbound",
    "PeerDown",
    "PeerUp",
    "Request",
    "Resolved",
    "SetAccepting",
    "SetDenied",
    "address",
    "close_connection",
    "deny",
    "gateways",
    "outcome_in",
    "peers",
    "peers_in",
    "request",
    "send_message",
    "set_accepting",
    "stats",
]

DEFAULT_TIMEOUT: Final = 5.0  # seconds; macula.hrl, DEFAULT_NETWORK_TIMEOUT_MS
GRACE: Final = 0.05  # seconds after the deadline, in which the connector still says why there was no connection


class Exchange(NamedTuple):
    """Send ``frame`` on a stream of its own. Answered with the `Message` that comes back, None if none does.

    ``deadline`` is an instant of the System's clock; after it nobody waits, and the peer is told to stop. ``is_event``:
    it is for a client of v0.8, and goes on the stream that its Subscribe came on, as long as that is open: no other one
    does it read.
    """

    frame: bytes
    deadline: float
    wants_reply: bool
    is_event: bool = False


class Request(NamedTuple):
    """Do ``exchange`` with ``contact``, over whichever connection leads there.

    ``connect_by``: until when a connection is waited for, if that is earlier than the deadline.
    """

    contact: Contact
    exchange: Exchange
    connect_by: float | None = None


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close the connection to ``contact`` when nothing is in flight over it. Answered with whether there is one."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `ConnectorStats`."""


class Inbound(NamedTuple):
    """A message from ``peer``, over ``connection``, for the server that handles its type: a call.

    Reply with the `Message` to answer, or None. An error of this package that it is refused with goes to the peer.
    Should the call be abandoned at the far end, nobody hears the reply.
    """

    peer: PeerInfo
    message: Message
    connection: Ref


class Abandoned(NamedTuple):
    """A cast: nobody waits any more for the answer to the `Inbound` call ``call_id`` that came over ``connection``."""

    connection: Ref
    call_id: bytes


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A cast to `MeshConfig.watchers`: there is a connection to ``peer``, dialled by this node or accepted."""

    peer: PeerInfo
    connection: Ref
    is_dialled: bool


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A cast to `MeshConfig.watchers`: ``connection``, of a `PeerUp`, has ended. There may be another one."""

    node_id: NodeId | None
    connection: Ref


@dataclass(frozen=True, slots=True)
class GetPeers:
    """Answered with a `PeerUp` for each connection."""


@dataclass(frozen=True, slots=True)
class GetGateways:
    """Answered with the contacts of the gateways of `MeshConfig.keep` that are connected."""


@dataclass(frozen=True, slots=True)
class GatewaysChanged:
    """A cast to AdvertisementManager and PubsubHandler: `gateways` has another answer now."""


@dataclass(frozen=True, slots=True)
class SetAccepting:
    """To the endpoint: let connections in as long as ``holder`` lives, or no more on its behalf. Answered."""

    holder: Ref
    is_accepting: bool


class SetDenied(NamedTuple):
    """To the endpoint: from now on deny ``networks`` and none else; connections to them end. Answered with how many."""

    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Dial:
    """To the endpoint: begin a connection whose ``owner`` hears of it. Answered with the `Connection`."""

    address: Address
    owner: ConnectionOwner


@dataclass(frozen=True, slots=True)
class GetAddress:
    """To the endpoint: answered with the `Endpoint` where it listens."""


@dataclass(frozen=True, slots=True)
class Established:
    """To the connector: the handshake over ``connection`` is done. ``key``: of the dial; None if it was accepted."""

    key: Key | None
    connection: Ref
    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class Busy:
    """To the connector: how many exchanges are in flight over ``connection``, in both directions."""

    connection: Ref
    in_flight: int


@dataclass(frozen=True, slots=True)
class Announce:
    """To a connection: tell the connector, which has started anew, that it is `Established`."""


@dataclass(frozen=True, slots=True)
class CloseWhenDone:
    """To a connection: begin nothing new, and close with ``code`` when nothing is in flight any more."""

    code: int


@dataclass(frozen=True, slots=True)
class ConnectorStats:
    """What the connector counts. ``connections`` are the connections by node, or endpoint where no node is known."""

    pool: PoolStats
    connections: Sequence[tuple[str, Ref]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """From a resolver: the addresses of a name, best first; none, and the reason."""

    addresses: tuple[Address, ...]
    reason: str


async def send_message(server: Server, contact: Contact, message: Message, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Send ``message`` to ``contact`` and wait until it was handled there; by a v0.8 peer: until it was sent.

    Args:
        server: the PeerConnector.
        contact: a node, an endpoint, or both.
        message: what is sent; its own answer, if there is one, is not looked at.
        timeout: seconds for all of it, dialling too.

    Raises:
        LocalProtocolError: ``message`` holds what it must not.
        CallTimeoutError: it took too long.
        NoRouteError: no connection could be made; it says what was tried.
        IdentityMismatchError, RealmMismatchError: another node is there, or one of another realm.
        ConnectionLostError: the connection ended meanwhile: it may have arrived or not.
        OverloadedError: too much is under way here, or there.
    """
    await _exchange(server, contact, message, timeout, wants_reply=False)


def request(
    server: Server,
    contact: Contact,
    message: Message,
    timeout: float = DEFAULT_TIMEOUT,
    *,
    connect_timeout: float | None = None,
) -> Coroutine[Any, Any, Message]:
    """Send ``message`` to ``contact`` and return what it answers. Arguments as for `send_message`.

    ``connect_timeout``: seconds, if fewer than ``timeout``, in which there must be a connection.

    Cancelling it gives up the answer, and the work for it at the far end by its deadline.

    Raises:
        RemoteProtocolError: the peer answered nothing, or nothing that can be read.
        MaculaError: what `send_message` raises.
    """
    return _exchange(server, contact, message, timeout, connect_timeout, wants_reply=True)


async def close_connection(server: Server, contact: Contact) -> bool:
    """Close the connection to ``contact`` once nothing is in flight over it; return whether there is one."""
    return bool(await call(server, CloseConnection(contact)))


async def peers(server: Server) -> tuple[PeerUp, ...]:
    """Return the connections that there are, oldest first; there may be several to a node."""
    connections: tuple[PeerUp, ...] = await call(server, GetPeers())
    return connections


def peers_in(answer: RequestId) -> tuple[PeerUp, ...]:
    """Return what `GetPeers` was answered with: nothing if the connector is gone; the next one tells."""
    try:
        connections: tuple[PeerUp, ...] = answer.result()
    except CallError:
        return ()
    return connections


async def gateways(server: Server) -> tuple[Contact, ...]:
    """Return the gateways that this node has a session with, and so can be reached through."""
    contacts: tuple[Contact, ...] = await call(server, GetGateways())
    return contacts


async def address(server: Server) -> Endpoint:
    """Return where the endpoint listens."""
    endpoint: Endpoint = await call(server, GetAddress())
    return endpoint


async def set_accepting(server: Server, is_accepting: bool) -> None:  # noqa: FBT001 -- it is what is said
    """Have the endpoint let connections in while the current process lives, or not on its behalf.

    It lets them in as long as one process wants it so, or always, if it is configured to.
    """
    await call(server, SetAccepting(current(), is_accepting))


async def deny(server: Server, networks: Iterable[IPv4Network | IPv6Network]) -> int:
    """Neither dial ``networks`` nor let them in, in place of those denied before; end the connections to them.

    Returns:
        How many connections that were. The peers see them as lost: it cuts links, for tests of what happens then.
    """
    return int(await call(server, SetDenied(tuple(networks))))


async def stats(server: Server) -> ConnectorStats:
    """Return the connector's counts."""
    counts: ConnectorStats = await call(server, GetStats())
    return counts


async def _exchange(
    server: Server,
    contact: Contact,
    message: Message,
    timeout: float,
    connect_timeout: float | None = None,
    *,
    wants_reply: bool,
) -> Message:
    frame = encode(message)  # here, where only the caller is hurt if it can't be
    now = system_of(server).now()
    exchange = Exchange(frame, now + timeout, wants_reply)
    connect_by = None if connect_timeout is None else now + connect_timeout
    try:
        reply: Message = await call(server, Request(contact, exchange, connect_by), timeout + GRACE)
    except NoAnswerError as error:
        raise CallTimeoutError(str(contact), timeout) from error
    except CallError as error:
        raise _carrier_error(error) from error
    return reply


def outcome_in(answer: RequestId) -> Message | MaculaError | None:
    """Return what a `Request`, or another that a connection answers, was answered with, or why it was not."""
    try:
        reply: Message | None = answer.result()
    except MaculaError as error:
        return error.with_traceback(None)  # the connection has it as its exit reason: frames would keep this process
    except CallError as error:
        return _carrier_error(error)
    return reply


def _carrier_error(error: CallError) -> MaculaError:
    """Return what who sends a message is told when the processes that carry it fail with ``error``."""
    if isinstance(error, MailboxFullError):
        return OverloadedError("messages for the connector", error.bound)
    return ConnectionLostError("local", CloseCode.INTERNAL, f"what carried the message ended: {error}")
