import functools

import pytest

from macula_actors.transport.engines import engine
from macula_actors.transport.interface import QuicSettings
from tests.macula_actors.transport.pair import Pair, credentials, ed25519_key

DEFAULT = QuicSettings()
CREDENTIALS = credentials(ed25519_key())


@functools.cache
def made(name, settings):
    return engine(name, CREDENTIALS, settings)


@pytest.fixture(params=["aioquic", "qh3"])
def dialling(request):
    return request.param


@pytest.fixture(params=["aioquic", "qh3"])
def accepting(request):
    return request.param


@pytest.fixture
def pair(dialling, accepting):
    """Make a pair of the engines; with settings for one side or both."""

    def make(*, settings=DEFAULT, dialler_settings=None, **how):
        return Pair(made(dialling, dialler_settings or settings), made(accepting, settings), **how)

    return make


@pytest.fixture
def joined(pair):
    """Return a pair whose handshake is done."""
    joined = pair()
    joined.run(1)
    return joined
