"""Which connection a message gets, in virtual time: dials, back-off, duplicates, idle ones, refusals."""

import asyncio
from itertools import permutations

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.pool import PoolLimits
from macula_actors.core.wire.messages import Call, Cast, Challenge, Connect
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    IdentityMismatchError,
    NoRouteError,
    OverloadedError,
    SelfDialError,
)
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import close_connection, stats
from macula_actors.simulation import Link, Trace
from supervisors.testing import run, wait_until
from tests.macula_actors.peers import PORT, echo, never, simulated

NOBODY = Endpoint("10.9.9.9", PORT)
MAYBE = {Call: lambda inbound: never(inbound) if inbound.message.procedure == "never" else echo(inbound)}


def now():
    return asyncio.get_running_loop().time()


async def outcomes(*awaitables):
    """Return the values and errors of what runs at once."""
    return await asyncio.gather(*awaitables, return_exceptions=True)


async def types(*awaitables):
    return {type(value) for value in await outcomes(*awaitables)}


# Dials


async def test_a_hundred_calls_at_once_make_one_dial():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)

        results = await asyncio.gather(*(one.call(other, bytes([number])) for number in range(100)))

        assert results == [bytes([number]) for number in range(100)]
        assert ((await one.pool()).dials, len(one.connections), len(other.connections)) == (1, 1, 1)


async def test_who_calls_by_address_alone_finds_the_connection_to_the_node():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)

        assert await one.call(Contact(other.endpoint)) == b"x"
        assert await one.call(Contact(node_id=other.identity.node_id)) == b"x"
        assert len(one.connections) == 1


async def test_a_node_that_appears_in_time_is_reached():
    async with simulated() as mesh:
        one, identity = await mesh.node(), Identity.generate()
        host = mesh.network.host("late")
        mesh.hosts["late"] = host
        contact = Contact(Endpoint(host.ipv4, PORT), identity.node_id)
        call = asyncio.ensure_future(one.call(contact, timeout=10.0))
        await wait_until(lambda: len(one.connections) == 2, timeout=10.0)

        await mesh.node("late", identity=identity)

        assert await call == b"x"
        assert (await one.pool()).dial_failures >= 1


async def test_no_route_says_what_was_tried():
    async with simulated() as mesh:
        one = await mesh.node(peer={"handshake_timeout": 1.0})

        (error,) = await outcomes(one.call(Contact(NOBODY), timeout=3.0))

        ((path, why),) = error.tried
        assert (type(error), path, type(why)) == (NoRouteError, "direct", ConnectionLostError)
        assert str(NOBODY) in str(error)


async def test_a_name_that_does_not_exist_is_no_route():
    async with simulated() as mesh:
        one = await mesh.node()

        (error,) = await outcomes(one.call(Contact(Endpoint("nobody.example", PORT)), timeout=1.0))

        assert isinstance(error, NoRouteError)
        assert "no name" in str(error.tried)


async def test_a_host_that_nobody_listens_at_is_given_up_before_the_time_out():
    async with simulated() as mesh:
        one, host = await mesh.node(), mesh.network.host("deaf")
        began = now()

        (error,) = await outcomes(one.call(Contact(Endpoint(host.ipv4, PORT)), timeout=0.3))

        assert isinstance(error, NoRouteError)
        assert now() - began <= 0.3 + 0.1


async def test_a_call_to_a_node_of_unknown_address_is_no_route():
    async with simulated() as mesh:
        one = await mesh.node()

        (error,) = await outcomes(one.call(Contact(node_id=Identity.generate().node_id), timeout=0.4))

        assert isinstance(error, NoRouteError)


async def test_the_deadline_passes_while_the_first_dial_is_under_way():
    async with simulated() as mesh:
        one = await mesh.node()

        (error,) = await outcomes(one.call(Contact(NOBODY), timeout=1.0))

        assert isinstance(error, CallTimeoutError)


async def test_the_second_address_of_a_name_is_tried():
    async with simulated(icmp=True) as mesh:
        one, other = await mesh.nodes(2)
        deaf = mesh.network.host("deaf")
        mesh.network.add_name("both.example", [deaf.ipv4, other.endpoint.host])

        assert await one.call(Contact(Endpoint("both.example", PORT))) == b"x"


async def test_the_second_address_of_a_name_is_tried_if_the_first_is_silent():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        mesh.network.add_name("both.example", [NOBODY.host, other.endpoint.host])

        assert await one.call(Contact(Endpoint("both.example", PORT)), timeout=4.0) == b"x"


async def test_the_second_address_of_a_name_is_tried_if_the_first_is_this_node():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        mesh.network.add_name("seeds.example", [one.endpoint.host, other.endpoint.host])

        assert await one.call(Contact(Endpoint("seeds.example", PORT)), timeout=1.0) == b"x"


