import asyncio
import gc
import os
import tracemalloc
import weakref

import pytest

from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.wire.datagram import Reset, decode_datagram, encode_reset
from macula_actors.errors import ConnectionLostError
from macula_actors.transport.connection import HANDSHAKE_TIMEOUT
from macula_actors.transport.endpoint import MAX_RESETS
from macula_actors.transport.interface import QuicSettings
from tests.macula_actors.transport.conftest import made
from tests.macula_actors.transport.nodes import HELLO, World, poll

LOOPBACK, SIMULATED = False, True
ENGINES = ["aioquic", "qh3"]
SHORT = b"\x40" + bytes(range(8)) + bytes(20)  # a packet of a connection that nobody knows


@pytest.fixture(params=ENGINES)
def engine_name(request):
    return request.param


@pytest.fixture(params=[pytest.param(LOOPBACK, marks=pytest.mark.real_clock, id="loopback"), SIMULATED])
def world(request, engine_name):
    """Return a world of each kind: with real sockets, and in virtual time."""
    return World(engine_name, is_simulated=request.param)


@pytest.fixture
def simulated(engine_name):
    return World(engine_name, is_simulated=True)


@pytest.fixture
def real(engine_name):
    return World(engine_name, is_simulated=False)


def initial(engine_name, settings=None):
    """Return the first datagram of a dialler."""
    return made(engine_name, settings or QuicSettings()).dial(("192.0.2.1", 1), 1.0).datagrams_to_send(1.0)[0][0]


async def assert_refused(owner, code, words):
    error = await owner.lost_by()
    assert isinstance(error, ConnectionLostError)
    assert (error.by, error.code) == ("peer", code)
    assert words in error.reason
    assert "established" not in owner.events


# Connections


async def test_two_nodes_exchange_frames(world):
    async with world:
        dialler, acceptor = await world.pair()

        answers = [await dialler.exchange() for _ in range(20)]

        assert answers == [b"hello"] * 20
        assert (dialler.link.dialled, acceptor.link.dialled) == (True, False)
        assert dialler.link._own_streams == set()
        assert acceptor.link._readers == {}


@pytest.mark.real_clock
@pytest.mark.parametrize("names", [("aioquic", "qh3"), ("qh3", "aioquic")])
async def test_nodes_with_different_engines_exchange_frames(names):
    async with World(names[0], is_simulated=False) as world:
        dialler, _ = await world.node().connect(world.node(engine_name=names[1]))

        assert await dialler.exchange() == b"hello"


async def test_a_node_dials_itself(world):
    async with world:
        node = world.node()

        dialler, _ = await node.connect(node)

        assert await dialler.exchange() == b"hello"


