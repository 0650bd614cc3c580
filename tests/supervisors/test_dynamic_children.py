"""Children known by ref, where their start function returns them dead."""

import asyncio

from supervisors import ChildSpec, DynamicSupervisor, Kill, Stop, exit_signal, start_child, which_children
from tests.support import Plain, Worker, in_turn, nothing, steps


async def test_one_attempt_at_a_time_follows_a_child_that_was_returned_dead(system):
    """The supervisor hears of such a child by its link and at the start: it acts once."""
    log = []

    async def fails_slowly(_):
        await asyncio.sleep(0.1)
        return Stop("bad")

    on_init = in_turn(nothing, fails_slowly)

    async def start():
        ref = await Plain.start_link("x", log, on_init)
        exit_signal(ref, "boom")
        return ref

    sup = await system.start(DynamicSupervisor, intensity=100)

    await start_child(sup, ChildSpec("x", start))

    await asyncio.sleep(0.35)
    assert steps(log) == ["start x"] * 5
    assert sup._process.mailbox_length == 0


async def test_a_child_that_was_returned_dead_and_unlinked_is_restarted(system):
    """A start function that returns a process that has ended, and never was linked, is called again."""
    log = []
    after_start = in_turn(lambda ref: exit_signal(ref, Kill()), nothing)

    async def start():
        ref = await system.start(Worker, "x", log)
        after_start(ref)
        return ref

    sup = await system.start(DynamicSupervisor)

    await start_child(sup, ChildSpec("x", start))

    assert [child.ref.is_alive() for child in await which_children(sup)] == [True]
    assert steps(log) == ["start x", "start x"]
