"""What holds of every engine, and of each with each."""

import gc
import logging
import random
import ssl
import weakref

import pytest
from aioquic.quic.packet import encode_quic_retry
from cryptography import x509

from macula_actors.transport.credentials import Credentials
from macula_actors.transport.engine_connection import silence
from macula_actors.transport.engines import engine
from macula_actors.transport.interface import QuicSettings
from tests.macula_actors.transport.conftest import CREDENTIALS, made
from tests.macula_actors.transport.pair import ACCEPTOR, DIALLER, LATENCY, Heard, Pair, credentials, ec_key, rsa_key

MIB = 1_048_576


def send(end, data, *, end_stream=False):
    """Send on a new stream and return its id."""
    stream_id = end.connection.open_stream()
    end.connection.send_stream_data(stream_id, data, end_stream=end_stream)
    return stream_id


def test_a_handshake_takes_two_round_trips_at_most(pair):
    joined = pair()

    joined.run(4 * LATENCY)

    assert joined.dialler.heard.established == joined.acceptor.heard.established == 1


def test_only_the_acceptor_shows_a_certificate(joined):
    shown = joined.dialler.connection.peer_certificate()

    assert x509.load_der_x509_certificate(shown) == x509.load_pem_x509_certificate(CREDENTIALS.certificate)
    assert joined.acceptor.connection.peer_certificate() is None


def test_no_certificate_is_known_before_the_handshake(pair):
    assert pair().dialler.connection.peer_certificate() is None


@pytest.mark.parametrize("key", [rsa_key, ec_key])
def test_certificates_of_other_keys_are_taken(dialling, accepting, key):
    joined = Pair(made(dialling, QuicSettings()), engine(accepting, credentials(key()), QuicSettings()))

    joined.run(1)

    assert joined.dialler.heard.established == 1


def test_a_certificate_of_an_unknown_kind_of_key_ends_the_handshake(dialling):
    known, unknown = (
        bytes.fromhex("06032b6570"),
        bytes.fromhex("06032b6573"),
    )  # the object identifier of Ed25519, and none
    der = ssl.PEM_cert_to_DER_cert(CREDENTIALS.certificate.decode()).replace(known, unknown)
    odd = Credentials(ssl.DER_cert_to_PEM_cert(der).encode(), CREDENTIALS.private_key)
    joined = Pair(made(dialling, QuicSettings()), engine("aioquic", odd, QuicSettings()))

    joined.run(5)

    ((code, _, application),) = joined.dialler.heard.closed
    assert not application
    assert code == 1 or 0x100 <= code < 0x200  # an internal error, or a TLS alert
    assert joined.dialler.heard.established == 0


def test_another_application_protocol_fails_the_handshake(pair):
    joined = pair(dialler_settings=QuicSettings(alpn="other"))

    joined.run(5)

    ((code, _, application),) = joined.dialler.heard.closed
    assert not application
    assert 0x100 <= code < 0x200  # a TLS alert
    assert joined.dialler.heard.established == joined.acceptor.heard.established == 0


def test_connection_ids_are_eight_bytes_and_more_are_issued(joined):
    for end in joined.ends:
        ids = [end.connection.connection_id, *end.heard.issued]
        assert len(ids) == len(set(ids)) > 1
        assert {len(connection_id) for connection_id in ids} == {8}


def test_a_packet_to_every_issued_id_is_for_its_connection(joined):
    seen = []
    joined.change = lambda datagram: seen.append(datagram[1:9]) or [datagram]

    send(joined.dialler, b"x")
    joined.run(1)

    known = [[end.connection.connection_id, *end.heard.issued] for end in joined.ends]
    assert set(seen) <= {*known[0], *known[1]}


