import os
import random
import secrets
import subprocess
import sys
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from macula_actors.simulation.determinism import deterministic
from supervisors import System

NEEDS_QH3 = pytest.mark.skipif(find_spec("qh3") is None, reason="qh3 is an extra, and is not installed")
ROOT = Path(__file__).parents[3]


def private_bytes(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


SOURCES = {
    "os.urandom": lambda: os.urandom(16),
    "secrets": lambda: secrets.token_bytes(16),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "uuid4": uuid.uuid4,
    "random": random.random,
    "System.random": lambda: System().random.random(),
    "X25519": lambda: private_bytes(x25519.X25519PrivateKey.generate()),
    "X448": lambda: private_bytes(x448.X448PrivateKey.generate()),
    "Ed25519": lambda: private_bytes(ed25519.Ed25519PrivateKey.generate()),
    "Ed448": lambda: private_bytes(ed448.Ed448PrivateKey.generate()),
    "P-256": lambda: private_bytes(ec.generate_private_key(ec.SECP256R1())),
    "P-521": lambda: private_bytes(ec.generate_private_key(ec.SECP521R1())),
}


def drawn(seed, source):
    with deterministic(seed):
        return [source() for _ in range(3)]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_what_is_drawn_follows_from_the_seed(source):
    first = drawn(1, source)

    assert first == drawn(1, source)
    assert first != drawn(2, source)
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_chance_is_chance_again_afterwards(source):
    inside = drawn(1, source)

    after = [source() for _ in range(3)]

    assert not set(inside) & set(after)


def test_chance_comes_back_after_an_error_too():
    real = os.urandom

    with pytest.raises(ZeroDivisionError), deterministic(1):
        1 / 0  # noqa: B018

    assert os.urandom is real


def test_the_random_module_goes_on_where_it_was():
    state = random.getstate()

    drawn(1, random.random)

    assert random.getstate() == state


def digest_of_another_process(hash_seed, *arguments):
    command = [sys.executable, "-m", "tests.macula_actors.simulation.quic_peer", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=50).stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["aioquic", "7", "contents"], pytest.param(["qh3", "7"], marks=NEEDS_QH3)])
def test_two_processes_with_other_hashes_send_the_same(arguments):
    assert digest_of_another_process("1", *arguments) == digest_of_another_process("2", *arguments) != b""