@pytest.mark.real_clock
@pytest.mark.parametrize("engine_name", ["aioquic", "qh3"])
@pytest.mark.parametrize(("listening", "dialled"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
async def test_ipv6_and_both_families_at_one_socket(real, listening, dialled):
    async with real:
        acceptor = real.node(at=(real.network, listening))
        node = real.node(at=(real.network, dialled))

        owner = node.dial((dialled, acceptor.address[1]))
        await owner.until(lambda owner: "established" in owner.events)

        assert await owner.exchange() == b"hello"
        assert acceptor.links[0].address == node.address
        assert owner.link.address == (dialled, acceptor.address[1])


def test_on_uvloop_it_is_the_same(real):
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with real:
            dialler, _ = await real.pair()
            return [await dialler.exchange() for _ in range(100)]

    assert uvloop.run(main()) == [b"hello"] * 100


async def test_both_ends_hear_the_close_code(world):
    async with world:
        dialler, acceptor = await world.pair()

        dialler.link.close(CloseCode.EVICTED, "make room")
        error = await acceptor.lost_by()

        assert (error.by, error.code, error.reason) == ("peer", CloseCode.EVICTED, "make room")
        assert (dialler.error.by, dialler.error.code) == ("local", CloseCode.EVICTED)


async def test_an_endpoint_that_closes_tells_every_peer_and_frees_its_port(world):
    async with world:
        place = world.place()
        acceptor, diallers = world.node(at=place), [world.node() for _ in range(5)]
        owners = [(await dialler.connect(acceptor))[0] for dialler in diallers]
        half_open = acceptor.dial((place[1], 9))

        acceptor.endpoint.close()
        acceptor.endpoint.close()
        successor = world.node(at=place, port=acceptor.address[1] if world.is_simulated else 0)
        errors = [await owner.lost_by() for owner in owners]

        assert {(error.by, error.code) for error in errors} == {("peer", CloseCode.SHUTDOWN)}
        assert half_open.error.by == "local"
        acceptor.assert_empty()
        assert successor.endpoint.connections == []
        with pytest.raises(ConnectionLostError, match="closed"):
            acceptor.dial((place[1], 9))


@pytest.mark.real_clock
async def test_the_port_is_free_at_once(real):
    async with real:
        node = real.node()
        await real.node().connect(node)
        port = node.address[1]

        node.endpoint.close()

        assert real.node(port=port).address[1] == port


async def test_a_silent_connection_times_out_at_both_ends(simulated):
    async with simulated:
        settings = QuicSettings(idle_timeout=5.0)
        dialler, acceptor = await simulated.node(settings=settings).connect(simulated.node(settings=settings))
        node = acceptor.link._endpoint

        await asyncio.sleep(10.0)

        assert [type(owner.error) for owner in (dialler, acceptor)] == [ConnectionLostError] * 2
        assert node.connections == dialler.link._endpoint.connections == []


async def test_another_alpn_fails_the_handshake(world):
    async with world:
        owner = world.node(settings=QuicSettings(alpn="h3")).dial(world.node().address)

        await assert_refused(owner, CloseCode.PROTOCOL_VIOLATION, "QUIC error 0x1")


async def test_an_engine_that_raises_ends_its_connection_only(world):
    async with world:
        node = world.node()
        first, broken = await world.node().connect(node)
        other, _ = await world.node().connect(node)
        links = node.endpoint.connections

        node.endpoint.attempt(broken.link, int, "not a number")

        assert (broken.error.by, broken.error.code) == ("local", CloseCode.INTERNAL)
        assert node.endpoint.connections == links[1:]
        assert node.endpoint.counters["engine_error"] == 1
        assert await other.exchange() == b"hello"
        first.link.close()


async def test_a_stranger_that_breaks_something_keeps_nothing_else_from_being_read(simulated, engine_name):
    async with simulated:
        node, stranger = simulated.node(), simulated.stranger()
        node.endpoint._engine = None

        stranger.socket.send([initial(engine_name), SHORT], node.address)
        await stranger.until(lambda stranger: stranger.received)

        assert (node.endpoint.counters["broken"], node.endpoint.counters["reset_sent"]) == (1, 1)
        node.assert_counted()


async def test_a_peer_that_has_moved_is_counted_out_where_it_came_from(simulated):
    async with simulated:
        dialler, acceptor = await simulated.pair()
        node = acceptor.link._endpoint

        node._moved(acceptor.link, ("192.0.2.77", 7))
        acceptor.link.fail(ConnectionLostError("local", 0, ""))

        assert node._admission.stats().addresses == 0
        assert (node._peers, node._routes) == ({}, {})
        dialler.link.close()


async def test_a_peer_whose_nat_gives_it_another_port_goes_on(simulated):
    async with simulated:
        network, node = simulated.network, simulated.node()
        nat = network.nat("home", "symmetric", mapping_lifetime=5.0)
        inside = network.host("inside", behind=nat)
        dialler, acceptor = await simulated.node(at=(inside, inside.ipv4)).connect(node)
        before = acceptor.link.address

        await asyncio.sleep(20.0)
        neighbour = network.host("neighbour", behind=nat)
        simulated.stranger(at=(neighbour, neighbour.ipv4)).socket.send([b"takes the port"], node.address)
        answer = await dialler.exchange()

        assert answer == b"hello"
        assert acceptor.link.address != before
        assert list(node.endpoint._peers) == [acceptor.link.address]


async def relayed(world):
    """Return a relay between two nodes, and the owners of their connection, over which something has gone."""
    relay = world.relay(world.node())
    here, there = await world.node().connect_to(relay.acceptor, relay.address)
    await here.exchange()
    await poll(lambda: not here.link.unsent_bytes())
    return relay, here, there


async def answers_by(relay, way, here):
    """Have all other ways be dead; return the first answer, or none if the dialler hears that it is lost."""
    relay.way, relay.dead = way, {0, 1, 2, 3, 4} - {way}
    known = len(here.items)
    here.events.clear()
    here.link.send(here.link.open_stream(), HELLO)
    async with asyncio.timeout(5.0):
        await here.until(lambda owner: owner.items[known:] or owner.error or "doubted" in owner.events)
    return here.payloads[known : known + 1]


async def test_a_peer_that_is_elsewhere_for_a_moment_is_answered_where_it_was(world):
    async with world:
        relay, here, there = await relayed(world)

        relay.way, relay.dead = 1, {1}
        exchange = asyncio.create_task(here.exchange())
        await relay.until(lambda relay: relay.passed[-1][0] == 1)
        relay.way = 0

        async with asyncio.timeout(2.0):
            assert await exchange == b"hello"
        assert there.link.address == relay.address_of(0)


async def test_a_peer_that_has_moved_for_good_is_answered_there(world):
    async with world:
        relay, here, there = await relayed(world)

        assert [await answers_by(relay, way, here) for way in (1, 2, 3)] == [[b"hello"]] * 3
        assert there.link.address == relay.address_of(3)


FOLLOWED = {"aioquic": [b"hello"], "qh3": []}  # to wherever it moves


@pytest.mark.parametrize("ways", [(1, 0), (1, 2, 3, 4)])
async def test_a_peer_that_moves_back_or_often_is_answered_or_soon_told(world, ways):
    async with world:
        relay, here, _ = await relayed(world)

        answers = [await answers_by(relay, way, here) for way in ways]

        assert answers[:-1] == [[b"hello"]] * (len(ways) - 1)
        assert answers[-1] == FOLLOWED[world.engine_name]


async def test_a_peer_that_is_back_before_its_other_address_is_validated_is_answered_or_soon_told(world):
    async with world:
        relay, here, there = await relayed(world)
        relay.way, relay.dead = 1, {0, 1}
        here.link.send(here.link.open_stream(), HELLO)
        await poll(lambda: there.link.address == relay.address_of(1))

        assert await answers_by(relay, 0, here) == FOLLOWED[world.engine_name]


async def test_damaged_and_copied_packets_from_elsewhere_move_nobody(world):
    async with world:
        relay, here, there = await relayed(world)
        stranger = world.stranger()
        packets = [datagram for _, datagram in relay.passed if not datagram[0] & 0x80]

        for _ in range(10):
            for packet in packets:
                stranger.socket.send([packet, packet[:-1] + b"?"], relay.acceptor.address)
            await asyncio.sleep(0.1)  # longer than an engine waits for before it moves, in all

        assert await here.exchange() == b"hello"
        assert (stranger.received, there.link.address) == ([], relay.address_of(0))


# Strangers


async def test_an_unknown_version_is_answered_with_the_known_one(world):
    async with world:
        node, stranger = world.node(), world.stranger()
        unknown = b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(8) + b"\x08" + b"source!!" + bytes(1180)

        answer = await stranger.answer(unknown, node)

        assert answer[1:5] == bytes(4)
        assert answer[-4:] == b"\x00\x00\x00\x01"
        assert b"source!!" in answer
        node.assert_counted()


async def test_a_packet_of_no_connection_is_answered_with_a_shorter_reset(world):
    async with world:
        node, stranger = world.node(), world.stranger()

        answer = await stranger.answer(SHORT[:21], node)

        assert decode_datagram(answer) == Reset(SHORT[1:9])
        assert len(answer) < 21


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x00",
        b"\xc0",
        SHORT[:20],
        encode_reset(Reset(b"12345678")),
        b"\xc0\x00\x00\x00\x01\x08" + bytes(100),
        b"\xe0\x00\x00\x00\x01\x08" + bytes(1300),
        b"\xc0\x00\x00\x00\x00\x08" + bytes(1300),
        b"\xc0\x00\x00\x00\x01\xff" + bytes(1300),
        b"\xc0\x00\x00\x00\x01\x14" + bytes(20) + b"\xff" + bytes(1300),
        b"\xc0\x00\x00\x00\x01\x07" + bytes(1300),
    ],
)
async def test_what_can_begin_nothing_is_counted_and_not_answered(simulated, datagram):
    async with simulated:
        node, stranger = simulated.node(), simulated.stranger()

        stranger.socket.send([datagram], node.address)
        await asyncio.sleep(1.0)

        assert stranger.received == []
        assert node.endpoint.counters["datagrams"] == 1
        assert node.endpoint.connections == []
        node.assert_counted()


