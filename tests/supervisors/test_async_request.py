import asyncio
import threading

import pytest

from supervisors import CallTimeoutError, GenServer, OverloadedError, Refuse, Reply, System
from supervisors.async_request import (
    RequestIds,
    Response,
    receive_response,
    send_request,
    wait_response,
)
from supervisors.sys import get_status, resume, suspend
from supervisors.testing import wait_until_idle
from tests.support import Plain, Runner, infos_of, run_in


class Full(GenServer):
    max_mailbox = 0


async def test_request_is_sent_at_once_and_keeps_its_place(system):
    ref = await system.start(Plain, "a", [])
    handled = []

    reqid = send_request(ref, lambda _: handled.append("request") or Reply(None))
    ref.cast(lambda _: handled.append("cast"))
    await receive_response(reqid)
    await wait_until_idle(system)

    assert handled == ["request", "cast"]


async def test_response_that_nobody_awaits_comes_to_handle_info(system):
    ref, runner = await system.start(Plain, "a", []), await system.start(Runner)

    reqid = await run_in(runner, send_request, ref, "hello")
    await wait_until_idle(system)
    (response,) = await infos_of(runner)

    assert isinstance(response, Response)
    assert response.reqid is reqid


async def test_response_that_is_awaited_does_not(system):
    ref, runner = await system.start(Plain, "a", []), await system.start(Runner)

    answer = await run_in(runner, lambda: wait_response(send_request(ref, "hello")))
    await wait_until_idle(system)

    assert answer == "hello"
    assert await infos_of(runner) == []


async def test_response_taken_from_a_collection_does_not(system):
    ref, runner = await system.start(Plain, "a", []), await system.start(Runner)
    requests = RequestIds()

    async def ask():
        requests.add(send_request(ref, "hello"), "label")
        return await requests.wait()

    label, _ = await run_in(runner, ask)
    await wait_until_idle(system)

    assert label == "label"
    assert await infos_of(runner) == []


async def test_request_that_is_refused_has_an_error_for_a_response(system):
    ref = await system.start(Plain, "a", [])

    with pytest.raises(ZeroDivisionError):
        await receive_response(send_request(ref, lambda _: Refuse(ZeroDivisionError())))


async def test_request_to_a_full_mailbox_has_an_error_for_a_response(system):
    ref = await system.start(Full)

    with pytest.raises(OverloadedError):
        await receive_response(send_request(ref, "hello"))


async def test_answer_that_was_abandoned_does_not_come_any_more(system):
    ref = await system.start(Plain, "a", [])
    await suspend(ref)
    reqid = send_request(ref, "hello")
    with pytest.raises(CallTimeoutError):
        await receive_response(reqid, 1)

    await resume(ref)
    await wait_until_idle(system)

    with pytest.raises(CallTimeoutError):
        await wait_response(reqid)


async def test_abandoned_requests_are_not_kept_by_the_server(system):
    ref = await system.start(Plain, "a", [])
    await suspend(ref)

    with pytest.raises(CallTimeoutError):
        await receive_response(send_request(ref, "hello"), 1)

    assert not ref._process._calls


async def test_wait_that_is_cancelled_leaves_the_request(system):
    ref = await system.start(Plain, "a", [])
    await suspend(ref)
    reqid = send_request(ref, "hello")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_response(reqid)
    await resume(ref)

    assert await wait_response(reqid) == "hello"


async def test_response_has_no_result_before_it_came(system):
    ref = await system.start(Plain, "a", [])

    with pytest.raises(TimeoutError):
        send_request(ref, "hello").result()


async def test_collection_refuses_a_request_that_is_in(system):
    ref = await system.start(Plain, "a", [])
    requests, reqid = RequestIds(), send_request(ref, "hello")
    requests.add(reqid, "first")

    with pytest.raises(ValueError, match="in already"):
        requests.add(reqid, "second")


async def test_collection_that_waited_in_vain_keeps_its_requests(system):
    ref = await system.start(Plain, "a", [])
    await suspend(ref)
    requests = RequestIds()
    requests.add(send_request(ref, "hello"), "label")

    with pytest.raises(CallTimeoutError):
        await requests.wait(1)

    assert len(requests) == 1


async def test_collection_that_received_in_vain_abandons_its_requests(system):
    ref, runner = await system.start(Plain, "a", []), await system.start(Runner)
    await suspend(ref)
    requests = RequestIds()

    async def ask():
        requests.add(send_request(ref, "hello"), "label")
        with pytest.raises(CallTimeoutError):
            await requests.receive(1)

    await run_in(runner, ask)
    await resume(ref)
    await wait_until_idle(system)

    assert len(requests) == 0
    assert await infos_of(runner) == []


async def test_collection_gives_what_came_first_before_it_was_asked(system):
    refs = [await system.start(Plain, name, []) for name in "abc"]
    requests = RequestIds()
    for ref in refs:
        await suspend(ref)
        requests.add(send_request(ref, "hello"), ref)
    for ref in reversed(refs):
        await resume(ref)

    arrived = [(await requests.receive())[0] for _ in refs]

    assert arrived == refs[::-1]


async def test_collection_knows_the_message_that_answers_one_of_its_requests(system):
    ref, runner = await system.start(Plain, "a", []), await system.start(Runner)
    requests = RequestIds()
    requests.add(await run_in(runner, send_request, ref, "hello"), "label")
    runner.send("foreign")
    await wait_until_idle(system)
    response, foreign = await infos_of(runner)

    unknown = requests.check(foreign)
    label, reqid = requests.check(response)

    assert unknown is None
    assert (label, reqid.result(), len(requests)) == ("label", "hello", 0)


@pytest.mark.real_clock
async def test_server_on_another_loop_can_be_asked(system):
    runner, elsewhere, stop = await system.start(Runner), [], threading.Event()

    async def other_loop(ready):
        async with System("elsewhere") as other:
            elsewhere.append(await other.start(Plain, "a", []))
            ready()
            await asyncio.to_thread(stop.wait)

    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    thread = asyncio.create_task(
        asyncio.to_thread(asyncio.run, other_loop(lambda: loop.call_soon_threadsafe(ready.set)))
    )
    await ready.wait()
    try:
        answer = await run_in(runner, lambda: receive_response(send_request(elsewhere[0], "hello"), 5))
        waiting = (await get_status(runner)).mailbox_length
    finally:
        stop.set()
        await thread

    assert answer == "hello"
    assert waiting == 0
