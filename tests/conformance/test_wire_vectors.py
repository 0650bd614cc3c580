"""The golden bytes of the original: what it sends is read as what it meant, what it refuses is refused for that reason.

``MACULA_VECTORS=FOLDER`` takes the files of another folder. Where ours differs on purpose, DIFFERENCES says why.
"""

from dataclasses import dataclass, fields

import pytest

from macula_actors.core.wire import FrameReader, MessageType, decode, encode
from macula_actors.core.wire.frame import first_frame
from macula_actors.core.wire.types import OWN_TYPES
from macula_actors.core.wire.values import pack, unpack
from macula_actors.errors import RemoteProtocolError
from tests.conformance.erlang_terms import OWN_VECTORS, VECTORS, read


@dataclass(frozen=True)
class Difference:
    """What the original answers with ``theirs`` to frames of ``types``, ours refuses with ``ours``."""

    theirs: str
    ours: str
    types: range
    defect: str
    reason: str
    names: str  # of the entries in our copies, white space between them


ANY = range(256)
SWIM = range(0x30, 0x33)

DIFFERENCES = [
    Difference(
        theirs="ok",
        ours="not_a_map",
        types=ANY,
        defect="D-54",
        reason="spec/wire.md: a payload that is not a map crashes the original's gateway, and is refused here",
        names="""payload_int payload_nil payload_true payload_empty_array payload_str payload_bin payload_float32
            payload_float64 float32_inf float32_ninf float32_nan float64_inf float64_nan array16 str8 str16 str32 bin16
            int64_positive int8 neg_fixint""",
    ),
    Difference(
        theirs="ok",
        ours="msgpack_decode_error",
        types=ANY,
        defect="D-54",
        reason="map keys other than texts mean nothing here, and could be chosen to collide and stall the reader",
        names="map_17_entries_map16 mixed_keys map_key_map map_key_nil",
    ),
    Difference(
        theirs="ok",
        ours="missing_field",
        types=SWIM,
        defect="D-51",
        reason="no code of the original is behind SWIM's types; ours need seq, and ping_req its target",
        names="""list_negative_ints_is_array list_surrogate_ints_is_array list_unicode_ints_is_str
            list_of_31_ints_fixstr list_of_32_ints_str8 list_of_256_ints_str16 list_mixed_is_array floats
            type_30 type_31""",
    ),
    Difference(
        theirs="ok",
        ours="missing_field",
        types=ANY,
        defect="D-54",
        reason="the original's decoder checks no field, and what handles the message crashes for want of it",
        names="""find_value_reply_unknown_message_error store_reply_shape_in_store_frame
            connect_missing_fields_ok_for_decoder reply_empty type_1 type_4 type_11 type_12 type_20 type_21 type_22
            type_23 type_43 type_44""",
    ),
    Difference(
        theirs="ok",
        ours="bad_field",
        types=ANY,
        defect="D-46",
        reason="a payload is bytes, as spec/behaviour.md 1.2 has it; the original's subscribers expect JSON in them",
        names="publish_payload_map",
    ),
    *(
        Difference("unknown_type", ours, OWN_TYPES, "D-07", "our additions, for which the original has no type", "")
        for ours in ("ok", "not_a_map", "missing_field", "bad_field", "msgpack_decode_error")
    ),
]


def sent(folder):
    """Return name, bytes and the original's decoding of what the original's encoder made."""
    return [(e["name"], bytes.fromhex(e["frame_hex"]), e["decoded"]) for e in read("frames.json", folder)]


def odd(folder):
    """Return name, bytes and the original's decoding of bytes from elsewhere, malformed ones among them."""
    return [(e["name"], bytes.fromhex(e["bytes_hex"]), e["result"]) for e in read("decode.json", folder)]


def by_name(rows):
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


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


def difference(data, theirs, ours):
    """Return the first row of the table for such verdicts on ``data``, or None."""
    rows = [row for row in DIFFERENCES if data[1:2] and data[1] in row.types]
    return next((row for row in rows if (row.theirs, row.ours) == (theirs, ours)), None)


def content(result):
    """Return the label and the payload of a message that the original decoded."""
    label, payload = result["$tuple"]
    return label["$atom"], comparable(payload)