async def test_resets_are_limited_and_two_endpoints_do_not_answer_each_other_for_ever(simulated):
    async with simulated:
        node, other = simulated.node(), simulated.node()

        other.endpoint._socket.send([SHORT] * (MAX_RESETS + 50), node.address)
        await asyncio.sleep(0.9)

        assert node.endpoint.counters["reset_sent"] == other.endpoint.counters["reset_received"] == MAX_RESETS
        assert node.endpoint.counters["reset_not_sent"] == 50
        assert other.endpoint.counters["reset_sent"] == 0


async def test_a_peer_that_was_restarted_is_doubted_at_once(world):
    async with world:
        place = world.place()
        acceptor = world.node(at=place)
        port = acceptor.address[1]
        dialler, gone = await world.node().connect(acceptor)
        await dialler.exchange()

        acceptor.endpoint._socket.close()  # as a crash does
        world.node(at=place, port=port)
        dialler.link.ping(1)
        await dialler.until(lambda owner: "doubted" in owner.events)

        assert dialler.error is None
        gone.link.fail(ConnectionLostError("local", 0, ""))


async def test_a_reset_from_elsewhere_or_of_another_id_is_not_believed(world):
    async with world:
        node, other = world.node(), world.node()
        dialler, _ = await other.connect(node)
        await dialler.exchange()
        stranger = world.stranger()

        stranger.socket.send([encode_reset(Reset(dialler.link.peer_connection_id))], other.address)
        node.endpoint._socket.send([encode_reset(Reset(b"guessed!"))], other.address)
        await other.until_counted("reset_received", 2)

        assert "doubted" not in dialler.events


