"""OTP cases, group O: links and exit signals."""

import pytest

from supervisors import (
    Continue,
    Crashed,
    Exit,
    GenServer,
    Kill,
    Killed,
    NoProcess,
    Normal,
    ProcessExit,
    Reply,
    Shutdown,
    Stop,
    current,
    exit_signal,
    link,
    send,
    unlink,
)
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, Worker, finish, infos_of, kill, raises, run_in, stops_with


class Fragile(GenServer):
    """A child that does as told: started linked, it ends when a callback says so."""

    def init(self, log, trap_exit=False):
        self.log, self.trap_exit = log, trap_exit

    def handle_cast(self, request):
        return request(self)

    def handle_info(self, info):
        self.log.append(info)

    def terminate(self, reason):
        self.log.append(("terminate", reason))


async def linked_pair(system, *, trap_exit):
    """Return a `Runner` and a `Plain` that it is linked to."""
    runner = await system.start(Runner, trap_exit)
    peer = await system.start(Plain, "peer", [])
    await run_in(runner, link, peer)
    return runner, peer


async def child_of_runner(system, *, trap_exit):
    """Return a `Runner`, a `Fragile` that it started, and what that one writes."""
    log = []
    parent = await system.start(Runner)
    child = await run_in(parent, Fragile.start_link, log, trap_exit)
    return parent, child, log


async def test_o01_a_link_to_the_dead_signals_no_process(system):
    """link to a dead ref sends Exit(ref, NoProcess()) to who traps exits, and ends who does not with NoProcess()."""
    dead = await system.start(Plain, "dead", [])
    await kill(dead)
    trapping = await system.start(Runner, True)
    other = await system.start(Runner)

    await run_in(trapping, link, dead)
    other.cast(lambda _: link(dead))

    assert await infos_of(trapping) == [Exit(dead, NoProcess())]
    assert await other.wait_exit() == NoProcess()
    assert await run_in(trapping, unlink, dead) is None


async def test_o02_a_peer_that_ends_normally_does_no_harm(system):
    """A process that does not trap exits is not affected by a linked peer that ends with Normal()."""
    runner, peer = await linked_pair(system, trap_exit=False)

    await finish(peer, Normal())
    await wait_until_idle(system)

    assert runner.is_alive()
    assert await infos_of(runner) == []


@pytest.mark.parametrize("reason", ["boom", Shutdown(), Shutdown("x"), Crashed(ValueError("error"))], ids=repr)
async def test_o03_a_peer_that_ends_otherwise_takes_its_links_along(system, reason):
    """A process that does not trap exits dies of its linked peer, with the very same reason, Shutdown() too."""
    runner, peer = await linked_pair(system, trap_exit=False)

    await finish(peer, reason)

    assert await runner.wait_exit() == reason


@pytest.mark.parametrize("reason", [Normal(), "boom"], ids=repr)
async def test_o04_who_traps_exits_is_told_why_a_peer_ended(system, reason):
    """A process that traps exits gets Exit(peer, reason) for whatever reason, and Killed() for a kill."""
    runner, peer = await linked_pair(system, trap_exit=True)
    killed = await system.start(Plain, "killed", [])
    await run_in(runner, link, killed)

    await finish(peer, reason)
    await kill(killed)

    assert await infos_of(runner) == [Exit(peer, reason), Exit(killed, Killed())]


async def test_o05_a_normal_signal_from_another_is_ignored_or_trapped(system):
    """exit_signal(ref, Normal()) does nothing to who does not trap exits, and is an Exit to who does."""
    sender = await system.start(Runner)
    plain, trapping = await system.start(Runner), await system.start(Runner, True)

    await run_in(sender, exit_signal, plain, Normal())
    await run_in(sender, exit_signal, trapping, Normal())

    assert await infos_of(plain) == []
    assert await infos_of(trapping) == [Exit(sender, Normal())]


async def test_o06_a_normal_signal_to_itself_ends_the_process(system):
    """exit_signal(current(), Normal()) ends a process that does not trap exits; trapped, it is a message."""
    plain, trapping = await system.start(Runner), await system.start(Runner, True)

    plain.cast(lambda _: exit_signal(current(), Normal()))
    trapping.cast(lambda _: exit_signal(current(), Normal()))

    assert await plain.wait_exit() == Normal()
    assert await infos_of(trapping) == [Exit(trapping, Normal())]


@pytest.mark.parametrize("kind", [Plain, Worker])
async def test_o07_a_kill_cannot_be_trapped(system, kind):
    """exit_signal(ref, Kill()) ends a process whether it traps exits or not; the reason seen is Killed()."""
    log = []
    ref = await system.start(kind, "a", log)

    exit_signal(ref, Kill())

    assert await ref.wait_exit() == Killed()
    assert log == [("start", "a")]


async def test_o08_a_process_that_ends_itself_with_kill_does_not_kill_its_peers(system):
    """A process that ends with the reason Kill() sends just that to its peers, who may trap it."""
    trapping, peer = await linked_pair(system, trap_exit=True)
    plain = await system.start(Runner)
    await run_in(plain, link, peer)

    peer.cast(raises(ProcessExit(Kill())))

    assert await plain.wait_exit() == Kill()
    assert await infos_of(trapping) == [Exit(peer, Kill())]


async def test_o11_unlink_leaves_an_exit_that_has_come(system):
    """unlink before the peer dies keeps its Exit away; an Exit that is in the mailbox already stays there."""
    runner = await system.start(Runner, True)
    early, late = await system.start(Plain, "early", []), await system.start(Plain, "late", [])

    async def unlink_both():
        link(early)
        link(late)
        unlink(early)
        await kill(early)
        await kill(late)
        unlink(late)

    await run_in(runner, unlink_both)

    assert await infos_of(runner) == [Exit(late, Killed())]


