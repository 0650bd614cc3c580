import asyncio
import gc
import weakref

import pytest

from supervisors import CallTimeoutError, GenServer, NoReply, Reply, forward, receive_response, send_request
from supervisors.life import FEW, RunQueue


class Silent(GenServer):
    """Never answers."""

    def handle_call(self, request, from_):
        return NoReply()


class Forwarder(GenServer):
    """Passes each call on."""

    def init(self, server):
        self.server = server

    def handle_call(self, request, from_):
        forward(from_, self.server, request)
        return NoReply()


class Echo(GenServer):
    """Answers with the request."""

    def handle_call(self, request, from_):
        return Reply(request)


class Question:
    """A request that can be seen to go."""


async def failed_at(server, timeout):
    with pytest.raises(CallTimeoutError):
        await server.call("anybody?", timeout=timeout)
    return asyncio.get_running_loop().time()


def timeouts_of_a_new_queue():
    return RunQueue(asyncio.get_running_loop()).timeouts


async def test_calls_that_wait_share_one_timer_and_each_fails_in_its_own_time(system):
    server, loop = await system.start(Silent), asyncio.get_running_loop()
    began = loop.time()

    calls = [asyncio.create_task(failed_at(server, timeout)) for timeout in (3.0, 1.0, 2.0, 1.0)]
    await asyncio.sleep(0.5)
    timers = len(loop.pending_timers())
    ended = await asyncio.gather(*calls)

    assert timers == 1
    assert [at - began for at in ended] == pytest.approx([3.0, 1.0, 2.0, 1.0], abs=0.001)


async def test_a_timeout_is_kept_when_the_one_before_it_was_discarded(system):
    loop, rung = asyncio.get_running_loop(), []
    timeouts = timeouts_of_a_new_queue()
    early = timeouts.add(loop.time() + 1.0, rung.append, "early")
    timeouts.add(loop.time() + 2.0, rung.append, "late")

    timeouts.discard(early)
    await asyncio.sleep(1.5)
    before = list(rung)
    await asyncio.sleep(1.0)

    assert (before, rung) == ([], ["late"])


async def test_a_timeout_added_by_another_one_rings_too(system):
    loop, rung = asyncio.get_running_loop(), []
    timeouts = timeouts_of_a_new_queue()
    timeouts.add(loop.time() + 1.0, lambda: timeouts.add(loop.time() + 1.0, rung.append, "second"))
    timeouts.add(loop.time() + 5.0, rung.append, "third")

    await asyncio.sleep(2.5)
    before = list(rung)
    await asyncio.sleep(3.0)

    assert (before, rung) == (["second"], ["second", "third"])


async def test_discarded_timeouts_are_kept_in_small_numbers(system):
    timeouts = timeouts_of_a_new_queue()
    last = timeouts.add(1e6, print)

    for _ in range(10 * FEW):
        timeouts.discard(timeouts.add(1e6, print))

    assert len(timeouts._instants) <= FEW + 3
    timeouts.discard(last)
    assert not timeouts._instants


async def test_a_server_that_forwards_sets_the_same_time_limit(system):
    server = await system.start(Forwarder, await system.start(Silent))

    began = system.now()
    ended = [await failed_at(server, 5.0) for _ in range(2)]

    assert [at - began for at in ended] == pytest.approx([5.0, 10.0], abs=0.001)


async def test_a_request_that_was_answered_is_freed_at_once(system):
    server, question = await system.start(Echo), Question()
    freed = weakref.ref(question)
    gc.disable()
    try:
        await receive_response(send_request(server, question))
        del question
        await asyncio.sleep(0)
        left = freed()
    finally:
        gc.enable()

    assert left is None
