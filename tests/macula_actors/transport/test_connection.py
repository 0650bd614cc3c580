import asyncio

import pytest

from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.wire.frame import HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, encode_frame
from macula_actors.errors import ConnectionLostError, OverloadedError, RefusedError, RemoteProtocolError
from macula_actors.simulation import Link, SimNetwork
from macula_actors.transport.connection import (
    MAX_PARTIAL_BYTES,
    MAX_STREAMS,
    MAX_UNSENT_BYTES,
    MAX_UNTOLD_BYTES,
    MIN_PROGRESS_BYTES,
)
from macula_actors.transport.interface import QuicSettings, StreamFrame
from tests.macula_actors.transport.nodes import BIG, HELLO, Owner, World

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["aioquic", "qh3"])
def world(request):
    return World(request.param, is_simulated=True)


def cut(size):
    """Return the first bytes of a frame that is never whole."""
    return BIG[:size]


async def settle(seconds=1.0):
    """Let virtual time pass, so that all that is under way has arrived."""
    await asyncio.sleep(seconds)


async def test_a_frame_in_many_pieces_and_many_frames_in_one_arrive_in_order(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()

        for piece in (HELLO[:3], HELLO[3:9], HELLO[9:] + HELLO + encode_frame(4, b""), encode_frame(5, b"x")[:8]):
            dialler.link.send(stream_id, piece, end_stream=False)
            await settle()
        dialler.link.send(stream_id, b"x", end_stream=True)
        await settle()

    frames = [Frame(3, b"hello"), Frame(3, b"hello"), Frame(4, b""), Frame(5, b"x")]
    assert acceptor.items == [StreamFrame(stream_id, frame, frame.type_id == 5) for frame in frames]


async def test_the_largest_frame_is_echoed(world):
    async with world:
        dialler, _ = await world.pair()

        assert await dialler.exchange(BIG) == bytes(MAX_PAYLOAD_BYTES)


async def test_both_ends_open_streams(world):
    async with world:
        dialler, acceptor = await world.pair()

        acceptor.echoes = False
        stream_id = acceptor.link.open_stream()
        acceptor.link.send(stream_id, HELLO)
        await dialler.until(lambda owner: owner.items)
        dialler.link.send(stream_id, HELLO)
        await acceptor.until(lambda owner: owner.items)

    assert [acceptor.items, dialler.items] == [[StreamFrame(stream_id, Frame(3, b"hello"), end_stream=True)]] * 2


async def test_the_end_of_a_stream_alone_is_told(world):
    async with world:
        dialler, acceptor = await world.pair()
        acceptor.echoes = False

        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, HELLO, end_stream=False)
        await settle()
        dialler.link.finish_stream(stream_id)
        await settle()

    assert acceptor.items[-1] == StreamFrame(stream_id, None, end_stream=True)


async def test_too_many_streams_are_refused_until_one_ends(world):
    async with world:
        dialler, _ = await world.pair()

        opened = [dialler.link.open_stream() for _ in range(MAX_STREAMS + 1)]
        await settle()
        silence = dialler.count("writable")
        dialler.link.send(opened[0], HELLO)
        await dialler.until(lambda owner: "writable" in owner.events)

        assert opened.index(None) == MAX_STREAMS
        assert silence == 0
        assert dialler.link.open_stream() is not None


async def test_a_reader_that_pauses_stops_the_sender(world):
    async with world:
        dialler, acceptor = await world.pair()
        acceptor.echoes = False
        acceptor.link.pause_reading()

        sent = await dialler.pour(2.0)
        is_stopped = not dialler.link.has_room()
        received = len(acceptor.items)
        told = dialler.count("writable")
        sent += await dialler.pour(2.0)
        acceptor.link.resume_reading()
        await dialler.until(lambda owner: owner.count("writable") > told)
        await acceptor.until(lambda owner: len(owner.items) == sent)

    assert is_stopped
    assert received * MAX_PAYLOAD_BYTES <= QuicSettings().max_data
    assert sent * MAX_PAYLOAD_BYTES <= QuicSettings().max_data + MAX_UNSENT_BYTES + 2 * MAX_PAYLOAD_BYTES
    assert acceptor.failed == []


async def test_a_sender_that_looks_for_room_never_has_too_many_unfinished_frames(world):
    async with world:
        dialler, acceptor = await world.pair()
        acceptor.echoes = False

        sent = await dialler.pour(1.0)
        await acceptor.until(lambda owner: len(owner.items) == sent)

    assert sent > 10
    assert acceptor.failed == []


