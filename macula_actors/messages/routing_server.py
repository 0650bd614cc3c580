"""What RoutingServer is asked. Erlang: macula_routing_server.

All functions but `handle_message` and `touch` ask again while the server is being restarted, as long as there is time:
what they ask for may be done twice. Each raises `CallTimeoutError` when that is over, and `BadArgumentError`, before
anything is asked, for a key, node id or ttl that is none.
"""

from dataclasses import dataclass
from typing import NamedTuple

from macula_actors.core.durations import lifetime
from macula_actors.core.kademlia.keys import key_from
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import DEFAULT_TTL, Record
from macula_actors.core.kademlia.record_store import RecordStats
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.values import Value
from macula_actors.messages.asking import DEFAULT_TIMEOUT, ask, told_now
from macula_actors.messages.gateway_dht import DhtMessage, DhtReply
from supervisors import Server, call, cast

__all__ = [
    "AddNode",
    "AwaitJoined",
    "DeleteLocal",
    "DeleteRecord",
    "FindClosest",
    "GetLocal",
    "GetRoutingTable",
    "GetSize",
    "GetStats",
    "HandleMessage",
    "Learned",
    "LookUpNode",
    "LookUpValue",
    "RemoveNode",
    "RoutingStats",
    "StoreLocal",
    "StoreRecord",
    "Touch",
    "add_node",
    "delete",
    "delete_local",
    "find_closest",
    "find_node",
    "find_value",
    "get_local",
    "get_routing_table",
    "handle_message",
    "remove_node",
    "size",
    "stats",
    "store",
    "store_local",
    "touch",
    "wait_joined",
]


class HandleMessage(NamedTuple):
    """Do what ``message`` of the peer ``sender`` asks; answered with the reply to it, or refused with a `MaculaError`.

    ``sender`` has a node id, and an endpoint only if it can be dialled. In an open mesh, that of one that does not say
    its id is where it calls from.
    """

    sender: Contact
    message: DhtMessage


class AddNode(NamedTuple):
    """Ask ``contact``, and take it in if it answers. Answered with whether it is in the table."""

    contact: Contact


class RemoveNode(NamedTuple):
    """Take the node out of the table. Answered with whether it was in."""

    node_id: NodeId


class FindClosest(NamedTuple):
    """Answered with up to ``most`` contacts of the table, nearest to ``target`` first; nobody is asked."""

    target: NodeId
    most: int


class StoreLocal(NamedTuple):
    """Keep ``payload`` under ``key`` for ``ttl`` seconds, here only: see `store_local`. Answered with the `Record`."""

    key: NodeId
    payload: Value
    ttl: int


class StoreRecord(NamedTuple):
    """Keep ``payload`` here and at the nodes closest to ``key``. Answered with how many took it.

    ``durable``: it is still published when the node is started again with its ``data_dir``.
    """

    key: NodeId
    payload: Value
    ttl: int
    durable: bool = True


class DeleteRecord(NamedTuple):
    """Have this node's record under ``key`` forgotten everywhere. Answered with how many took note."""

    key: NodeId


class DeleteLocal(NamedTuple):
    """Forget this node's record under ``key`` here, and publish it no more. Answered with whether there was one."""

    key: NodeId


class GetLocal(NamedTuple):
    """Answered with the records kept here under ``key``."""

    key: NodeId


class LookUpValue(NamedTuple):
    """Answered with the records under ``key`` of all holders met, and of this node."""

    key: NodeId


class LookUpNode(NamedTuple):
    """Answered with the nodes closest to ``target`` that answered."""

    target: NodeId


@dataclass(frozen=True, slots=True)
class GetRoutingTable:
    """Answered with all contacts."""


