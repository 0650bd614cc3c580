"""What an acceptor shows of itself: its certificate, and the key that proves it."""

from dataclasses import dataclass, field

__all__ = ["Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key, PEM both. The key is kept out of ``repr()``."""

    certificate: bytes
    private_key: bytes = field(repr=False)
