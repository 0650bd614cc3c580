"""The original's buckets, tables and lookups and ours give the same answers, or the difference is named.

``MACULA_VECTORS=FOLDER`` compares with the files of another folder.
"""

from operator import itemgetter

import pytest

from macula_actors.core.kademlia.node_id import NodeId
from tests.conformance.erlang_terms import OWN_VECTORS, Atom, read, to_term
from tests.conformance.kademlia_differences import BUCKETS, LOOKUPS
from tests.conformance.kademlia_ports import (
    BUCKET_FULL,
    SimulatedNetwork,
    addresses,
    play_bucket,
    play_table,
)

WITH_CACHE = 100  # contacts in the replacement cache


def buckets_of(entries):
    return [entry for entry in entries if entry["kind"] == "bucket"]


def replies(entry):
    """Return what the original's bucket replied, and whom it had then."""
    return [(to_term(each["reply"]), to_term(each["ids"])) for each in entry["ops"]]


def lookups(entry):
    """Return what the original and we find: of nodes for the target, of nodes to store at for the key."""
    network = SimulatedNetwork(entry)
    found = {network.target: entry["iterative_find_node"]["result"], network.key: entry["store_value"]["stored_at"]}
    return network, [(was, network.look(target)[0], target) for target, was in found.items()]


def values(entry):
    """Return the values that the original and we find."""
    network = SimulatedNetwork(entry)
    was, value = to_term(entry["find_value"]["result"])
    return network, (value,) if was == "ok" else (), network.look(network.key, for_value=True)[1]


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
SEQUENCES = buckets_of(read("sequences.json"))
NETWORKS = read("lookup.json")
OWN_SEQUENCES = buckets_of(read("sequences.json", OWN_VECTORS))
OWN_NETWORKS = read("lookup.json", OWN_VECTORS)


def each_of(entries):
    return pytest.mark.parametrize("entry", entries, ids=itemgetter("name"))


@each_of(TABLES)
def test_a_table_without_replacement_cache_has_the_contacts_of_the_originals(entry):
    table = play_table(entry)
    was = {each["index"]: to_term(each["nodes"]) for each in entry["buckets"] if each["nodes"]}

    assert {index: addresses(each.contact for each in table.bucket(index).known) for index in table.indices} == was
    assert (len(table), sorted(addresses(table))) == (entry["size"], sorted(to_term(entry["get_all_nodes_set"])))


@each_of(TABLES)
def test_the_closest_contacts_of_a_table_are_those_of_the_originals(entry):
    table = play_table(entry)

    for each in entry["find_closest"]:
        target = NodeId.normalize(to_term(each["target"]))
        assert addresses(table.closest(target, each["k"])) == to_term(each["result"])


@each_of(SEQUENCES)
def test_a_bucket_without_replacement_cache_does_what_the_originals_does(entry):
    assert play_bucket(entry) == replies(entry)


@each_of(SEQUENCES)
def test_a_bucket_does_what_the_originals_does_unless_the_difference_is_named(entry):
    is_named = any(each.applies(*was_refused_and_removed(entry)) for each in BUCKETS)

    assert play_bucket(entry, max_cached=WITH_CACHE) == replies(entry) or is_named


@each_of(NETWORKS)
def test_a_lookup_finds_what_the_originals_does_unless_the_difference_is_named(entry):
    network, found = lookups(entry)

    for was, ours, _ in found:
        assert ours == was or any(each.applies(network, was, ours) for each in LOOKUPS)


@each_of(NETWORKS)
def test_a_lookup_misses_no_living_node_that_the_originals_finds_unless_it_finds_a_nearer_one(entry):
    # the tables have a few contacts each, at random: not even the nearest is always found, by neither
    network, found = lookups(entry)

    for was, ours, target in found:
        new, missed = set(ours) - set(was), network.missed(was, ours)
        assert not missed or network.nearest(new | missed, target)[0] in new


@each_of(NETWORKS)
def test_a_lookup_finds_the_value_where_the_originals_does(entry):
    _, was, ours = values(entry)

    assert ours == was


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


def test_all_of_the_original_was_read():
    assert (len(TABLES), len(SEQUENCES), len(NETWORKS)) == (22, 12, 17)
    assert {to_term(entry["find_value"]["result"])[0] for entry in NETWORKS} == {"ok", Atom("nodes")}