async def test_o12_a_child_that_dies_at_once_is_missed_by_no_link(system):
    """start_link links before the child's first step: the Exit of one that dies at once always comes."""
    runner = await system.start(Runner, True)

    class Brief(GenServer):
        def init(self):
            return Continue("end")

        def handle_continue(self, term):
            return Stop("at once")

    child = await run_in(runner, Brief.start_link)

    assert await infos_of(runner) == [Exit(child, "at once")]


async def test_o13_a_signal_to_the_dead_is_no_error(system):
    """exit_signal to a process that has ended does nothing, for any reason."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    exit_signal(dead, "late")
    exit_signal(dead, Kill())

    assert dead.exit_reason == Killed()


async def test_o14_a_link_to_itself_has_no_effect(system):
    """link(current()) is no error, and when the process ends nothing comes of it."""
    log = []
    ref = await system.start(Worker, "a", log)

    ref.cast(lambda worker: link(worker.actor_ref))
    await finish(ref, "end")

    assert log == [("start", "a"), ("stop", "a", "end")]


async def test_o15_the_reason_says_how_a_callback_ended(system):
    """What a callback raises is the reason as Crashed(error), ProcessExit(r) as r, and Stop(Normal()) as Normal().

    Differs: there is no throw in Python; a value that is no exception cannot be raised, and trying to is a TypeError.
    """
    error = ValueError("boom")
    raised, exited, thrown, mismatched, normal = [await system.start(Plain, number, []) for number in range(5)]

    def throw(_):
        raise "value"  # noqa: B016 -- that is the point

    def mismatch(_):
        (_one,) = (1, 2)

    raised.cast(raises(error))
    exited.cast(raises(ProcessExit("r")))
    thrown.cast(throw)
    mismatched.cast(mismatch)
    normal.cast(stops_with(Normal()))

    assert await raised.wait_exit() == Crashed(error)
    assert await exited.wait_exit() == "r"
    assert isinstance((await thrown.wait_exit()).error, TypeError)
    assert isinstance((await mismatched.wait_exit()).error, ValueError)
    assert await normal.wait_exit() == Normal()


async def test_o16_messages_come_before_the_exit_of_their_sender(system):
    """What a peer sent before it ended is handled before its Exit."""
    runner, peer = await linked_pair(system, trap_exit=True)

    def send_and_end(_):
        for number in (1, 2, 3):
            send(runner, number)
        return Stop("done")

    peer.cast(send_and_end)
    await peer.wait_exit()

    assert await infos_of(runner) == [1, 2, 3, Exit(peer, "done")]


async def test_o17_a_trapped_exit_of_a_peer_is_an_info(system):
    """A server that traps exits gets the Exit of a linked process, not its parent, in handle_info, and lives."""
    runner, peer = await linked_pair(system, trap_exit=True)

    await finish(peer, "boom")

    assert await infos_of(runner) == [Exit(peer, "boom")]
    assert runner.is_alive()


@pytest.mark.parametrize("reason", [Normal(), "boom"], ids=repr)
async def test_o18_a_trapping_server_terminates_when_its_parent_ends(system, reason):
    """A server that traps exits runs terminate(reason) when its parent ends, even with Normal(), and ends with it."""
    parent, child, log = await child_of_runner(system, trap_exit=True)

    parent.cast(stops_with(reason))

    assert await child.wait_exit() == reason
    assert log == [("terminate", reason)]


async def test_o19_a_server_that_does_not_trap_exits_outlives_only_a_normal_parent(system):
    """Without trap_exit a server lives on when its parent ends with Normal(), else dies of it, without terminate."""
    normal, orphan, _ = await child_of_runner(system, trap_exit=False)
    failing, victim, log = await child_of_runner(system, trap_exit=False)

    await finish(normal, Normal())
    await finish(failing, "boom")

    assert await victim.wait_exit() == "boom"
    assert log == []
    assert orphan.is_alive()


async def test_o20_a_server_that_dies_of_a_peer_does_not_terminate(system):
    """A server that does not trap exits dies of its linked peer's reason, and terminate is not run."""
    log = []
    server, peer = await system.start(Plain, "server", log), await system.start(Plain, "peer", [])
    server.cast(lambda _: link(peer))
    await wait_until_idle(system)

    await finish(peer, "boom")

    assert await server.wait_exit() == "boom"
    assert log == [("start", "server")]


async def test_o21_a_normal_signal_from_outside_is_an_info_where_trapped(system):
    """exit_signal(ref, Normal()) from code outside any process is Exit(None, Normal()) to who traps exits.

    Differs: code outside processes has no pid, so the sender of its signals is None.
    """
    runner = await system.start(Runner, True)

    exit_signal(runner, Normal())

    assert await infos_of(runner) == [Exit(None, Normal())]


async def test_o22_a_reason_runs_along_a_chain_of_links(system):
    """Of three processes linked a-b-c all end with the reason of b."""
    a, b, c = [await system.start(Runner) for _ in "abc"]
    await run_in(b, link, a)
    await run_in(b, link, c)

    b.cast(stops_with("boom"))

    assert [await ref.wait_exit() for ref in (a, b, c)] == ["boom"] * 3


async def test_o23_trap_exit_may_be_read_and_set_at_any_time(system):
    """trap_exit tells whether exits are trapped; once it is set, exit_signal(current(), reason) is a message.

    Differs: the flag is an attribute of the server, so setting it does not return the old value: it is read before.
    """
    server = await system.start(Plain, "a", [])

    def trap(worker):
        before, worker.trap_exit = worker.trap_exit, True
        exit_signal(current(), "later")
        return Reply(before)

    assert await server.call(trap) is False
    assert await server.call(lambda worker: Reply(worker.infos)) == [Exit(server, "later")]