async def test_the_second_address_of_a_name_is_tried_if_the_first_is_another_node():
    async with simulated() as mesh:
        one, other, wanted = await mesh.nodes(3)
        mesh.network.add_name("both.example", [other.endpoint.host, wanted.endpoint.host])

        assert await one.call(Contact(Endpoint("both.example", PORT), wanted.identity.node_id), timeout=1.0) == b"x"


async def test_what_comes_before_the_handshake_is_done_is_bounded():
    async with simulated() as mesh:
        one, liar = await mesh.node(), mesh.attacker()
        call = asyncio.create_task(one.call(Contact(liar.endpoint), timeout=5.0))
        line = await liar.next_accepted()
        line.send(Challenge(node_id=liar.identity.node_id, nonce=bytes(32)), end=False)
        await line.first(Connect)

        for _ in range(3):
            line.send(Call(procedure="x", args=bytes(1_000_000), call_id=bytes(16)))

        with pytest.raises(NoRouteError, match="bytes before the handshake is done"):
            await call
        assert one.counted["closed_overloaded"] == 1


async def test_callers_that_have_given_up_leave_their_places_to_others():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(max_waiters_per_peer=5)})
        waiting = [asyncio.create_task(one.call(Contact(NOBODY), timeout=30.0)) for _ in range(5)]
        await asyncio.sleep(0)
        assert (await one.pool()).waiters == 5
        for each in waiting:
            each.cancel()

        (error,) = await outcomes(one.call(Contact(NOBODY), timeout=1.0))

        assert isinstance(error, CallTimeoutError)


async def test_who_was_not_at_one_endpoint_is_dialled_at_another_at_once():
    async with simulated() as mesh:
        one, other, wanted = await mesh.nodes(3)
        for _ in range(3):
            await outcomes(one.call(Contact(other.endpoint, wanted.identity.node_id), timeout=1.0))

        assert await one.call(wanted, timeout=1.0) == b"x"


async def test_all_connections_to_a_node_are_closed_together():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await asyncio.gather(one.call(other), other.call(one))
        assert (await one.pool()).live == 2

        assert await close_connection(one.connector, other.contact)

        assert (await one.pool()).live == 0


async def test_a_back_off_is_not_cut_short_by_new_callers():
    async with simulated() as mesh:
        one = await mesh.node(peer={"handshake_timeout": 0.1}, mesh={"backoff": Backoff(initial=10.0, maximum=10.0)})
        await outcomes(one.call(Contact(NOBODY), timeout=1.0))

        errors = await types(*(one.call(Contact(NOBODY), timeout=1.0) for _ in range(10)))

        assert errors == {NoRouteError}
        assert (await one.pool()).dials == 1


async def test_more_dials_than_allowed_are_refused():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(max_dials=2)})
        contacts = [Contact(Endpoint(f"10.9.9.{number}", PORT)) for number in range(3)]

        errors = await outcomes(*(one.call(contact, timeout=1.0) for contact in contacts))

        assert [type(error) for error in errors] == [CallTimeoutError, CallTimeoutError, OverloadedError]


async def test_more_waiters_than_allowed_are_refused():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(max_waiters_per_peer=5)})

        errors = await outcomes(*(one.call(Contact(NOBODY), timeout=1.0) for _ in range(6)))

        assert [type(error) for error in errors] == [CallTimeoutError] * 5 + [OverloadedError]


async def test_a_node_that_dials_itself_is_told_so():
    async with simulated() as mesh:
        one = await mesh.node()

        errors = [*await outcomes(one.call(Contact(one.endpoint))), *await outcomes(one.call(Contact(one.endpoint)))]

        assert [type(error) for error in errors] == [SelfDialError] * 2


async def test_another_node_than_the_one_dialled_is_an_error_at_once():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        wrong = Contact(other.endpoint, Identity.generate().node_id)
        began = now()

        (error,) = await outcomes(one.call(wrong))

        assert (type(error), error.actual) == (IdentityMismatchError, other.identity.node_id)
        assert now() - began < 1.0
        assert await one.call(other) == b"x"


async def traced_calls(seed):
    """Let three nodes call one another over a bad link; return the digest of what went over the network."""
    trace = Trace()
    async with simulated(seed=seed, link=Link(jitter=0.02, loss=0.05), trace=trace) as mesh:
        nodes = await mesh.nodes(3)
        await asyncio.gather(*(one.call(other) for one, other in permutations(nodes, 2)))
    return trace.digest()


def test_one_seed_gives_one_run():
    one, again, other = (run(traced_calls(seed)) for seed in (1, 1, 2))

    assert one == again != other


# Several connections to one node


