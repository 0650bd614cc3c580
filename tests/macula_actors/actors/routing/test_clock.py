import pytest

from macula_actors.actors.routing.clock import Clock
from supervisors import System

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ([HOUR, HOUR + 1], [HOUR, HOUR + 1]),
        ([HOUR, HOUR - 1, HOUR - 59_999, HOUR + 1], [HOUR, HOUR, HOUR, HOUR + 1]),
        ([2 * HOUR, HOUR, HOUR - 1], [2 * HOUR, HOUR, HOUR]),
    ],
    ids=["forward", "back a little", "put right"],
)
def test_a_wall_clock_is_followed_back_only_where_it_was_wrong(shown, told):
    readings = iter([0, *shown])
    clock = Clock(System(), lambda: next(readings))

    assert [clock.now_ms() for _ in shown] == told
