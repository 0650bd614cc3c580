import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.wire.frame import (
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameReader,
    encode_frame,
    first_frame,
    whole_frame,
)
from macula_actors.errors import LocalProtocolError, RemoteProtocolError

frames = st.builds(Frame, st.integers(0, 255), st.binary(max_size=40))
MOST = 64  # bytes of payload that the readers here take


def bytes_of(frames):
    return b"".join(encode_frame(frame.type_id, frame.payload) for frame in frames)


def header(length, version=1):
    return bytes([version, 3, 0, 0]) + length.to_bytes(4, "big")


def frames_and_errors(reader):
    """Return all that ``reader`` has to say now: frames, and codes of errors up to one that is there for ever."""
    said = []
    while said[-2:] != ["frame_too_large"] * 2:
        try:
            frame = reader.next_frame()
        except RemoteProtocolError as error:
            said.append(error.code)
        else:
            if frame is None:
                return said
            said.append(frame)
    return said[:-1]


def read_in_pieces(pieces):
    reader = FrameReader(MOST)
    said = []
    for piece in pieces:
        reader.receive(piece)
        said += frames_and_errors(reader)
    last = said.index("frame_too_large") + 1 if "frame_too_large" in said else None
    return said[:last], reader.unread


@given(frames)
def test_a_frame_is_read_as_it_was_written(frame):
    assert first_frame(bytes_of([frame])) == frame


def test_a_header_is_version_type_two_zeros_and_the_length_big_endian():
    assert encode_frame(0x42, bytes(258)) == bytes.fromhex("0142000000000102") + bytes(258)


def test_what_follows_the_first_frame_is_ignored():
    assert first_frame(header(1) + b"ab") == Frame(3, b"a")


def test_flags_and_reserved_are_ignored():
    assert first_frame(bytes.fromhex("0103ffaa00000000")) == Frame(3, b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_header"),
        (header(0, version=9)[:-1], "invalid_header"),
        (header(MOST + 1, version=9), "unsupported_version"),
        (header(MOST + 1), "frame_too_large"),
        (header(MOST), "incomplete_payload"),
        (header(2) + b"a", "incomplete_payload"),
    ],
)
def test_the_first_fault_in_order_is_told(data, code):
    with pytest.raises(RemoteProtocolError) as refused:
        first_frame(data, MOST)

    assert refused.value.code == code


def test_too_large_a_frame_is_not_written():
    assert encode_frame(3, bytes(MAX_PAYLOAD_BYTES))
    with pytest.raises(LocalProtocolError) as refused:
        encode_frame(3, bytes(MAX_PAYLOAD_BYTES + 1))

    assert refused.value.code == "frame_too_large"


@given(st.lists(frames), st.data())
def test_frames_are_read_however_the_stream_is_cut(sent, data):
    stream = bytes_of(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))

    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert read_in_pieces(pieces) == (sent, b"")


@given(frames, st.binary(max_size=4))
def test_bytes_that_are_one_frame_and_nothing_else_are_taken_whole(frame, more):
    data = bytes_of([frame])

    assert whole_frame(data) == frame
    assert whole_frame(data[:-1]) is None
    assert (whole_frame(data + more) is None) == bool(more)


@pytest.mark.parametrize("data", [b"", header(0)[:-1], header(0, version=2), header(MOST + 1) + bytes(MOST + 1)])
def test_what_is_no_frame_is_left_to_the_reader(data):
    assert whole_frame(data, MOST) is None


@given(st.binary(max_size=2 * MOST))
def test_what_is_taken_whole_the_reader_reads_too(data):
    frame = whole_frame(data, MOST)

    assert frame is None or read_in_pieces([data]) == ([frame], b"")


@given(st.lists(st.binary(max_size=12)))
def test_unread_bytes_counts_what_is_unread(pieces):
    reader = FrameReader(MOST)
    for piece in pieces:
        reader.receive(piece)
        frames_and_errors(reader)
        assert reader.unread_bytes == len(reader.unread)


garbage = st.lists(
    st.binary(max_size=12) | frames.map(lambda frame: bytes_of([frame])) | st.integers(0, 2 * MOST).map(header)
)


@given(garbage.map(b"".join))
def test_one_byte_at_a_time_says_the_same_as_all_at_once(stream):
    assert read_in_pieces([stream[at : at + 1] for at in range(len(stream))]) == read_in_pieces([stream])


def test_what_is_of_no_whole_frame_stays_unread():
    reader = FrameReader()

    reader.receive(header(2) + b"a")

    assert reader.next_frame() is None
    assert reader.unread == header(2) + b"a"


def test_a_frame_of_an_unknown_version_is_left_out():
    reader = FrameReader()
    reader.receive(header(1, version=2) + b"a" + header(1) + b"b")

    with pytest.raises(RemoteProtocolError, match="unsupported_version"):
        reader.next_frame()

    assert reader.next_frame() == Frame(3, b"b")


def test_too_large_a_frame_is_refused_at_its_header_and_nothing_is_kept_from_then_on():
    reader = FrameReader(MOST)
    reader.receive(header(MOST + 1))
    with pytest.raises(RemoteProtocolError, match="frame_too_large"):
        reader.next_frame()

    reader.receive(bytes(10_000))

    with pytest.raises(RemoteProtocolError, match="frame_too_large"):
        reader.next_frame()
    assert reader.unread == b""


def test_the_largest_frame_is_taken():
    reader = FrameReader(MOST)

    reader.receive(header(MOST) + bytes(MOST))

    assert reader.next_frame() == Frame(3, bytes(MOST))


def test_who_leaves_frames_untaken_gets_no_more():
    reader = FrameReader(MOST)
    reader.receive(header(MOST) + bytes(MOST))

    with pytest.raises(LocalProtocolError, match="frames_not_taken"):
        reader.receive(b"a")
