"""Thousands of clients that come to one gateway, advertise, call and go, over QUIC in virtual time: nothing stays."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.actors.gateway.diagnostics import ECHO
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.arguments import encode
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.rpc.provider import advertisement
from macula_actors.core.wire.messages import Call, Reply, Store, StoreReply
from macula_actors.errors import OverloadedError, QuorumError
from macula_actors.messages.names import (
    ENDPOINT,
    GATEWAY_CLIENTS,
    GATEWAY_MESH,
    GATEWAY_RPC,
    MEMBERSHIP,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from macula_actors.simulation import SimNetwork, deterministic
from supervisors.testing import wait_until
from tests.fault_injection.leftovers import census, forgotten
from tests.macula_actors.actors.routing.mesh import wall_clock_ms
from tests.macula_actors.peers import PORT, REALM, Attacker, Line

TTL = 60  # seconds of an advertisement
GONE_BY = (
    90.0  # virtual seconds by which a client that said nothing is noticed to have gone: the idle time-out and more
)
FORGOTTEN_BY = 240.0  # virtual seconds by which caches and records have expired
SHARE = 64  # GatewayConfig.max_relayed_per_client, and the streams of a connection
# Which objects a client that has gone leaves for a time, each with its bound: what it may still STORE this minute
# (SenderLimits.max_senders, 4096) and who brought its record (twice the records that are kept, and 1024).
BOUNDED = {"macula_actors.core.kademlia.sender_limits._Sender", "macula_actors.core.kademlia.node_id.NodeId"}


class ClientLine(Line):
    """A client's side of its connection: it answers each call with its arguments, but not a `FindNode`."""

    def frames_received(self, frames):
        known = len(self.messages)
        super().frames_received(frames)
        for at, message, _ in self.messages[known:]:
            match message:
                case Call(call_id=call_id, args=args):
                    self.send(Reply(call_id=call_id, result=args), stream_id=at)


class Client(Attacker):
    """A client of a gateway, without the processes of a node."""

    def __init__(self, host, number):
        super().__init__(host, "aioquic", None, host.ipv4, PORT)
        self.host = host
        self.number = number
        self.line = None

    def dial_nowait(self, node):
        line = ClientLine()
        line.link = self.quic.dial(node.address, line)
        return line

    async def come(self, gateway):
        """Connect, advertise a service, and call one of the gateway's own."""
        self.line = await self.join(gateway)
        assert isinstance(await self.line.ask(self._store(gateway)), StoreReply)
        assert (await self.line.ask(self.a_call(ECHO))).error is None

    def a_call(self, procedure, timeout=3000):
        return Call(
            procedure=procedure, args=encode("x", json=False), call_id=self.identity.node_id[:16], timeout=timeout
        )

    async def call(self, procedure):
        """Have the gateway call ``procedure``, and return the reply."""
        return (await self.line.answers(self.line.send(self.a_call(procedure)), timeout=10.0))[0]

    def _store(self, gateway):
        key = key_of(KeyKind.PROCEDURE, service(self.number), realm=REALM, security=Security.VERIFIED)
        now = wall_clock_ms()
        payload = advertisement(None, (gateway.contact,), {}, now)
        record = Record.seal(self.identity, key, payload, sequence=now, now_ms=now, ttl=TTL)
        return Store(key=key, value=record.to_value())


def service(number):
    return f"test.client.of{number}"


class Gateway(NamedTuple):
    """A gateway node, and where it is."""

    node: Node
    address: tuple[str, int]
    network: SimNetwork

    @property
    def contact(self):
        return Contact(self.node.config.advertise, self.node.node_id)

    @property
    def stats(self):
        return self.node.stats()


@asynccontextmanager
async def a_gateway(**limits):
    """Start a gateway in a network of its own. What nobody listens to is lost there without a word."""
    with deterministic(1), SimNetwork(seed=1, icmp=False) as network:
        async with a_node(network, "gateway", Mode.GATEWAY, **limits) as node:
            yield Gateway(node, (node.config.advertise.host, PORT), network)


