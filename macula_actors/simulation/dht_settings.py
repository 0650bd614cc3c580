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
        find: of a value; so many holders end it, or one node that is behind could decide what is found.
        locate: of nodes, to store at or to learn of.
        senders: how many holders, the closest to its key, give a record to a newcomer. Some of those that a node takes
            for the closest are gone: with 2, records die out at 10 % churn a minute.
        rejoin_after: until a node that found nobody tries again.
    """

    bucket: BucketLimits = field(default_factory=BucketLimits)
    find: LookupLimits = field(default_factory=lambda: LookupLimits(stop_after=3, alpha=5))
    locate: LookupLimits = field(default_factory=LookupLimits)
    records: RecordLimits = field(default_factory=RecordLimits)
    republish: RepublishSettings = field(default_factory=RepublishSettings)
    refresh_period: float = 300.0
    query_timeout: float = 2.0
    senders: int = 4
    rejoin_after: float = 2.0
