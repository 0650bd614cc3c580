from math import inf, nan

import pytest

from macula_actors.core.durations import lifetime, patience

NONE = ["x", None, nan, inf, -inf, True, [5], 1j]


@pytest.mark.parametrize(("timeout", "seconds"), [(5, 5.0), (0.25, 0.25), (1e9, 1e9), (0, 0.0), (-1, -1.0)])
def test_any_finite_number_is_a_timeout(timeout, seconds):
    assert patience(timeout) == seconds


@pytest.mark.parametrize("timeout", NONE)
def test_what_is_no_finite_number_is_no_timeout(timeout):
    with pytest.raises(ValueError, match="allowed is a finite number of seconds"):
        patience(timeout)


@pytest.mark.parametrize(("ttl", "seconds"), [(300.0, 300), (1.5, 2), (0.1, 1), (1, 1), (86_400, 86_400)])
def test_a_record_lives_whole_seconds_and_no_shorter_than_asked(ttl, seconds):
    assert lifetime(ttl) == seconds
    assert type(lifetime(ttl)) is int


@pytest.mark.parametrize("ttl", [*NONE, 0, -1, 86_400.5, 10**12])
def test_what_is_no_lifetime_is_refused(ttl):
    with pytest.raises(ValueError, match="allowed is a number of seconds above 0, at most 86400"):
        lifetime(ttl)
