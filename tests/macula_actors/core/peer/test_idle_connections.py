from math import inf

import pytest

from macula_actors.core.peer.idle_connections import IdleConnections, Standing


@pytest.fixture
def idle():
    return IdleConnections({Standing.DIALLED: 60.0, Standing.SURPLUS: 5.0})


def test_each_standing_has_its_own_time_out(idle):
    idle.put("dialled", Standing.DIALLED, 0.0)
    idle.put("surplus", Standing.SURPLUS, 10.0)
    idle.put("accepted", Standing.ACCEPTED, 0.0)

    assert idle.next() == 15.0
    assert list(idle.pop_due(15.0)) == ["surplus"]
    assert idle.next() == 60.0
    assert list(idle.pop_due(1e9)) == ["dialled"]
    assert idle.next() == inf
    assert len(idle) == 1


def test_surplus_goes_first_then_the_least_recently_used_dialled_then_the_accepted(idle):
    idle.put("accepted", Standing.ACCEPTED, 0.0)
    idle.put("older", Standing.DIALLED, 1.0)
    idle.put("newer", Standing.DIALLED, 2.0)
    idle.put("older", Standing.DIALLED, 3.0)
    idle.put("surplus", Standing.SURPLUS, 4.0)
    order = []

    for _ in range(4):
        order.append(idle.least_dear())
        idle.discard(order[-1])

    assert order == ["surplus", "newer", "older", "accepted"]
    assert idle.least_dear() is None


def test_a_connection_has_one_standing(idle):
    idle.put("c", Standing.DIALLED, 0.0)
    idle.put("c", Standing.SURPLUS, 1.0)

    assert list(idle.pop_due(1e9)) == ["c"]
    assert len(idle) == 0
