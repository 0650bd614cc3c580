"""The run queue: chains of messages are done in one turn of the loop, and nobody else has to wait for ever."""

import asyncio

from typing_extensions import override

from supervisors import GenServer, Kill, Killed, exit_signal
from supervisors.life import STEPS


class Hop(GenServer):
    @override
    def init(self, onward=None, done=None):
        self.onward = onward
        self.done = done

    @override
    def handle_info(self, info):
        if self.onward is None:
            self.done.append(info)
        else:
            self.onward.send(info + 1)


class Bouncer(GenServer):
    @override
    def init(self):
        self.bounces = 0

    @override
    def handle_info(self, info):
        self.bounces += 1
        self.actor_ref.send(info)


async def test_a_chain_of_messages_is_done_in_one_turn_of_the_loop(system):
    done = []
    ref = await system.start(Hop, None, done)
    for _ in range(20):
        ref = await system.start(Hop, ref)

    ref.send(0)
    await asyncio.sleep(0)

    assert done == [20]


async def test_a_process_with_always_something_to_do_keeps_nobody_from_their_turn(system):
    bouncer = await system.start(Bouncer)

    bouncer.send("on")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert bouncer._process.server.bounces <= 3 * STEPS * 100
    assert bouncer.is_alive()


async def test_a_process_killed_while_it_waits_for_its_turn_does_nothing_more(system):
    done = []
    ref = await system.start(Hop, None, done)

    ref.send("too late")
    exit_signal(ref, Kill())
    await asyncio.sleep(0)

    assert done == []
    assert ref.exit_reason == Killed()


async def test_what_is_sent_in_a_turn_is_done_at_its_end(system):
    done = []
    ref = await system.start(Hop, None, done)
    chain = await system.start(Hop, ref)

    with system.turn():
        chain.send(0)
        assert done == []

    assert done == [1]


async def test_a_turn_inside_a_turn_ends_with_the_outer_one(system):
    done = []
    ref = await system.start(Hop, None, done)

    with system.turn():
        with system.turn():
            ref.send("inner")
        assert done == []

    assert done == ["inner"]


async def test_a_turn_begun_while_others_wait_for_theirs_lets_them_go_first(system):
    done = []
    ref = await system.start(Hop, None, done)

    ref.send("before")
    with system.turn():
        ref.send("in it")
    await asyncio.sleep(0)

    assert done == ["before", "in it"]