@pytest.mark.parametrize("latency", [0.0, 0.025, 0.4])
async def test_two_nodes_that_dial_each_other_at_once_lose_nothing(latency):
    async with simulated(link=Link(latency=latency)) as mesh:
        one, other = await mesh.nodes(2, answers={Call: echo, Cast: lambda _: None})

        for _ in range(20):
            calls = [node.call(peer) for node, peer in ((one, other), (other, one)) for _ in range(20)]
            assert await types(*calls) == {bytes}
            await asyncio.sleep(0.7)

        await wait_until(lambda: sum(ref.is_alive() for ref in one.connections) == 1, timeout=60.0)
        assert sum(ref.is_alive() for ref in other.connections) == 1
        assert (await one.call(other), await other.call(one)) == (b"x", b"x")


# Connections that are not needed


async def test_an_idle_connection_is_closed_after_its_time():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, mesh={"pool": PoolLimits(idle_timeout=20.0)})
        await one.call(other)
        began = now()

        error = await one.end_of(timeout=60.0)

        assert (error.by, error.code) == ("local", CloseCode.IDLE)
        assert now() - began == pytest.approx(20.0, abs=2.0)
        assert ((await other.end_of()).by, (await one.pool()).idle_closes) == ("peer", 1)


async def test_a_connection_in_use_is_not_idle():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(idle_timeout=5.0)})
        other = await mesh.node(delay=30.0)

        assert await one.call(other, timeout=60.0) == b"x"
        assert len(one.connections) == 1


async def test_a_connection_with_now_and_then_a_message_is_not_idle():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, mesh={"pool": PoolLimits(idle_timeout=5.0)})

        for _ in range(10):
            await other.call(one)
            await asyncio.sleep(4.0)

        assert len(one.connections) == len(other.connections) == 1


async def test_a_connection_that_only_the_other_node_uses_is_not_idle():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2, mesh={"pool": PoolLimits(idle_timeout=5.0)})
        await one.call(other)

        for _ in range(10):
            await other.call(one)
            await asyncio.sleep(3.0)

        assert len(one.connections) == len(other.connections) == 1


async def test_the_connection_that_was_unused_longest_makes_room():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(max_connections=2)})
        first, second, third = await mesh.nodes(3)
        for peer in (first, second, third):
            await one.call(peer)
            await asyncio.sleep(1.0)

        assert (await one.end_of(0)).code == CloseCode.EVICTED
        assert [ref.is_alive() for ref in one.connections] == [False, True, True]
        assert (await one.pool()).evictions == 1


async def test_a_connection_that_is_busy_does_not_make_room():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"pool": PoolLimits(max_connections=1)})
        slow, other = await mesh.node(delay=5.0), await mesh.node()
        call = asyncio.ensure_future(one.call(slow, timeout=20.0))
        await asyncio.sleep(2.0)

        (error,) = await outcomes(one.call(other))

        assert (type(error), await call) == (OverloadedError, b"x")


async def test_more_connections_than_a_node_takes_are_refused_at_the_dialler():
    async with simulated() as mesh:
        one = await mesh.node(mesh={"admission": AdmissionLimits(max_connections=1)})
        first, second = await mesh.nodes(2)
        await first.call(one)

        (error,) = await outcomes(second.call(one, timeout=0.4))

        ((_, why),) = error.tried
        assert (type(error), why.by, why.code) == (NoRouteError, "peer", CloseCode.OVERLOADED)
        assert await first.call(one) == b"x"
        assert one.counted["connections"] >= 1


async def test_a_node_that_accepts_nobody_still_calls_and_is_called_over_what_it_dialled():
    async with simulated() as mesh:
        edge, other = await mesh.node(mesh={"accept_peers": False}), await mesh.node()
        await edge.call(other)

        assert await other.call(edge) == b"x"


# What it counts


async def test_the_connections_are_told_by_node():
    async with simulated() as mesh:
        one, other = await mesh.nodes(2)
        await one.call(other)

        counts = await stats(one.connector)

        assert counts.connections == ((str(other.identity.node_id), one.connections[0]),)
        assert (counts.pool.live, counts.pool.dials) == (1, 1)


async def test_what_the_connector_keeps_is_gone_with_its_connections():
    async with simulated() as mesh:
        one = await mesh.node(peer={"handshake_timeout": 0.2}, mesh={"pool": PoolLimits(idle_timeout=5.0)})
        for peer in await mesh.nodes(3):
            await one.call(peer)
        await outcomes(*(one.call(Contact(Endpoint(f"10.9.9.{n}", PORT)), timeout=1.0) for n in range(5)))

        await asyncio.sleep(1000.0)

        server = one.process(PEER_CONNECTOR)._process.server
        assert (server._known, server._dials, server._starting) == ({}, {}, {})
        counts = await one.pool()
        assert (counts.live, counts.dialling, counts.backing_off, counts.waiters) == (0, 0, 0, 0)
