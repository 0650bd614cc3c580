import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.peer_streams import PeerStreams


def shared():
    return PeerStreams(is_shared=True)


def single():
    return PeerStreams(is_shared=False)


@pytest.mark.parametrize("streams", [shared(), single()], ids=["shared", "single"])
def test_a_stream_on_which_nothing_came_is_ended_at_once(streams):
    assert streams.ended(0)
    assert not len(streams)


def test_a_message_that_ends_a_shared_stream_has_the_answer_end_it_too():
    streams = shared()

    assert streams.asked(0, end_stream=True)
    assert streams.answered(0)
    assert not len(streams)


def test_an_answer_does_not_end_a_shared_stream_that_goes_on():
    streams = shared()

    assert streams.asked(0, end_stream=False)
    assert not streams.answered(0)
    assert streams.ended(0)


def test_the_last_answer_on_a_shared_stream_ends_it_if_the_peer_has():
    streams = shared()
    for _ in range(3):
        assert streams.asked(0, end_stream=False)

    assert not streams.answered(0)
    assert not streams.ended(0)
    assert [streams.answered(0), streams.answered(0)] == [False, True]


def test_a_single_stream_takes_one_message():
    streams = single()

    assert streams.asked(0, end_stream=False)
    assert not streams.asked(0, end_stream=False)
    assert streams.asked(4, end_stream=False)


def test_the_answer_ends_a_single_stream_and_what_the_peer_ends_later_is_not_ended_again():
    streams = single()
    assert streams.asked(0, end_stream=False)

    assert streams.answered(0)
    assert not streams.ended(0)
    assert not len(streams)


def test_the_end_of_a_single_stream_before_its_answer_leaves_that_to_the_answer():
    streams = single()
    assert streams.asked(0, end_stream=False)

    assert not streams.ended(0)
    assert streams.answered(0)


def test_a_stream_that_was_cut_is_forgotten():
    streams = single()
    assert streams.asked(0, end_stream=False)

    streams.failed(0)

    assert not len(streams)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_every_shared_stream_that_the_peer_ends_is_ended_once_and_nothing_is_left(events):
    streams, asked, ended, finished = shared(), [], set(), []
    for stream_id, is_end in events:
        fresh = stream_id not in ended
        asked += [stream_id] * (fresh and streams.asked(stream_id, end_stream=is_end))
        ended |= {stream_id} if is_end else set()
    for stream_id in {stream_id for stream_id, _ in events} - ended:
        finished += [stream_id] * streams.ended(stream_id)
    finished += [stream_id for stream_id in asked if streams.answered(stream_id)]

    assert sorted(finished) == sorted({stream_id for stream_id, _ in events})
    assert not len(streams)