def test_a_handshake_completes_after_a_retry(dialling, accepting):
    connection = made(dialling, QuicSettings()).dial(ACCEPTOR, 1.0)
    (initial, _), *_ = connection.datagrams_to_send(1.0)
    original, source = initial[6:14], initial[15:23]
    retry = encode_quic_retry(
        version=1,
        source_cid=b"12345678",
        destination_cid=source,
        original_destination_cid=original,
        retry_token=b"token",
    )
    connection.receive([retry], ACCEPTOR, 1.0)

    joined = Pair.of(
        connection,
        made(accepting, QuicSettings()).accept(
            original_destination_connection_id=original, retry_source_connection_id=b"12345678"
        ),
        now=1.0,
    )
    joined.run(1)

    assert [end.heard.established for end in joined.ends] == [1, 1]


def test_no_datagram_is_larger_than_set(pair):
    joined = pair()
    sizes = []
    joined.change = lambda datagram: sizes.append(len(datagram)) or [datagram]

    joined.run(1)
    send(joined.dialler, bytes(100_000))
    joined.run(5)

    assert max(sizes) == 1200


def test_streams_carry_bytes_both_ways(joined):
    stream_id = send(joined.dialler, b"question", end_stream=True)
    joined.run(1)

    joined.acceptor.connection.send_stream_data(stream_id, b"answer", end_stream=True)
    joined.run(1)

    assert (joined.acceptor.heard.data, joined.acceptor.heard.ended) == ({stream_id: b"question"}, [stream_id])
    assert (joined.dialler.heard.data, joined.dialler.heard.ended) == ({stream_id: b"answer"}, [stream_id])


def test_both_sides_open_streams(joined):
    of_dialler, of_acceptor = send(joined.dialler, b"d"), send(joined.acceptor, b"a")
    joined.run(1)

    assert (of_dialler, of_acceptor) == (0, 1)
    assert joined.acceptor.heard.data == {0: b"d"}
    assert joined.dialler.heard.data == {1: b"a"}


def test_ids_are_taken_when_streams_open_not_when_they_are_used(joined):
    assert [joined.dialler.connection.open_stream() for _ in range(3)] == [0, 4, 8]


def test_an_end_may_follow_alone(joined):
    stream_id = send(joined.dialler, b"x")
    joined.run(1)

    joined.dialler.connection.send_stream_data(stream_id, b"", end_stream=True)
    joined.run(1)

    assert joined.acceptor.heard.ended == [stream_id]


def test_no_stream_opens_before_the_handshake_is_done(pair):
    joined = pair()

    assert [end.connection.open_stream() for end in joined.ends] == [None, None]


def test_no_stream_opens_beyond_the_peers_limit_until_others_finish(joined):
    opened = []
    while (stream_id := joined.dialler.connection.open_stream()) is not None:
        opened.append(stream_id)
        joined.dialler.connection.send_stream_data(stream_id, b"x", end_stream=True)
    joined.run(1)
    assert 100 <= len(opened) <= 128
    assert joined.dialler.connection.open_stream() is None

    for stream_id in opened:
        joined.acceptor.connection.send_stream_data(stream_id, b"y", end_stream=True)
    joined.run(1)

    assert joined.dialler.connection.open_stream() == opened[-1] + 4
    assert joined.acceptor.heard.received_bytes == joined.dialler.heard.received_bytes == len(opened)


def test_the_limit_grows_for_ever(joined):
    for _ in range(300):
        stream_id = send(joined.dialler, b"x", end_stream=True)
        joined.run(2 * LATENCY + 0.03, until=lambda: stream_id in joined.acceptor.heard.ended)  # noqa: B023
        joined.acceptor.connection.send_stream_data(stream_id, b"y", end_stream=True)
        joined.run(2 * LATENCY + 0.03, until=lambda: stream_id in joined.dialler.heard.ended)  # noqa: B023
        joined.run(0.1)

    assert len(joined.dialler.heard.ended) == 300


