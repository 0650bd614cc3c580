"""What a gateway counts, as Prometheus reads it. Erlang: macula_gateway_health, /metrics.

Names that begin with ``macula_gateway_`` are the original's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from macula_actors.actors.vitals import Vitals
from macula_actors.messages.gateway import GatewayStats
from macula_actors.messages.peer import ConnectorStats
from macula_actors.messages.routing_server import RoutingStats
from macula_actors.messages.rpc import RpcStats

__all__ = ["CONTENT_TYPE", "Snapshot", "render"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All counts at one time; None where who counts did not answer. ``uptime`` in seconds."""

    uptime: float
    is_ready: bool
    has_diagnostics: bool
    vitals: Vitals
    gateway: GatewayStats
    routing: RoutingStats | None
    peers: ConnectorStats | None
    rpc: RpcStats | None


def render(snapshot: Snapshot) -> str:
    """Return ``snapshot`` in the text format, version 0.0.4; what is not known is left out."""
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(snapshot))
    return generate_latest(registry).decode()


class _SnapshotCollector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @override
    def collect(self) -> Iterator[Metric]:
        for name, text, read in _GAUGES:
            value = read(self._snapshot)
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)
        for name, text, read in _COUNTERS:
            value = read(self._snapshot)
            if value is not None:
                yield CounterMetricFamily(name, text, value=value)
        if self._snapshot.rpc is not None:
            yield _calls(self._snapshot.rpc)


_Read: TypeAlias = Callable[[Snapshot], float | None]

_GAUGES: Final[tuple[tuple[str, str, _Read], ...]] = (
    ("macula_gateway_uptime_seconds", "Time since the gateway started", lambda s: s.uptime),
    ("macula_gateway_ready", "Whether the gateway serves", lambda s: s.is_ready),
    ("macula_gateway_process_count", "Processes of the node", lambda s: s.vitals.process_count),
    ("macula_gateway_memory_bytes", "Memory of the program", lambda s: s.vitals.memory_bytes),
    ("macula_gateway_process_memory_bytes", "Memory it shares with none", lambda s: s.vitals.own_memory_bytes),
    ("macula_gateway_diagnostics_available", "Whether diagnostics can be called", lambda s: s.has_diagnostics),
    ("macula_gateway_clients_total", "Clients connected", lambda s: s.gateway.clients.clients),
    ("macula_gateway_subscriptions_total", "Subscriptions of clients", lambda s: s.gateway.subscriptions),
    ("macula_gateway_registrations_total", "Procedures registered here", lambda s: s.gateway.registrations),
    ("macula_peers", "Nodes with a session", lambda s: s.gateway.mesh.sessions),
    ("macula_connections", "Connections that are open", lambda s: None if s.peers is None else s.peers.pool.live),
    ("macula_dialling", "Connections being dialled", lambda s: None if s.peers is None else s.peers.pool.dialling),
    (
        "macula_dht_contacts",
        "Contacts in the routing table",
        lambda s: None if s.routing is None else s.routing.contacts,
    ),
    (
        "macula_dht_records",
        "Records of the DHT kept here",
        lambda s: None if s.routing is None else s.routing.records.records,
    ),
    ("macula_relaying", "Messages being relayed", lambda s: s.gateway.mesh.relaying),
    ("macula_client_calls", "Calls being made for clients", lambda s: s.gateway.rpc.calls),
)

_COUNTERS: Final[tuple[tuple[str, str, _Read], ...]] = (
    ("macula_relayed", "Messages relayed", lambda s: s.gateway.mesh.relayed),
    ("macula_relayed_bytes", "Bytes of the messages relayed", lambda s: s.gateway.mesh.bytes),
    ("macula_relays_refused", "Messages not relayed for want of room", lambda s: s.gateway.mesh.refused),
    ("macula_clients_refused", "Clients sent away for want of room", lambda s: s.gateway.clients.refused),
    ("macula_dials", "Connections dialled", lambda s: None if s.peers is None else s.peers.pool.dials),
    ("macula_dht_messages", "Messages of the DHT handled", lambda s: None if s.routing is None else s.routing.handled),
)


def _calls(stats: RpcStats) -> Metric:
    family = CounterMetricFamily("macula_rpc_calls", "Attempts of calls of this node", labels=["path", "outcome"])
    for path, counted in stats.paths.items():
        family.add_metric([path, "carried"], counted.carried)
        family.add_metric([path, "failed"], counted.failed)
    return family
