"""Which frames we do not read as the original does, on purpose.

Numbers ``D-xx`` are those of the original's register of defects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import msgpack

from macula_actors.core.wire.frame import HEADER_BYTES
from macula_actors.core.wire.types import OWN_TYPES, MessageType
from macula_actors.core.wire.values import MAX_DEPTH, MAX_ITEMS

SWIM = range(MessageType.SWIM_PING, MessageType.SWIM_PING_REQ + 1)
OF_OWN_TYPES = ("ok", "not_a_map", "missing_field", "bad_field", "msgpack_decode_error")


@dataclass(frozen=True)
class Difference:
    """What the original answers with ``theirs`` to frames to which it ``applies``, ours answers with ``ours``."""

    theirs: str
    ours: str
    defect: str
    reason: str
    names: str  # of the entries in our copies, white space between them
    applies: Callable = lambda _data: True


class Pairs(list):
    """The pairs of a map, whatever its keys are."""


def payload_of(data):
    """Return the payload of the frame ``data``, its maps as `Pairs`; "too deep" if it is, None if it is no value."""
    try:
        return msgpack.unpackb(
            data[HEADER_BYTES : HEADER_BYTES + int.from_bytes(data[4:HEADER_BYTES])],
            object_pairs_hook=Pairs,
            strict_map_key=False,
            ext_hook=no_value,
        )
    except msgpack.StackError:
        return "too deep"
    except ValueError:
        return None


def no_value(code, _data):
    raise ValueError(f"extension type {code}")  # the original refuses them too


def parts(payload):
    """Yield ``payload`` and all that is in it, each with how many maps and lists it is in."""
    unseen = [(payload, 0)]
    while unseen:
        part, depth = unseen.pop()
        yield part, depth
        if isinstance(part, list):
            unseen += [(item, depth + 1) for item in (chain.from_iterable(part) if isinstance(part, Pairs) else part)]


def has_other_keys(data):
    """Tell whether a map of the payload has keys other than texts."""
    maps = (part for part, _ in parts(payload_of(data)) if isinstance(part, Pairs))
    return any(not isinstance(key, str | bytes) for pairs in maps for key, _ in pairs)


def is_too_large(data):
    """Tell whether the payload's maps and lists are nested deeper, or longer, than ours may be."""
    payload = payload_of(data)
    lists = ((part, depth) for part, depth in parts(payload) if isinstance(part, list))
    return payload == "too deep" or any(depth >= MAX_DEPTH or len(part) > MAX_ITEMS for part, depth in lists)


def of_types(types):
    return lambda data: data[1] in types


def has_map_as_payload(data):
    fields = dict(payload_of(data))
    return data[1] == MessageType.PUBLISH and isinstance(fields.get(b"payload"), Pairs)


DIFFERENCES = [
    Difference(
        theirs="ok",
        ours="not_a_map",
        defect="D-54",
        reason="spec/wire.md: a payload that is not a map crashes the original's gateway, and is refused here",
        names="""payload_int payload_nil payload_true payload_empty_array payload_str payload_bin payload_float32
            payload_float64 float32_inf float32_ninf float32_nan float64_inf float64_nan array16 str8 str16 str32 bin16
            int64_positive int8 neg_fixint""",
    ),
    Difference(
        theirs="ok",
        ours="msgpack_decode_error",
        defect="D-54",
        reason="map keys other than texts mean nothing here, and could be chosen to collide and stall the reader",
        names="map_17_entries_map16 mixed_keys map_key_map map_key_nil",
        applies=has_other_keys,
    ),
    Difference(
        theirs="ok",
        ours="msgpack_decode_error",
        defect="D-54",
        reason="spec/wire.md: what is nested or counts without bound is refused: what is built of it has a bound",
        names="nested_33_lists",
        applies=is_too_large,
    ),
    Difference(
        theirs="ok",
        ours="missing_field",
        defect="D-51",
        reason="no code of the original is behind SWIM's types; ours need seq, and ping_req its target",
        names="""list_negative_ints_is_array list_surrogate_ints_is_array list_unicode_ints_is_str
            list_of_31_ints_fixstr list_of_32_ints_str8 list_of_256_ints_str16 list_mixed_is_array floats
            type_30 type_31""",
        applies=of_types(SWIM),
    ),
    Difference(
        theirs="ok",
        ours="missing_field",
        defect="D-54",
        reason="the original's decoder checks no field, and what handles the message crashes for want of it",
        names="""find_value_reply_unknown_message_error store_reply_shape_in_store_frame
            connect_missing_fields_ok_for_decoder reply_empty type_1 type_4 type_11 type_12 type_20 type_21 type_22
            type_23 type_43 type_44""",
    ),
    Difference(
        theirs="ok",
        ours="bad_field",
        defect="D-46",
        reason="a payload is bytes, as spec/behaviour.md 1.2 has it; the original's subscribers expect JSON in them",
        names="publish_payload_map",
        applies=has_map_as_payload,
    ),
    Difference(
        theirs="ok",
        ours="bad_field",
        defect="D-54",
        reason="the original's decoder checks no field, and what handles the message crashes over it or passes it on",
        names="ping_timestamp_is_text ping_timestamp_is_float call_id_of_3_bytes connect_realm_is_a_list",
    ),
    *(
        Difference(
            theirs=theirs,
            ours="frame_too_large",
            defect="D-54",
            reason="spec/wire.md: ours has a maximum frame length, checked before anything is allocated",
            names=names,
        )
        for theirs, names in {
            "incomplete_payload": "length_of_4_gib length_of_1_mib_and_1",
            "ok": "",
            "unknown_type": "",
            "msgpack_decode_error": "",
        }.items()
    ),
    *(
        Difference(
            theirs="unknown_type",
            ours=ours,
            defect="D-07",
            reason="our additions, for which the original has no type",
            names={"missing_field": "own_type_a0", "ok": "own_type_a4", "not_a_map": "own_type_a5"}.get(ours, ""),
            applies=of_types(OWN_TYPES),
        )
        for ours in OF_OWN_TYPES
    ),
]


def difference(data, theirs, ours):
    """Return the first row of the table for such verdicts on ``data``, or None."""
    rows = [row for row in DIFFERENCES if (row.theirs, row.ours) == (theirs, ours)]
    return next((row for row in rows if row.applies(data)), None)
