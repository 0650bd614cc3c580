"""What the parts of a node are started with, out of what the node is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from macula_actors.config import (
    BootstrapConfig,
    DhtConfig,
    GatewayConfig,
    MembershipConfig,
    MeshConfig,
    PeerConfig,
    PubsubConfig,
    RpcConfig,
    ServiceConfig,
    SystemConfig,
)
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.lookup import LookupLimits
from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.liveness import LivenessConfig
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.messages import gateway_dht, membership, pubsub, rpc
from macula_actors.messages.gateway import GATEWAY_CAPABILITY
from macula_actors.messages.membership import SWIM_CAPABILITY
from macula_actors.messages.names import BOOTSTRAP_SERVER, GATEWAY, GATEWAY_DHT, MEMBERSHIP, PUBSUB_HANDLER, RPC_HANDLER
from macula_actors.node_config import Mode, NodeConfig
from macula_actors.transport.interface import Network

__all__ = ["parts"]

ROUTES: Final = {**gateway_dht.ROUTES, **rpc.ROUTES, **membership.ROUTES, **pubsub.ROUTES}


def parts(
    config: NodeConfig,
    identity: Identity,
    listen: Endpoint,
    *,
    network: Callable[[], Network],
    wall_clock_ms: Callable[[], int],
) -> SystemConfig:
    """Return the configuration of each part of a node that is to listen at ``listen``, whose port is not 0.

    Raises:
        ConfigError: the file of the realm's secret can't be read.
    """
    advertised = config.advertised(listen) if config.accept_peers or config.has_gateway else None
    is_bootstrap = config.mode in {Mode.BOOTSTRAP, Mode.HYBRID}
    return SystemConfig(
        dht=_dht(config, identity, wall_clock_ms),
        mesh=_mesh(config, identity, network, listen, advertised),
        services=ServiceConfig(
            identity=identity,
            realm=config.realm,
            security=config.security,
            endpoint=advertised,
            strategy=config.strategy,
            cache_ttl=config.cache_ttl,
            ttl=config.service_ttl,
            wall_clock_ms=wall_clock_ms,
        ),
        rpc=RpcConfig(
            identity=identity,
            security=config.security,
            timeout=config.rpc_timeout,
            max_timeout=config.max_rpc_timeout,
            max_hops=config.max_hops,
            max_attempts=config.max_attempts,
            max_workers=config.max_workers,
            max_queued=config.max_waiting_calls,
        ),
        pubsub=_pubsub(config, identity, advertised, wall_clock_ms),
        membership=MembershipConfig(identity=identity),
        bootstrap=BootstrapConfig(
            identity=identity,
            realm=config.realm,
            security=config.security,
            health_interval=config.bootstrap_health_interval,
        )
        if is_bootstrap
        else None,
        gateway=GatewayConfig(
            identity=identity,
            realm=config.realm,
            security=config.security,
            dialect=config.dialect,
            max_clients=config.max_clients,
            max_sessions=config.max_clients,
            health_host=config.health_host,
            health_port=config.http_port,
            is_health_port_free=config.health_port is None,
            wall_clock_ms=wall_clock_ms,
        )
        if config.has_gateway
        else None,
    )


def _dht(config: NodeConfig, identity: Identity, wall_clock_ms: Callable[[], int]) -> DhtConfig:
    defaults = DhtConfig(identity=identity)
    return DhtConfig(
        identity=identity,
        security=config.security,
        bootstrap=config.bootstrap,
        data_dir=config.data_dir,
        buckets=BucketLimits(k=config.dht_k),
        find=replace(defaults.find, k=config.dht_k),
        locate=LookupLimits(k=config.dht_k, alpha=config.dht_alpha),
        wall_clock_ms=wall_clock_ms,
    )


def _pubsub(
    config: NodeConfig, identity: Identity, advertised: Endpoint | None, wall_clock_ms: Callable[[], int]
) -> PubsubConfig:
    defaults = PubsubConfig(identity=identity, realm=config.realm)
    return PubsubConfig(
        identity=identity,
        realm=config.realm,
        security=config.security,
        endpoint=advertised,
        dialect=config.dialect,
        outbox=replace(defaults.outbox, ack_timeout=config.ack_timeout, max_queued=config.max_waiting_events),
        max_subscriptions=config.max_subscriptions,
        ttl=config.subscription_ttl,
        max_retained=config.max_retained,
        wall_clock_ms=wall_clock_ms,
    )


def _mesh(
    config: NodeConfig,
    identity: Identity,
    network: Callable[[], Network],
    listen: Endpoint,
    advertised: Endpoint | None,
) -> MeshConfig:
    gateway = (GATEWAY_CAPABILITY,) if config.has_gateway else ()
    handshake = HandshakeSettings(
        identity=identity,
        realm=config.realm,
        realm_secret=config.read_realm_secret(),
        capabilities=("pubsub", "rpc", SWIM_CAPABILITY, pubsub.BATCH_CAPABILITY, pubsub.CHANGES_CAPABILITY, *gateway),
        endpoint=advertised,
        security=config.security,
    )
    liveness = LivenessConfig(keepalive=config.keepalive)
    watchers = [GATEWAY_DHT, RPC_HANDLER, PUBSUB_HANDLER, MEMBERSHIP]
    if config.has_gateway:
        watchers.append(GATEWAY)
    if config.mode in {Mode.BOOTSTRAP, Mode.HYBRID}:
        watchers.append(BOOTSTRAP_SERVER)
    routes = {**ROUTES, **pubsub.GATEWAY_ROUTES} if config.has_gateway else ROUTES
    return MeshConfig(
        listen=listen,
        accept_peers=config.accept_peers,
        network=network,
        engine=config.engine,
        idle_timeout=config.idle_timeout,
        admission=AdmissionLimits(
            max_connections=config.max_connections,
            max_connections_per_address=config.max_connections_per_address,
        ),
        pool=PoolLimits(max_connections=config.max_pool, idle_timeout=config.pool_idle_timeout),
        deny=config.deny,
        keep=tuple(endpoint for endpoint in config.gateway_endpoints if endpoint != advertised),
        watchers=tuple(watchers),
        peer=PeerConfig(handshake=handshake, liveness=liveness, routes=routes),
    )
