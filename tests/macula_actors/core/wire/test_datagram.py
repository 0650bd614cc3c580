import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.wire.datagram import (
    FIXED_BIT,
    MAX_CONNECTION_ID_BYTES,
    Reset,
    decode_datagram,
    encode_reset,
)
from macula_actors.errors import RemoteProtocolError

resets = st.binary(min_size=1, max_size=MAX_CONNECTION_ID_BYTES).map(Reset)


@given(resets)
def test_a_reset_is_read_as_it_was_written(reset):
    assert decode_datagram(encode_reset(reset)) == reset


@given(resets)
def test_a_reset_is_no_packet_of_quic(reset):
    assert encode_reset(reset)[0] & (FIXED_BIT | 0x80) == 0


def test_a_reset_is_shorter_than_the_shortest_packet_that_is_answered():
    assert len(encode_reset(Reset(bytes(8)))) < 21


def test_what_a_reset_looks_like():
    assert encode_reset(Reset(b"\x01\x02")) == bytes.fromhex("0d6d6163756c61010102")


@given(st.binary(max_size=40))
def test_anything_else_is_the_peers_error(data):
    with pytest.raises(RemoteProtocolError, match="unknown_datagram"):
        decode_datagram(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_reset(Reset(b"")),
        encode_reset(Reset(bytes(MAX_CONNECTION_ID_BYTES + 1))),
        encode_reset(Reset(b"id")).replace(b"macula\x01", b"macula\x02"),
    ],
)
def test_what_is_nearly_a_reset_is_none(data):
    with pytest.raises(RemoteProtocolError, match="unknown_datagram"):
        decode_datagram(data)
