"""A million mutated frames, most of them nearly right."""

import json
import random

import pytest

from macula_actors.core.wire import decode, encode
from macula_actors.core.wire.frame import HEADER_BYTES
from macula_actors.errors import RemoteProtocolError
from tests.conformance.erlang_terms import OWN_VECTORS

FRAMES = [bytes.fromhex(entry["frame_hex"]) for entry in json.loads((OWN_VECTORS / "frames.json").read_text())]
MUTATIONS = 1_000_000


def change(data, rng):
    data[rng.randrange(len(data))] = rng.randrange(256)


def insert(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randrange(1, 6))


def leave_out(data, rng):
    at = rng.randrange(1, len(data))
    del data[at : at + rng.randrange(1, 6)]


def join(data, rng):
    data += rng.choice(FRAMES)[rng.randrange(HEADER_BYTES, HEADER_BYTES + 20) :]


def mutated(rng):
    """Return a frame of the original's with some changes; type and length are right more often than not."""
    original = rng.choice(FRAMES)
    payload = bytearray(original[HEADER_BYTES:])
    for mutation in rng.choices([change, insert, leave_out, join], [6, 1, 1, 1], k=rng.randrange(3)):
        mutation(payload, rng)
    frame = bytearray([1, original[1], 0, 0]) + len(payload).to_bytes(4, "big") + payload
    for _ in range(rng.choice([0, 0, 0, 1])):
        change(frame, rng)
    return bytes(frame)


@pytest.mark.long
def test_a_million_mutated_frames_are_messages_or_the_peers_error():
    rng = random.Random(20251117)
    understood = 0

    for _ in range(MUTATIONS):
        try:
            message = decode(mutated(rng))
        except RemoteProtocolError:
            continue
        assert encode(message)
        understood += 1

    assert 0.2 < understood / MUTATIONS < 0.8
