import asyncio

import pytest

from macula_actors.actors.gateway.mesh import SHOWN_SESSIONS, GatewayMesh
from macula_actors.core.wire.decoder import decode_frame
from macula_actors.core.wire.frame import whole_frame
from macula_actors.core.wire.messages import Reply
from macula_actors.errors import (
    CallTimeoutError,
    LocalProtocolError,
    NoRouteError,
    OverloadedError,
    RefusedError,
)
from macula_actors.messages import gateway
from macula_actors.messages.gateway import MeshStats, Relay, Session, SessionDown, SessionStats, SessionUp
from macula_actors.messages.names import GATEWAY_MESH
from supervisors import Refuse, ServerDownError, Shutdown, send_request, stop
from supervisors.testing import wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import a_route, config, connections, echo, never, node_id
from tests.support import kill

SENDER, OTHER = node_id(2), node_id(3)


async def start_mesh(system, **limits):
    return await system.start(GatewayMesh, config(**limits), name=GATEWAY_MESH)


async def session(system, mesh, number=9, answer=echo):
    """Begin a session with the node ``number``; return its connection."""
    (connection,) = await connections(system, 1, answer)
    mesh.cast(SessionUp(Session(node_id(number), connection)))
    return connection


async def relay(system, to=9, sender=SENDER, timeout=1.0, **call):
    return await system.whereis(GATEWAY_MESH).call(Relay(a_route(to, **call), sender, system.now() + timeout))


async def wait_on(system, count, **how):
    """Begin ``count`` relays that are not answered; return their tasks."""
    tasks = [asyncio.create_task(relay(system, **how)) for _ in range(count)]
    await wait_until_idle(system)
    return tasks


