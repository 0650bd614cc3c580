"""The storage of the original's routing server, operation by operation, beside ours in open mode.

Differs: the original's ``delete_local`` finds no record that came from the network (D-50); ours does. From then on the
original has a record more under that key, and if its owner stores again it is in another place.
"""

from collections import defaultdict

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.peer.handshake import Security
from tests.conformance.erlang_terms import OWN_VECTORS, Atom, each_of, read, to_term
from tests.macula_actors.core.kademlia.records import NOW


def servers_of(entries):
    return [entry for entry in entries if entry["kind"] == "routing_server"]


def on_the_wire(term):
    """Return a map as it travels: atoms become bin."""
    return {str(key).encode() if isinstance(key, Atom) else key: item for key, item in term.items()}


def maps_in(reply):
    """Return the records of a reply; of one that has none, the empty list."""
    match reply:
        case ("ok", list(found)) | {"result": "value", "value": list(found)}:
            return [on_the_wire(each) for each in found]
        case _:
            return []


class Replay:
    """One sequence, and the records that the original should have deleted."""

    def __init__(self, sequence):
        own_id = NodeId.normalize(to_term(sequence["local_node_id"]))
        self.store = RecordStore(own_id, security=Security.OPEN)
        self.undeleted = defaultdict(set)
        self.has_differed = set()
        self.now = NOW

    def stored(self, key, value):
        record = Record.from_value(NodeId.normalize(key), value, security=Security.OPEN, now_ms=self.now)
        self.store.put(record, self.now)
        self.undeleted[key].discard(value.get(b"node_id"))

    def deleted(self, key, node_id):
        """Delete, and take note of what the original did not: it compares atom keys with those of the network."""
        self.store.forget(NodeId.normalize(key), NodeId.normalize(node_id))
        self.undeleted[key].add(node_id)
        self.has_differed.add(key)

    def compare(self, key, reply):
        ours = [record.to_value() for record in self.store.get(NodeId.normalize(key), self.now)]
        theirs = [each for each in maps_in(reply) if each.get(b"node_id") not in self.undeleted[key]]
        order = sorted if key in self.has_differed else list
        assert order(map(repr_sorted, ours)) == order(map(repr_sorted, theirs))

    def step(self, op, reply):
        self.now += 1
        match op:
            case ("store" | "store_local", key, value):
                self.stored(key, on_the_wire(value))
            case ("delete_local", key, node_id):
                self.deleted(key, node_id)
            case ("get_local", key) | ("find_value", key, _):
                self.compare(key, reply)
            case ("handle_message", {b"type": b"store", b"key": key, b"value": value}):
                self.stored(key, value)
            case ("handle_message", {b"type": b"find_value", b"key": key}):
                self.compare(key, reply)
            case _:
                pass


def repr_sorted(value):
    return repr(sorted(value.items()))


@each_of(
    ("sequence",),
    [pytest.param(each, id=each["name"]) for each in servers_of(read("sequences.json"))],
    "sequences.json",
)
def test_records_are_stored_replaced_and_found_as_by_the_original(sequence):
    replay = Replay(sequence)

    for each in sequence["ops"]:
        replay.step(to_term(each["op"]), to_term(each["reply"]))


def test_the_vectors_store_delete_and_find():
    own = [each for each in read("sequences.json", OWN_VECTORS) if each["kind"] == "routing_server"]
    kinds = [str(to_term(each["op"])[0]) for server in own for each in server["ops"]]

    assert len(own) == 15
    assert all(kinds.count(kind) > 20 for kind in ("store", "store_local", "get_local", "delete_local", "find_value"))