def a_node(network, name, mode=Mode.EDGE, **settings):
    host = network.host(name)
    every = {"realm": REALM, "listen": f"0.0.0.0:{PORT}", "advertise": f"{host.ipv4}:{PORT}", "health_port": "none"}
    config = NodeConfig(name=name, mode=mode, **every, **settings)
    return Node(config, network=lambda: host, wall_clock_ms=wall_clock_ms)


async def come_and_go(gateway, numbers):
    """Have a client for each of ``numbers`` come; most call another one. Half of them leave, half of them vanish."""
    clients = [Client(gateway.network.host(f"client{number}"), number) for number in numbers]
    await asyncio.gather(*(each.come(gateway) for each in clients))
    assert gateway.stats[GATEWAY_CLIENTS].clients >= len(clients)

    callers, callees = clients[: len(clients) * 2 // 3], [*clients[1:], clients[0]]
    calls = (each.call(service(other.number)) for each, other in zip(callers, callees, strict=False))
    replies = await asyncio.gather(*calls)
    assert [reply.error for reply in replies if reply.error] == []
    for each in clients[len(callers) :]:  # these go with a call under way
        each.line.send(each.a_call("test.client.of_nobody", timeout=30_000))

    for each in clients[::2]:
        each.host.crash()
    for each in clients:
        each.close()


def connections_at(gateway):
    """Return what there is, by what it is, as long as clients are connected."""
    stats = gateway.stats
    endpoint = gateway.node.system.whereis(ENDPOINT)._process.server.quic
    handler = gateway.node.system.whereis(RPC_HANDLER)._process.server
    found = {
        "clients": stats[GATEWAY_CLIENTS].clients,
        "sessions": stats[GATEWAY_MESH].sessions,
        "relaying": stats[GATEWAY_MESH].relaying,
        "calls for clients": stats[GATEWAY_RPC].calls,
        "connections": stats[PEER_CONNECTOR].pool.live,
        "waiters": stats[PEER_CONNECTOR].pool.waiters,
        "of the socket": len(endpoint.connections),
        "routing pings": stats[ROUTING_SERVER].pings,
        "lookups": stats[SERVICE_REGISTRY].lookups + stats[ROUTING_SERVER].lookups,
        "waiting for a lookup": stats[SERVICE_REGISTRY].waiting,
        "nodes of the rpc handler": len(handler._nodes) + len(handler._connected),
        "calls": stats[RPC_HANDLER].busy + stats[RPC_HANDLER].queued,
        "members connected": stats[MEMBERSHIP].connected,
    }
    return {what: number for what, number in found.items() if number}


def remembered_at(gateway):
    """Return what is known of clients that have gone, by what it is."""
    stats = gateway.stats
    found = {
        "contacts": stats[ROUTING_SERVER].contacts,
        "records": stats[ROUTING_SERVER].records.records,
        "cached": stats[SERVICE_REGISTRY].cached,
        "members": stats[MEMBERSHIP].alive + stats[MEMBERSHIP].suspect + stats[MEMBERSHIP].dead,
    }
    return {what: number for what, number in found.items() if number}


async def assert_nothing_stays(gateway, clients, batch):
    """Have ``clients`` come, a ``batch`` at a time. As many of a batch before leave the pools and workers filled."""
    await come_and_go(gateway, range(batch))
    await asyncio.sleep(GONE_BY + FORGOTTEN_BY)
    before = census()

    for start in range(batch, clients, batch):
        await come_and_go(gateway, range(start, start + batch))
        await wait_until(lambda: connections_at(gateway) == {}, timeout=GONE_BY, every=1.0)

    await wait_until(lambda: remembered_at(gateway) == {}, timeout=FORGOTTEN_BY, every=1.0)
    assert gateway.stats[GATEWAY_CLIENTS].registered == clients
    assert forgotten(gateway.node.system) == set()
    grown = {kind: count for kind, count in (census() - before).items() if count > batch / 10}
    assert grown.keys() <= BOUNDED, grown


@pytest.mark.slow
async def test_of_300_clients_that_came_and_went_nothing_stays():
    async with a_gateway() as gateway:
        await assert_nothing_stays(gateway, 300, 100)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_of_10000_clients_that_came_and_went_nothing_stays():
    async with a_gateway() as gateway:
        await assert_nothing_stays(gateway, 10_000, 250)


# Limits


async def one_second(args):
    await asyncio.sleep(1.0)
    return args


async def errors_of(*calls):
    ended = await asyncio.gather(*calls, return_exceptions=True)
    return [type(each) for each in ended if isinstance(each, Exception)]


async def test_calls_beyond_those_that_a_node_handles_are_refused_as_overloaded():
    async with (
        a_gateway(max_workers=2, max_waiting_calls=2) as gateway,
        a_node(gateway.network, "edge", bootstrap=[str(gateway.node.config.advertise)]) as edge,
    ):
        await gateway.node.advertise("test.slow", one_second)

        assert (
            await errors_of(*(edge.call("test.slow", paths=[Path.DIRECT]) for _ in range(8))) == [OverloadedError] * 4
        )


async def test_a_call_that_its_provider_has_no_room_for_is_refused_as_overloaded_whatever_the_paths():
    async with (
        a_gateway(max_workers=2, max_waiting_calls=2) as gateway,
        a_node(gateway.network, "edge", bootstrap=[str(gateway.node.config.advertise)]) as edge,
    ):
        await gateway.node.advertise("test.slow", one_second)

        assert set(await errors_of(*(edge.call("test.slow") for _ in range(8)))) == {OverloadedError}


async def test_calls_of_one_client_beyond_its_share_of_the_relay_wait_until_others_have_ended():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(a_gateway())
        known = [str(gateway.node.config.advertise)]
        hidden = {"bootstrap": known, "gateways": known, "accept_peers": False}
        provider, caller = [
            await stack.enter_async_context(a_node(gateway.network, name, **hidden)) for name in ("provider", "caller")
        ]
        await provider.advertise("test.slow", one_second)

        calls = [
            asyncio.create_task(caller.call("test.slow", paths=[Path.RELAY], timeout=10.0)) for _ in range(2 * SHARE)
        ]
        relaying = []
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.1)
            relaying.append(gateway.stats[GATEWAY_MESH].relaying)

        assert max(relaying) == SHARE
        assert await errors_of(*calls) == []


