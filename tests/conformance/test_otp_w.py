"""OTP cases, group W: asynchronous requests, multi_call."""

import asyncio

import pytest

from supervisors import (
    CallTimeoutError,
    NoProcess,
    Reply,
    ServerDownError,
    System,
    abcast,
    multi_call,
)
from supervisors.async_request import (
    RequestIds,
    check_response,
    receive_response,
    send_request,
    wait_response,
)
from supervisors.messages import NO_REPLY
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, infos_of, kill, run_in, stops_with


def after(delay, value):
    """Return a request that a `Plain` answers with ``value`` in ``delay`` seconds."""

    async def answer(_):
        await asyncio.sleep(delay)
        return Reply(value)

    return answer


async def test_w01_the_response_to_a_request_is_its_reply(system):
    """receive_response returns the reply to what send_request sent."""
    ref = await system.start(Plain, "a", [])

    assert await receive_response(send_request(ref, "hello"), 1) == "hello"


async def test_w02_receive_abandons_what_does_not_come_in_time_and_wait_does_not(system):
    """A request whose receive_response timed out is abandoned, its late reply dropped; wait_response may go on."""
    ref = await system.start(Plain, "a", [])
    runner = await system.start(Runner)

    async def receive_then_wait():
        abandoned = send_request(ref, after(1, "dropped"))
        with pytest.raises(CallTimeoutError):
            await receive_response(abandoned, 0.5)
        kept = send_request(ref, after(1, "kept"))
        with pytest.raises(CallTimeoutError):
            await wait_response(kept, 0.5)
        return await wait_response(kept, 5)

    response = await run_in(runner, receive_then_wait)
    await wait_until_idle(system)

    assert response == "kept"
    assert await infos_of(runner) == []


async def test_w03_check_response_knows_its_own_response(system):
    """check_response gives the reply for the message that answers the request, and NO_REPLY for any other."""
    ref = await system.start(Plain, "a", [])
    runner = await system.start(Runner)

    reqid = await run_in(runner, send_request, ref, "hello")
    runner.send("foreign")
    await wait_until_idle(system)
    response, foreign = await infos_of(runner)

    assert check_response(foreign, reqid) is NO_REPLY
    assert check_response(response, reqid) == "hello"


async def test_w04_the_death_of_the_server_is_the_response(system):
    """A server that ends on the request makes the response a ServerDownError with its exit reason."""
    ref = await system.start(Plain, "a", [])

    with pytest.raises(ServerDownError) as down:
        await receive_response(send_request(ref, stops_with("reason")), 1)

    assert down.value.reason == "reason"


async def test_w05_a_request_to_nobody_fails_in_its_response_only(system):
    """send_request to a dead process or an unknown name does not fail; its response is ServerDownError, NoProcess."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)
    reqids = [send_request(server, "hello") for server in (dead, "nobody", ("nobody", system))]

    for reqid in reqids:
        with pytest.raises(ServerDownError) as down:
            await receive_response(reqid, 1)
        assert down.value.reason == NoProcess()


async def test_w06_a_collection_gives_responses_as_they_come(system):
    """The responses of a collection come in the order they arrived, with their labels; an empty one has none."""
    requests = RequestIds()
    for delay, label in [(2, "slow"), (1, "fast")]:
        ref = await system.start(Plain, label, [])
        requests.add(send_request(ref, after(delay, f"{label} reply")), label)

    fast, fast_reqid = await requests.receive(5)
    came_at = system.now()
    slow, slow_reqid = await requests.receive(5)

    assert (fast, fast_reqid.result()) == ("fast", "fast reply")
    assert came_at == pytest.approx(1, abs=0.01)
    assert (slow, slow_reqid.result()) == ("slow", "slow reply")
    assert await requests.receive(5) is None


async def test_w07_multi_call_tells_who_answered_and_who_did_not(system):
    """multi_call returns the replies by System, and the Systems that have no such name or were stopped.

    Differs: a System plays the part of a node.
    """
    stopped = System("stopped")
    async with stopped:
        await stopped.start(Plain, "a", [], name="server")
    await system.start(Plain, "a", [], name="server")
    async with System("other") as other:
        answered = await multi_call([system], "server", "hello", 1)
        unanswered = await multi_call([other, stopped], "server", "hello", 1)

    assert answered == ([(system, "hello")], [])
    assert unanswered == ([], [other, stopped])


async def test_w09_abcast_casts_to_those_there_are_and_never_fails(system):
    """Abcast casts to the named process of each System that has it, and does not mind those that have not.

    Differs: a System plays the part of a node; it returns None, as cast does.
    """
    seen = []
    await system.start(Plain, "a", [], name="server")
    async with System("other") as other:
        abcast([other, system], "server", lambda process: seen.append(process.id))
        await wait_until_idle(system)

    assert seen == ["a"]


async def test_w10_a_collection_counts_what_was_added_and_keeps_the_labels(system):
    """Two requests added make a collection of size 2, and each response comes with its label."""
    ref = await system.start(Plain, "a", [])
    requests = RequestIds()

    requests.add(send_request(ref, "first"), "l1")
    requests.add(send_request(ref, "second"), "l2")
    size = len(requests)
    received = [await requests.receive(1), await requests.receive(1)]

    assert size == 2
    assert [(label, reqid.result()) for label, reqid in received] == [("l1", "first"), ("l2", "second")]
