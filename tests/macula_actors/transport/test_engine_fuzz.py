"""Whatever comes in, neither engine raises, and each connection lives on or ends in order."""

import random

import pytest
from aioquic import tls
from aioquic.buffer import encode_uint_var
from aioquic.quic.packet import QuicFrameType

from macula_actors.transport.interface import QuicSettings
from tests.macula_actors.transport.conftest import made
from tests.macula_actors.transport.pair import ACCEPTOR, DIALLER, LATENCY, Heard, Pair

STAGES = [0.0, LATENCY, 2 * LATENCY, 3 * LATENCY, 1.0]  # seconds after the first packet
PACKET_TYPES = {tls.Epoch.INITIAL: 0xC1, tls.Epoch.ZERO_RTT: 0xD1, tls.Epoch.HANDSHAKE: 0xE1}
NUMBERS = [0, 1, 2, 3, 4, 5, 8, 16, 63, 64, 1000, 2**14, 2**20, 2**30, 2**61, 2**62 - 1]
MESSAGES = [1, 2, 4, 8, 11, 13, 15, 20, 24, 77]  # TLS handshake types, and one that is none


def damaged(datagram, rng):
    """Return the datagram with something wrong, or something else in its place."""
    return rng.choice([with_wrong_bytes, with_wrong_header, cut_off, with_more, unlike])(datagram, rng)


def with_wrong_bytes(datagram, rng):
    changed = bytearray(datagram)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def with_wrong_header(datagram, rng):
    return with_wrong_bytes(datagram[:40], rng) + datagram[40:]


def cut_off(datagram, rng):
    return datagram[: rng.randrange(len(datagram))]


def with_more(datagram, rng):
    return datagram + rng.randbytes(rng.randrange(60))


def unlike(_datagram, rng):
    return rng.randbytes(rng.choice([0, 1, 5, 20, 40, 1200]))


@pytest.mark.parametrize("seed", range(2))
def test_damaged_copies_of_every_datagram_change_nothing_once_the_ids_are_known(pair, seed):
    rng = random.Random(seed)
    joined = pair(seed=seed)
    joined.run(LATENCY)
    joined.change = lambda datagram: [datagram, *(damaged(datagram, rng) for _ in range(20))]

    joined.run(1)
    stream_id = joined.dialler.connection.open_stream()
    joined.dialler.connection.send_stream_data(stream_id, bytes(60_000), end_stream=True)
    joined.run(5)

    assert joined.acceptor.heard.data == {stream_id: bytes(60_000)}
    assert [end.heard.closed for end in joined.ends] == [[], []]


@pytest.mark.parametrize("stage", STAGES)
def test_two_thousand_datagrams_of_garbage_are_dropped_at_each_stage(pair, stage):
    rng = random.Random(1)
    joined = pair()
    seen = [random.Random(0).randbytes(1200)]
    joined.change = lambda datagram: seen.append(datagram) or [datagram]
    joined.run(stage)

    for _ in range(200):
        garbage = [damaged(rng.choice(seen), rng) for _ in range(10)]
        joined.dialler.connection.receive(garbage[:5], ACCEPTOR, joined.now)
        joined.acceptor.connection.receive(garbage[5:], DIALLER, joined.now)
    joined.run(200)

    assert_in_order(joined.dialler)
    assert_in_order(joined.acceptor)


def test_an_acceptor_whose_first_datagrams_are_garbage_ends_in_order(accepting, dialling):
    rng = random.Random(2)
    initial = made(dialling, QuicSettings()).dial(ACCEPTOR, 1.0).datagrams_to_send(1.0)[0][0]

    for _ in range(100):
        connection = made(accepting, QuicSettings()).accept(original_destination_connection_id=initial[6:14])
        connection.receive([damaged(initial, rng) for _ in range(3)], DIALLER, 1.0)
        end_of(connection, 1.0)


@pytest.mark.parametrize("attacker_dials", [True, False])
def test_a_peer_that_sends_authentic_garbage_is_dropped_in_order(accepting, attacker_dials):
    rng = random.Random(3)
    attacking, victim = made("aioquic", QuicSettings()), made(accepting, QuicSettings())

    for _ in range(150):
        joined = Pair(*(attacking, victim)[:: 1 if attacker_dials else -1])
        joined.run(rng.choice(STAGES))
        attacker, target = joined.ends[:: 1 if attacker_dials else -1]
        for _ in range(8):
            for datagram in authentic_garbage(attacker.connection._quic, rng):
                target.connection.receive([datagram], attacker.address, joined.now)
                target.connection.drain(target.heard)
                target.connection.datagrams_to_send(joined.now)
        end_of(target.connection, joined.now, target.heard)


def authentic_garbage(quic, rng):
    """Return a packet of nonsense for each key that aioquic's connection has."""
    return [
        packet(quic, epoch, pair, rng)
        for epoch, pair in quic._cryptos.items()
        if pair.send.is_valid() and epoch is not tls.Epoch.ZERO_RTT
    ]


def packet(quic, epoch, pair, rng):
    payload = rng.choice([frames, frames, message])(quic, epoch, rng)
    payload = payload.ljust(1200 if epoch is tls.Epoch.INITIAL else 8, b"\0")
    number, quic._packet_number = quic._packet_number, quic._packet_number + 1
    return pair.send.encrypt_packet(header(quic, epoch, len(payload)) + number.to_bytes(2, "big"), payload, number)


def header(quic, epoch, length):
    if epoch is tls.Epoch.ONE_RTT:
        return b"\x41" + quic._peer_cid.cid
    ids = b"".join(bytes([len(connection_id)]) + connection_id for connection_id in (quic._peer_cid.cid, quic.host_cid))
    token = b"\0" if epoch is tls.Epoch.INITIAL else b""
    return bytes([PACKET_TYPES[epoch], 0, 0, 0, 1]) + ids + token + (length + 18 | 0x4000).to_bytes(2, "big")


def frames(_quic, _epoch, rng):
    kinds = [*(int(kind) for kind in QuicFrameType), 0x21, 0x40, 0x1234]
    fields = [[rng.choice(kinds), *rng.choices(NUMBERS, k=rng.randrange(6))] for _ in range(3)]
    return b"".join(b"".join(map(encode_uint_var, field)) + rng.randbytes(rng.randrange(20)) for field in fields)


def message(quic, epoch, rng):
    body = rng.randbytes(rng.randrange(100))
    text = bytes([rng.choice(MESSAGES)]) + len(body).to_bytes(3, "big") + body
    offset = rng.choice([0, quic._crypto_streams[epoch].sender._buffer_stop])
    return b"\x06" + encode_uint_var(offset) + encode_uint_var(len(text)) + text


def end_of(connection, now, heard=None):
    """Run a connection alone until it ends; it does, in at most so many timers."""
    heard = heard or Heard()
    for _ in range(3000):
        connection.drain(heard)
        connection.datagrams_to_send(now)
        now = max(now, connection.timer() or now)
        connection.handle_timer(now)
    connection.drain(heard)
    assert connection.timer() is None
    assert len(heard.closed) <= 1


def assert_in_order(end):
    assert len(end.heard.closed) <= 1
    assert end.heard.terminated == bool(end.heard.closed)
