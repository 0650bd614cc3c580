"""The original's buckets, tables and lookups and ours give the same answers, or the difference is named.

``MACULA_VECTORS=FOLDER`` compares with the files of another folder.
"""

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from tests.conformance.erlang_terms import OWN_VECTORS, Atom, each_of, read, to_term
from tests.conformance.kademlia_differences import (
    BUCKETS,
    DROPPED_MESSAGES,
    DROPPED_OPERATIONS,
    DROPPED_SEQUENCES,
    LOOKUPS,
    VALUES,
)
from tests.conformance.kademlia_ports import (
    BUCKET_FULL,
    VALUE,
    SimulatedNetwork,
    addresses,
    play_bucket,
    play_routing_server,
    play_table,
)

WITH_CACHE = 100  # contacts in the replacement cache
RECORD_OPERATIONS = {"delete_local", "find_value", "get_local", "store", "store_local"}  # test_record_store_vectors.py
COMPARED_SEQUENCES = {"bucket", "route_or_deliver", "routing_server"}  # the second by test_function_vectors.py
COMPARED_OPERATIONS = {"add_node", "handle_message", "size"} | RECORD_OPERATIONS
COMPARED_MESSAGES = {b"find_node", b"find_value", b"store"}


def of_kind(kind, entries):
    return [entry for entry in entries if entry["kind"] == kind]


def asked(entry):
    """Return the names of the operations of a routing server's ``entry``, and the types of the messages."""
    terms = [to_term(each["op"]) for each in entry["ops"]]
    messages = [term[1] for term in terms if term[0] == "handle_message"]
    return {term if isinstance(term, Atom) else term[0] for term in terms}, {each.get(b"type") for each in messages}


def replies(entry):
    """Return what the original's bucket replied, and whom it had then."""
    return [(to_term(each["reply"]), to_term(each["ids"])) for each in entry["ops"]]


def lookups(entry):
    """Return what the original and we find: of nodes for the target, of nodes to store at for the key."""
    network = SimulatedNetwork(entry)
    found = {network.target: entry["iterative_find_node"]["result"], network.key: entry["store_value"]["stored_at"]}
    return network, [(was, network.look(target)[0], target) for target, was in found.items()]


def values(entry):
    """Return the values that the original and we find; all holders have the same."""
    network = SimulatedNetwork(entry)
    was, _ = to_term(entry["find_value"]["result"])
    return network, (VALUE,) if was == "ok" else (), network.look(network.key, for_value=True)[1]


def was_refused_and_removed(entry):
    """Tell whether the bucket refused a newcomer, and lost a contact after that."""
    refused = [place for place, (reply, _) in enumerate(replies(entry)) if reply == BUCKET_FULL]
    removed = [
        place
        for place, ((_, before), (_, after)) in enumerate(zip(replies(entry), replies(entry)[1:], strict=False), 1)
        if len(after) < len(before)
    ]
    return bool(refused), bool(refused) and any(place > refused[0] for place in removed)


TABLES = read("routing_table.json")
ALL_SEQUENCES = read("sequences.json")
SEQUENCES = of_kind("bucket", ALL_SEQUENCES)
SERVERS = of_kind("routing_server", ALL_SEQUENCES)
NETWORKS = read("lookup.json")
OWN_SEQUENCES = of_kind("bucket", read("sequences.json", OWN_VECTORS))
OWN_NETWORKS = read("lookup.json", OWN_VECTORS)


def each_entry(entries, file):
    return each_of(("entry",), [pytest.param(entry, id=entry["name"]) for entry in entries], file)


each_table = each_entry(TABLES, "routing_table.json")
each_bucket = each_entry(SEQUENCES, "sequences.json")
each_server = each_entry(SERVERS, "sequences.json")
each_network = each_entry(NETWORKS, "lookup.json")


@each_table
def test_a_table_without_replacement_cache_has_the_contacts_of_the_originals(entry):
    table = play_table(entry)
    was = {each["index"]: to_term(each["nodes"]) for each in entry["buckets"] if each["nodes"]}

    assert {index: addresses(each.contact for each in table.bucket(index).known) for index in table.indices} == was
    assert (len(table), sorted(addresses(table))) == (entry["size"], sorted(to_term(entry["get_all_nodes_set"])))


