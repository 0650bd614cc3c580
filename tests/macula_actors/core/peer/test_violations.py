from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.violations import Violations


def test_a_flood_is_too_much():
    violations = Violations(3, 1.0)

    assert [violations.add(at) for at in (10.0, 10.4, 10.9)] == [False, False, True]


def test_one_now_and_then_is_never_too_much():
    violations = Violations(3, 1.0)

    assert not any(violations.add(float(at)) for at in range(1000))


def test_one_is_forgotten_after_the_other():
    violations = Violations(3, 1.0)
    for at in (0.0, 0.0):
        violations.add(at)

    assert [violations.add(at) for at in (1.0, 1.5)] == [False, True]


def test_a_burst_after_a_quiet_time_may_be_as_large_as_the_first():
    violations = Violations(3, 1.0)
    first = [violations.add(0.0) for _ in range(2)]

    assert first == [violations.add(100.0) for _ in range(2)] == [False, False]
    assert violations.add(100.0)


@given(st.lists(st.floats(0.0, 0.5), max_size=50))
def test_more_than_two_a_second_are_too_much_after_twice_as_many_as_may_come_at_once(pauses):
    violations, now, results = Violations(5, 1.0), 0.0, []
    for pause in pauses:
        now += pause
        results.append(violations.add(now))

    assert all(results[12:])
