"""ServiceRegistry: the one registry of a node's services and of the providers of others.

Erlang: macula_service_registry (a value, of which three processes had a copy each: D-38).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from typing_extensions import override

from macula_actors.actors.services.discoveries import AskAgain, Discoveries, Found, Overdue
from macula_actors.config import ServiceConfig
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.provider import Provider, providers_in
from macula_actors.core.rpc.selector import Selector, Strategy
from macula_actors.core.rpc.service_book import REST, Cached, Service, ServiceBook
from macula_actors.errors import MaculaError
from macula_actors.messages.advertisement import Changed
from macula_actors.messages.asking import told_now
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, PEER_CONNECTOR, TABLES
from macula_actors.messages.service_registry import (
    AdvertiseLocal,
    Choose,
    Discover,
    ForgetNode,
    GetHandler,
    GetLocalServices,
    GetStats,
    ReportFailed,
    ServiceStats,
    Withdraw,
)
from supervisors import (
    Down,
    From,
    GenServer,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    Response,
    System,
    Table,
    TableOwner,
    UnexpectedRequestError,
    cast,
    demonitor,
    monitor,
    send_after,
)

__all__ = ["ServiceRegistry"]

SERVICES: Final = "services"
PROVIDERS: Final = "service_providers"
LOOK_AGAIN: Final = 0.1  # seconds that `choose_now` takes providers for cached, without looking whether they expired


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Time to drop what has expired."""


class _Known(NamedTuple):
    """Providers that were cached just now, and of no own service; looked at again at the monotonic ``until``."""

    providers: tuple[Provider, ...]
    until: float