async def test_a_port_that_is_shut_is_doubted(world):
    async with world:
        acceptor = world.node()
        address = acceptor.address
        acceptor.endpoint.close()

        owner = world.node().dial(address)
        await owner.until(lambda owner: "doubted" in owner.events)

        assert owner.link._endpoint.counters["unreachable"] > 0


async def test_a_first_packet_that_is_garbage_is_forgotten_after_the_handshake_timeout(simulated, engine_name):
    async with simulated:
        node, stranger = simulated.node(settings=QuicSettings(idle_timeout=0.0)), simulated.stranger()
        garbage = initial(engine_name)[:60] + os.urandom(1140)

        stranger.socket.send([garbage], node.address)
        await asyncio.sleep(HANDSHAKE_TIMEOUT - 1)
        halfway = len(node.endpoint.connections)
        await asyncio.sleep(2)

        assert halfway == 1
        assert node.endpoint.counters["handshake_timeout"] == 1
        node.assert_empty()


async def test_a_handshake_that_stops_half_way_is_forgotten_and_its_owner_never_called(simulated, engine_name):
    async with simulated:
        node, stranger = simulated.node(settings=QuicSettings(idle_timeout=0.0)), simulated.stranger()

        await stranger.answer(initial(engine_name), node)
        await asyncio.sleep(HANDSHAKE_TIMEOUT + 1)

        assert sum(map(len, stranger.received)) <= 3 * 1200  # RFC 9000, 8.1: no amplification
        assert node.links == []
        node.assert_empty()


# Admission


async def test_a_dial_succeeds_through_retry(world):
    async with world:
        node = world.node(limits=AdmissionLimits(retry_above=0.001))

        dialler, _ = await world.node().connect(node)

        assert await dialler.exchange() == b"hello"
        assert node.endpoint.counters["retry"] >= 1
        node.assert_counted()


