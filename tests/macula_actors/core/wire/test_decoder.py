import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.wire import FrameReader, MessageType, decode, decode_frame, encode
from macula_actors.core.wire.frame import Frame, encode_frame
from macula_actors.core.wire.messages import MAX_EVENTS, Ping
from macula_actors.core.wire.values import pack
from macula_actors.errors import RemoteProtocolError
from tests.macula_actors.core.wire.strategies import any_message, values

IDS = st.sampled_from(MessageType)
framed = st.builds(encode_frame, IDS | st.integers(0, 255), st.binary() | values.map(pack))
bent = st.tuples(any_message.map(encode), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4))


def outcome(data):
    """Return the message in ``data``, or the code of the peer's error, as text: nan is unequal to itself."""
    try:
        return repr(decode(data))
    except RemoteProtocolError as error:
        return error.code


@given(st.binary() | framed)
def test_any_bytes_are_a_message_or_the_peers_error(data):
    assert outcome(data)


@given(bent)
def test_any_message_with_some_bytes_changed_is_a_message_or_the_peers_error(bent):
    data, changes = bytearray(bent[0]), bent[1]

    for at, octet in changes:
        data[at % len(data)] = octet

    assert outcome(bytes(data))


@given(any_message.map(encode), st.data())
def test_a_message_cut_short_is_incomplete(data, draw):
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]

    assert outcome(cut) in {"invalid_header", "incomplete_payload"}


@given(st.lists(any_message, max_size=4))
def test_messages_are_read_from_a_stream_byte_by_byte(messages):
    reader = FrameReader()
    read = []

    for octet in b"".join(map(encode, messages)):
        reader.receive(bytes([octet]))
        read += [decode_frame(frame) for frame in iter(reader.next_frame, None)]

    assert repr(read) == repr(messages)


@pytest.mark.parametrize(
    ("type_id", "payload", "code"),
    [
        (0x99, b"\xc1", "unknown_type"),
        (0x03, b"\xc1", "msgpack_decode_error"),
        (0x03, b"\x05", "not_a_map"),
        (0x04, b"\x80", "missing_field"),
        (0x03, b"\x81\xa9timestamp\xc3", "bad_field"),
        (0x40, pack({"type": "store", "target": b"t"}), "bad_field"),
        (0xA7, pack({"publisher": b"p", "epoch": 1, "events": [{"topic": "a"}]}), "missing_field"),
        (0xA7, pack({"publisher": b"p", "epoch": 1, "events": [b"a"]}), "bad_field"),
        (0xA7, pack({"publisher": b"p", "epoch": 1, "events": [{}] * (MAX_EVENTS + 1)}), "bad_field"),
        (0xA8, pack({"message_ids": [bytes(15)]}), "bad_field"),
    ],
)
def test_the_first_fault_in_order_is_told(type_id, payload, code):
    with pytest.raises(RemoteProtocolError) as refused:
        decode_frame(Frame(type_id, payload))

    assert refused.value.code == code


def test_a_rule_between_fields_is_the_peers_error_too():
    both = pack({"call_id": bytes(16), "result": b"1", "error": {"code": "timeout", "message": ""}})

    with pytest.raises(RemoteProtocolError, match="both"):
        decode_frame(Frame(MessageType.REPLY, both))


def test_a_ping_of_the_original_may_have_no_timestamp():
    assert decode(encode_frame(MessageType.PING, b"\x80")) == Ping()


def test_an_error_quotes_nothing_of_the_peers():
    with pytest.raises(RemoteProtocolError) as refused:
        decode_frame(Frame(MessageType.CALL, pack({"procedure": "secret" * 1000})))

    assert "secret" not in str(refused.value)


def test_a_frame_larger_than_the_reader_takes_is_refused():
    with pytest.raises(RemoteProtocolError, match="frame_too_large"):
        decode(encode(Ping(timestamp=5)), max_payload_bytes=12)
