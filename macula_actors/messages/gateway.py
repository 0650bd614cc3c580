"""What a gateway and its parts are asked, and what they tell each other.

Erlang: macula_gateway, macula_gateway_clients, macula_gateway_rpc, macula_gateway_mesh. There the gateway kept the
process ids of its parts for ever (D-06); here each is found by name at each use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.wire.messages import PubsubRoute, Reply, RpcRoute
from macula_actors.messages.peer import Inbound
from macula_actors.messages.service_registry import LocalHandler
from supervisors import CallError, Ref, Server, call

__all__ = [
    "GATEWAY_CAPABILITY",
    "CallForClient",
    "ClientConnected",
    "ClientDisconnected",
    "ClientStats",
    "GatewayPubsubStats",
    "GatewayRpcStats",
    "GatewayStats",
    "GetAllClients",
    "GetClientByEndpoint",
    "GetClientByNode",
    "GetClientInfo",
    "GetHealthPort",
    "GetSessions",
    "GetStats",
    "HasSession",
    "IsReady",
    "MeshStats",
    "Ready",
    "RegisterHandler",
    "Relay",
    "Session",
    "SessionDown",
    "SessionStats",
    "SessionUp",
    "UnregisterHandler",
    "call_for_client",
    "client_connected",
    "client_disconnected",
    "get_all_clients",
    "get_client_by_endpoint",
    "get_client_by_node",
    "get_client_info",
    "get_client_stats",
    "get_health_port",
    "get_mesh_stats",
    "get_rpc_stats",
    "get_sessions",
    "get_stats",
    "has_session",
    "is_client_alive",
    "is_healthy",
    "is_ready",
    "register_handler",
    "unregister_handler",
]

# What a gateway says of itself in its handshakes. Gateways make no calls for each other: that could go in circles.
GATEWAY_CAPABILITY: Final = "gateway"

DEFAULT_TIMEOUT: Final = 5.0  # seconds; gen_server's
READY_TIMEOUT: Final = 1.0  # seconds; macula_gateway_health, is_healthy
GRACE: Final = 0.05  # seconds after the deadline, in which who carries a message still says what went wrong


# To all of them


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with what that part counts: a dataclass below, named so."""


@dataclass(frozen=True, slots=True)
class IsReady:
    """To the gateway, the QUIC server and the diagnostics: answered with whether all of it is there and at work."""


# To Gateway


class Ready(NamedTuple):
    """A cast: the worker named ``name`` has started anew, as ``process``, and knows nobody yet."""

    name: str
    process: Ref


@dataclass(frozen=True, slots=True)
class RegisterHandler:
    """Have calls of ``procedure`` to this node run ``handler``. Answered with None."""

    procedure: str
    handler: LocalHandler


@dataclass(frozen=True, slots=True)
class UnregisterHandler:
    """Undo `RegisterHandler`. Answered with whether there was a handler."""

    procedure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStats:
    """What the whole gateway counts. Erlang: get_stats/1; ``subscriptions`` was missing there (D-28)."""

    realm: str
    endpoint: Endpoint | None  # where the node listens; None while it does not
    peers: int  # connections that the gateway looks after
    registrations: int  # procedures that calls to this node may name
    subscriptions: int  # of clients
    clients: "ClientStats"
    pubsub: "GatewayPubsubStats"
    rpc: "GatewayRpcStats"
    mesh: "MeshStats"


# To GatewayClients


class ClientConnected(NamedTuple):
    """Register the client at the other end of ``connection``. Answered with None, or refused with `OverloadedError`.

    For a connection that is registered it replaces what is known of the client: that is never refused.
    """

    connection: Ref
    peer: PeerInfo


class ClientDisconnected(NamedTuple):
    """Forget the client of ``connection``. A cast or a call, answered with None; nothing happens twice."""

    connection: Ref


class GetClientInfo(NamedTuple):
    """Answered with the `PeerInfo` of the client of ``connection``, None if there is none."""

    connection: Ref


class GetClientByNode(NamedTuple):
    """Answered with the connection of the client ``node_id`` that came last, None if there is none."""

    node_id: NodeId


