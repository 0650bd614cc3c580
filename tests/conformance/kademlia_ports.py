"""The original's buckets, tables and simulated networks, played with ours."""

from collections import deque

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket import BucketLimits, KBucket
from macula_actors.core.kademlia.bucket_decisions import Added, Updated
from macula_actors.core.kademlia.lookup import Lookup, LookupLimits
from macula_actors.core.kademlia.lookup_decisions import Finished, Query
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact
from tests.conformance.erlang_terms import Atom, to_term

VALUE = b"V"
OK = Atom("ok")
BUCKET_FULL = (Atom("error"), Atom("bucket_full"))


def like_the_original(k, **limits):
    """Return limits for a bucket that has, as the original's, no replacement cache and does not look at addresses."""
    return BucketLimits(**{"k": k, "max_cached": 0, "max_per_address": 10_000, **limits})


def contact(node):
    """Return a node of the original; v0.8 hashes ids that are not of 32 bytes."""
    host, _, port = node[Atom("address")].decode().rpartition(":")
    return Contact(Endpoint(host or "10.0.0.1", int(port)), NodeId.normalize(node[Atom("node_id")]))


def addresses(contacts):
    return [str(each.endpoint).encode() for each in contacts]


def play_table(entry, **limits):
    """Return our table after what happened to the original's."""
    table = RoutingTable(NodeId.normalize(to_term(entry["local_node_id"])), like_the_original(entry["k"], **limits))
    for node in to_term(entry["insert"]):
        table.seen(contact(node), 0.0)
    for node_id in to_term(entry["remove"]):
        table.remove(NodeId.normalize(node_id))
    return table


def play_bucket(entry, **limits):
    """Return what our bucket replied to each operation, and whom it had then, as the original's entry has them."""
    bucket = KBucket(like_the_original(entry["capacity"], **limits))
    return [
        (_operate(bucket, *to_term(each["op"])), [known.node_id for known in bucket.known]) for each in entry["ops"]
    ]


def play_routing_server(entry):
    """Yield what our table and the original's tell of contacts, for each operation of a routing server that asks."""
    table = RoutingTable(NodeId.normalize(to_term(entry["local_node_id"])), like_the_original(entry["k"]))
    for each in entry["ops"]:
        match to_term(each["op"]), to_term(each["reply"]):
            case ("add_node", node), _:
                table.seen(Contact(node_id=NodeId.normalize(node[Atom("node_id")])), 0.0)
            case ("handle_message", {b"target": target} | {b"key": target}), {"nodes": list(nodes)}:
                closest = table.closest(NodeId.normalize(target), entry["k"])
                yield [known.node_id for known in closest], [NodeId.normalize(node[Atom("node_id")]) for node in nodes]
            case Atom("size"), size:
                yield len(table), size


def _operate(bucket, operation, *args):
    match operation:
        case "add_node":
            return OK if bucket.insert(contact(*args), 0.0) in {Added(), Updated()} else BUCKET_FULL
        case "remove_node":
            bucket.remove(NodeId.normalize(*args))
            return OK
        case "find_closest":
            target, count = args
            return [each.node_id for each in bucket.nearest(int.from_bytes(NodeId.normalize(target)))[:count]]


class SimulatedNetwork:
    """A network of lookup.json; nodes are places in its list of ids, and their tables never change."""

    def __init__(self, entry):
        self.ids = list(map(NodeId, to_term(entry["ids"])))
        self.k, self.local, self.tables = entry["k"], entry["local"], entry["tables"]
        self.dead, self.holders = set(entry["dead"]), set(entry["holders"])
        self.target, self.key = NodeId(to_term(entry["target"])), NodeId(to_term(entry["key"]))

    def nearest(self, places, target):
        """Return the k nearest of ``places``, nearest first."""
        return sorted(places, key=lambda place: target.distance(self.ids[place]))[: self.k]

    def missed(self, was, ours, target):
        """Return the living nodes that the original found and we did not, and that are nearer than some of ours."""
        missed = set(was) - set(ours) - self.dead - {self.local}
        return {place for place in missed if place in self.nearest({*ours, place}, target)}

    def told(self, places, target):
        """Return the nodes that those at ``places`` tell who looks for ``target``."""
        return {each for place in places for each in self.nearest(self.tables[place], target)}

    def look(self, target, *, for_value=False):
        """Return the nodes that our lookup finds, and the values."""
        lookup = Lookup(
            target,
            node_id=self.ids[self.local],
            contacts=self._contacts(self.local, target),
            limits=self._limits(),
            now=0.0,
        )
        in_flight = deque()
        while not isinstance(step := lookup.next(0.0), Finished):
            if isinstance(step, Query):
                in_flight.append(step.contact)
            else:
                self._answer(lookup, in_flight.popleft(), target, for_value)
        return [self.ids.index(each.node_id) for each in step.result.contacts], step.result.values

    def _limits(self):
        """Return limits for a lookup that, as the original's, trusts every node, whomever it told of before."""
        return LookupLimits(k=self.k, max_bad=len(self.ids), max_contacts=len(self.ids))

    def _answer(self, lookup, asked, target, for_value):
        place = self.ids.index(asked.node_id)
        if place in self.dead:
            lookup.failed(asked)
        elif for_value and place in self.holders:
            lookup.answered(asked, (), [VALUE])
        else:
            lookup.answered(asked, self._contacts(place, target))

    def _contacts(self, place, target):
        return [Contact(node_id=self.ids[each]) for each in self.nearest(self.tables[place], target)]
