"""What ServiceRegistry is asked: own services, and who provides those of others. Erlang: macula_service_registry.

All functions but the casts ask again while the server is being restarted, as long as there is time. Each raises
`CallTimeoutError` when that is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.handler import Handler
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.service_book import Service
from macula_actors.core.wire.values import Value
from macula_actors.messages.asking import ask, told_now
from supervisors import Ref, Server, cast

__all__ = [
    "AdvertiseLocal",
    "Choose",
    "Discover",
    "ForgetNode",
    "GetHandler",
    "GetLocalServices",
    "GetStats",
    "LocalHandler",
    "ReportFailed",
    "ServiceStats",
    "Withdraw",
    "advertise_local",
    "choose",
    "choose_now",
    "discover",
    "forget_node",
    "get_handler",
    "handler_now",
    "local_services",
    "report_failed",
    "stats",
    "validate_handler",
    "withdraw",
]

DISCOVERY_TIMEOUT: Final = 5.0  # seconds; macula.hrl, DHT query

LocalHandler: TypeAlias = Handler | Ref
"""What handles calls of an own service: a callable, or a process that is called itself (D-01)."""


@dataclass(frozen=True, slots=True, eq=False)
class AdvertiseLocal:
    """Have ``handler`` handle calls of ``procedure`` here, in place of the one before. Answered with None."""

    procedure: str
    handler: LocalHandler
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Handle calls of ``procedure`` no more. Answered with whether they were."""

    procedure: str


@dataclass(frozen=True, slots=True)
class GetHandler:
    """Answered with the own handler of ``procedure``, or None."""

    procedure: str


@dataclass(frozen=True, slots=True)
class GetLocalServices:
    """Answered with all own services, as a tuple of `Service`."""


@dataclass(frozen=True, slots=True)
class Discover:
    """Answered with the providers of ``procedure``, from the cache if they are there and no ``refresh`` is wanted."""

    procedure: str
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Choose:
    """Answered with the own handler of ``procedure``, or with the providers in the order in which to try them."""

    procedure: str


@dataclass(frozen=True, slots=True)
class ReportFailed:
    """A cast: ``node_id`` could not be reached for ``procedure``, or does not provide it any more."""

    procedure: str
    node_id: NodeId


@dataclass(frozen=True, slots=True)
class ForgetNode:
    """A cast: ``node_id`` provides nothing any more."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `ServiceStats`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStats:
    """What ServiceRegistry counts. Numbers of the past are since it started last."""

    local: int  # own services
    cached: int  # procedures whose providers are cached
    waiting: int  # callers that wait for a lookup
    lookups: int  # under way
    hits: int  # discoveries that were answered from the cache
    misses: int  # those that were not


async def advertise_local(
    server: Server, procedure: str, handler: LocalHandler, metadata: Mapping[str, Value] | None = None
) -> None:
    """Have ``handler`` handle calls of ``procedure`` at this node, in place of the one before; nobody is told of it.

    It stays until it is withdrawn, or until it ends, if it is a process (D-38, D-18).

    Raises:
        ValueError: ``procedure`` is no name of a procedure, or ``handler`` can't be called.
        OverloadedError: there are too many services here.
    """
    validate_procedure(procedure)
    validate_handler(handler)
    await ask(server, AdvertiseLocal(procedure, handler, dict(metadata or {})))


def validate_handler(handler: LocalHandler) -> None:
    """Check that calls can be given to ``handler``.

    Raises:
        ValueError: they can't.
    """
    if not callable(handler) and not isinstance(handler, Ref):
        allowed = "a function, def or async def, or a process"
        raise ValueError(f"handler is {handler!r:.80}; allowed is {allowed}")  # noqa: TRY004 -- as of all arguments


async def withdraw(server: Server, procedure: str) -> bool:
    """Handle calls of ``procedure`` no more; return whether they were. Calls under way go on."""
    return bool(await ask(server, Withdraw(procedure)))


async def get_handler(server: Server, procedure: str) -> LocalHandler | None:
    """Return this node's handler of ``procedure``; None if it has none."""
    handler: LocalHandler | None = await ask(server, GetHandler(procedure))
    return handler


async def local_services(server: Server) -> tuple[Service, ...]:
    """Return this node's services, in order of registration."""
    services: tuple[Service, ...] = await ask(server, GetLocalServices())
    return services


async def discover(
    server: Server, procedure: str, *, refresh: bool = False, timeout: float = DISCOVERY_TIMEOUT
) -> tuple[Provider, ...]:
    """Return all providers of ``procedure`` that are known, in no order; none if there is none.

    All who ask at a time share one lookup (D-39). Safe to cancel.

    Args:
        server: the ServiceRegistry.
        procedure: its name.
        refresh: look it up even if providers are cached.
        timeout: seconds; more than the registry's own ``discovery_timeout`` is not waited.

    Raises:
        ValueError: ``procedure`` is no name of a procedure.
        OverloadedError: too many wait, or too many lookups are under way.
        QuorumError: nobody answered. It is not cached.
        CallTimeoutError: it took too long.
    """
    validate_procedure(procedure)
    providers: tuple[Provider, ...] = await ask(server, Discover(procedure, refresh), timeout)
    return providers


async def choose(
    server: Server, procedure: str, timeout: float = DISCOVERY_TIMEOUT
) -> LocalHandler | tuple[Provider, ...]:
    """Return what a call of ``procedure`` goes to: the own handler, else providers in the order in which to try them.

    There may be none; this node itself is none of them. Raises what `discover` does.
    """
    validate_procedure(procedure)
    chosen: LocalHandler | tuple[Provider, ...] = await ask(server, Choose(procedure), timeout)
    return chosen


def choose_now(server: Server, procedure: str) -> LocalHandler | tuple[Provider, ...] | None:
    """Return what `choose` does, if the registry knows it at this moment, without a message; None: ask it.

    For the thread of the System's loop, where nothing of the registry is under way meanwhile. What was only cast to it
    just now may not count yet.
    """
    chosen: LocalHandler | tuple[Provider, ...] | None = told_now(server, "choose_now", procedure)
    return chosen


def handler_now(server: Server, procedure: str) -> LocalHandler | None:
    """Return what `get_handler` does, as `choose_now`; None: there is none, or it has to be asked."""
    handler: LocalHandler | None = told_now(server, "handler_now", procedure)
    return handler


def report_failed(server: Server, procedure: str, node_id: NodeId) -> None:
    """Tell that ``node_id`` could not be reached for ``procedure``, or does not provide it: it is not cached any more.

    The next lookup may bring it back.
    """
    cast(server, ReportFailed(procedure, node_id))


def forget_node(server: Server, node_id: NodeId) -> None:
    """Tell that ``node_id`` is gone: it is not cached as a provider of anything any more."""
    cast(server, ForgetNode(node_id))


async def stats(server: Server) -> ServiceStats:
    """Return the server's counts."""
    counts: ServiceStats = await ask(server, GetStats())
    return counts