def test_a_reset_reaches_the_reader(joined):
    stream_id = send(joined.dialler, b"x")
    joined.dialler.connection.reset_stream(stream_id, 42)
    joined.run(1)

    assert joined.acceptor.heard.resets == [(stream_id, 42)]
    assert joined.acceptor.heard.ended == []


def test_resets_and_stops_leave_no_room_of_a_batch_unused(joined):
    connection = joined.dialler.connection
    large = send(joined.dialler, bytes(MIB))
    batch = len(connection.datagrams_to_send(joined.now))
    joined.run(60)
    given_up = [send(joined.dialler, b"x") for _ in range(20)]
    joined.run(1)

    connection.send_stream_data(large, bytes(MIB), end_stream=False)
    for stream_id in given_up:
        connection.stop_stream(stream_id, 1)
        connection.reset_stream(stream_id, 1)

    assert len(connection.datagrams_to_send(joined.now)) > batch // 2


def test_a_stop_reaches_the_writer_who_resets(joined):
    stream_id = send(joined.dialler, b"x")
    joined.run(1)

    joined.acceptor.connection.stop_stream(stream_id, 43)
    joined.run(1)

    assert joined.dialler.heard.stops == [(stream_id, 43)]
    assert joined.acceptor.heard.resets == [(stream_id, 43)]


def test_nothing_happens_on_a_stream_that_carries_no_more(joined):
    ended, reset, finished = (send(joined.dialler, b"x") for _ in range(3))
    joined.dialler.connection.send_stream_data(ended, b"", end_stream=True)
    joined.run(1)
    joined.dialler.connection.reset_stream(reset, 1)
    joined.dialler.connection.send_stream_data(finished, b"", end_stream=True)
    joined.run(1)
    joined.acceptor.connection.send_stream_data(finished, b"y", end_stream=True)
    joined.run(1)

    for stream_id in (ended, reset, finished):
        joined.dialler.connection.send_stream_data(stream_id, b"more", end_stream=True)
    for stream_id in (reset, finished):
        joined.dialler.connection.reset_stream(stream_id, 2)
    joined.dialler.connection.stop_stream(finished, 3)
    joined.acceptor.connection.stop_stream(finished, 3)
    joined.run(1)

    assert joined.acceptor.heard.data == {ended: b"x", reset: b"x", finished: b"x"}
    assert joined.acceptor.heard.resets == [(reset, 1)]
    assert [end.heard.closed for end in joined.ends] == [[], []]


def test_unsent_bytes_are_those_that_wait(joined):
    connection = joined.dialler.connection
    assert connection.unsent_bytes() == 0

    first, second = send(joined.dialler, bytes(MIB)), send(joined.dialler, bytes(MIB))
    assert connection.unsent_bytes() == 2 * MIB

    connection.reset_stream(first, 1)
    assert connection.unsent_bytes() == MIB

    connection.send_stream_data(second, b"", end_stream=True)
    joined.run(60, until=lambda: joined.acceptor.heard.ended == [second])
    assert connection.unsent_bytes() == 0


def test_what_the_peer_stopped_is_not_unsent(joined):
    stream_id = send(joined.dialler, bytes(4 * MIB))
    joined.run(0.05)
    joined.acceptor.connection.stop_stream(stream_id, 1)
    joined.run(1)

    assert joined.dialler.connection.unsent_bytes() == 0


def test_a_ping_is_answered_once(joined):
    joined.dialler.connection.ping(5)
    joined.acceptor.connection.ping(6)
    joined.run(1)

    assert joined.dialler.heard.pings == [5]
    assert joined.acceptor.heard.pings == [6]


def test_a_ping_whose_packet_is_lost_is_answered_later(joined):
    joined.loss = 1.0
    joined.dialler.connection.ping(5)
    joined.flush()
    joined.loss = 0.0
    assert joined.dialler.heard.pings == []

    joined.run(5)

    assert joined.dialler.heard.pings == [5]


def test_a_ping_into_the_void_is_not_answered(joined):
    joined.loss = 1.0
    joined.dialler.connection.ping(5)
    joined.run(30)

    assert joined.dialler.heard.pings == []