class GetClientByEndpoint(NamedTuple):
    """Answered with the connection of the client that came last of those at ``endpoint``, None if there is none."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class GetAllClients:
    """Answered with all clients, as pairs of connection and `PeerInfo`; who came first is first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """What GatewayClients counts."""

    clients: int = 0
    max_clients: int = 0
    registered: int = 0  # since it started last
    refused: int = 0  # since it started last, for want of room


# To GatewayPubsub


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPubsubStats:
    """What GatewayPubsub counts. Numbers of the past are since it started last."""

    clients: int = 0  # that have subscribed
    subscriptions: int = 0  # of all of them
    delivered: int = 0  # events, to clients
    dropped: int = 0  # for want of room at a client
    relayed: int = 0  # events, to nodes


# To GatewayRpc


class CallForClient(NamedTuple):
    """Make the call that ``inbound`` carries for the client: its message is a `Call` that this node has no handler for.

    Answered with the `Reply`, which carries the failure if it failed; nothing is raised for that. It ends when nobody
    waits for the answer any more, when the client goes, and by the cast `messages.peer.Abandoned`.
    """

    inbound: Inbound


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRpcStats:
    """What GatewayRpc counts."""

    calls: int = 0  # under way
    clients: int = 0  # that they are for
    made: int = 0  # since it started last
    refused: int = 0  # since it started last, for want of room
    cancelled: int = 0  # since it started last: the client gave up, or went


