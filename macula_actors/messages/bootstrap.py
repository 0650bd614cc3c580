"""What the processes of a bootstrap node are asked. Erlang: macula_bootstrap_server, _registry, _health.

All functions ask again while a server is being restarted, as long as there is time: what they ask for may be done
twice. Each raises `CallTimeoutError` when that is over.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from macula_actors.core.kademlia.keys import KeyKind
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import DEFAULT_TTL, Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.values import Value
from macula_actors.messages.asking import DEFAULT_TIMEOUT, ask
from supervisors import Server

__all__ = [
    "BootstrapStats",
    "Check",
    "Get",
    "GetHealth",
    "GetStats",
    "HandleDhtQuery",
    "Health",
    "HealthStatus",
    "Key",
    "Named",
    "Put",
    "get_health",
    "get_stats",
    "handle_dht_query",
    "is_healthy",
    "lookup",
    "lookup_service",
    "lookup_topic",
    "store",
    "store_service",
    "store_topic",
]

HEALTH_TIMEOUT: Final = 5.0  # seconds; gen_server's


# The server


class HandleDhtQuery(NamedTuple):
    """Answered as `handle_dht_query` says."""

    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `BootstrapStats`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapStats:
    """What a bootstrap node does for the network. Erlang: get_stats/0, whose numbers were nobody's (D-24).

    Numbers of the past are since the server started last.
    """

    queries_handled: int  # of DHT messages that peers sent, and of `handle_dht_query`
    services_registered: int  # records that this node keeps for the network: of services, topics and values
    peers_discovered: int  # nodes that there was a connection to
    uptime_start: int  # milliseconds since 1970
    uptime_seconds: float


async def handle_dht_query(
    server: Server, kind: str, data: Any, timeout: float = DEFAULT_TIMEOUT
) -> tuple[Contact, ...] | tuple[Record, ...] | int:
    """Return what this node can tell of the DHT.

    Args:
        server: the bootstrap server.
        kind: ``"find_node"``: up to 20 contacts of the table that are closest to the `NodeId` ``data``;
            ``"find_value"``: the records under the `NodeId` ``data``;
            ``"store"``: how many nodes keep the value, with ``data`` a pair of `NodeId` and payload.
        data: what is looked for, or stored.
        timeout: seconds.

    Raises:
        LocalProtocolError: there is no such query.
        MaculaError: what `macula_actors.messages.routing_server.store` and ``find_value`` raise.
    """
    answer: tuple[Contact, ...] | tuple[Record, ...] | int = await ask(server, HandleDhtQuery(kind, data), timeout)
    return answer


async def get_stats(server: Server) -> BootstrapStats:
    """Return the server's counts."""
    stats: BootstrapStats = await ask(server, GetStats())
    return stats


# The registry


class Named(NamedTuple):
    """A name; what kind of thing it names makes it another key."""

    kind: KeyKind
    name: str


Key: TypeAlias = NodeId | Named


class Put(NamedTuple):
    """Keep ``payload`` in the DHT for ``ttl`` seconds. Answered with how many nodes took it."""

    key: Key
    payload: Value
    ttl: int


class Get(NamedTuple):
    """Answered with the records under ``key``."""

    key: Key


async def store_service(
    server: Server, service: str, payload: Value, *, ttl: int = DEFAULT_TTL, timeout: float = DEFAULT_TIMEOUT
) -> int:
    """Keep ``payload``, this node's record of ``service``, in the DHT, and return how many nodes took it.

    Raises what `macula_actors.messages.routing_server.store` does.
    """
    return int(await ask(server, Put(Named(KeyKind.PROCEDURE, service), payload, ttl), timeout))


async def lookup_service(server: Server, service: str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Record, ...]:
    """Return the records of ``service`` that the DHT has; none if there is none.

    Raises what `macula_actors.messages.routing_server.find_value` does.
    """
    return await _get(server, Named(KeyKind.PROCEDURE, service), timeout)


async def store_topic(
    server: Server, topic: str, payload: Value, *, ttl: int = DEFAULT_TTL, timeout: float = DEFAULT_TIMEOUT
) -> int:
    """Do as `store_service` for this node's record of ``topic``."""
    return int(await ask(server, Put(Named(KeyKind.TOPIC, topic), payload, ttl), timeout))


async def lookup_topic(server: Server, topic: str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Record, ...]:
    """Do as `lookup_service` for ``topic``."""
    return await _get(server, Named(KeyKind.TOPIC, topic), timeout)


async def store(
    server: Server, key: NodeId | str, payload: Value, *, ttl: int = DEFAULT_TTL, timeout: float = DEFAULT_TIMEOUT
) -> int:
    """Do as `store_service` for any value, under its key or its name."""
    return int(await ask(server, Put(_key(key), payload, ttl), timeout))


async def lookup(server: Server, key: NodeId | str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Record, ...]:
    """Do as `lookup_service` for any value, by its key or its name."""
    return await _get(server, _key(key), timeout)


# Health


class HealthStatus(StrEnum):
    """What a check finds, and what all of them together say."""

    UNKNOWN = "unknown"  # not checked yet
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found. ``warning``: what is not as it should be though it works; empty if nothing."""

    name: str
    is_ok: bool
    detail: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What the last checks found.

    Args:
        status: unhealthy if one of ``checks`` failed; a warning is none.
        message: for people: what failed, and all warnings.
        checks: one by one.
        timestamp: when that was, in milliseconds since 1970.
    """

    status: HealthStatus
    message: str
    checks: tuple[Check, ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class GetHealth:
    """Answered with `Health`."""


async def get_health(server: Server) -> Health:
    """Return what the last checks found."""
    health: Health = await ask(server, GetHealth(), HEALTH_TIMEOUT)
    return health


async def is_healthy(server: Server) -> bool:
    """Tell whether the last checks all succeeded."""
    return (await get_health(server)).status is HealthStatus.HEALTHY


def _key(key: NodeId | str) -> Key:
    return Named(KeyKind.VALUE, key) if isinstance(key, str) else key


async def _get(server: Server, key: Key, timeout: float) -> tuple[Record, ...]:
    records: tuple[Record, ...] = await ask(server, Get(key), timeout)
    return records
