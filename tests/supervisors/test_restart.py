import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import AutoShutdown, ChildSpecError, Crashed, Killed, Normal, Restart, Shutdown, Strategy, SupFlags
from supervisors.restart import RestartWindow, is_restarted, plan_restart

gaps = st.lists(st.integers(0, 50), max_size=60)  # tenths of a second between restarts


def admitted(intensity, period, instants):
    window = RestartWindow(intensity, period)
    return [window.admit(now) for now in instants]


@given(st.integers(0, 6), st.integers(1, 40), gaps)
def test_a_restart_is_admitted_unless_more_than_intensity_lie_in_the_period_before_it(intensity, period, gaps):
    instants = [float(sum(gaps[: i + 1])) for i in range(len(gaps))]

    verdicts = admitted(intensity, float(period), instants)

    by_definition = [sum(at >= now - period for at in instants[: i + 1]) <= intensity for i, now in enumerate(instants)]
    assert verdicts == by_definition


def test_the_window_slides():
    assert admitted(2, 2.0, [0.0, 1.9, 3.9]) == [True, True, True]


def test_a_restart_exactly_period_old_still_counts():
    assert admitted(1, 2.0, [0.0, 2.0]) == [True, False]


def test_intensity_zero_admits_none():
    assert admitted(0, 1.0, [0.0]) == [False]


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("x"), Killed(), Crashed(ValueError()), "boom"])
def test_permanent_is_restarted_whatever_the_reason_and_temporary_never(reason):
    assert is_restarted(Restart.PERMANENT, reason)
    assert not is_restarted(Restart.TEMPORARY, reason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(Normal(), False), (Shutdown(), False), (Shutdown("x"), False), (Killed(), True), ("boom", True)],
)
def test_transient_is_restarted_after_a_failure_only(reason, expected):
    assert is_restarted(Restart.TRANSIENT, reason) is expected


family = st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(list(range(n))), st.integers(0, n - 1)))


@given(family)
def test_one_for_one_restarts_the_dead_one_alone(family):
    children, dead = family

    plan = plan_restart(Strategy.ONE_FOR_ONE, children, dead)

    assert (list(plan.terminate), list(plan.start)) == ([], [dead])


@given(family)
def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(family):
    children, dead = family

    plan = plan_restart(Strategy.ONE_FOR_ALL, children, dead)

    assert plan.terminate == [child for child in reversed(children) if child != dead]
    assert plan.start == children


@given(family)
def test_rest_for_one_leaves_those_before_alone(family):
    children, dead = family

    plan = plan_restart(Strategy.REST_FOR_ONE, children, dead)

    assert plan.terminate == [child for child in reversed(children) if child > dead]
    assert plan.start == [child for child in children if child >= dead]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("strategy", "one_for_one"),
        ("intensity", -1),
        ("intensity", float("inf")),
        ("intensity", True),
        ("period", 0),
        ("period", float("inf")),
        ("period", "5"),
        ("auto_shutdown", "never"),
    ],
)
def test_a_wrong_flag_is_refused_by_name_and_value(flag, value):
    with pytest.raises(ChildSpecError) as refused:
        SupFlags(**{flag: value})

    assert (refused.value.field, refused.value.value) == (flag, value)


def test_children_without_ids_cannot_be_significant():
    with pytest.raises(ChildSpecError, match="SIMPLE_ONE_FOR_ONE"):
        SupFlags(Strategy.SIMPLE_ONE_FOR_ONE, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)


def test_the_flags_are_those_of_otp_by_default():
    assert SupFlags() == SupFlags(Strategy.ONE_FOR_ONE, 1, 5.0, AutoShutdown.NEVER)
