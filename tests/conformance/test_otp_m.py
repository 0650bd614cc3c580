"""OTP cases, group M: introspection."""

import pytest

from supervisors import (
    ChildCounts,
    Normal,
    NotFoundError,
    Restart,
    Supervisor,
    SupFlags,
    count_children,
    delete_child,
    get_callback_module,
    get_childspec,
    start_child,
    terminate_child,
    which_children,
)
from tests.support import finish, refs, subtree, supervise, worker


async def test_m02_count_children_counts_specs_and_those_that_run(system):
    """Supervisors and workers count specs, active counts processes."""
    finished = worker("finished", [], restart=Restart.TRANSIENT)
    sup = await supervise(system, [worker("up", []), finished, subtree("sup", []), worker("stopped", [])])
    await finish((await refs(sup))["finished"], Normal())
    await terminate_child(sup, "stopped")

    counts = await count_children(sup)

    assert counts == ChildCounts(specs=4, active=2, supervisors=1, workers=3)


async def test_m03_get_childspec_is_by_id(system):
    """A supervisor that knows its children by id finds none by ref."""
    spec = worker("a", [])
    sup = await supervise(system, [spec])
    child = (await refs(sup))["a"]

    with pytest.raises(NotFoundError):
        await get_childspec(sup, child)

    assert await get_childspec(sup, "a") == spec


class Family(Supervisor):
    """A supervisor with a class of its own."""

    def init(self):
        return SupFlags(), []


async def test_m04_get_callback_module_returns_the_class(system):
    """The class is what a module with callbacks is in Erlang."""
    sup = await system.start(Family)

    assert get_callback_module(sup) is Family


async def test_m05_an_empty_supervisor_has_no_children(system):
    """which_children returns an empty list."""
    sup = await supervise(system, [])

    assert await which_children(sup) == []


async def test_m06_what_get_childspec_returns_start_child_takes(system):
    """A spec may be fetched, its child deleted, and the spec used again."""
    sup = await supervise(system, [worker("a", [], restart=Restart.TRANSIENT, shutdown=1.5)])
    spec = await get_childspec(sup, "a")
    await terminate_child(sup, "a")
    await delete_child(sup, "a")

    child = await start_child(sup, spec)

    assert await refs(sup) == {"a": child}
    assert await get_childspec(sup, "a") == spec
