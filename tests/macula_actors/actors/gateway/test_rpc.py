import asyncio

import pytest

from macula_actors.actors.gateway.client_call import ClientCall
from macula_actors.actors.gateway.rpc import GatewayRpc
from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.wire.messages import Ping
from macula_actors.errors import CallTimeoutError, NoProviderError, RefusedError, RemoteCallError
from macula_actors.messages import gateway
from macula_actors.messages.gateway import GATEWAY_CAPABILITY, GatewayRpcStats
from macula_actors.messages.names import GATEWAY_RPC, RPC_WORKERS
from macula_actors.messages.peer import Abandoned
from supervisors import CallError, DynamicSupervisor, Kill, count_children, exit_signal, send_request
from tests.macula_actors.actors.gateway.stand_ins import OWN, a_call, config, connections, inbound
from tests.support import kill


async def doubled(procedure, args, *, timeout):
    return [args, args]


async def endless(procedure, args, *, timeout):
    await asyncio.get_running_loop().create_future()


def failing(error):
    async def fail(procedure, args, *, timeout):
        raise error

    return fail


class Recording:
    """Makes calls by remembering them."""

    def __init__(self):
        self.made = []

    async def __call__(self, procedure, args, *, timeout):
        self.made.append((procedure, args, timeout))


async def start(system, make=doubled, max_children=None, **limits):
    await system.start(DynamicSupervisor, max_children, name=RPC_WORKERS)
    server = await system.start(GatewayRpc, config(**limits), make, name=GATEWAY_RPC)
    (connection,) = await connections(system, 1)
    return server, connection


async def ask(server, connection, number=0, *, timeout=None, args=None, procedure="double", **about):
    data = encode("x", json=False) if args is None else args
    message = a_call(number, procedure, data, timeout)
    return await gateway.call_for_client(server, inbound(message, connection, **about), 10.0)


async def settle():
    """Let what is under way come to where it waits; in virtual time that is at once."""
    await asyncio.sleep(0.01)


async def wait_on(system, server, connection, count, **about):
    """Begin ``count`` calls that nobody answers; return their tasks."""
    tasks = [asyncio.create_task(ask(server, connection, number, **about)) for number in range(count)]
    await settle()
    return tasks


async def give_up(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def workers():
    return (await count_children(RPC_WORKERS)).active


async def counts(server):
    return await gateway.get_rpc_stats(server)


async def test_a_call_is_made_for_the_client_and_its_result_returned(system):
    server, connection = await start(system)

    reply = await ask(server, connection, 7)

    assert reply.call_id == bytes([7]) * 16
    assert decode(reply.result, json=False) == ["x", "x"]
    await settle()
    assert await counts(server) == GatewayRpcStats(made=1)
    assert await workers() == 0


async def test_a_client_of_the_original_speaks_json(system):
    server, connection = await start(system, security=Security.OPEN)

    reply = await ask(server, connection, args=b'"x"')

    assert reply.result == b'["x","x"]'


@pytest.mark.parametrize(("asked", "given"), [(None, 5.0), (1500, 1.5), (3_600_000, 60.0)])
async def test_a_call_has_the_time_that_the_client_gives_it_within_bounds(system, asked, given):
    make = Recording()
    server, connection = await start(system, make)

    await ask(server, connection, timeout=asked)

    assert make.made == [("double", "x", given)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoProviderError("double"), "no_provider"),
        (CallTimeoutError("a", 1.0), "timeout"),
        (RemoteCallError("my_code", "no"), "my_code"),
        (ValueError("no name"), "no_provider"),
        (CallError("gone"), "unavailable"),
    ],
)
async def test_a_call_that_fails_says_why_and_where(system, error, code):
    server, connection = await start(system, failing(error))

    reply = await ask(server, connection)

    assert reply.error.code == code
    assert reply.error.path[0] == bytes(OWN)


async def test_arguments_that_cannot_be_read_are_the_clients_fault(system):
    server, connection = await start(system)

    assert (await ask(server, connection, args=b"\xc1")).error.code == "bad_args"


async def test_a_process_of_a_call_that_crashes_costs_that_call_only(system):
    server, connection = await start(system, failing(ZeroDivisionError()))

    assert (await ask(server, connection)).error.code == "unavailable"
    assert server.is_alive()
    assert (await counts(server)).calls == 0


async def test_for_another_gateway_no_call_is_made(system):
    server, connection = await start(system)

    reply = await ask(server, connection, capabilities=(GATEWAY_CAPABILITY,))

    assert reply.error.code == "no_handler"
    assert (await counts(server)).made == 0