class ServiceRegistry(GenServer):
    """Keeps own services and found providers, in tables that outlive it, and never waits.

    A handler that is a process is monitored, and its end withdraws it; a callable stays until it is withdrawn.
    """

    @override
    async def init(self, config: ServiceConfig) -> None:
        self._known: dict[str, _Known] = {}  # no more than are cached: it is emptied whenever they may change
        self._config = config
        self._node_id = config.identity.node_id
        self._system = System.current()
        self._hits = self._misses = 0
        most = config.max_cached
        services: Table[str, Service] = await TableOwner.claim(TABLES, SERVICES, max_entries=config.max_local)
        providers: Table[str, Cached] = await TableOwner.claim(TABLES, PROVIDERS, max_entries=most)
        self._book = ServiceBook(
            services, providers, cache_ttl=config.cache_ttl, max_local=config.max_local, max_cached=most
        )
        self._selector = Selector(config.strategy, self._node_id)
        self._discoveries = Discoveries(config, self._key_of)
        self._monitors: dict[str, MonitorRef] = {}
        self._handlers: dict[str, object] = {}  # of own services, as in the book: a look at a table costs as much
        for service in self._book.services:
            self._watch(service)
        send_after(config.sweep_interval, self.actor_ref, _Sweep())

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        try:
            return self._answer(request, from_)
        except MaculaError as error:
            return Refuse(error)

    @override
    def handle_cast(self, request: object) -> None:
        self._known.clear()
        match request:
            case ReportFailed(procedure, node_id):
                self._book.forget(procedure, node_id)
            case ForgetNode(node_id):
                self._book.forget_node(node_id)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        self._known.clear()
        match info:
            case Response(reqid):
                found = self._discoveries.answered(reqid)
                if found is not None:
                    self._found(found)
            case AskAgain(lookup):
                self._discoveries.ask_again(lookup)
            case Overdue(lookup):
                self._discoveries.overdue(lookup)
            case Down(mref):
                self._ended(mref)
            case _Sweep():
                self._book.prune(self._system.now(), self._config.wall_clock_ms())
                send_after(self._config.sweep_interval, self.actor_ref, _Sweep())
            case _:
                raise UnexpectedRequestError(info)

    def _answer(self, request: object, from_: From) -> Reply | NoReply:
        match request:
            case GetHandler(procedure):
                return Reply(self._handler(procedure))
            case Choose(procedure):
                handler = self._handler(procedure)
                return Reply(handler) if handler is not None else self._discover(procedure, from_, is_choice=True)
            case Discover(procedure, refresh):
                return self._discover(procedure, from_, refresh=refresh)
            case AdvertiseLocal(procedure, handler, metadata):
                self._known.clear()
                self._book.advertise(Service(procedure, handler, metadata))
                self._watch(Service(procedure, handler, metadata))
                return Reply(None)
            case Withdraw(procedure):
                self._known.clear()
                return Reply(self._withdraw(procedure))
            case GetLocalServices():
                return Reply(self._book.services)
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    def statistics(self) -> ServiceStats:
        """Return its counts."""
        return ServiceStats(
            local=self._book.local,
            cached=self._book.cached,
            waiting=self._discoveries.waiting,
            lookups=len(self._discoveries),
            hits=self._hits,
            misses=self._misses,
        )

    # For `choose_now` and `handler_now`, which run in who asks: a call would cost more than the answer

    def choose_now(self, procedure: str) -> object:
        """Return what `Choose` is answered with, if it can be at once; else None."""
        now = self._system.now()
        known = self._known.get(procedure)
        if known is not None and now < known.until:
            self._hits += 1
            return self._ordered(procedure, known.providers)
        handler = self._handler(procedure)
        if handler is not None:
            return handler
        cached = self._cached(procedure)
        if cached is None:
            return None
        self._known[procedure] = _Known(cached, now + LOOK_AGAIN)
        return self._ordered(procedure, cached)

    def handler_now(self, procedure: str) -> object:
        """Return what `GetHandler` is answered with."""
        return self._handler(procedure)

    # Own services

    def _handler(self, procedure: str) -> object:
        return self._handlers.get(procedure)

    def _watch(self, service: Service) -> None:
        """Monitor the process that handles ``service``, if it is one, and the one before no more (D-18)."""
        self._unwatch(service.procedure)
        self._handlers[service.procedure] = service.handler
        if isinstance(service.handler, Ref):
            self._monitors[service.procedure] = monitor(service.handler, service.procedure)

    def _unwatch(self, procedure: str) -> None:
        self._handlers.pop(procedure, None)
        mref = self._monitors.pop(procedure, None)
        if mref is not None:
            demonitor(mref, flush=True)

    def _withdraw(self, procedure: str) -> bool:
        self._unwatch(procedure)
        self._book.forget(procedure, self._node_id)
        return self._book.withdraw(procedure) is not None

    def _ended(self, mref: MonitorRef) -> None:
        self._withdraw(str(mref.tag))
        cast(ADVERTISEMENT_MANAGER, Changed())

    # Providers

    def _discover(
        self, procedure: str, from_: From, *, is_choice: bool = False, refresh: bool = False
    ) -> Reply | NoReply:
        cached = None if refresh else self._cached(procedure)
        if cached is not None:
            return Reply(self._ordered(procedure, cached) if is_choice else cached)
        rest = self._book.rest(procedure, self._system.now())
        self._discoveries.wait(procedure, from_, is_choice=is_choice, rest=rest)
        self._misses += 1
        return NoReply()

    def _cached(self, procedure: str) -> tuple[Provider, ...] | None:
        cached = self._book.providers(procedure, self._system.now(), self._config.wall_clock_ms())
        self._hits += cached is not None
        return cached

    def _found(self, found: Found) -> None:
        if isinstance(found.outcome, Exception):
            for waiter in found.waiting:
                waiter.from_.refuse(found.outcome)
            return
        providers = providers_in(found.outcome, found.procedure)
        self._book.store(found.procedure, providers, self._system.now())
        answered = found.waiting if providers else self._discoveries.look_again(found, REST)
        for waiter in answered:
            waiter.from_.reply(self._ordered(found.procedure, providers) if waiter.is_choice else providers)

    def _ordered(self, procedure: str, providers: tuple[Provider, ...]) -> tuple[Provider, ...]:
        others = tuple(provider for provider in providers if provider.node_id != self._node_id)
        if len(others) == 1:
            return others
        return self._selector.order(others, procedure, self._system.random, self._round_trips(others))

    def _round_trips(self, providers: tuple[Provider, ...]) -> dict[NodeId, float]:
        """Return the round trips that are known, if it is by them that providers are chosen."""
        if self._config.strategy is not Strategy.CLOSEST:
            return {}
        found = {each.node_id: told_now(PEER_CONNECTOR, "round_trip_now", each.node_id) for each in providers}
        return {node_id: seconds for node_id, seconds in found.items() if seconds is not None}

    def _key_of(self, procedure: str) -> NodeId:
        return key_of(KeyKind.PROCEDURE, procedure, realm=self._config.realm, security=self._config.security)
