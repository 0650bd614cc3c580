"""Takes the chance out of QUIC and TLS, so that a simulation with real connections runs twice the same.

FOR SIMULATIONS ONLY. While it is on, every key of this process can be computed by whoever knows the seed.
"""

import os
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x448, x25519

__all__ = ["deterministic"]

_Replacement: TypeAlias = tuple[Any, str, Any]  # of an owner, which attribute, by what


@contextmanager
def deterministic(seed: int) -> Generator[None]:
    """Seed every source of chance that QUIC engines draw from, for the whole process, until the block ends.

    NEVER USE IT WHERE A SECRET IS NEEDED: connection ids, TLS randoms, tokens and PRIVATE KEYS, those of a node's
    identity too, follow from ``seed``. Do not open a real socket inside.

    Seeded are `os.urandom` and so `secrets`, `random.SystemRandom` and `uuid.uuid4`; the functions of `random`; the
    keys that ``cryptography`` generates: X25519, X448, Ed25519, Ed448 and elliptic curves. The bytes of aioquic's
    datagrams are equal then. qh3 draws its key shares itself: times, lengths and order are equal, the bytes are not.

    Not seeded, so don't let it decide anything: ``from os import urandom`` done before, `random.Random` without a seed,
    RSA keys, ECDSA signatures (their length varies: use Ed25519 certificates), the wall clock, the hash seed of ``str``
    (sets of strings), memory addresses (sets of objects without a hash of their own).
    """
    rng = random.Random(seed)
    state = random.getstate()
    undo = list(starmap(_replace, _replacements(rng.randbytes)))
    random.seed(rng.getrandbits(64))
    try:
        yield
    finally:
        random.setstate(state)
        for restore in undo:
            restore()


def _replacements(urandom: Callable[[int], bytes]) -> Sequence[_Replacement]:
    keys = ((x25519.X25519PrivateKey, 32), (x448.X448PrivateKey, 56), (ed25519.Ed25519PrivateKey, 32))
    return [
        (os, "urandom", urandom),
        (random, "_urandom", urandom),
        *((cls, "generate", _key_generator(cls, length, urandom)) for cls, length in keys),
        (ed448.Ed448PrivateKey, "generate", _key_generator(ed448.Ed448PrivateKey, 57, urandom)),
        (ec, "generate_private_key", _curve_generator(urandom)),
    ]


def _replace(owner: Any, name: str, value: Any) -> Callable[[], None]:
    before = vars(owner)[name]  # not getattr: it would bind a class method
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


def _key_generator(cls: Any, length: int, urandom: Callable[[int], bytes]) -> "staticmethod[[], Any]":
    return staticmethod(lambda: cls.from_private_bytes(urandom(length)))


def _curve_generator(urandom: Callable[[int], bytes]) -> Callable[..., ec.EllipticCurvePrivateKey]:
    def generate(curve: ec.EllipticCurve, backend: Any = None) -> ec.EllipticCurvePrivateKey:  # noqa: ARG001
        # a bit fewer than the order of the curve has, so never above it
        return ec.derive_private_key(1 + (int.from_bytes(urandom(curve.key_size // 8)) >> 2), curve)

    return generate