async def test_only_so_many_calls_are_made_for_one_client(system):
    server, connection = await start(system, endless, max_relayed_per_client=2)
    waiting = await wait_on(system, server, connection, 2)

    assert (await ask(server, connection, 9)).error.code == "overloaded"
    assert (await counts(server)).refused == 1
    await give_up(waiting)


async def test_only_so_many_calls_are_made_in_all(system):
    server, connection = await start(system, endless, max_calls=2)
    waiting = await wait_on(system, server, connection, 2)

    assert (await ask(server, connection, 9)).error.code == "overloaded"
    await give_up(waiting)


async def test_without_room_for_a_process_a_call_is_refused(system):
    server, connection = await start(system, max_children=0)

    assert (await ask(server, connection)).error.code == "overloaded"
    assert (await counts(server)).calls == 0


async def test_without_a_supervisor_of_calls_they_are_unavailable(system):
    server = await system.start(GatewayRpc, config(), doubled, name=GATEWAY_RPC)
    (connection,) = await connections(system, 1)

    assert (await ask(server, connection)).error.code == "unavailable"
    assert not connection._process._monitors


async def test_a_call_id_that_is_in_use_is_refused(system):
    server, connection = await start(system, endless)
    waiting = await wait_on(system, server, connection, 1)

    assert (await ask(server, connection, 0)).error.code == "not_permitted"
    assert (await counts(server)).calls == 1
    await give_up(waiting)


async def test_what_is_no_call_is_refused(system):
    server, connection = await start(system)

    with pytest.raises(RefusedError):
        await gateway.call_for_client(server, inbound(Ping(timestamp=1), connection), 1.0)


async def test_a_client_that_goes_takes_its_calls_with_it(system):
    server, connection = await start(system, endless)
    (other,) = await connections(system, 1)
    waiting = await wait_on(system, server, connection, 3)
    stays = await wait_on(system, server, other, 1)
    assert await workers() == 4

    await kill(connection)
    replies = await asyncio.gather(*waiting)

    assert {reply.error.code for reply in replies} == {"cancelled"}
    await settle()
    assert await workers() == 1
    assert await counts(server) == GatewayRpcStats(calls=1, clients=1, made=4, cancelled=3)
    await give_up(stays)


async def test_a_call_that_is_abandoned_is_ended(system):
    server, connection = await start(system, endless)
    waiting = await wait_on(system, server, connection, 2)

    server.cast(Abandoned(connection, bytes([1]) * 16))
    server.cast(Abandoned(connection, bytes([9]) * 16))

    assert (await waiting[1]).error.code == "cancelled"
    await settle()
    assert await workers() == 1
    await give_up(waiting)


async def test_a_call_that_is_abandoned_before_its_process_has_started_is_ended(system):
    server, connection = await start(system, endless)

    send_request(server, gateway.CallForClient(inbound(a_call(1), connection)))
    server.cast(Abandoned(connection, bytes([1]) * 16))
    await settle()

    assert await workers() == 0
    assert (await counts(server)).calls == 0


async def test_a_call_that_nobody_waits_for_is_ended_within_a_quarter_of_a_second(system):
    server, connection = await start(system, endless)

    await give_up(await wait_on(system, server, connection, 1))
    await asyncio.sleep(0.3)

    assert await workers() == 0
    assert await counts(server) == GatewayRpcStats(made=1, cancelled=1)


async def test_a_process_of_a_call_that_is_killed_costs_that_call_only(system):
    server, connection = await start(system, endless)
    waiting = await wait_on(system, server, connection, 2)
    victim = next(process.ref for process in system.processes if process.ref.actor_class is ClientCall)

    exit_signal(victim, Kill())

    assert (await waiting[0]).error.code == "unavailable"
    assert not waiting[1].done()
    await give_up(waiting)


async def test_when_who_makes_the_calls_is_killed_their_processes_end(system):
    server, connection = await start(system, endless)
    waiting = await wait_on(system, server, connection, 2)

    await kill(server)

    assert all(isinstance(each, CallError) for each in await asyncio.gather(*waiting, return_exceptions=True))
    await settle()
    assert await workers() == 0


async def test_of_many_calls_nothing_stays(system):
    server, connection = await start(system)

    for number in range(200):
        await ask(server, connection, number)
    await settle()

    state = server._process.server
    tables = (state._calls, state._starting, state._workers, state._of_client, state._over, state._monitors)
    assert [len(each) for each in tables] == [0] * 6
    assert not connection._process._monitors