async def test_workers_that_have_nothing_to_do_take_no_room_from_calls_for_clients():
    async with a_gateway(max_workers=2) as gateway:
        one, other = clients = [Client(gateway.network.host(f"client{number}"), number) for number in range(2)]
        await asyncio.gather(*(each.come(gateway) for each in clients))
        assert gateway.stats[RPC_HANDLER].idle == 2

        assert (await one.call(service(other.number))).error is None
        for each in clients:
            each.close()


@pytest.mark.parametrize("limit", ["max_clients", "max_connections"])
async def test_a_client_beyond_the_limit_is_closed_as_overloaded(limit):
    async with a_gateway(**{limit: 3}) as gateway:
        clients = [Client(gateway.network.host(f"client{number}"), number) for number in range(4)]
        for each in clients[:3]:
            await each.come(gateway)

        line = clients[3].dial_nowait(gateway)
        handshake = asyncio.create_task(line.shake_hands(clients[3].identity))
        error = await line.lost_error()
        handshake.cancel()

        assert error.code == CloseCode.OVERLOADED
        assert gateway.stats[GATEWAY_CLIENTS].clients == 3
        for each in clients:
            each.close()


async def test_a_node_that_is_not_let_in_says_that_nobody_could_be_asked():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(a_gateway(max_connections=1))
        known = [str(gateway.node.config.advertise)]
        await gateway.node.advertise("test.slow", one_second)
        await stack.enter_async_context(a_node(gateway.network, "first", bootstrap=known))
        second = await stack.enter_async_context(a_node(gateway.network, "second", bootstrap=known))

        with pytest.raises(QuorumError):
            await second.call("test.slow")


# What clients find


async def test_a_client_finds_what_another_one_has_just_advertised_within_half_a_second():
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(a_gateway())
        known = [str(gateway.node.config.advertise)]
        hidden = {"bootstrap": known, "gateways": known, "accept_peers": False}
        provider, caller = [
            await stack.enter_async_context(a_node(gateway.network, name, **hidden)) for name in ("provider", "caller")
        ]
        await provider.advertise("test.slow", one_second)
        began = asyncio.get_running_loop().time()

        assert len(await caller.discover("test.slow")) == 1
        assert asyncio.get_running_loop().time() - began < 0.5