def comparable(term):
    """Return a term of the vectors such that only equal ones are equal, whatever the order of keys."""
    match term:
        case {"$bin": text}:
            return bytes.fromhex(text)
        case {"$float": text}:
            return "float", repr(float(text))
        case {"$atom": name}:
            return "float", {"positive_infinity": "inf", "negative_infinity": "-inf", "nan": "nan"}[name]
        case {"$map": pairs}:
            return frozenset((comparable(key), comparable(value)) for key, value in pairs)
        case list():
            return tuple(map(comparable, term))
        case _:
            return type(term), term


def as_original(value):
    """Return our ``value`` as the original understands it: a str is its code points, the empty one the empty list."""
    match value:
        case bytes():
            return value
        case str():
            return tuple((int, ord(char)) for char in value)
        case float():
            return "float", repr(value)
        case dict():
            return frozenset((as_original(key), as_original(each)) for key, each in value.items())
        case list():
            return tuple(map(as_original, value))
        case _:
            return type(value), value


def known(cls, payload):
    """Return the fields of ``payload`` that ``cls`` has and that are not nil, which here is the same as not there.

    A key that came as str, which the original does not understand, is the same key here.
    """
    names = {as_original(name): name.encode() for name in (field.name for field in fields(cls))}
    named = {(names.get(key, key), value) for key, value in payload}
    return {(key, value) for key, value in named if key in names.values() and value != (type(None), None)}


ENTRIES = sent(VECTORS) + odd(VECTORS)
ACCEPTED = [(name, data, content(result["$tuple"][1])) for name, data, result in ENTRIES if verdict(result) == "ok"]
TEXT_KEYED = [row for row in ACCEPTED if our_verdict(row[1]) != "msgpack_decode_error"]
UNDERSTOOD = [row for row in TEXT_KEYED if our_verdict(row[1]) == "ok"]
SENT = {name for name, _, _ in sent(VECTORS)}
STREAMS = [
    (entry["name"], bytes.fromhex(entry["bytes_hex"]), entry["stream_decode"])
    for entry in read("decode.json")
    if our_verdict(bytes.fromhex(entry["bytes_hex"])) != "msgpack_decode_error" or verdict(entry["result"]) != "ok"
]


@pytest.mark.parametrize(("data", "result"), by_name(ENTRIES))
def test_the_verdict_is_that_of_the_original_or_a_named_difference(data, result):
    theirs, ours = verdict(result), our_verdict(data)

    assert ours == theirs or difference(data, theirs, ours)


def test_our_copies_differ_where_the_table_says_and_nowhere_else():
    verdicts = [
        (name, data, verdict(result), our_verdict(data)) for name, data, result in sent(OWN_VECTORS) + odd(OWN_VECTORS)
    ]

    differing = {name: difference(data, theirs, ours) for name, data, theirs, ours in verdicts if theirs != ours}

    assert differing == {name: row for row in DIFFERENCES for name in row.names.split()}


@pytest.mark.parametrize(("data", "told"), by_name(TEXT_KEYED))
def test_a_payload_is_read_as_the_original_reads_it(data, told):
    frame = first_frame(data)

    assert (MessageType(frame.type_id).label, as_original(unpack(frame.payload))) == told


@pytest.mark.parametrize(("data", "told"), by_name(UNDERSTOOD))
def test_a_message_is_understood_and_sent_as_the_original_sends_it(data, told):
    message = decode(data)

    again = first_frame(encode(message))

    assert (again.type_id, set(as_original(unpack(again.payload)))) == (data[1], known(type(message), told[1]))


@pytest.mark.parametrize(("data", "told"), by_name(row for row in TEXT_KEYED if row[0] in SENT))
def test_values_are_written_byte_for_byte_as_the_original_writes_them(data, told):
    payload = first_frame(data).payload

    assert pack(unpack(payload)) == payload


@pytest.mark.parametrize(("data", "told"), by_name(STREAMS))
def test_a_stream_is_cut_into_frames_as_the_original_cuts_it(data, told):
    reader = FrameReader()
    reader.receive(data)

    payloads = list(iter(lambda: readable(reader), None))

    assert [payload for payload in payloads if payload] == [content(message) for message in told["messages"]]
    assert reader.unread == comparable(told["rest"])


def readable(reader):
    """Return the next frame's label and payload, () if it has none that can be read, None when there is no frame."""
    try:
        frame = reader.next_frame()
        return frame and (MessageType(frame.type_id).label, as_original(unpack(frame.payload)))
    except (RemoteProtocolError, ValueError):
        return ()
