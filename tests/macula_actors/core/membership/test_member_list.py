from random import Random

from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.membership.member import Status
from macula_actors.core.membership.member_list import Change, Entry, MemberList
from tests.macula_actors.core.membership.exchange import a_member, node_id

OWN = 9


def a_list(*claims, most=10, table=None):
    members = MemberList(node_id(OWN), most, {} if table is None else table, 0.0)
    for now, claim in enumerate(claims):
        members.apply(claim, float(now))
    return members


def test_who_is_heard_of_is_a_member():
    members = a_list()

    assert members.apply(a_member(1), 5.0) == Change(a_member(1), None)
    assert members.get(node_id(1)) == Entry(a_member(1), 5.0)
    assert node_id(1) in members
    assert len(members) == 1


def test_that_somebody_unknown_is_dead_is_no_news():
    members = a_list()

    assert members.apply(a_member(1, "dead"), 0.0) is None
    assert len(members) == 0


def test_a_claim_that_was_overridden_is_no_news():
    members = a_list(a_member(1, incarnation=3))

    assert members.apply(a_member(1, "dead", 2), 1.0) is None
    assert members.apply(a_member(1, incarnation=3), 1.0) is None
    assert members.get(node_id(1)).since == 0.0


def test_news_say_what_was_believed_before():
    members = a_list(a_member(1))

    assert members.apply(a_member(1, "dead"), 1.0) == Change(a_member(1, "dead"), Status.ALIVE)
    assert members.apply(a_member(1, "alive", 1), 2.0) == Change(a_member(1, incarnation=1), Status.DEAD)


def test_a_node_is_no_member_of_its_own_list():
    members = a_list(a_member(1))

    assert node_id(OWN) not in members
    assert members.get(node_id(OWN)) is None
    assert [entry.member.node_id for entry in members] == [node_id(1)]


def test_a_suspicion_of_this_node_is_refuted_by_the_next_incarnation():
    members = a_list()

    assert members.apply(a_member(OWN, "suspect"), 0.0) == Change(a_member(OWN, incarnation=1), Status.ALIVE)
    assert members.apply(a_member(OWN, "suspect"), 0.0) is None
    assert members.apply(a_member(OWN, "dead", 4), 0.0).member.incarnation == 5
    assert members.itself == a_member(OWN, incarnation=5)


def test_a_node_that_started_anew_goes_on_from_the_incarnation_that_others_tell():
    members = a_list()
    members.apply(a_member(OWN, "alive", 7), 0.0)

    assert members.itself.incarnation == 7


def test_a_list_in_a_table_that_outlived_another_has_its_members_and_incarnation():
    table = {}
    a_list(a_member(1), a_member(OWN, "suspect"), table=table)
    members = a_list(table=table)

    assert members.itself.incarnation == 1
    assert node_id(1) in members


def test_one_member_too_many_takes_the_place_of_who_has_been_dead_longest():
    members = a_list(a_member(1), a_member(2), a_member(3), a_member(2, "dead"), a_member(1, "dead"), most=3)

    assert members.apply(a_member(4), 9.0) is not None
    assert set(members.ids()) == {node_id(1), node_id(3), node_id(4)}


def test_one_member_too_many_is_not_known_of_if_none_is_dead():
    members = a_list(a_member(1), most=1)

    assert members.apply(a_member(2), 1.0) is None
    assert set(members.ids()) == {node_id(1)}


def test_room_is_made_by_forgetting_whom_nothing_was_heard_of_longest_but_none_of_those_to_keep():
    members = a_list(a_member(1), a_member(2), a_member(3), most=3)
    members.make_room({node_id(1)})
    assert set(members.ids()) == {node_id(1), node_id(3)}
    members.make_room(())
    assert len(members) == 2


def test_no_room_is_made_at_the_cost_of_those_to_keep():
    members = a_list(a_member(1), most=1)
    members.make_room({node_id(1)})

    assert set(members.ids()) == {node_id(1)}
    assert members.itself.node_id == node_id(OWN)


def test_an_endpoint_is_kept_and_replaced_by_a_newer_one():
    members = a_list(a_member(1))
    for port in (1, 2):
        members.set_endpoint(node_id(1), Endpoint("10.0.0.1", port))
    members.set_endpoint(node_id(1), None)
    members.set_endpoint(node_id(2), Endpoint("10.0.0.1", 3))
    members.apply(a_member(1, "suspect"), 1.0)

    assert members.get(node_id(1)).member.endpoint == Endpoint("10.0.0.1", 2)
    assert node_id(2) not in members


def test_who_is_forgotten_is_no_member_and_this_node_is_never_forgotten():
    members = a_list(a_member(1))
    for number in (1, 2, OWN):
        members.forget(node_id(number))

    assert len(members) == 0
    assert members.itself.node_id == node_id(OWN)


claims = st.builds(a_member, st.integers(1, 4), st.sampled_from(["alive", "suspect"]), st.integers(0, 3))


@given(st.lists(claims, max_size=20), st.randoms(use_true_random=False))
def test_in_whatever_order_claims_come_the_list_ends_the_same(claims, rng):
    shuffled = [*claims, *claims[:3]]
    Random(rng.random()).shuffle(shuffled)

    assert {e.member for e in a_list(*claims)} == {e.member for e in a_list(*shuffled)}
