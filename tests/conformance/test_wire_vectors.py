"""The golden bytes of the original: what it sends is read as what it meant, what it refuses is refused for that reason.

``MACULA_VECTORS=FOLDER`` takes the files of another folder. Where ours differs on purpose, `wire_differences` says why.
"""

import pytest

from macula_actors.core.wire import FrameReader, MessageType, decode, encode
from macula_actors.core.wire.frame import HEADER_BYTES, MAX_PAYLOAD_BYTES, encode_frame, first_frame
from macula_actors.core.wire.messages import CLASSES
from macula_actors.core.wire.types import OWN_TYPES
from macula_actors.core.wire.values import pack, unpack
from macula_actors.errors import RemoteProtocolError
from tests.conformance.erlang_terms import OWN_VECTORS, VECTORS, each_of, read
from tests.conformance.wire_differences import DIFFERENCES, difference
from tests.conformance.wire_terms import as_original, comparable, known

NOT_READ = {"frame_too_large", "msgpack_decode_error"}  # our verdicts on frames whose payload never is a value


def sent(folder):
    """Return name, bytes and the original's decoding of what the original's encoder made."""
    return [(e["name"], bytes.fromhex(e["frame_hex"]), e["decoded"]) for e in read("frames.json", folder)]


def odd(folder):
    """Return name, bytes and the original's decoding of bytes from elsewhere, malformed ones among them."""
    return [(e["name"], bytes.fromhex(e["bytes_hex"]), e["result"]) for e in read("decode.json", folder)]


def each_frame(rows):
    """Parametrize a test with the bytes of each of ``rows``, and what the original told of them."""
    params = [pytest.param(data, told, id=name) for name, data, told in rows]
    return each_of(("data", "told"), params, "frames.json", "decode.json")


def verdict(result):
    """Return "ok", or the name of the error, of a result of the original."""
    match result:
        case {"$tuple": [{"$atom": "error"}, {"$tuple": [{"$atom": code}, _]} | {"$atom": code}]} | {
            "$tuple": [{"$atom": "ok" as code}, _]
        }:
            return code


def our_verdict(data):
    try:
        decode(data)
    except RemoteProtocolError as error:
        return error.code
    return "ok"


def content(result):
    """Return the label and the payload of a message that the original decoded."""
    label, payload = result["$tuple"]
    return label["$atom"], comparable(payload)


def messages_in(reader):
    """Yield label and payload of each frame, None for one that ours refuses on purpose; ends before one too large."""
    while True:
        try:
            frame = reader.next_frame()
        except RemoteProtocolError as error:
            if error.code == "frame_too_large":
                return
            continue
        if frame is None:
            return
        if frame.type_id in CLASSES and frame.type_id not in OWN_TYPES:
            yield from message_in(frame)


def message_in(frame):
    try:
        return [(MessageType(frame.type_id).label, as_original(unpack(frame.payload)))]
    except RemoteProtocolError as error:
        return [None] if difference(encode_frame(*frame), "ok", error.code) else []


def has_frame_too_large(data):
    while len(data) >= HEADER_BYTES and (length := int.from_bytes(data[4:HEADER_BYTES])) <= MAX_PAYLOAD_BYTES:
        data = data[HEADER_BYTES + length :]
    return len(data) >= HEADER_BYTES


def readable(rows):
    """Return those of ``rows`` whose payload both the original and we read, and what it is."""
    accepted = [(name, data, content(told["$tuple"][1])) for name, data, told in rows if verdict(told) == "ok"]
    return [row for row in accepted if our_verdict(row[1]) not in NOT_READ]


ENTRIES = sent(VECTORS) + odd(VECTORS)
UNDERSTOOD = [row for row in readable(ENTRIES) if our_verdict(row[1]) == "ok"]
STREAMS = [(entry["name"], bytes.fromhex(entry["bytes_hex"]), entry["stream_decode"]) for entry in read("decode.json")]


@each_frame(ENTRIES)
def test_the_verdict_is_that_of_the_original_or_a_named_difference(data, told):
    theirs, ours = verdict(told), our_verdict(data)

    assert ours == theirs or difference(data, theirs, ours)


def test_our_copies_differ_where_the_table_says_and_nowhere_else():
    verdicts = [
        (name, data, verdict(result), our_verdict(data)) for name, data, result in sent(OWN_VECTORS) + odd(OWN_VECTORS)
    ]

    differing = {name: difference(data, theirs, ours) for name, data, theirs, ours in verdicts if theirs != ours}

    assert differing == {name: row for row in DIFFERENCES for name in row.names.split()}


@each_frame(readable(ENTRIES))
def test_a_payload_is_read_as_the_original_reads_it(data, told):
    frame = first_frame(data)

    assert (MessageType(frame.type_id).label, as_original(unpack(frame.payload))) == told


@each_frame(UNDERSTOOD)
def test_a_message_is_understood_and_sent_as_the_original_sends_it(data, told):
    message = decode(data)

    again = first_frame(encode(message))

    assert (again.type_id, as_original(unpack(again.payload))) == (data[1], known(message, told[1]))


@each_frame(readable(sent(VECTORS)))
def test_values_are_written_byte_for_byte_as_the_original_writes_them(data, told):
    payload = first_frame(data).payload

    assert pack(unpack(payload)) == payload


@each_frame(row for row in STREAMS if not has_frame_too_large(row[1]))
def test_a_stream_is_cut_into_frames_as_the_original_cuts_it(data, told):
    reader = FrameReader()
    reader.receive(data)

    ours = list(messages_in(reader))

    theirs = [content(message) for message in told["messages"]]
    assert ours == [mine and each for mine, each in zip(ours, theirs, strict=True)]
    assert reader.unread == comparable(told["rest"])


@each_frame(row for row in STREAMS if has_frame_too_large(row[1]))
def test_a_stream_is_read_up_to_a_frame_that_is_too_large(data, told):
    reader = FrameReader()
    reader.receive(data)

    ours = list(messages_in(reader))

    theirs = [content(message) for message in told["messages"]]
    assert ours == [mine and each for mine, each in zip(ours, theirs, strict=False)]
    assert reader.unread == b""
