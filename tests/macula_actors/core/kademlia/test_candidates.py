from math import inf

from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.candidates import Candidate, Candidates, Progress
from macula_actors.core.kademlia.node_id import NodeId
from tests.macula_actors.core.kademlia.networks import contact_of

TARGET = NodeId(bytes(32))


def node_id(n):
    return NodeId(n.to_bytes(32))


def place(n, port=9443):
    return contact_of(node_id(n), port)


def candidate(n=1, source=None):
    return Candidate(place(n), n, source)


def silent(*sources):
    """Return a candidate that ``sources`` told of, and that was asked in vain."""
    made = candidate(source=sources[0])
    for each in sources[1:]:
        made.told(place(1), each)
    made.ask()
    made.given_up()
    return made


def fill(candidates, *numbers):
    for n in numbers:
        candidates.add(node_id(n), place(n), None)


def distances(candidates):
    return [each.distance for each in candidates]


def test_a_candidate_is_as_many_hops_away_as_nodes_were_asked_to_learn_of_it():
    seed = candidate()
    told = candidate(source=seed)

    assert [each.hops for each in (seed, told, candidate(source=told))] == [0, 1, 2]


def test_a_silent_candidate_is_slow_until_it_has_failed():
    made = candidate()
    made.ask()

    made.given_up()
    assert made.progress is Progress.SLOW

    made.pending.clear()
    made.given_up()
    assert made.progress is Progress.FAILED


def test_a_candidate_is_asked_at_the_next_place_when_it_is_silent_at_the_first():
    made = candidate(source=candidate(2))
    made.told(place(1, 2), candidate(3))
    made.ask()

    made.given_up()

    assert (made.progress, made.ask()) == (Progress.UNASKED, place(1, 2))


def test_a_silent_candidate_is_asked_again_when_it_is_said_to_be_elsewhere():
    made = silent(candidate(2))

    made.told(place(1, 2), candidate(3))

    assert made.ask() == place(1, 2)


def test_a_candidate_that_is_waited_for_is_not_asked_elsewhere_yet():
    made = candidate()
    made.ask()

    made.told(place(1, 2), candidate(2))

    assert made.progress is Progress.WAITING


def test_three_places_are_tried():
    made = candidate()
    for port in range(1, 9):
        made.told(place(1, port), candidate(2))
    asked = []
    while made.progress is Progress.UNASKED:
        asked.append(made.ask())
        made.given_up()

    assert asked == [place(1), place(1, 1), place(1, 2)]


def test_the_place_that_is_vouched_for_best_is_tried_first():
    liar, witness = candidate(2), candidate(3)
    liar.balance = -1
    made = candidate(source=liar)

    made.told(place(1, 2), witness)

    assert made.ask() == place(1, 2)


def test_a_candidate_that_answered_is_where_it_answered():
    made = candidate()
    made.told(place(1, 2), candidate(2))
    first = made.ask()
    made.given_up()
    made.ask()

    made.answered(first, ("value",))
    made.told(place(1, 3), candidate(3))

    assert (made.progress, made.contact, made.values, made.pending) == (Progress.ANSWERED, first, ("value",), [])


def test_sources_are_weighed_by_who_answers_where_they_said():
    honest, liar = candidate(2), candidate(3)
    made = candidate(source=liar)
    made.ask()
    made.told(place(1, 2), honest)
    made.given_up()

    made.answered(made.ask(), ())

    assert (honest.balance, liar.balance) == (1, -1)


def test_a_source_is_blamed_once_for_a_place_and_not_at_all_if_the_answer_comes_late():
    sources = candidate(2), candidate(3)
    made = silent(*sources)
    made.given_up()
    assert [each.balance for each in sources] == [-1, -1]

    made.answered(made.contact, ())
    assert [each.balance for each in sources] == [1, 1]


def test_who_tells_of_a_place_known_to_be_silent_is_blamed_too():
    source = candidate(3)

    silent(candidate(2)).told(place(1), source)

    assert source.balance == -1


def test_who_tells_of_a_place_twice_is_weighed_once():
    source = candidate(2)

    silent(source, source, source)

    assert source.balance == -1


def test_of_many_sources_some_are_enough():
    sources = [candidate(n) for n in range(2, 20)]

    silent(*sources)

    assert [each.balance for each in sources] == [-1] * 8 + [0] * 10


def test_what_this_nodes_own_table_has_is_never_doubtful():
    made = candidate()
    made.told(place(1), liar := candidate(2))
    liar.balance = -9

    assert not made.is_doubtful(1)


def test_a_candidate_is_doubtful_when_all_who_tell_of_it_are():
    one, other = candidate(2), candidate(3)
    one.balance, other.balance = -3, -2
    made = candidate(source=one)
    assert made.is_doubtful(3)

    made.told(place(1), other)
    assert not made.is_doubtful(3)
    assert made.is_doubtful(2)


@given(st.sets(st.integers(1, 1000)), st.integers(1, 50))
def test_the_nearest_are_kept_and_listed_nearest_first(numbers, max_candidates):
    made = Candidates(TARGET, max_candidates)

    fill(made, *numbers)

    assert distances(made) == sorted(numbers)[:max_candidates]
    assert len(made) == len(distances(made))


def test_a_candidate_is_found_by_its_id():
    made = Candidates(TARGET, 9)
    fill(made, 1)

    assert made.get(node_id(1)).contact == place(1)
    assert (made.get(node_id(2)), made.get(None)) == (None, None)


def test_who_was_asked_does_not_give_place_to_a_nearer_one():
    made = Candidates(TARGET, 2)
    fill(made, 5, 6)
    made.get(node_id(6)).ask()

    fill(made, 4, 7)

    assert distances(made) == [4, 6]
    assert made.get(node_id(5)) is None


def test_there_is_no_room_when_all_were_asked():
    made = Candidates(TARGET, 1)
    fill(made, 5)
    made.get(node_id(5)).ask()

    fill(made, 1)

    assert distances(made) == [5]


def test_a_place_of_this_nodes_own_is_trusted_without_end():
    assert candidate()._unasked[0].trust() == inf