@pytest.mark.parametrize(("closing", "told"), [(0, 1), (1, 0)])
def test_a_close_is_told_to_the_other_side_at_once(joined, closing, told):
    joined.ends[closing].connection.close(77, "enough")
    joined.run(2 * LATENCY)

    assert joined.ends[told].heard.closed == [(77, "enough", True)]
    assert joined.ends[closing].heard.closed == []


def test_both_sides_terminate_after_a_close(joined):
    joined.dialler.connection.close(77, "enough")
    joined.dialler.connection.close(78, "twice")
    joined.run(10)

    assert [end.heard.terminated for end in joined.ends] == [1, 1]
    assert [end.connection.timer() for end in joined.ends] == [None, None]
    assert joined.acceptor.heard.closed == [(77, "enough", True)]


def test_a_lost_close_is_told_again_when_the_peer_asks(joined):
    joined.loss = 1.0
    joined.dialler.connection.close(77, "enough")
    joined.flush()
    joined.loss = 0.0

    send(joined.acceptor, b"x")
    joined.run(3 * LATENCY)

    assert joined.acceptor.heard.closed == [(77, "enough", True)]


@pytest.mark.parametrize("phrase", ["x" * 5000, "\N{SNOWMAN}" * 2000, "\ud800"])
def test_a_reason_is_cut_to_what_a_packet_holds(joined, phrase):
    joined.dialler.connection.close(1, phrase)
    joined.run(1)

    ((code, reason, _),) = joined.acceptor.heard.closed
    assert code == 1
    assert reason == phrase.encode("utf-8", "replace").decode()[: len(reason)]
    assert reason


def test_calls_after_the_end_do_nothing(joined):
    joined.dialler.connection.close(77, "enough")
    joined.run(10)

    for end in joined.ends:
        end.connection.ping(1)
        end.connection.send_stream_data(0, b"x", end_stream=True)
        end.connection.reset_stream(0, 1)
        end.connection.stop_stream(0, 1)
        end.connection.pause_reading()
        end.connection.resume_reading()
        end.connection.close(1, "")
        end.connection.receive([bytes(1200)], DIALLER, joined.now)
        end.connection.handle_timer(joined.now)
        end.connection.drain(end.heard)
        assert list(end.connection.datagrams_to_send(joined.now)) == []
        assert end.connection.timer() is None
        assert end.heard.terminated == 1


def test_a_dialler_may_close_before_anything_came(dialling):
    connection, heard = made(dialling, QuicSettings()).dial(ACCEPTOR, 5.0), Heard()

    connection.close(1, "changed my mind")

    assert connection.datagrams_to_send(5.0)
    connection.handle_timer(connection.timer())
    connection.drain(heard)
    assert (heard.closed, heard.terminated) == ([], 1)


def test_an_acceptor_may_close_before_anything_came(accepting):
    connection, heard = made(accepting, QuicSettings()).accept(original_destination_connection_id=bytes(8)), Heard()
    assert connection.timer() is None

    connection.close(1, "full")
    connection.drain(heard)

    assert (heard.closed, heard.terminated) == ([], 1)
    assert list(connection.datagrams_to_send(5.0)) == []
    assert connection.timer() is None


def test_silence_ends_a_connection(joined):
    joined.loss = 1.0
    send(joined.dialler, b"x")
    joined.run(200)

    for end in joined.ends:
        assert end.heard.closed == [(1, "Idle timeout", False)]
        assert end.heard.terminated == 1


def test_an_idle_timeout_of_zero_is_none(pair):
    joined = pair(settings=QuicSettings(idle_timeout=0))
    joined.run(100_000)

    send(joined.dialler, b"x")
    joined.run(1)

    assert joined.acceptor.heard.data == {0: b"x"}