# To GatewayMesh


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to a node that has proved its id, or says it in an open mesh: messages may be relayed over it."""

    node_id: NodeId
    connection: Ref


class SessionUp(NamedTuple):
    """A cast: there is ``session``."""

    session: Session


class SessionDown(NamedTuple):
    """A cast: the session over ``connection`` is over. Nothing happens twice."""

    connection: Ref


class Relay(NamedTuple):
    """Send ``route`` over the session with its destination, and answer with what comes back on that stream.

    It is sent as it is: who asks has decided its ``hop_count``.

    Args:
        route: on its way to ``route.destination_node_id``.
        sender: the peer that it came from, whose share of the relay it uses.
        deadline: an instant of the System's clock, after which nobody waits.
    """

    route: RpcRoute | PubsubRoute
    sender: NodeId
    deadline: float


class HasSession(NamedTuple):
    """Answered with whether there is a session with ``node_id``."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class GetSessions:
    """Answered with the ids of all nodes that there is a session with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """What was relayed to one node since its oldest session began."""

    node_id: NodeId
    connections: int
    relayed: int
    bytes: int  # of the messages relayed to it, not of the answers


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshStats:
    """What GatewayMesh counts. Numbers of the past are since it started last."""

    sessions: int = 0  # nodes
    relaying: int = 0  # messages whose answers have not come
    relaying_bytes: int = 0
    relayed: int = 0
    bytes: int = 0  # of all messages relayed, not of the answers
    refused: int = 0  # for want of room
    no_route: int = 0  # for want of a session
    by_session: Sequence[SessionStats] = ()


# To GatewayHealth


@dataclass(frozen=True, slots=True)
class GetHealthPort:
    """Answered with the port that the health server listens at, None if it does not."""


# What is asked of Gateway


async def get_stats(server: Server, timeout: float = DEFAULT_TIMEOUT) -> GatewayStats:
    """Return the gateway's counts; those of a part that is not there at the moment are 0.

    Raises:
        CallError: the gateway is not there, or did not answer in time.
    """
    counts: GatewayStats = await call(server, GetStats(), timeout)
    return counts


async def register_handler(server: Server, procedure: str, handler: LocalHandler) -> None:
    """Have calls of ``procedure`` to this node run ``handler``; it is not advertised. Replaces what was registered.

    Raises:
        CallError: the gateway is not there, or ended meanwhile.
        RefusedError: ``unavailable``: the registry of services is not there.
        ValueError: ``procedure`` is no name of a procedure.
        OverloadedError: there are too many.
    """
    validate_procedure(procedure)
    await call(server, RegisterHandler(procedure, handler))


async def unregister_handler(server: Server, procedure: str) -> bool:
    """Undo `register_handler`; return whether there was a handler. Raises what that does, but `OverloadedError`."""
    return bool(await call(server, UnregisterHandler(procedure)))


async def is_ready(server: Server, timeout: float = READY_TIMEOUT) -> bool:
    """Tell whether the gateway serves: all parts of the node are there, it listens, and the node has joined the mesh.

    A gateway that is not there, or does not answer within ``timeout`` seconds, is not ready.
    """
    try:
        return bool(await call(server, IsReady(), timeout))
    except CallError:
        return False


# What is asked of GatewayClients


async def client_connected(server: Server, connection: Ref, peer: PeerInfo) -> None:
    """Register a client until its connection ends; a known one is updated, whatever the number of clients.

    Raises:
        OverloadedError: there are as many clients as there may be.
    """
    await call(server, ClientConnected(connection, peer))


async def client_disconnected(server: Server, connection: Ref) -> None:
    """Forget a client; one that is not known is forgotten already."""
    await call(server, ClientDisconnected(connection))


async def get_client_info(server: Server, connection: Ref) -> PeerInfo | None:
    """Return what is known of the client of ``connection``."""
    peer: PeerInfo | None = await call(server, GetClientInfo(connection))
    return peer


async def get_all_clients(server: Server) -> tuple[tuple[Ref, PeerInfo], ...]:
    """Return all clients, who came first first."""
    clients: tuple[tuple[Ref, PeerInfo], ...] = await call(server, GetAllClients())
    return clients


async def is_client_alive(server: Server, connection: Ref) -> bool:
    """Tell whether ``connection`` is that of a client, and has not ended."""
    return await get_client_info(server, connection) is not None and connection.is_alive()


async def get_client_by_node(server: Server, node_id: NodeId) -> Ref | None:
    """Return the newest connection of the client ``node_id``."""
    connection: Ref | None = await call(server, GetClientByNode(node_id))
    return connection


async def get_client_by_endpoint(server: Server, endpoint: Endpoint) -> Ref | None:
    """Return the newest connection of a client that can be dialled at ``endpoint``."""
    connection: Ref | None = await call(server, GetClientByEndpoint(endpoint))
    return connection


async def get_client_stats(server: Server) -> ClientStats:
    """Return the counts of GatewayClients."""
    counts: ClientStats = await call(server, GetStats())
    return counts


# What is asked of GatewayRpc


async def call_for_client(server: Server, inbound: Inbound, timeout: float | None) -> Reply:
    """Return the answer to the call of a client, made for it; a failure is in it. ``timeout`` in seconds.

    Raises:
        CallError: who makes such calls is not there, or ended, or did not answer in time.
    """
    reply: Reply = await call(server, CallForClient(inbound), timeout)
    return reply


async def get_rpc_stats(server: Server) -> GatewayRpcStats:
    """Return the counts of GatewayRpc."""
    counts: GatewayRpcStats = await call(server, GetStats())
    return counts


# What is asked of GatewayMesh


async def has_session(server: Server, node_id: NodeId) -> bool:
    """Tell whether there is a session with ``node_id``. Raises `CallError` if who knows is not there."""
    return bool(await call(server, HasSession(node_id)))


async def get_sessions(server: Server) -> tuple[NodeId, ...]:
    """Return the ids of all nodes that there is a session with."""
    node_ids: tuple[NodeId, ...] = await call(server, GetSessions())
    return node_ids


async def get_mesh_stats(server: Server) -> MeshStats:
    """Return the counts of GatewayMesh."""
    counts: MeshStats = await call(server, GetStats())
    return counts


# What is asked of GatewayHealth


async def get_health_port(server: Server) -> int | None:
    """Return the port that the health server listens at, None if it is not to."""
    port: int | None = await call(server, GetHealthPort())
    return port


async def is_healthy(server: Server) -> bool:
    """Tell whether the health server answers, and says that the gateway is ready; False on any failure."""
    return await is_ready(server)
