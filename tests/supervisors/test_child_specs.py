import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import BRUTAL_KILL, INFINITY, ChildSpec, ChildSpecError, ChildType, Restart, check_childspecs
from supervisors.child_specs import child_key


async def start(*args):
    return args


terms = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 2.0, 0.5]) | st.text(max_size=2),
    lambda inner: st.tuples(inner, inner),
    max_leaves=4,
)


@given(terms, terms)
def test_ids_are_the_same_only_if_value_and_type_are(one, other):
    assert (child_key(one) == child_key(other)) == (repr(one) == repr(other))


def test_a_worker_has_five_seconds_to_stop():
    assert ChildSpec("a", start).shutdown == 5.0


def test_a_supervisor_has_all_the_time():
    assert ChildSpec("a", start, type=ChildType.SUPERVISOR).shutdown == INFINITY


def test_a_supervisor_may_be_given_less():
    assert ChildSpec("a", start, type=ChildType.SUPERVISOR, shutdown=2).shutdown == 2


@pytest.mark.parametrize("shutdown", [0, 0.5, 7, INFINITY, BRUTAL_KILL])
def test_shutdown_is_seconds_infinity_or_brutal_kill(shutdown):
    assert ChildSpec("a", start, shutdown=shutdown).shutdown == shutdown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", []),
        ("start", None),
        ("start", "f"),
        ("restart", "always"),
        ("restart", "permanent"),
        ("shutdown", -1),
        ("shutdown", float("nan")),
        ("shutdown", True),
        ("shutdown", "5"),
        ("type", "w"),
        ("significant", 1),
        ("modules", "ab"),
        ("modules", [1]),
        ("modules", 1),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_value(field, value):
    with pytest.raises(ChildSpecError) as refused:
        ChildSpec(**{"id": "a", "start": start, field: value})

    assert (refused.value.field, refused.value.value) == (field, value)


def test_a_permanent_child_cannot_be_significant():
    with pytest.raises(ChildSpecError, match="permanent child cannot be significant"):
        ChildSpec("a", start, significant=True)


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
def test_other_children_can_be_significant(restart):
    assert ChildSpec("a", start, restart, significant=True).significant


async def test_arguments_follow_those_of_the_template():
    spec = ChildSpec("a", start).with_args([1, 2])

    assert await spec.start() == (1, 2)


def test_a_list_of_specs_with_different_ids_is_right():
    check_childspecs([ChildSpec("a", start), ChildSpec("b", start)])


@pytest.mark.parametrize(
    ("specs", "problem"),
    [
        ("ab", "must be a list"),
        (1, "must be a list"),
        ([ChildSpec("a", start), "b"], "must be a ChildSpec"),
        ([ChildSpec("a", start), ChildSpec("b", start), ChildSpec("a", start)], "given to two children"),
    ],
)
def test_a_wrong_list_of_specs_is_refused(specs, problem):
    with pytest.raises(ChildSpecError, match=problem):
        check_childspecs(specs)
