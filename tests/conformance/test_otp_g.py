"""OTP cases, group G: restart type and exit reason."""

import pytest

from supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Crashed,
    Kill,
    Killed,
    Normal,
    ProcessExit,
    Restart,
    Shutdown,
    start_child,
)
from tests.support import finish, kill, raises, refs, supervise, worker

PERMANENT, TRANSIENT, TEMPORARY = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY

RESTARTED, KEPT, REMOVED = "restarted", "kept without a process", "removed"


async def one_child(system, restart, **flags):
    """Start a supervisor of one child of type ``restart``; return both."""
    sup = await supervise(system, [worker("x", [], restart=restart)], **flags)
    return sup, (await refs(sup))["x"]


async def crash(ref, error):
    """Have a `Worker` raise ``error``, and wait until it has ended."""
    ref.cast(raises(error))
    await ref.wait_exit()


async def fate(sup, ref):
    """Return what became of the only child of ``sup``, which was ``ref``."""
    after = await refs(sup)
    assert after.get("x") is not ref
    if "x" not in after:
        return REMOVED
    return KEPT if after["x"] is None else RESTARTED


async def test_g02_a_permanent_child_that_is_shut_down_is_restarted(system):
    """A permanent child that ends with Shutdown() is restarted."""
    sup, child = await one_child(system, PERMANENT)

    await finish(child, Shutdown())

    assert await fate(sup, child) == RESTARTED


async def test_g04_a_permanent_child_that_is_killed_is_restarted(system):
    """A permanent child that is killed is restarted."""
    sup, child = await one_child(system, PERMANENT)

    await kill(child)

    assert child.exit_reason == Killed()
    assert await fate(sup, child) == RESTARTED


async def test_g05_a_permanent_child_that_stops_with_any_reason_is_restarted(system):
    """A permanent child that ends with a reason of its own is restarted."""
    sup, child = await one_child(system, PERMANENT)

    await finish(child, "boom")

    assert await fate(sup, child) == RESTARTED


async def test_g06_a_permanent_child_that_raises_is_restarted(system):
    """A permanent child that crashes, with the exception as its reason, is restarted."""
    sup, child = await one_child(system, PERMANENT)
    boom = RuntimeError("boom")

    await crash(child, boom)

    assert child.exit_reason == Crashed(boom)
    assert await fate(sup, child) == RESTARTED


async def test_g08_a_transient_child_that_ends_normally_is_kept(system):
    """A transient child that ends with Normal() is not restarted, and its spec is kept."""
    sup, child = await one_child(system, TRANSIENT)

    await finish(child, Normal())

    assert await fate(sup, child) == KEPT


async def test_g10_a_transient_child_that_is_shut_down_with_a_detail_is_kept(system):
    """A transient child that ends with Shutdown(detail) is not restarted, and its spec is kept."""
    sup, child = await one_child(system, TRANSIENT)

    await finish(child, Shutdown("because"))

    assert await fate(sup, child) == KEPT


async def test_g11_a_transient_child_that_is_killed_is_restarted(system):
    """A transient child that is killed is restarted."""
    sup, child = await one_child(system, TRANSIENT)

    await kill(child)

    assert await fate(sup, child) == RESTARTED


async def test_g12_a_transient_child_that_stops_with_any_reason_is_restarted(system):
    """A transient child that ends with a reason of its own is restarted."""
    sup, child = await one_child(system, TRANSIENT)

    await finish(child, "boom")

    assert await fate(sup, child) == RESTARTED


async def test_g14_a_transient_child_that_exits_with_kill_is_restarted(system):
    """A transient child that ends itself with Kill() as its reason is restarted."""
    sup, child = await one_child(system, TRANSIENT)

    await crash(child, ProcessExit(Kill()))

    assert child.exit_reason == Kill()
    assert await fate(sup, child) == RESTARTED


async def test_g15_a_temporary_child_that_ends_normally_is_removed(system):
    """A temporary child that ends with Normal() is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await finish(child, Normal())

    assert await fate(sup, child) == REMOVED


async def test_g16_a_temporary_child_that_is_shut_down_is_removed(system):
    """A temporary child that ends with Shutdown() is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await finish(child, Shutdown())

    assert await fate(sup, child) == REMOVED


async def test_g17_a_temporary_child_that_is_shut_down_with_a_detail_is_removed(system):
    """A temporary child that ends with Shutdown(detail) is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await finish(child, Shutdown("because"))

    assert await fate(sup, child) == REMOVED


async def test_g18_a_temporary_child_that_is_killed_is_removed(system):
    """A temporary child that is killed is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await kill(child)

    assert await fate(sup, child) == REMOVED


async def test_g19_a_temporary_child_that_stops_with_any_reason_is_removed(system):
    """A temporary child that ends with a reason of its own is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await finish(child, "boom")

    assert await fate(sup, child) == REMOVED


async def test_g20_a_temporary_child_that_raises_is_removed(system):
    """A temporary child that crashes is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await crash(child, RuntimeError("boom"))

    assert await fate(sup, child) == REMOVED


async def test_g21_a_temporary_child_that_exits_with_kill_is_removed(system):
    """A temporary child that ends itself with Kill() as its reason is removed."""
    sup, child = await one_child(system, TEMPORARY)

    await crash(child, ProcessExit(Kill()))

    assert child.exit_reason == Kill()
    assert await fate(sup, child) == REMOVED


async def test_g22_only_an_end_that_asks_for_a_restart_is_counted(system):
    """With intensity 0 the supervisor outlives every end but those of children that would be restarted."""
    harmless = [(TRANSIENT, Normal()), (TEMPORARY, "boom"), (TRANSIENT, Shutdown("x"))]
    fatal = [(PERMANENT, Normal()), (TRANSIENT, "boom")]
    survivors = [await one_child(system, restart, intensity=0) for restart, _ in harmless]
    victims = [await one_child(system, restart, intensity=0) for restart, _ in fatal]

    for (_, child), (_, reason) in zip(survivors + victims, harmless + fatal, strict=True):
        await finish(child, reason)

    assert [await fate(sup, child) for sup, child in survivors] == [KEPT, REMOVED, KEPT]
    assert [await sup.wait_exit() for sup, _ in victims] == [Shutdown(), Shutdown()]


async def test_g23_after_a_normal_end_the_id_is_taken_unless_the_child_was_temporary(system):
    """start_child with the id of a child that ended normally: present if transient, started if permanent, else free."""
    sups = {restart: await one_child(system, restart) for restart in Restart}
    for _, child in sups.values():
        await finish(child, Normal())

    with pytest.raises(AlreadyPresentError) as present:
        await start_child(sups[TRANSIENT][0], worker("x", []))
    with pytest.raises(AlreadyStartedError) as started:
        await start_child(sups[PERMANENT][0], worker("x", []))
    fresh = await start_child(sups[TEMPORARY][0], worker("x", []))

    assert present.value.id == "x"
    assert started.value.ref is (await refs(sups[PERMANENT][0]))["x"]
    assert fresh.is_alive()
