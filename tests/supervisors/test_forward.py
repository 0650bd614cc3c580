"""A call can be passed on: who gets it answers the caller, and fails it by ending."""

import pytest
from typing_extensions import override

from supervisors import GenServer, Kill, Killed, NoReply, Reply, ServerDownError, exit_signal, forward, stop
from supervisors.testing import wait_until


class Desk(GenServer):
    @override
    def init(self, back):
        self.back = back

    @override
    def handle_call(self, request, from_):
        forward(from_, self.back, ("forwarded", request))
        return NoReply()


class Back(GenServer):
    @override
    def init(self):
        self.held = []

    @override
    def handle_call(self, request, from_):
        if request == ("forwarded", "hold"):
            self.held.append(from_)
            return NoReply()
        return Reply(request)


async def start_desk(system):
    back = await system.start(Back, name="back")
    return await system.start(Desk, back, name="desk")


async def test_the_second_server_answers_what_it_was_given(system):
    desk = await start_desk(system)
    assert await desk.call("q") == ("forwarded", "q")


async def test_the_end_of_the_second_server_fails_the_call_at_once(system):
    desk = await start_desk(system)
    back = system.whereis("back")
    waiting = system.loop.create_task(desk.call("hold"))
    await wait_until(lambda: back._process.server.held)

    exit_signal(back, Kill())

    with pytest.raises(ServerDownError) as caught:
        await waiting
    assert caught.value.reason == Killed()


async def test_the_end_of_the_first_server_changes_nothing(system):
    desk = await start_desk(system)
    back = system.whereis("back")
    waiting = system.loop.create_task(desk.call("hold"))
    await wait_until(lambda: back._process.server.held)

    await stop(desk)
    back._process.server.held.pop().reply("late")

    assert await waiting == "late"


async def test_forwarding_to_a_dead_server_fails_the_call(system):
    desk = await start_desk(system)
    await stop(system.whereis("back"))

    with pytest.raises(ServerDownError):
        await desk.call("q")


async def test_who_asks_again_and_again_leaves_others_their_turns(system):
    desk = await start_desk(system)
    turns = []
    system.loop.call_soon(turns.append, "taken")
    asked = 0

    while not turns and asked < 1000:
        await desk.call("q")
        asked += 1

    assert asked < 100