@dataclass(frozen=True, slots=True)
class GetSize:
    """Answered with how many contacts there are."""


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `RoutingStats`."""


@dataclass(frozen=True, slots=True)
class AwaitJoined:
    """Answered with whether this node knows others, when it has joined a network or has asked all whom it could."""


class Touch(NamedTuple):
    """A cast: ``contact``, which has a node id, has proved to be alive and who it says; see `touch`."""

    contact: Contact


class Learned(NamedTuple):
    """A cast: who has answered a query, at the contact given, and who has not. All have node ids."""

    answered: tuple[Contact, ...] = ()
    silent: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingStats:
    """What RoutingServer counts. Numbers of the past are since it started last."""

    contacts: int
    buckets: int
    records: RecordStats
    published: int  # own records that are stored again before they expire
    is_joined: bool  # whether a lookup of its own id has found somebody, or there is nobody to join
    lookups: int  # under way that callers wait for
    upkeep: int  # jobs under way that nobody waits for
    pings: int  # under way
    handled: int  # messages of peers
    refused: int  # of those, and of what callers asked for
    waiting: int = 0  # lookups and stores that wait for their turn
    throttled: int = 0  # of those: STOREs of peers that were at their limits; see `DhtConfig.senders`


async def add_node(server: Server, contact: Contact, timeout: float = DEFAULT_TIMEOUT) -> bool:
    """Ask ``contact`` whether it is there, take it into the table if it answers, and return whether it is in.

    Without a node id it is who answers at its endpoint.

    Raises:
        OverloadedError: too many are being asked.
        CallTimeoutError: it took too long.
    """
    return bool(await ask(server, AddNode(contact), timeout))


async def remove_node(server: Server, node_id: NodeId) -> bool:
    """Take a node out of the table, and return whether it was in. It may come in again."""
    return bool(await ask(server, RemoveNode(key_from(node_id))))


async def find_closest(server: Server, target: NodeId, count: int = 20) -> tuple[Contact, ...]:
    """Return up to ``count`` contacts of the table, nearest to ``target`` first; nobody is asked."""
    contacts: tuple[Contact, ...] = await ask(server, FindClosest(key_from(target), count))
    return contacts


def closest_now(server: Server, target: NodeId, count: int) -> tuple[Contact, ...]:
    """Return what `find_closest` does, without a message; nobody if the server has to be asked.

    For the thread of the System's loop.
    """
    return told_now(server, "closest", target, count) or ()


async def store_local(server: Server, key: NodeId, payload: Value, *, ttl: float = DEFAULT_TTL) -> Record:
    """Keep ``payload`` under ``key`` for ``ttl`` seconds, at this node only: it is found by who asks this node.

    That is no `store`: this node gives it to no other and does not seal it again, so it is gone when ``ttl`` is over or
    the node ends. A find of another node meets it only if its way leads by here; who has found it may pass it on.

    Raises:
        LocalProtocolError: ``payload`` or ``ttl`` is none that a record may have.
        OverloadedError: there is no room, not even for a node's own.
    """
    record: Record = await ask(server, StoreLocal(key_from(key), payload, lifetime(ttl)))
    return record


async def store(
    server: Server,
    key: NodeId,
    payload: Value,
    *,
    ttl: float = DEFAULT_TTL,
    durable: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
) -> int:
    """Keep ``payload`` under ``key``, at the nodes closest to it, and store it again before it expires.

    It replaces what this node had under the key. Whatever is raised but
    the first two, the record is kept here, and offered to the others again and again until `delete` or
    `delete_local`.

    Args:
        server: the RoutingServer.
        key: see `macula_actors.core.kademlia.keys`.
        payload: any value that a record carries, but None.
        ttl: seconds, at most 86,400, that it is found for if this node disappears; rounded up to whole ones.
        durable: whether it is still published when the node is started again with its ``data_dir``.
        timeout: seconds.

    Returns:
        How many nodes keep it now; 1, itself, if this node knows no other.

    Raises:
        LocalProtocolError: ``key``, ``payload`` or ``ttl`` is none that a record may have.
        OverloadedError: too many lookups wait, or there is no room here.
        QuorumError: none of the others took it; its ``reason`` is that of one of them.
        CallTimeoutError: it took too long.
    """
    request = StoreRecord(key_from(key), payload, lifetime(ttl), durable)
    return int(await ask(server, request, timeout))


async def delete(server: Server, key: NodeId, *, timeout: float = DEFAULT_TIMEOUT) -> int:
    """Have this node's record under ``key`` forgotten at all nodes, and return how many took note.

    It is 0 if this node has none there.

    Raises:
        OverloadedError, QuorumError, CallTimeoutError: as `store`; holders then hear of it later.
    """
    return int(await ask(server, DeleteRecord(key_from(key)), timeout))


async def get_local(server: Server, key: NodeId) -> tuple[Record, ...]:
    """Return the records that this node keeps under ``key``, of the owner that came last first."""
    records: tuple[Record, ...] = await ask(server, GetLocal(key_from(key)))
    return records


async def delete_local(server: Server, key: NodeId) -> bool:
    """Forget this node's own record under ``key`` here, and return whether there was one. Others' copies expire."""
    return bool(await ask(server, DeleteLocal(key_from(key))))


async def find_value(server: Server, key: NodeId, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Record, ...]:
    """Return the records under ``key``: of each owner the latest that any holder had, verified; none if there is none.

    Raises:
        OverloadedError: too many lookups wait.
        QuorumError: nobody answered, and nothing is kept here.
        CallTimeoutError: it took too long.
    """
    records: tuple[Record, ...] = await ask(server, LookUpValue(key_from(key)), timeout)
    return records


async def find_node(server: Server, target: NodeId, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Contact, ...]:
    """Return the nodes closest to ``target`` that answered, nearest first.

    Raises:
        OverloadedError: too many lookups wait.
        CallTimeoutError: it took too long.
    """
    contacts: tuple[Contact, ...] = await ask(server, LookUpNode(key_from(target)), timeout)
    return contacts


async def get_routing_table(server: Server) -> tuple[Contact, ...]:
    """Return all contacts of the table, the farthest bucket's first."""
    contacts: tuple[Contact, ...] = await ask(server, GetRoutingTable())
    return contacts


async def size(server: Server) -> int:
    """Return how many contacts the table has."""
    return int(await ask(server, GetSize()))


async def handle_message(server: Server, sender: Contact, message: DhtMessage) -> DhtReply | None:
    """Return the reply to ``message``; None to a `Store` in an open mesh.

    Raises:
        MaculaError: it is refused; the peer is told so.
    """
    reply: DhtReply | None = await call(server, HandleMessage(sender, message))
    return reply


def touch(server: Server, contact: Contact) -> None:
    """Tell that ``contact``, which has a node id, has proved to be alive and who it says.

    A contact of the table is refreshed. Another one is asked by the server itself before it comes in.
    """
    cast(server, Touch(contact))


async def wait_joined(server: Server, timeout: float = DEFAULT_TIMEOUT) -> bool:
    """Wait until this node has joined, or knows of nobody by whom it could; return whether it has joined.

    Bootstrap nodes are asked for ever, contacts of an earlier life once each.

    Raises:
        CallTimeoutError: none of them has answered, and not all have been given up.
    """
    return bool(await ask(server, AwaitJoined(), timeout))


async def stats(server: Server) -> RoutingStats:
    """Return the server's counts."""
    counts: RoutingStats = await ask(server, GetStats())
    return counts
