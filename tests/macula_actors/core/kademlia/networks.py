"""Networks of routing tables without a network: lookups run over them in virtual time, query by query."""

import heapq
from bisect import bisect_left
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import count
from random import Random

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.lookup import Lookup, LookupLimits
from macula_actors.core.kademlia.lookup_decisions import Finished, Query
from macula_actors.core.kademlia.node_id import ID_BITS, NodeId
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact

ROUND_TRIP = 1 / 16  # seconds; sums of powers of two are exact
QUERY_TIMEOUT = 2.0  # seconds; what becomes of a query to a dead node


def random_ids(count, rng):
    return [NodeId(rng.randbytes(32)) for _ in range(count)]


def contact_of(node_id, port=9443):
    """Return the node with an address that no other node has, as good as."""
    return Contact(Endpoint(str(IPv4Address(0x0A000000 | int.from_bytes(node_id[-3:]))), port), node_id)


def nearest(ids, target, count):
    return sorted(ids, key=target.distance)[:count]


@dataclass(repr=False)
class Network:
    """Nodes whose buckets are as full as the network allows, of random nodes of their ranges; made when first used.

    ``dead`` are in the tables of the others, and do not answer. ``liars`` answer with what `lie` returns.
    """

    ids: list
    k: int
    seed: int
    dead: set = field(default_factory=set)
    liars: set = field(default_factory=set)
    values: dict = field(default_factory=dict)  # node id -> its values for any key
    slow: dict = field(default_factory=dict)  # node id -> seconds until it answers

    def __post_init__(self):
        self.rng = Random(self.seed)
        self.members = set(self.ids)
        self.numbers = sorted(map(int.from_bytes, self.ids))
        self.tables = {}

    def __repr__(self):
        return f"<{len(self.ids)} nodes, k {self.k}, seed {self.seed}>"

    @property
    def live(self):
        return [each for each in self.ids if each not in self.dead]

    def table(self, node_id):
        if node_id not in self.tables:
            self.tables[node_id] = self._make_table(node_id)
        return self.tables[node_id]

    def answer(self, contact, target, asker):
        """Return what the node says: contacts and values."""
        if contact.node_id in self.liars:
            return self.lie(target), ()
        return self.table(contact.node_id).closest(target, self.k, without=asker), self.values.get(contact.node_id, ())

    def lie(self, target):
        """Return k contacts that do not exist: most of them nearer than any node, and real nodes where they are not."""
        made_up = [target[:16] + self.rng.randbytes(16) for _ in range(3 * self.k // 4)]
        misplaced = nearest(self.ids, target, self.k)[: self.k // 4]
        return [contact_of(NodeId(each), 1) for each in made_up + misplaced]

    def is_there(self, contact):
        node_id = contact.node_id
        return contact == contact_of(node_id) and node_id in self.members and node_id not in self.dead

    def _make_table(self, node_id):
        table = RoutingTable(node_id, BucketLimits(k=self.k, max_per_address=self.k))
        number = int.from_bytes(node_id)
        for bit in reversed(range(ID_BITS)):
            others = self._within((number ^ (1 << bit)) >> bit, bit)
            for each in self.rng.sample(others, min(self.k, len(others))):
                table.seen(contact_of(NodeId(each.to_bytes(32))), 0.0)
            if len(self._within(number >> bit, bit)) == 1:
                break
        return table

    def _within(self, prefix, bits):
        """Return the nodes whose numbers begin with ``prefix``, before the last ``bits``."""
        first = bisect_left(self.numbers, prefix << bits)
        return self.numbers[first : bisect_left(self.numbers, (prefix + 1) << bits)]


@dataclass
class Trace:
    """What a lookup did."""

    result: object
    asked: list
    max_in_flight: int  # queries that were not slow
    seconds: float


def run(network, origin, target, limits=None, contacts=None):
    """Run a lookup from the node ``origin`` to its end, and return its `Trace`."""
    limits = limits or LookupLimits(k=network.k)
    contacts = network.table(origin).closest(target, limits.k) if contacts is None else contacts
    lookup = Lookup(target, node_id=origin, contacts=contacts, limits=limits, now=0.0)
    now, events, serials = 0.0, [], count()
    asked, since, most = [], {}, 0
    while True:
        step = lookup.next(now)
        match step:
            case Finished(result):
                return Trace(result, asked, most, now)
            case Query(contact):
                asked.append(contact)
                since[contact] = now
                most = max(most, sum(now - at < limits.min_slow_after for at in since.values()))
                is_there = network.is_there(contact)
                delay = network.slow.get(contact.node_id, ROUND_TRIP) if is_there else QUERY_TIMEOUT
                heapq.heappush(events, (now + delay, next(serials), contact, is_there))
                continue
        if not events or events[0][0] > step.until:
            now = step.until
            continue
        now, _, contact, is_there = heapq.heappop(events)
        del since[contact]
        if is_there:
            lookup.answered(contact, *network.answer(contact, target, origin))
        else:
            lookup.failed(contact)