async def test_too_large_a_frame_is_told_and_its_stream_is_read_no_more(world):
    async with world:
        dialler, acceptor = await world.pair()
        header = bytes([1, 3, 0, 0]) + (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big")
        stream_id = dialler.link.open_stream()

        dialler.link.send(stream_id, header[:4], end_stream=False)
        await settle()
        dialler.link.send(stream_id, header[4:] + bytes(100), end_stream=False)
        await settle()
        dialler.link.send(stream_id, HELLO + bytes(10_000), end_stream=False)
        await settle()

        assert [error.code for error in acceptor.payloads] == ["frame_too_large"]
        assert acceptor.link._partial_bytes == 0
        assert await dialler.exchange() == b"hello"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HELLO[:-1], "incomplete_payload"),
        (HELLO[:3], "incomplete_payload"),
        (b"\x09" + HELLO[1:], "unsupported_version"),
    ],
)
async def test_what_is_no_frame_is_told_with_the_streams_end(world, data, code):
    async with world:
        dialler, acceptor = await world.pair()

        dialler.link.send(dialler.link.open_stream(), data)
        await acceptor.until(lambda owner: owner.items)

        (item,) = acceptor.items
        assert isinstance(item.frame, RemoteProtocolError)
        assert (item.frame.code, item.end_stream) == (code, True)
        assert (acceptor.link._readers, acceptor.link._partial_bytes, acceptor.link._partial) == ({}, 0, {})


async def test_a_stream_that_is_abandoned_fails_at_the_peer_and_leaves_nothing(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, cut(5000), end_stream=False)
        await settle()

        dialler.link.abandon_stream(stream_id, CloseCode.OVERLOADED)
        await settle()

        ((failed_id, error),) = acceptor.failed
        assert failed_id == stream_id
        assert isinstance(error, OverloadedError)
        assert (acceptor.link._readers, acceptor.link._partial_bytes) == ({}, 0)
        assert (dialler.link._own_streams, dialler.link._stopped, dialler.failed) == (set(), set(), [])


async def test_an_abandoned_request_fails_at_who_asked(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, cut(5000), end_stream=False)
        await settle()

        acceptor.link.abandon_stream(stream_id, CloseCode.INTERNAL)
        await settle()

        ((failed_id, error),) = dialler.failed
        assert (failed_id, error.code) == (stream_id, "internal")
        assert isinstance(error, RefusedError)
        assert acceptor.failed == []
        assert (dialler.link._own_streams, acceptor.link._stopped) == (set(), set())


async def test_what_comes_on_an_abandoned_stream_is_ignored(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, cut(100), end_stream=False)
        await settle()

        acceptor.link.abandon_stream(stream_id, CloseCode.OVERLOADED)
        dialler.link.send(stream_id, BIG[100:] + HELLO)
        await settle()

        assert acceptor.items == []
        assert (acceptor.link._readers, acceptor.link._partial_bytes, acceptor.link._stopped) == ({}, 0, set())


async def test_an_abandoned_stream_counts_until_the_peer_has_ended_it(world):
    async with world:
        dialler, acceptor = await world.pair()
        acceptor.echoes = False
        streams = [dialler.link.open_stream() for _ in range(MAX_STREAMS)]
        dialler.link.send(streams[-1], HELLO, end_stream=False)
        await settle()

        dialler.link.abandon_stream(streams[-1], CloseCode.NORMAL)
        at_once = dialler.link.open_stream()
        await settle()

        assert at_once is None
        assert "writable" in dialler.events
        assert dialler.link.open_stream() is not None


