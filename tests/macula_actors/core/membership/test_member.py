from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.membership.member import MAX_INCARNATION, Member, Status, member_of
from macula_actors.core.wire.messages import SwimUpdate
from tests.macula_actors.core.membership.exchange import a_member, node_id

ENDPOINT = Endpoint("10.0.0.1", 1)
claims = st.builds(
    lambda status, incarnation: a_member(status=status, incarnation=incarnation),
    st.sampled_from(Status),
    st.integers(0, 3),
)


@given(claims, claims)
def test_merging_is_commutative(one, other):
    assert one.merge(other) == other.merge(one)


@given(claims, claims, claims)
def test_merging_is_associative(one, two, three):
    assert one.merge(two).merge(three) == one.merge(two.merge(three))


@given(claims, claims)
def test_merging_is_idempotent(one, other):
    merged = one.merge(other)

    assert merged.merge(other) == merged.merge(one) == merged.merge(merged) == merged


@given(claims, claims)
def test_of_two_claims_one_overrides_the_other_or_they_are_the_same(one, other):
    assert [one.overrides(other), other.overrides(one), one == other].count(True) == 1


def test_of_one_incarnation_suspicion_overrides_life_and_death_both():
    alive, suspect, dead = (a_member(status=status, incarnation=1) for status in Status)

    assert suspect.overrides(alive)
    assert dead.overrides(suspect)
    assert dead.overrides(alive)


def test_a_dead_member_is_back_with_a_higher_incarnation_only():
    dead = a_member(status="dead", incarnation=1)

    assert a_member(incarnation=2).overrides(dead)
    assert not a_member(incarnation=1).overrides(dead)


def test_a_claim_without_an_endpoint_leaves_the_one_that_is_known():
    known = a_member(endpoint=ENDPOINT)

    assert known.merge(a_member(incarnation=1)).endpoint == ENDPOINT
    assert a_member(incarnation=1).merge(known).endpoint == ENDPOINT


@given(claims)
def test_a_claim_is_read_as_it_was_written(claim):
    assert member_of(claim.to_update()) == claim


def test_an_id_of_any_length_is_that_of_a_node():
    assert isinstance(member_of(SwimUpdate(node_id=b"short", status="alive", incarnation=0)), Member)


def test_a_claim_that_could_not_be_refuted_is_none():
    own = bytes(node_id(1))

    assert member_of(SwimUpdate(node_id=own, status="dead", incarnation=MAX_INCARNATION)) is None
    assert member_of(SwimUpdate(node_id=own, status="alive", incarnation=MAX_INCARNATION)) is not None
    assert member_of(SwimUpdate(node_id=own, status="dead", incarnation=MAX_INCARNATION - 1)) is not None
