"""Tunables of a simulated DHT node."""

from dataclasses import dataclass, field

from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.lookup import LookupLimits
from macula_actors.core.kademlia.record_store import RecordLimits
from macula_actors.core.kademlia.republish import RepublishSettings

__all__ = ["DhtSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtSettings:
    """How a `macula_actors.simulation.dht_node.DhtNode` does it. Durations are seconds.

    Args:
        refresh_period: between two times that a node looks up its own id, with its bootstrap nodes among whom it
            asks, and an id of each bucket that nothing was looked up in for as long.
        query_timeout: of a query of a lookup, a ping, a STORE.
        stop_after: holders of a record that end a find; infinity: all of the k closest are asked.
        rejoin_after: until a node that found nobody tries again.
    """

    bucket: BucketLimits = field(default_factory=BucketLimits)
    lookup: LookupLimits = field(default_factory=LookupLimits)
    records: RecordLimits = field(default_factory=RecordLimits)
    republish: RepublishSettings = field(default_factory=RepublishSettings)
    refresh_period: float = 300.0
    query_timeout: float = 2.0
    stop_after: float = 1
    rejoin_after: float = 2.0
