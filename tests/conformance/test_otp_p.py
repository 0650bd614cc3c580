"""OTP cases, group P: monitors."""

import pytest

from supervisors import (
    Crashed,
    Down,
    Exit,
    Kill,
    Killed,
    MonitorRef,
    NoProcess,
    Normal,
    Stop,
    current,
    demonitor,
    exit_signal,
    link,
    monitor,
    send,
    whereis,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, finish, infos_of, kill, raises, run_in


async def watched_pair(system, **options):
    """Return a `Runner`, a `Plain` that it monitors, and the monitor."""
    runner = await system.start(Runner, True)
    peer = await system.start(Plain, "peer", [], **options)
    return runner, peer, await run_in(runner, monitor, peer)


@pytest.mark.parametrize("reason", [Normal(), "boom", Crashed(ValueError("error"))], ids=repr)
async def test_p01_a_down_tells_why_the_process_ended(system, reason):
    """The monitor of a process fires with its exit reason, Normal() too, and Killed() for a kill."""
    runner, peer, mref = await watched_pair(system)
    killed = await system.start(Plain, "killed", [])
    second = await run_in(runner, monitor, killed)

    await finish(peer, reason)
    await kill(killed)

    assert await infos_of(runner) == [Down(mref, peer, reason), Down(second, killed, Killed())]


async def test_p02_a_monitor_of_the_dead_fires_at_once(system):
    """monitor of a process that has ended sends Down(mref, ref, NoProcess()) at once."""
    runner = await system.start(Runner)
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    mref = await run_in(runner, monitor, dead)

    assert await infos_of(runner) == [Down(mref, dead, NoProcess())]


async def test_p03_a_monitor_of_a_name_that_nobody_has_fires_at_once(system):
    """monitor of an unregistered name sends Down(mref, name, NoProcess()).

    Differs: what is monitored by its name is named by that alone; Erlang adds the node.
    """
    runner = await system.start(Runner)

    mref = await run_in(runner, monitor, "nobody")

    assert await infos_of(runner) == [Down(mref, "nobody", NoProcess())]


async def test_p04_a_monitor_by_name_fires_with_the_name(system):
    """The Down of what was monitored by name has the name in ``ref``.

    Differs: the name alone; Erlang adds the node.
    """
    runner = await system.start(Runner)
    peer = await system.start(Plain, "peer", [], name="peer")
    mref = await run_in(runner, monitor, "peer")

    await kill(peer)

    assert await infos_of(runner) == [Down(mref, "peer", Killed())]


async def test_p05_two_monitors_of_one_process_fire_both(system):
    """Two monitors of one process are two, and each sends its own Down."""
    runner, peer, one = await watched_pair(system)
    two = await run_in(runner, monitor, peer)

    await kill(peer)

    assert one != two
    assert await infos_of(runner) == [Down(one, peer, Killed()), Down(two, peer, Killed())]


async def test_p06_demonitor_takes_a_down_back_only_with_flush(system):
    """demonitor before the end keeps the Down away; after it the Down stays in the mailbox, unless flushed."""
    runner = await system.start(Runner)
    early, plain, flushed = [await system.start(Plain, number, []) for number in range(3)]

    async def demonitor_all():
        mrefs = [monitor(ref) for ref in (early, plain, flushed)]
        demonitor(mrefs[0])
        for ref in (early, plain, flushed):
            await kill(ref)
        demonitor(mrefs[1])
        demonitor(mrefs[2], flush=True)
        return mrefs

    mrefs = await run_in(runner, demonitor_all)

    assert await infos_of(runner) == [Down(mrefs[1], plain, Killed())]


async def test_p07_demonitor_tells_whether_there_was_a_monitor(system):
    """demonitor returns True the first time, and False the second, after a Down, and for what is no monitor.

    Differs: Erlang's demonitor says only with the option info, and else always true.
    """
    runner, peer, mref = await watched_pair(system)
    doomed = await system.start(Plain, "doomed", [])
    fired = await run_in(runner, monitor, doomed)
    await kill(doomed)

    assert await run_in(runner, demonitor, mref) is True
    assert await run_in(runner, demonitor, mref) is False
    assert await run_in(runner, demonitor, MonitorRef(peer)) is False
    assert await run_in(runner, lambda: demonitor(fired, flush=True)) is False


async def test_p08_the_end_of_the_watcher_does_not_touch_the_watched(system):
    """A monitor goes one way: when the watcher dies the watched process lives on."""
    runner, peer, _ = await watched_pair(system)

    await kill(runner)
    await wait_until_idle(system)

    assert peer.is_alive()
    assert await peer.call("still there") == "still there"


async def test_p09_a_monitor_of_itself_never_fires(system):
    """monitor(current()) returns a monitor and is no error; it never fires."""
    runner = await system.start(Runner)

    mref = await run_in(runner, lambda: monitor(current()))

    assert mref.watched is runner
    assert await infos_of(runner) == []


async def test_p10_messages_come_before_the_down_of_their_sender(system):
    """What a process sent before it ended is handled before its Down."""
    runner, peer, mref = await watched_pair(system)

    def send_and_end(_):
        send(runner, 1)
        send(runner, 2)
        return Stop("done")

    peer.cast(send_and_end)
    await peer.wait_exit()

    assert await infos_of(runner) == [1, 2, Down(mref, peer, "done")]


async def test_p12_a_monitor_by_name_stays_with_the_process_that_had_it(system):
    """A name that moves to another process does not take the monitor along."""
    runner = await system.start(Runner)
    first, second = await system.start(Plain, 1, [], name="name"), await system.start(Plain, 2, [])
    mref = await run_in(runner, monitor, "name")

    system.unregister("name")
    system.register("name", second)
    await kill(second)
    await kill(first)

    assert await infos_of(runner) == [Down(mref, "name", Killed())]
    assert whereis("name") is None


async def test_p13_a_monitor_may_carry_a_tag(system):
    """The tag given to monitor is found as ``down.monitor.tag``.

    Differs: the message stays a Down, so that one clause matches all; Erlang puts the tag in the place of 'DOWN'.
    """
    runner = await system.start(Runner)
    peer = await system.start(Plain, "peer", [])

    await run_in(runner, monitor, peer, "tag")
    await kill(peer)

    (down,) = await infos_of(runner)
    assert (down.monitor.tag, down.ref, down.reason) == ("tag", peer, Killed())


async def test_p14_a_link_and_a_monitor_tell_both(system):
    """Who is linked to a process and monitors it gets one Exit and one Down."""
    runner, peer, mref = await watched_pair(system)
    await run_in(runner, link, peer)

    await finish(peer, "boom")

    assert sorted(await infos_of(runner), key=repr) == [Down(mref, peer, "boom"), Exit(peer, "boom")]


async def test_p15_a_monitor_fires_once(system):
    """A process that is killed again, and crashes at the same time, gives one Down for one monitor."""
    runner, peer, mref = await watched_pair(system)

    peer.cast(raises(ValueError("boom")))
    exit_signal(peer, "one")
    exit_signal(peer, Kill())
    await wait_until_idle(system)

    assert await infos_of(runner) == [Down(mref, peer, "one")]
