"""The services of this node, and the cache of who provides those of others.

Erlang: macula_service_registry (whose three copies never saw each other, and whose cache was never filled: D-38, D-39).
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.wire.values import Value
from macula_actors.errors import OverloadedError

__all__ = ["REST", "Cached", "Service", "ServiceBook"]

REST: Final = 0.1  # seconds from a lookup that found nobody to the next one: who calls in vain is slow, not the mesh


@dataclass(frozen=True, slots=True)
class Service:
    """A service of this node: calls of ``procedure`` go to ``handler``."""

    procedure: str
    handler: object
    metadata: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Cached:
    """What a lookup found, at the monotonic instant ``fetched_at``. That it found nobody is only kept for `REST`."""

    providers: tuple[Provider, ...]
    fetched_at: float


class ServiceBook:
    """Own services, which stay until they are withdrawn, and cached providers, which expire.

    Instants named ``now`` are monotonic seconds, ``now_ms`` milliseconds since 1970.

    Args:
        services: own services by procedure; it may outlive this.
        cache: what lookups found, by procedure, the oldest first; likewise.
        cache_ttl: seconds that a provider is cached, if its own record does not expire before.
        max_local: own services.
        max_cached: procedures in the cache; the one that was looked up longest ago makes room.
    """

    def __init__(
        self,
        services: MutableMapping[str, Service],
        cache: MutableMapping[str, Cached],
        *,
        cache_ttl: float,
        max_local: int,
        max_cached: int,
    ) -> None:
        self._services: Final = services
        self._cache: Final = cache
        self._cache_ttl: Final = cache_ttl
        self._max_local: Final = max_local
        self._max_cached: Final = max_cached

    # Own services

    @property
    def services(self) -> tuple[Service, ...]:
        """All own services, in order of registration."""
        return tuple(self._services.values())

    @property
    def local(self) -> int:
        """How many own services there are."""
        return len(self._services)

    def advertise(self, service: Service) -> Service | None:
        """Take ``service`` in; return the one whose place it takes.

        Raises:
            OverloadedError: there are ``max_local`` others.
        """
        before = self._services.get(service.procedure)
        if before is None and len(self._services) >= self._max_local:
            raise OverloadedError("services of this node", self._max_local)
        self._services[service.procedure] = service
        return before

    def withdraw(self, procedure: str) -> Service | None:
        """Forget an own service; return it, None if there is none."""
        return self._services.pop(procedure, None)

    def service(self, procedure: str) -> Service | None:
        """Return the own service."""
        return self._services.get(procedure)

    # Providers

    @property
    def cached(self) -> int:
        """How many procedures are in the cache, expired ones too."""
        return len(self._cache)

    def store(self, procedure: str, providers: tuple[Provider, ...], now: float) -> None:
        """Cache what a lookup has found, in place of what was there."""
        self._cache.pop(procedure, None)
        while self._cache and len(self._cache) >= self._max_cached:
            del self._cache[next(iter(self._cache))]
        if self._max_cached > 0:
            self._cache[procedure] = Cached(providers, now)

    def providers(self, procedure: str, now: float, now_ms: int) -> tuple[Provider, ...] | None:
        """Return the providers that are cached and hold, at least one; None: look it up.

        That there is nobody is never believed: who has just advertised it is to be found.
        """
        cached = self._cache.get(procedure)
        if cached is None:
            return None
        left = self._holding(cached, now, now_ms)
        if left is None:
            del self._cache[procedure]
        return left or None

    def rest(self, procedure: str, now: float) -> float:
        """Return how many seconds not to look up ``procedure`` yet, because that has just found nobody."""
        cached = self._cache.get(procedure)
        return 0.0 if cached is None or cached.providers else max(cached.fetched_at + REST - now, 0.0)

    def forget(self, procedure: str, node_id: NodeId) -> bool:
        """Drop one provider of one procedure; return whether it was cached. With the last, look it up again."""
        cached = self._cache.get(procedure)
        if cached is None:
            return False
        rest = tuple(provider for provider in cached.providers if provider.node_id != node_id)
        if len(rest) == len(cached.providers):
            return False
        if rest:
            self._cache[procedure] = Cached(rest, cached.fetched_at)
        else:
            del self._cache[procedure]
        return True

    def forget_node(self, node_id: NodeId) -> int:
        """Drop a node as provider of everything; return of how many procedures it was one."""
        return sum(self.forget(procedure, node_id) for procedure in list(self._cache))

    def prune(self, now: float, now_ms: int) -> int:
        """Drop what has expired; return how many procedures are not cached any more."""
        expired = [procedure for procedure, cached in self._cache.items() if self._holding(cached, now, now_ms) is None]
        for procedure in expired:
            del self._cache[procedure]
        return len(expired)

    def _holding(self, cached: Cached, now: float, now_ms: int) -> tuple[Provider, ...] | None:
        """Return the providers that hold; None if there were some, and there are none now, or all is too old."""
        ttl = self._cache_ttl if cached.providers else REST
        if now - cached.fetched_at >= ttl:
            return None
        left = tuple(provider for provider in cached.providers if provider.expires_at > now_ms)
        return left if left or not cached.providers else None