@each_table
def test_the_closest_contacts_of_a_table_are_those_of_the_originals(entry):
    table = play_table(entry)

    for each in entry["find_closest"]:
        target = NodeId.normalize(to_term(each["target"]))
        assert addresses(table.closest(target, each["k"])) == to_term(each["result"])


@each_bucket
def test_a_bucket_without_replacement_cache_does_what_the_originals_does(entry):
    assert play_bucket(entry) == replies(entry)


@each_bucket
def test_a_bucket_does_what_the_originals_does_unless_the_difference_is_named(entry):
    is_named = any(each.applies(*was_refused_and_removed(entry)) for each in BUCKETS)

    assert play_bucket(entry, max_cached=WITH_CACHE) == replies(entry) or is_named


@each_network
def test_a_lookup_finds_what_the_originals_does_unless_the_difference_is_named(entry):
    network, found = lookups(entry)

    for was, ours, _ in found:
        assert ours == was or any(each.applies(network, was, ours) for each in LOOKUPS)


@each_network
def test_a_lookup_misses_no_nearer_living_node_of_which_those_that_it_finds_can_tell(entry):
    # the tables have a few contacts each, at random: not even the nearest is always found, by neither
    network, found = lookups(entry)

    for was, ours, target in found:
        assert not network.missed(was, ours, target) & network.told({*ours, network.local}, target)


@each_network
def test_a_lookup_finds_the_value_where_the_originals_does_unless_the_difference_is_named(entry):
    network, was, ours = values(entry)

    assert ours == was or any(each.applies(network, was, ours) for each in VALUES)


@pytest.mark.parametrize("each", VALUES, ids=lambda each: each.reason)
def test_a_named_difference_of_values_is_one_and_is_not_wider_than_it(each):
    named = [(was, ours) for network, was, ours in map(values, OWN_NETWORKS) if each.applies(network, was, ours)]

    assert named
    assert [was for was, ours in named if was == ours] == []


@pytest.mark.parametrize("each", LOOKUPS, ids=lambda each: each.reason)
def test_a_named_difference_of_lookups_is_one_and_is_not_wider_than_it(each):
    networks = map(lookups, OWN_NETWORKS)
    named = [(was, ours) for network, found in networks for was, ours, _ in found if each.applies(network, was, ours)]

    assert named
    assert [was for was, ours in named if was == ours] == []


@pytest.mark.parametrize("each", BUCKETS, ids=lambda each: each.reason)
def test_a_named_difference_of_buckets_is_one_and_is_not_wider_than_it(each):
    named = [entry for entry in OWN_SEQUENCES if each.applies(*was_refused_and_removed(entry))]

    assert named
    assert [entry["name"] for entry in named if play_bucket(entry, max_cached=WITH_CACHE) == replies(entry)] == []


@each_server
def test_a_routing_server_knows_the_contacts_that_the_originals_does(entry):
    answers = list(play_routing_server(entry))

    assert [ours for ours, _ in answers] == [was for _, was in answers]


@each_server
def test_an_operation_of_a_routing_server_is_compared_or_it_is_said_why_not(entry):
    operations, messages = asked(entry)

    assert operations <= COMPARED_OPERATIONS | DROPPED_OPERATIONS.keys()
    assert messages <= COMPARED_MESSAGES | DROPPED_MESSAGES.keys()


@each_entry(ALL_SEQUENCES, "sequences.json")
def test_a_sequence_is_compared_or_it_is_said_why_not(entry):
    assert (entry["kind"] in COMPARED_SEQUENCES) != (entry["kind"] in DROPPED_SEQUENCES)


def test_our_copies_are_whole():
    assert (len(read("routing_table.json", OWN_VECTORS)), len(OWN_SEQUENCES), len(OWN_NETWORKS)) == (22, 12, 17 + 2)
    assert {to_term(entry["find_value"]["result"])[0] for entry in OWN_NETWORKS} == {"ok", Atom("nodes")}
