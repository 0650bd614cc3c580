"""The original's pure functions and ours give the same answers, or the difference is named.

``MACULA_VECTORS=FOLDER`` compares with the ``functions.json`` and ``sequences.json`` of another folder.
"""

from collections import defaultdict

import pytest

from macula_actors.errors import LocalProtocolError
from tests.conformance.erlang_terms import OWN_VECTORS, REFUSED, VECTORS, each_of, outcome, read, to_term
from tests.conformance.function_differences import DIFFERENCES, DROPPED, difference
from tests.conformance.function_ports import PORTS


def calls_of(entries):
    """Return what each function was called with and what came of it: (module, function) -> [(args, outcome)]."""
    calls = defaultdict(list)
    for entry in entries:
        calls[entry["module"], entry["function"]].append((to_term(entry["args"]), outcome(entry)))
    return calls


def routings(entries):
    """Return the decisions on envelopes among ``entries`` as calls of the function that took them."""
    return [
        {
            "module": f"macula_{operation['kind']}_routing",
            "function": "route_or_deliver",
            "args": [entry["local_node_id"], operation["msg"], entry["nodes"]],
            "result": operation["result"],
        }
        for entry in entries
        if entry["kind"] == "route_or_deliver"
        for operation in entry["ops"]
    ]


def entries_in(folder):
    return read("functions.json", folder) + routings(read("sequences.json", folder))


def answer(key, args):
    """Return what our function answers; a term of another kind than it takes is refused, as a function clause does."""
    try:
        return PORTS[key](*args)
    except (AttributeError, LocalProtocolError, LookupError, TypeError, ValueError):
        return REFUSED


def agrees(key, args, was):
    """Tell whether ours is the same answer; True is not 1."""
    ours = answer(key, args)
    return ours == was and isinstance(ours, bool) == isinstance(was, bool)


CALLS = calls_of(entries_in(VECTORS))
OWN_CALLS = [(key, *call) for key, calls in calls_of(entries_in(OWN_VECTORS)).items() for call in calls]


def each_function(keys):
    """Parametrize a test with ``keys`` of functions."""
    params = [pytest.param(key, id=":".join(key)) for key in sorted(keys)]
    return each_of(("key",), params, "functions.json", "sequences.json")


@each_function(CALLS.keys() & PORTS.keys())
def test_a_ported_function_answers_as_the_original_unless_the_difference_is_named(key):
    unnamed = [
        (args, was, answer(key, args))
        for args, was in CALLS[key]
        if not agrees(key, args, was) and difference(key, args, was) is None
    ]

    assert unnamed == []


@each_function(CALLS.keys())
def test_a_function_is_ported_or_it_is_said_why_not(key):
    assert (key in PORTS) != (key in DROPPED)


@pytest.mark.parametrize("each", DIFFERENCES, ids=lambda each: each.reason)
def test_a_named_difference_is_one_and_is_not_wider_than_it(each):
    named = [call for call in OWN_CALLS if call[0] in each.functions and each.applies(*call[1:])]

    assert named
    assert [call for call in named if agrees(*call)] == []