async def test_a_token_of_another_server_is_refused(world):
    async with world:
        strict = AdmissionLimits(retry_above=0.001)
        place = world.place()
        node, dialler = world.node(limits=strict, at=place), world.node()

        node.endpoint._tokens._handler.create_token = lambda **_: os.urandom(60)
        owner = dialler.dial(node.address)

        await assert_refused(owner, CloseCode.PROTOCOL_VIOLATION, "invalid_token")
        assert node.endpoint.counters["invalid_token"] >= 1
        node.assert_counted()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (AdmissionLimits(max_connections=2), "connections"),
        (AdmissionLimits(max_connections_per_address=2), "connections_per_address"),
    ],
)
async def test_one_connection_too_many_is_refused_and_another_taken_when_one_has_gone(world, limits, reason):
    async with world:
        node, dialler = world.node(limits=limits), world.node()
        owners = [(await dialler.connect(node))[0] for _ in range(2)]

        await assert_refused(dialler.dial(node.address), CloseCode.OVERLOADED, reason)
        owners[0].link.close()
        await node.owners[0].lost_by()
        await node.until_gone(1)

        assert await (await dialler.connect(node))[0].exchange() == b"hello"
        assert node.endpoint.counters[reason] >= 1
        node.assert_counted()


async def test_who_accepts_nobody_refuses(world):
    async with world:
        node = world.node(accepts=False)

        await assert_refused(world.node().dial(node.address), CloseCode.OVERLOADED, "not_accepting")


# Floods and leaks


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.parametrize("spoiled", [False, True], ids=["valid", "garbage"])
async def test_a_flood_of_forged_first_packets_leaves_others_unaffected(real, engine_name, spoiled):
    async with real:
        node = real.node(at=(real.network, "0.0.0.0"))
        known, _ = await real.node().connect_to(node, ("127.0.0.1", node.address[1]))
        first = initial(engine_name)
        target = ("127.0.0.1", node.address[1])
        strangers = [real.stranger(at=(real.network, f"127.0.{i // 250}.{i % 250 + 1}")) for i in range(1, 101)]
        tracemalloc.start()

        for round_ in range(200):
            for stranger in strangers:
                forged = first[:6] + os.urandom(8) + (os.urandom(1186) if spoiled else first[14:])
                stranger.socket.send([forged], target)
            assert await known.exchange() == b"hello", round_
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        newcomer, _ = await real.node().connect_to(node, target)

        assert await newcomer.exchange() == b"hello"
        assert node.endpoint.counters["datagrams"] > 15_000
        assert len(node.endpoint.connections) <= 258
        assert grown < 64 * 1_048_576
        node.assert_counted()


async def open_and_close(world, times):
    """Open connections and close them, at either end in turn; return the two nodes, and a reference to each."""
    node, other = world.node(limits=AdmissionLimits(retry_above=1e9)), world.node()
    links = []
    for number in range(times):
        here, there = await other.connect(node)
        await here.exchange()
        (here, there)[number % 2].link.close()
        await (there, here)[number % 2].lost_by()
        links += [weakref.ref(here.link), weakref.ref(there.link)]
        node.owners.clear()
        node.links.clear()
    return (node, other), links


async def assert_nothing_left(nodes, links):
    for node in nodes:
        await node.until_gone(0)
        node.assert_empty()
    gc.collect()
    assert [link() for link in links if link() is not None] == []
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.slow
async def test_five_hundred_connections_leave_nothing(world):
    async with world:
        nodes, links = await open_and_close(world, 250)

        await assert_nothing_left(nodes, links)


@pytest.mark.long
@pytest.mark.real_clock
@pytest.mark.timeout(900)
async def test_ten_thousand_connections_leave_nothing(real):
    async with real:
        await open_and_close(real, 200)
        gc.collect()
        tracemalloc.start()
        nodes, links = await open_and_close(real, 10_000)

        await assert_nothing_left(nodes, links)
        links.clear()
        assert tracemalloc.get_traced_memory()[0] < 2 * 1_048_576
        tracemalloc.stop()