def test_the_other_sides_idle_timeout_holds_where_one_has_none(pair):
    joined = pair(settings=QuicSettings(idle_timeout=0), dialler_settings=QuicSettings(idle_timeout=30))
    joined.run(1)
    joined.loss = 1.0
    joined.run(28)
    assert [end.heard.terminated for end in joined.ends] == [0, 0]

    joined.run(3)

    assert [end.heard.terminated for end in joined.ends] == [1, 1]


def test_a_paused_reader_stops_the_sender(pair):
    joined = pair(settings=QuicSettings(max_data=MIB, max_stream_data=MIB // 2))
    joined.run(1)
    payload = random.Random(1).randbytes(MIB)
    joined.acceptor.connection.pause_reading()

    streams = [send(joined.dialler, payload, end_stream=True) for _ in range(16)]
    joined.run(10)
    assert joined.acceptor.heard.received_bytes <= MIB
    assert joined.dialler.connection.unsent_bytes() >= 15 * MIB

    joined.acceptor.connection.resume_reading()
    joined.run(60, until=lambda: len(joined.acceptor.heard.ended) == 16)
    assert joined.acceptor.heard.data == dict.fromkeys(streams, payload)


def test_a_paused_reader_stops_the_sender_of_a_single_stream(pair):
    joined = pair(settings=QuicSettings(max_data=4 * MIB, max_stream_data=MIB // 4))
    joined.run(1)
    joined.acceptor.connection.pause_reading()

    send(joined.dialler, bytes(MIB))
    joined.run(5)

    assert joined.acceptor.heard.received_bytes <= MIB // 4
    assert joined.dialler.connection.unsent_bytes() == MIB - MIB // 4


def test_bytes_that_wait_for_a_lost_one_take_room_of_the_window(pair):
    joined = pair(settings=QuicSettings(max_data=MIB // 4, max_stream_data=4 * MIB), dialler_settings=QuicSettings())
    joined.run(1)
    first = []
    joined.change = lambda datagram: (
        [] if len(datagram) > 1000 and not first.append(datagram) and len(first) == 1 else [datagram]
    )
    send(joined.dialler, bytes(MIB), end_stream=True)

    joined.run(60, until=lambda: joined.acceptor.heard.ended)

    assert joined.acceptor.heard.received_bytes == MIB


def test_a_reader_that_pauses_in_the_middle_gets_no_more_than_a_window(pair):
    joined = pair(settings=QuicSettings(max_data=MIB, max_stream_data=MIB))
    joined.run(1)
    send(joined.dialler, bytes(8 * MIB))
    joined.run(60, until=lambda: joined.acceptor.heard.received_bytes > 3 * MIB)

    joined.acceptor.connection.pause_reading()
    received = joined.acceptor.heard.received_bytes
    joined.run(10)

    assert joined.acceptor.heard.received_bytes <= received + MIB
    assert joined.dialler.connection.unsent_bytes() > 0


def test_the_window_does_not_grow(pair):
    joined = pair(settings=QuicSettings(max_data=MIB, max_stream_data=MIB))
    joined.run(1)

    for _ in range(3):
        send(joined.dialler, bytes(2 * MIB))
        joined.run(60, until=lambda: joined.dialler.connection.unsent_bytes() == 0)
    joined.run(1)
    joined.acceptor.connection.pause_reading()
    received = joined.acceptor.heard.received_bytes
    send(joined.dialler, bytes(4 * MIB))
    joined.run(10)

    assert received == 6 * MIB
    assert joined.dialler.connection.unsent_bytes() >= 3 * MIB


def test_pings_and_streams_the_other_way_go_on_while_reading_is_paused(joined):
    joined.acceptor.connection.pause_reading()
    send(joined.dialler, bytes(16 * MIB))
    joined.run(10)

    joined.acceptor.connection.ping(3)
    joined.dialler.connection.ping(4)
    send(joined.acceptor, b"other way")
    joined.run(1)

    assert (joined.acceptor.heard.pings, joined.dialler.heard.pings) == ([3], [4])
    assert joined.dialler.heard.data == {1: b"other way"}


def test_a_close_is_told_while_reading_is_paused(joined):
    joined.acceptor.connection.pause_reading()
    send(joined.dialler, bytes(MIB))
    joined.run(1)

    joined.dialler.connection.close(77, "enough")
    joined.run(1)

    assert joined.acceptor.heard.closed == [(77, "enough", True)]


def test_silence_is_noticed_while_reading_is_paused(joined):
    joined.acceptor.connection.pause_reading()
    send(joined.dialler, bytes(MIB))
    joined.run(1)
    joined.loss = 1.0

    joined.run(200)

    assert joined.acceptor.heard.closed == [(1, "Idle timeout", False)]
    assert joined.acceptor.heard.terminated == 1


def test_a_handshake_completes_while_reading_is_paused(pair):
    joined = pair()
    for end in joined.ends:
        end.connection.pause_reading()

    joined.run(1)

    assert [end.heard.established for end in joined.ends] == [1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_everything_arrives_though_a_fifth_is_lost(pair, seed):
    joined = pair(loss=0.2, seed=seed)
    joined.run(30, until=lambda: joined.dialler.heard.established and joined.acceptor.heard.established)
    payload = random.Random(seed).randbytes(100_000)

    stream_id = send(joined.dialler, payload, end_stream=True)
    joined.dialler.connection.ping(9)
    joined.run(120, until=lambda: joined.acceptor.heard.ended and joined.dialler.heard.pings)

    assert joined.acceptor.heard.data == {stream_id: payload}
    assert joined.acceptor.heard.ended == [stream_id]
    assert joined.dialler.heard.pings == [9]
    assert joined.steps < 20_000  # time never stands still between timers


@pytest.mark.parametrize("seed", [79, 91, 274, 342])
def test_time_goes_on_where_a_timer_is_rounded(dialling, accepting, seed):
    instant, visits = 0.0, 0
    most = 0
    joined = Pair(
        made(dialling, QuicSettings()), made(accepting, QuicSettings()), loss=0.2, seed=seed, now=starting_at(seed)
    )

    def look():
        nonlocal instant, visits, most
        visits = visits + 1 if joined.now == instant else 0
        instant, most = joined.now, max(most, visits)
        return most > 100

    joined.run(3, until=look)
    send(joined.dialler, bytes(30_000), end_stream=True)
    joined.run(10, until=look)

    assert most < 20


def starting_at(seed):
    return random.Random(seed).uniform(0, 100_000)


def test_one_history_is_lived_twice_alike(pair):
    def live():
        joined = pair(loss=0.1, seed=7)
        joined.run(5)
        for _ in range(20):
            send(joined.dialler, bytes(20_000), end_stream=True)
        joined.run(60, until=lambda: len(joined.acceptor.heard.ended) == 20)
        return joined.steps, joined.now, joined.acceptor.heard.ended

    assert live() == live()


def test_a_closed_connection_leaves_no_memory_behind(joined):
    send(joined.dialler, bytes(1000))
    joined.run(1)
    joined.dialler.connection.close(0, "")
    joined.run(10)
    left = [weakref.ref(end.connection) for end in joined.ends] + [
        weakref.ref(end.connection._quic) for end in joined.ends
    ]

    for end in joined.ends:
        end.connection = None
    gc.collect()

    assert [reference() for reference in left] == [None] * 4


def test_the_libraries_log_is_silent_unless_a_level_was_set():
    logger = logging.getLogger("quic")
    before = logger.level
    try:
        logger.setLevel(logging.NOTSET)
        silence()
        unset = logger.level
        logger.setLevel(logging.DEBUG)
        silence()
        chosen = logger.level
    finally:
        logger.setLevel(before)

    assert (unset, chosen) == (logging.CRITICAL, logging.DEBUG)
