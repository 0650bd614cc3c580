"""OTP cases, group A: child spec, supervisor flags, start order."""

from supervisors import which_children
from tests.support import supervise, worker


async def test_a04_children_start_in_list_order(system):
    """Children given as [a, b, c] start in that order."""
    log = []

    await supervise(system, [worker(id, log) for id in "abc"])

    assert log == [("start", "a"), ("start", "b"), ("start", "c")]


async def test_a06_which_children_lists_the_last_started_first(system):
    """which_children lists children in reverse start order."""
    sup = await supervise(system, [worker(id, []) for id in "abc"])

    assert [child.id for child in await which_children(sup)] == ["c", "b", "a"]
