import os

import pytest
from aioquic.quic.packet import QuicErrorCode

from macula_actors.errors import RemoteProtocolError
from macula_actors.transport.interface import QuicSettings
from macula_actors.transport.stateless import MIN_INITIAL_BYTES, RetryTokens, pull_initial, refuse_initial
from tests.macula_actors.transport.conftest import made
from tests.macula_actors.transport.pair import ACCEPTOR, Heard

VERSIONS = [1]
ADDRESS = ("192.0.2.1", 1000)


@pytest.fixture
def dialler(dialling):
    return made(dialling, QuicSettings()).dial(ACCEPTOR, 1.0)


@pytest.fixture
def datagram(dialler):
    return dialler.datagrams_to_send(1.0)[0][0]


def test_the_first_packet_of_a_dialler_is_an_initial(dialler, datagram):
    initial = pull_initial(datagram, VERSIONS)

    assert (initial.version, initial.token) == (1, b"")
    assert initial.source_cid == dialler.connection_id
    assert len(initial.destination_cid) >= 8


def test_an_unknown_version_is_answered_with_the_known_ones(datagram):
    answer = pull_initial(datagram, [0xFF00001D, 0x6B3343CF])

    assert answer[1:5] == bytes(4)
    assert answer.endswith(bytes.fromhex("ff00001d6b3343cf"))
    assert len(answer) < len(datagram)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda datagram: datagram.removesuffix(datagram[-1:]),
        lambda datagram: b"\x40" + datagram[1:],
        lambda datagram: b"\xe0" + datagram[1:],
        lambda datagram: b"\x80" + datagram[1:],
        lambda datagram: datagram[:1] + bytes(4) + datagram[5:],
        lambda datagram: datagram[:5] + b"\x04" + datagram[6:],
        lambda datagram: datagram[:5] + b"\xff" + datagram[6:],
        lambda datagram: b"",
    ],
)
def test_what_begins_no_connection_is_the_peers_error(datagram, spoil):
    with pytest.raises(RemoteProtocolError, match="not_an_initial"):
        pull_initial(spoil(datagram), VERSIONS)


def test_a_dialler_hears_that_it_was_refused_and_why(dialler, datagram):
    heard = Heard()
    refusal = refuse_initial(pull_initial(datagram, VERSIONS), QuicErrorCode.CONNECTION_REFUSED, "connections")

    dialler.receive([refusal], ACCEPTOR, 1.1)
    dialler.drain(heard)

    assert heard.closed == [(2, "connections", False)]
    assert len(refusal) < MIN_INITIAL_BYTES


def test_a_long_reason_is_cut(dialler, datagram):
    heard = Heard()

    dialler.receive([refuse_initial(pull_initial(datagram, VERSIONS), 2, "x" * 500)], ACCEPTOR, 1.1)
    dialler.drain(heard)

    assert heard.closed == [(2, "x" * 32, False)]


@pytest.fixture
def retried(dialler, datagram):
    """Return the tokens, the first Initial, and the one that came after Retry."""
    tokens = RetryTokens()
    first = pull_initial(datagram, VERSIONS)
    dialler.receive([tokens.retry(first, ADDRESS, 1.0)], ACCEPTOR, 1.1)
    dialler.drain(Heard())
    return tokens, first, pull_initial(dialler.datagrams_to_send(1.1)[0][0], VERSIONS)


def test_a_dialler_comes_back_with_the_token(retried):
    tokens, first, second = retried

    assert second.destination_cid != first.destination_cid
    assert tokens.original_destination_cid(second, ADDRESS, 1.2) == first.destination_cid


@pytest.mark.parametrize(
    ("address", "now"),
    [(("192.0.2.2", 1000), 1.2), (("192.0.2.1", 1001), 1.2), (("2001:db8::1", 1000), 1.2), (ADDRESS, 40.0)],
)
def test_a_token_is_good_for_one_address_and_half_a_minute(retried, address, now):
    tokens, _, second = retried

    with pytest.raises(RemoteProtocolError, match="invalid_token"):
        tokens.original_destination_cid(second, address, now)


def test_a_token_of_others_is_invalid(retried):
    _, _, second = retried

    with pytest.raises(RemoteProtocolError, match="invalid_token"):
        RetryTokens().original_destination_cid(second, ADDRESS, 1.2)


@pytest.mark.parametrize("size", [1, 12, 13, 28, 100])
def test_a_token_of_random_bytes_is_invalid(retried, size):
    tokens, first, _ = retried
    forged = type(first)(first.version, first.destination_cid, first.source_cid, os.urandom(size))

    with pytest.raises(RemoteProtocolError, match="invalid_token"):
        tokens.original_destination_cid(forged, ADDRESS, 1.2)
