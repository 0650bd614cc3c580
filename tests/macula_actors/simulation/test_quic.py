"""Whole QUIC connections over the simulated network, in virtual time."""

from importlib.util import find_spec

import pytest

from tests.macula_actors.simulation.quic_peer import STREAM_BYTES, STREAMS, traced_echo

NEEDS_QH3 = pytest.mark.skipif(find_spec("qh3") is None, reason="qh3 is an extra, and is not installed")
ENGINES = ["aioquic", pytest.param("qh3", marks=NEEDS_QH3)]


@pytest.mark.parametrize("engine_name", ENGINES)
def test_streams_are_echoed_over_a_bad_link(engine_name):
    network, came_back = traced_echo(engine_name, 7, contents=False)

    assert came_back == STREAMS * STREAM_BYTES
    assert network.counters.lost > 10


@pytest.mark.parametrize("engine_name", ENGINES)
def test_one_seed_gives_one_trace(engine_name):
    one, again, other = (traced_echo(engine_name, seed, contents=False)[0].trace.digest() for seed in (7, 7, 9))

    assert one == again != other


def test_with_aioquic_the_very_bytes_are_the_same():
    one, again = (traced_echo("aioquic", 7, contents=True)[0].trace.digest() for _ in range(2))

    assert one == again
