"""Numbers and settings, each with its unit and where it comes from. Durations are seconds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.lookup import LookupLimits
from macula_actors.core.kademlia.record_store import RecordLimits
from macula_actors.core.kademlia.republish import RepublishSettings
from macula_actors.core.kademlia.sender_limits import SenderLimits
from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.handshake import HandshakeSettings, Security
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.liveness import LivenessConfig
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.node_outbox import OutboxSettings
from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.core.rpc.selector import Strategy
from macula_actors.core.wire.messages import Message
from macula_actors.transport.engines import EngineName
from macula_actors.transport.interface import Network
from macula_actors.transport.udp import UdpNetwork

__all__ = [
    "BootstrapConfig",
    "DhtConfig",
    "GatewayConfig",
    "MembershipConfig",
    "MeshConfig",
    "PeerConfig",
    "PubsubConfig",
    "RpcConfig",
    "ServiceConfig",
    "SystemConfig",
    "wall_clock_ms",
]

_NS_PER_MS: Final = 1_000_000
_ANYWHERE: Final = Endpoint("0.0.0.0", 0)  # noqa: S104 -- a mesh node is there for others


def wall_clock_ms() -> int:
    """Return this machine's time in milliseconds since 1970, as messages carry it."""
    return time.time_ns() // _NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """How each connection is kept."""

    handshake: HandshakeSettings
    handshake_timeout: float = 10.0  # from the first packet to CONNECTED, name look-up included
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    max_queued: int = 1024  # exchanges that wait for a stream; one more is refused
    max_queued_bytes: int = 8 * 1_048_576
    max_handling: int = 128  # messages of the peer that are being handled; one more is refused
    max_handling_bytes: int = 16 * 1_048_576
    handling_timeout: float = 60.0  # that a server may take to answer a message of the peer
    partial_timeout: float = 10.0  # in which the rest of a frame comes, or at least 16 KiB of it
    stall_timeout: float = 30.0  # in which a peer must take all, or 64 KiB, of what is sent to it
    drain_timeout: float = 5.0  # that exchanges in flight may take when the connection is to be closed
    max_violations: int = 16  # broken messages of one peer, then its connection is closed
    violation_forgiven_after: float = 1.0  # in which one of them is forgotten: a flood is much faster
    routes: Mapping[type[Message], str] = field(default_factory=dict)  # which server handles which message
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtConfig:
    """A node's part in the DHT.

    Args:
        identity: the node's key: its id, and the owner of what it stores.
        security: as of the mesh; OPEN takes records that nobody has signed.
        bootstrap: where others are. This node's own address may be among them.
        data_dir: where contacts and own records are kept; None: in memory only.
        find: of a value. Enough holders end it: each of the k closest should have all records.
        locate: of nodes, to store at or to learn of.
        wall_clock_ms: milliseconds since 1970.
    """

    identity: Identity
    security: Security = Security.VERIFIED
    bootstrap: tuple[Endpoint, ...] = ()
    data_dir: Path | None = None
    buckets: BucketLimits = field(default_factory=BucketLimits)
    records: RecordLimits = field(default_factory=RecordLimits)
    senders: SenderLimits = field(default_factory=SenderLimits)
    republish: RepublishSettings = field(default_factory=lambda: RepublishSettings(max_batch=8))
    find: LookupLimits = field(default_factory=lambda: LookupLimits(alpha=5, stop_after=3))
    locate: LookupLimits = field(default_factory=LookupLimits)
    backoff: Backoff = field(default_factory=Backoff)  # between two attempts to join
    refresh_after: float = 600.0  # that a bucket goes without a lookup; paper, 2.3, has an hour, for less churn
    trust_for: float = 60.0  # what a lookup has shown of a sparse range of the network, before the next store there
    query_timeout: float = 3.0  # of one message to a peer, dialling too
    retry_after: float = 0.05  # that something of this node, or of the peer's, is given to be restarted
    max_retries: int = 20  # of one message, for that reason
    max_lookups: int = 64  # and stores, at once, that callers wait for; one more waits
    max_stores_asked: int = 48  # of those: the other places are for lookups, of services too
    max_waiting_lookups: int = 4096  # and stores that wait for their turn; one more is refused
    max_upkeep: int = 16  # lookups and stores at once that nobody waits for; a batch of ``republish`` may come on top
    max_publishing: int = 32  # own records at once that are stored again
    max_jobs: int = 512  # of both, and of those that only hear of silent peers yet
    max_stores: int = 8  # STORE messages of one job in flight
    max_repairs: int = 4  # STOREs to nodes that a find met, are among the closest, and had not what it found
    max_pings: int = 32  # in flight; a contact that comes then has to come again
    max_former: int = 64  # contacts that fell silent and are asked again now and then
    upkeep_interval: float = 1.0  # between two rounds of upkeep
    publish_interval: float = 0.1  # between two looks at which own records are due; a third of the shortest ttl is 0.33
    clock_interval: float = 10.0  # between two looks at the wall clock, at most: it jumps when a machine wakes up
    save_interval: float = 10.0  # between two snapshots of the contacts
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """A node's socket and connections."""

    listen: Endpoint = _ANYWHERE
    accept_peers: bool = True
    network: Callable[[], Network] = UdpNetwork
    engine: EngineName = "aioquic"
    idle_timeout: float = 60.0  # of QUIC, without any packet
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    pool: PoolLimits = field(default_factory=PoolLimits)
    backoff: Backoff = field(default_factory=Backoff)
    deny: tuple[IPv4Network | IPv6Network, ...] = ()  # never dialled, and refused when they dial
    keep: tuple[Endpoint, ...] = ()  # gateways that a connection is kept to, for ever; see `messages.peer.gateways`
    watchers: tuple[str, ...] = ()  # who is told that a peer came or went
    peer: PeerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """Own services, and what is known of those of others.

    Args:
        identity: the node's key.
        realm: its realm.
        security: as of the mesh.
        endpoint: where others can dial this node; None: nowhere, so its records name its gateways alone.
        wall_clock_ms: milliseconds since 1970.
    """

    identity: Identity
    realm: str
    security: Security = Security.VERIFIED
    endpoint: Endpoint | None = None
    strategy: Strategy = Strategy.RANDOM  # macula_provider_selector's default
    cache_ttl: float = 60.0  # macula_service_registry; a provider's own expiry ends it earlier
    max_cached: int = 10_000  # procedures whose providers are cached; the oldest goes first
    max_local: int = 10_000  # own services
    max_waiting: int = 4096  # callers that wait for lookups
    discovery_timeout: float = 5.0  # macula.hrl, DHT query
    sweep_interval: float = 60.0  # macula_advertisement_manager
    ttl: int = 300  # seconds that an advertisement holds if this node disappears; macula_service_registry
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """Calls. ``security`` is as of the mesh: in an open one, arguments and results are JSON, which v0.8 reads, too."""

    identity: Identity
    security: Security = Security.VERIFIED
    timeout: float = 5.0  # of a call that names none; macula.hrl
    max_timeout: float = 60.0  # that a peer's call may take
    max_hops: int = 10  # macula.hrl
    max_attempts: int = 3  # providers that one call tries; macula_rpc_handler
    max_workers: int = 256  # handlers and forwarded calls at once
    max_queued: int = 1024  # calls that wait for a worker; one more is refused
    max_result_bytes: int = 1_000_000  # of arguments and results, below the frame's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class PubsubConfig:
    """Subscriptions and publications.

    Args:
        identity: the node's key.
        realm: its realm.
        security: as of the mesh.
        endpoint: where others can dial this node; None: nowhere, so its records name its gateways alone.
        dialect: how topics and patterns are written, in the whole realm.
        outbox: what waits for each node. If it is full publishers are held; a node that cannot be reached is given up.
        wall_clock_ms: milliseconds since 1970.
    """

    identity: Identity
    realm: str
    security: Security = Security.VERIFIED
    endpoint: Endpoint | None = None
    dialect: Dialect = DOTTED
    outbox: OutboxSettings = field(default_factory=lambda: OutboxSettings(policy=FullPolicy.HOLD, ack_timeout=2.0))
    max_subscriptions: int = 10_000
    max_patterns: int = 100_000  # of this node; and as many of others are cached
    ttl: int = 120  # seconds that a subscription is found for if this node disappears; the original: 240, for ever
    stale_after: float = (
        5.0  # that cached subscribers are used for qos 1; longer ones are looked up first; later versions
    )
    expire_after: float = 10.0  # that they are used at all: for qos 0, and looked up meanwhile
    max_prefixes: int = 10_000  # that are cached; and as many may wait to be looked up
    max_lookups: int = 16  # at once; RoutingServer has other callers too
    announce_timeout: float = 5.0  # that who subscribes waits for others to be told
    withdraw_timeout: float = 1.0  # that who unsubscribes does, or a node that stops
    max_told: int = 128  # connected peers that are told of a change at once; the others look it up
    max_timeout: float = 30.0  # of a publication
    max_waiting: int = 4096  # publications that wait for a lookup, room, or acknowledgement; one more is refused
    gap_timeout: float = 0.25  # that a missing event of qos 0 is waited for; later versions
    hold_timeout: float = 35.0  # that one of qos 1 is: longer than ``max_timeout``
    max_early: int = 4096  # events that wait for one before them; of one publisher a quarter
    remember_for: float = 60.0  # that an event is known for one that has come already; later versions
    max_publishers: int = 4096  # that are remembered
    max_remembered: int = 8192  # events of one publisher
    max_retained: int = 10_000  # topics
    max_retained_bytes: int = 64 * 1_048_576
    forget_cleared_after: float = 3600.0  # that it is known of a topic that it has no value any more
    look_interval: float = 2.0  # between two looks for new subscribers of what is kept
    gather_for: float = 0.1  # that a last value waits for a later one of another node
    relay_for: float = 30.0  # that a node that could not be dialled is reached by its gateway, before the next dial
    give_up_after: float = 1.0  # that a node has failed for before it is given up, if too much waits for it
    sweep_interval: float = 10.0
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """A gateway: sessions with clients, and what it does for them."""

    identity: Identity
    realm: str
    security: Security = Security.VERIFIED
    dialect: Dialect = DOTTED  # of the topics, in the whole realm
    max_clients: int = 10_000  # macula_gateway_clients
    max_sessions: int = 10_000
    max_relayed: int = 1024  # messages that are being relayed, in all
    max_relayed_per_client: int = 64
    max_relayed_bytes: int = 64 * 1_048_576  # of them together
    max_calls: int = 1024  # plain calls of clients that the gateway makes for them
    health_host: str = "127.0.0.1"
    health_port: int | None = 8080  # 0: a free one; None: no HTTP
    is_health_port_free: bool = False  # whether a free one will do if that one is taken
    wall_clock_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapConfig:
    """What a bootstrap node has besides."""

    identity: Identity
    realm: str
    security: Security = Security.VERIFIED
    health_interval: float = 60.0  # between two checks; macula_root
    max_memory_mb: int = 1000  # macula_bootstrap_health


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipConfig:
    """SWIM. Paper: Das, Gupta, Motivala, SWIM, section 5; Erlang: macula_membership_detector."""

    identity: Identity
    period: float = 1.0  # between two probes
    probe_timeout: float = 0.5  # of a direct probe
    indirect_probes: int = 3
    suspect_timeout: float = 5.0  # that a suspected member has to refute it
    max_members: int = 1000
    max_updates: int = 256  # that wait to be gossiped
    gossip: int = 8  # updates on one message
    forget_after: float = 300.0  # that a dead member is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """What the parts of one node are started with."""

    dht: DhtConfig
    mesh: MeshConfig
    services: ServiceConfig
    rpc: RpcConfig
    pubsub: PubsubConfig
    membership: MembershipConfig
    bootstrap: BootstrapConfig | None = None  # None: it is no bootstrap node
    gateway: GatewayConfig | None = None  # None: it has no gateway