async def test_what_comes_on_a_finished_stream_of_ours_is_ignored(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()

        dialler.link.send(stream_id, HELLO, end_stream=False)
        dialler.link.finish_stream(stream_id)
        await settle()

        assert len(acceptor.items) == 2 or acceptor.items[0].end_stream
        assert (dialler.items, dialler.link._stopped) == ([], set())


async def test_a_stream_of_one_direction_is_stopped(world):
    async with world:
        dialler, acceptor = await world.pair()
        quic = dialler.link._quic._quic
        stream_id = quic.get_next_available_stream_id(is_unidirectional=True)

        quic.send_stream_data(stream_id, HELLO, False)
        dialler.link.ping(1)
        await settle()

        assert (acceptor.items, acceptor.failed, acceptor.link._stopped) == ([], [], set())
        assert acceptor.link._endpoint.counters["unidirectional_stream"] == 1
        assert await dialler.exchange() == b"hello"


async def test_unfinished_frames_are_bounded_over_all_streams(world):
    async with world:
        dialler, acceptor = await world.pair()
        size = MAX_PAYLOAD_BYTES - 10
        streams = [dialler.link.open_stream() for _ in range(10)]

        for stream_id in streams:
            dialler.link.send(stream_id, cut(size), end_stream=False)
        await settle(30)

        assert acceptor.link._partial_bytes <= MAX_PARTIAL_BYTES
        assert acceptor.link._partial_bytes == sum(r.unread_bytes for r in acceptor.link._readers.values())
        assert len(acceptor.failed) == len(dialler.failed) == 10 - MAX_PARTIAL_BYTES // size
        assert all(isinstance(error, OverloadedError) for _, error in acceptor.failed + dialler.failed)


async def test_a_frame_whose_rest_does_not_come_is_overdue(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, cut(HEADER_BYTES + 1), end_stream=False)

        await settle(5.0)

        assert acceptor.link.overdue_streams(4.0) == [stream_id]
        assert acceptor.link.overdue_streams(6.0) == []


async def test_frames_that_end_in_time_are_not_overdue_though_another_has_always_begun(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()
        end_and_beginning = HELLO[3:] + HELLO[:3]
        dialler.link.send(stream_id, HELLO[:3], end_stream=False)

        for _ in range(5):
            await settle(1.0)
            dialler.link.send(stream_id, end_and_beginning, end_stream=False)
        await settle(1.0)

        assert len(acceptor.items) == 5
        assert acceptor.link.overdue_streams(2.5) == []


async def test_a_frame_is_not_overdue_while_enough_of_it_comes(world):
    async with world:
        dialler, acceptor = await world.pair()
        stream_id = dialler.link.open_stream()

        for part in range(5):
            dialler.link.send(
                stream_id, BIG[part * MIN_PROGRESS_BYTES : (part + 1) * MIN_PROGRESS_BYTES], end_stream=False
            )
            await settle(1.0)
        assert acceptor.link.overdue_streams(2.5) == []

        for _ in range(5):
            dialler.link.send(stream_id, bytes(MIN_PROGRESS_BYTES // 8), end_stream=False)
            await settle(1.0)
        assert acceptor.link.overdue_streams(2.5) == [stream_id]


async def test_a_ping_is_ponged(world):
    async with world:
        dialler, acceptor = await world.pair()

        dialler.link.ping(7)
        acceptor.link.ping(8)
        await dialler.until(lambda owner: owner.pongs)
        await acceptor.until(lambda owner: owner.pongs)

    assert (dialler.pongs, acceptor.pongs) == ([7], [8])


async def test_who_takes_a_connection_late_hears_all_in_order(world):
    async with world:
        node = world.node(takes=False)
        dialler, _ = await world.node().connect(node)
        dialler.link.send(dialler.link.open_stream(), HELLO)
        await settle()
        dialler.link.close(CloseCode.SHUTDOWN, "enough")
        await settle()

        owner = Owner()
        node.links[0].own(owner)

    assert owner.events == ["established", "frames", "lost"]
    assert str(owner.error) == str(ConnectionLostError("peer", CloseCode.SHUTDOWN, "enough"))


@pytest.mark.parametrize("frame", [encode_frame(3, bytes(30_000)), encode_frame(3, b"")])
async def test_what_is_kept_until_somebody_takes_a_connection_is_bounded(world, frame):
    async with world:
        node = world.node(takes=False)
        dialler, _ = await world.node().connect(node)
        stream_id = dialler.link.open_stream()

        for _ in range(1200):
            dialler.link.send(stream_id, frame, end_stream=False)
        error = await dialler.lost_by()

        assert isinstance(error, ConnectionLostError)
        assert (error.by, error.code) == ("peer", CloseCode.OVERLOADED)
        assert node.links[0]._untold_bytes < 2 * MAX_UNTOLD_BYTES


class ClosesAtOnce(Owner):
    def established(self):
        super().established()
        self.link.close()


async def test_the_end_is_the_last_that_an_owner_hears(world):
    async with world:
        node = world.node(takes=False)
        dialler, _ = await world.node().connect(node)
        dialler.link.send(dialler.link.open_stream(), HELLO)
        await settle()

        owner = ClosesAtOnce()
        owner.link = node.links[0]
        owner.link.own(owner)
        await dialler.lost_by()

    assert owner.events == ["established", "lost"]


async def test_on_a_closed_connection_nothing_happens(world):
    async with world:
        dialler, acceptor = await world.pair()
        link = dialler.link
        stream_id = link.open_stream()

        link.close(CloseCode.IDLE, "not used")
        told = list(dialler.events)
        link.close()
        link.send(stream_id, HELLO)
        link.finish_stream(stream_id)
        link.abandon_stream(stream_id, CloseCode.NORMAL)
        link.ping(1)
        link.pause_reading()
        link.resume_reading()
        link.doubt()
        error = await acceptor.lost_by()
        await settle(5)

        assert (link.open_stream(), link.has_room(), link.unsent_bytes()) == (None, True, 0)
        assert dialler.events == told == ["established", "lost"]
        assert (error.by, error.code, error.reason) == ("peer", CloseCode.IDLE, "not used")
        assert (acceptor.items, link._endpoint.connections) == ([], [])


async def test_doubts_are_passed_on_ten_times_a_second_at_most(world):
    async with world:
        dialler, _ = await world.pair()

        for _ in range(1000):
            dialler.link.doubt()
            await asyncio.sleep(0.001)

    assert 9 <= dialler.count("doubted") <= 11


async def test_stop_sending_alone_loses_no_answer_under_way(world):
    async with world:
        dialler, acceptor = await world.pair()
        acceptor.echoes = False
        stream_id = dialler.link.open_stream()
        dialler.link.send(stream_id, HELLO, end_stream=False)
        await acceptor.until(lambda owner: owner.items)

        acceptor.link._quic.stop_stream(stream_id, CloseCode.NORMAL)
        acceptor.link.send(stream_id, HELLO)
        await settle()

    assert dialler.payloads == [b"hello"]
    assert dialler.failed == []


def close_by(world):
    """Return two nodes a tenth of a millisecond apart."""
    network = SimNetwork(link=Link(latency=0.0001))
    hosts = network.host("one"), network.host("other")
    return [world.node(at=(host, host.ipv4)) for host in hosts]


async def test_the_end_of_a_handshake_waits_for_nothing(world):
    async with world:
        one, other = close_by(world)
        began = asyncio.get_running_loop().time()

        await one.connect(other)

        assert asyncio.get_running_loop().time() - began < 0.002


@pytest.mark.parametrize("pause", [0.0006, 0.003, 0.009])  # less and more than the engines' own delay
async def test_an_exchange_soon_after_another_takes_two_datagrams(pause):
    async with World("qh3", is_simulated=True) as world:  # aioquic adds a probe where round trips are as short as this
        one, other = close_by(world)
        dialler, _ = await one.connect(other)
        await settle()
        before = one.endpoint.counters["datagrams"], other.endpoint.counters["datagrams"]

        for _ in range(20):
            await dialler.exchange()
            await asyncio.sleep(pause)

        assert one.endpoint.counters["datagrams"] - before[0] == 20
        assert other.endpoint.counters["datagrams"] - before[1] == 20


async def test_an_acknowledgement_has_the_next_packet_acknowledged_no_sooner():
    async with World("aioquic", is_simulated=True) as world:  # qh3 says then that there may be more streams
        one, other = close_by(world)
        dialler, _ = await one.connect(other)
        await settle()
        before = one.endpoint.counters["datagrams"]

        for _ in range(20):
            await dialler.exchange()
            await asyncio.sleep(0.03)  # in which the reply is acknowledged, by itself

        assert one.endpoint.counters["datagrams"] - before == 20


async def test_what_nothing_follows_is_acknowledged_within_the_delay_that_was_announced(world):
    async with world:
        one, other = close_by(world)
        dialler, _ = await one.connect(other)
        await settle()
        before = other.endpoint.counters["datagrams"]

        await dialler.exchange()
        await asyncio.sleep(0.0006)
        await dialler.exchange()
        await asyncio.sleep(0.025)

        assert other.endpoint.counters["datagrams"] - before > 2


async def test_what_is_sent_at_once_does_not_wait_for_the_turn_to_end(world):
    async with world:
        one, other = close_by(world)
        dialler, _ = await one.connect(other)
        await settle()
        link, peer = dialler.link, dialler.link.peer_connection_id
        link.peer_connection_id = b"nothing was sent"

        link.send(link.open_stream(), HELLO)
        waited = link.peer_connection_id
        await settle()
        link.peer_connection_id = b"nothing was sent"
        link.send(link.open_stream(), HELLO, at_once=True)

        assert (waited, link.peer_connection_id) == (b"nothing was sent", peer)


async def test_what_is_sent_at_once_in_answer_to_a_datagram_goes_with_its_acknowledgement(world):
    class Eager(Owner):
        def frames_received(self, frames):
            super().frames_received(frames)
            for frame in frames:
                self.link.send(frame.stream_id, HELLO, at_once=True)

    async with world:
        one, other = close_by(world)
        other.takes = False
        dialler, _ = await one.connect(other)
        eager = Eager()
        eager.link = other.links[0]
        eager.link.own(eager)
        await settle()
        before = one.endpoint.counters["datagrams"]

        await asyncio.gather(dialler.exchange(), dialler.exchange())

        assert one.endpoint.counters["datagrams"] - before == 1
