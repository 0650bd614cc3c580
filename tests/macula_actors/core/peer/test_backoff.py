import math
from random import Random

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.backoff import Backoff, WaitJittered

attempts = st.integers(1, 200) | st.just(10**9)
seeds = st.integers(0, 2**32)


@st.composite
def backoffs(draw):
    initial = draw(st.floats(0.001, 100))
    return Backoff(
        initial=initial,
        maximum=draw(st.floats(initial, 1000)),
        factor=draw(st.floats(1, 10)),
        jitter=draw(st.floats(0, 1)),
    )


def grown(backoff, attempt):
    """Return the exponential delay, without a ceiling."""
    try:
        return backoff.initial * backoff.factor ** (attempt - 1)
    except OverflowError:
        return math.inf


@given(backoffs(), attempts, seeds)
def test_a_delay_stays_within_the_jitter_around_the_exponential_and_below_the_maximum(backoff, attempt, seed):
    nominal = min(grown(backoff, attempt), backoff.maximum / (1 + backoff.jitter))

    delay = backoff.delay(attempt, Random(seed))

    assert delay <= backoff.maximum
    assert nominal * (1 - backoff.jitter) == pytest.approx(delay) or delay > nominal * (1 - backoff.jitter)
    assert nominal * (1 + backoff.jitter) == pytest.approx(delay) or delay < nominal * (1 + backoff.jitter)


@given(backoffs(), st.integers(1, 100), seeds)
def test_with_the_same_chance_a_later_attempt_never_waits_less(backoff, attempt, seed):
    assert backoff.delay(attempt, Random(seed)) <= backoff.delay(attempt + 1, Random(seed)) * (1 + 1e-12)


@given(backoffs(), attempts, seeds)
def test_the_same_seed_gives_the_same_delay(backoff, attempt, seed):
    assert backoff.delay(attempt, Random(seed)) == backoff.delay(attempt, Random(seed))


def test_without_jitter_delays_double_up_to_the_maximum():
    backoff = Backoff(jitter=0.0)

    assert [backoff.delay(n, Random(1)) for n in (1, 2, 3, 6, 7, 8)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]


def test_nodes_that_wait_the_maximum_do_not_come_back_at_one_instant():
    rng = Random(1)

    delays = {Backoff().delay(50, rng) for _ in range(100)}

    assert len(delays) == 100
    assert min(delays) > 16
    assert max(delays) <= 30


def test_any_strategy_of_tenacity_can_take_the_exponential_ones_place():
    chain = tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(7), tenacity.wait_fixed(99))
    backoff = Backoff(wait=chain, jitter=0.0)

    assert [backoff.delay(n, Random(1)) for n in (1, 2, 3)] == [1, 7, 30]


def test_a_strategy_may_look_at_the_error():
    backoff = Backoff(wait=tenacity.wait_exception(lambda error: float(str(error))), jitter=0.0)

    assert backoff.delay(1, Random(1), OSError("12.5")) == 12.5


def test_a_strategy_that_gives_less_than_nothing_waits_no_time():
    backoff = Backoff(wait=tenacity.wait_fixed(-3))

    assert backoff.delay(1, Random(1)) == 0


def test_the_jitter_works_in_tenacity_itself():
    naps, rng = [], Random(1)
    wait = WaitJittered(tenacity.wait_fixed(2), jitter=0.5, maximum=30.0, rng=Random(1))
    retrying = tenacity.Retrying(wait=wait, sleep=naps.append, stop=tenacity.stop_after_attempt(3))

    with pytest.raises(tenacity.RetryError):
        retrying(int, "x")

    assert naps == [2 * (0.5 + rng.random()), 2 * (0.5 + rng.random())]


@pytest.mark.parametrize(
    "numbers",
    [{"initial": 0}, {"initial": 31}, {"maximum": float("inf")}, {"factor": 0.9}, {"jitter": 1.1}, {"jitter": -0.1}],
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ValueError, match=r"needed is|allowed are"):
        Backoff(**numbers)


def test_there_is_no_attempt_zero():
    with pytest.raises(ValueError, match="the first is 1"):
        Backoff().delay(0, Random(1))