async def give_up(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def relaying(mesh):
    counts = await gateway.get_mesh_stats(mesh)
    return counts.relaying, counts.relaying_bytes


async def test_a_message_goes_as_it_is_over_the_session_with_its_destination_and_the_answer_comes_back(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh)

    reply = await relay(system, to=9)

    (exchange,) = await connection.call("exchanges")
    assert reply == Reply(call_id=bytes(16), result=b"done")
    assert decode_frame(whole_frame(exchange.frame)) == a_route(9)
    assert exchange.wants_reply
    assert exchange.deadline == 1.0


async def test_without_a_session_there_is_no_route(system):
    mesh = await start_mesh(system)
    await session(system, mesh, 8)

    with pytest.raises(NoRouteError):
        await relay(system, to=9)
    assert (await gateway.get_mesh_stats(mesh)).no_route == 1


async def test_a_gateway_says_with_whom_it_has_sessions(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh)

    assert await gateway.has_session(mesh, node_id(9))
    assert not await gateway.has_session(mesh, node_id(8))
    assert await gateway.get_sessions(mesh) == (node_id(9),)

    await kill(connection)
    assert not await gateway.has_session(mesh, node_id(9))
    assert await gateway.get_sessions(mesh) == ()


async def test_of_two_sessions_with_a_node_the_newest_is_used_then_the_other(system):
    mesh = await start_mesh(system)
    older = await session(system, mesh)
    newer = await session(system, mesh)

    await relay(system)
    assert len(await newer.call("exchanges")) == 1

    mesh.cast(SessionDown(newer))
    await relay(system)
    assert len(await older.call("exchanges")) == 1
    assert len(await newer.call("exchanges")) == 1


async def test_a_session_that_is_told_of_twice_is_one_and_has_one_monitor(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh)
    mesh.cast(SessionUp(Session(node_id(9), connection)))
    await wait_until_idle(system)
    assert len(connection._process._monitors) == 1

    mesh.cast(SessionDown(connection))
    mesh.cast(SessionDown(connection))
    await wait_until_idle(system)

    assert not connection._process._monitors
    assert not await gateway.has_session(mesh, node_id(9))


async def test_there_are_as_many_sessions_as_there_may_be(system):
    mesh = await start_mesh(system, max_sessions=1)
    first = await session(system, mesh, 8)
    await session(system, mesh, 9)
    assert await gateway.get_sessions(mesh) == (node_id(8),)

    await kill(first)
    await session(system, mesh, 9)
    assert await gateway.get_sessions(mesh) == (node_id(9),)


async def test_a_client_has_only_so_many_messages_relayed_at_once_and_the_others_have_room(system):
    mesh = await start_mesh(system, max_relayed_per_client=2)
    await session(system, mesh, 8, never)
    await session(system, mesh, 9)
    waiting = await wait_on(system, 2, to=8)

    with pytest.raises(OverloadedError) as refused:
        await relay(system)
    assert refused.value.limit == 2
    assert await relay(system, sender=OTHER)
    assert (await gateway.get_mesh_stats(mesh)).refused == 1
    await give_up(waiting)


async def test_only_so_many_messages_are_relayed_at_once_in_all(system):
    mesh = await start_mesh(system, max_relayed=2)
    await session(system, mesh, 9, never)
    waiting = [*await wait_on(system, 1), *await wait_on(system, 1, sender=OTHER)]

    with pytest.raises(OverloadedError) as refused:
        await relay(system, sender=node_id(4))
    assert refused.value.what == "messages being relayed"
    await give_up(waiting)


async def test_a_client_has_its_share_of_the_bytes(system):
    mesh = await start_mesh(system, max_relayed_bytes=4 * 10_000)
    await session(system, mesh, 9, never)
    waiting = await wait_on(system, 1, args=bytes(9_000))

    with pytest.raises(OverloadedError) as refused:
        await relay(system, args=bytes(2_000))
    assert refused.value.limit == 10_000
    await give_up(waiting)


async def test_only_so_many_bytes_are_relayed_at_once_in_all(system):
    mesh = await start_mesh(system, max_relayed_bytes=4 * 10_000)
    await session(system, mesh, 9, never)
    waiting = [
        task for number in range(2, 6) for task in await wait_on(system, 1, sender=node_id(number), args=bytes(9_000))
    ]

    with pytest.raises(OverloadedError) as refused:
        await relay(system, sender=node_id(7), args=bytes(5_000))
    assert refused.value.limit == 40_000
    await give_up(waiting)


async def test_who_gives_up_makes_room(system):
    mesh = await start_mesh(system, max_relayed=1)
    await session(system, mesh, 8, never)
    await session(system, mesh, 9)
    await give_up(await wait_on(system, 1, to=8))

    assert await relay(system)
    assert await relaying(mesh) == (0, 0)


async def test_room_is_free_after_the_deadline_even_if_who_asked_goes_on_waiting(system):
    mesh = await start_mesh(system, max_relayed=1)
    await session(system, mesh, 8, never)
    await session(system, mesh, 9)
    waiting = send_request(mesh, Relay(a_route(8), SENDER, 0.5))
    await asyncio.sleep(0.6)

    assert await relay(system, to=9)
    assert not waiting.done()


async def test_after_the_deadline_nothing_is_sent(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh)

    with pytest.raises(CallTimeoutError):
        await relay(system, timeout=0.0)
    assert await connection.call("exchanges") == []


async def test_what_was_relayed_is_not_kept_in_memory(system):
    mesh = await start_mesh(system)
    await session(system, mesh)
    await relay(system)
    await asyncio.sleep(1.1)

    assert not mesh._process.server._relays._relayed


async def test_a_session_that_ends_fails_what_was_relayed_over_it(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh, 9, never)
    (waiting,) = await wait_on(system, 1)

    await stop(connection, Shutdown())

    with pytest.raises(ServerDownError):
        await waiting
    assert await relaying(mesh) == (0, 0)


async def test_what_the_node_refuses_is_told(system):
    mesh = await start_mesh(system)
    await session(system, mesh, 9, lambda _: Refuse(RefusedError("busy", "")))

    with pytest.raises(RefusedError) as refused:
        await relay(system)
    assert refused.value.code == "busy"


async def test_a_message_that_is_too_large_for_a_frame_hurts_its_sender_only(system):
    mesh = await start_mesh(system)
    await session(system, mesh)

    with pytest.raises(LocalProtocolError):
        await relay(system, args=bytes(1_048_576))
    assert await relay(system)


async def test_what_is_relayed_is_counted_in_all_and_by_session(system):
    mesh = await start_mesh(system)
    connection = await session(system, mesh, 9)
    await session(system, mesh, 8)
    for _ in range(2):
        await relay(system, to=9)
    length = len((await connection.call("exchanges"))[0].frame)

    counts = await gateway.get_mesh_stats(mesh)
    (busiest,) = counts.by_session
    assert counts == MeshStats(sessions=2, relayed=2, bytes=2 * length, by_session=(busiest,))
    assert busiest == SessionStats(node_id=node_id(9), connections=1, relayed=2, bytes=2 * length)

    await kill(connection)
    assert (await gateway.get_mesh_stats(mesh)).by_session == ()


@pytest.mark.slow
async def test_of_ten_thousand_sessions_that_come_and_go_nothing_stays(system):
    mesh = await start_mesh(system)
    refs = await connections(system, 10_000)
    for number, ref in enumerate(refs):
        mesh.cast(SessionUp(Session(node_id(number % 250), ref)))
    await relay(system, to=9)
    counts = await gateway.get_mesh_stats(mesh)
    assert counts.sessions == 250
    assert len(counts.by_session) <= SHOWN_SESSIONS

    await asyncio.gather(*(stop(ref) for ref in refs))
    await asyncio.sleep(1.1)

    server = mesh._process.server
    tables = (server._sessions, server._connections, server._relayed, server._bytes, server._relays._relayed)
    assert [len(each) for each in tables] == [0] * 5
