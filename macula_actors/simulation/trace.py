"""What went over a simulated network, as one digest, and the last of it in full."""

import hashlib
from collections import deque
from collections.abc import Sequence
from itertools import starmap
from typing import Final, NamedTuple
from zlib import crc32

from macula_actors.transport.interface import Address

__all__ = ["Trace", "TraceRecord"]

_DIGEST_BYTES: Final = 16
_CHUNK: Final = 512  # records; hashing many at once is cheaper


class TraceRecord(NamedTuple):
    """What happened to one datagram."""

    at: float  # s, of the loop
    event: str  # sent, delivered, or the name of the counter of `Counters` that says why not
    source: Address  # as the receiver of the datagram sees it
    destination: Address
    length: int  # bytes
    checksum: int  # CRC-32 of the datagram; 0 unless contents are compared


class Trace:
    """Remembers the digest of all records and the last ``max_records`` of them.

    Args:
        max_records: 0 for the digest alone.
        contents: compare what is in the datagrams too. Encrypted ones are equal only under `deterministic`, and only
            if certificates are the same.
    """

    def __init__(self, *, max_records: int = 0, contents: bool = False) -> None:
        self.contents = contents
        self._records: deque[tuple[float, str, Address, Address, int, int]] = deque(maxlen=max_records)
        self._unhashed: list[tuple[float, str, Address, Address, int, int]] = []
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    @property
    def records(self) -> Sequence[TraceRecord]:
        """The last records, oldest first."""
        return list(starmap(TraceRecord, self._records))

    def add(self, at: float, event: str, source: Address, destination: Address, data: bytes) -> None:
        """Remember what happened to ``data`` at the instant ``at``."""
        record = (at, event, source, destination, len(data), crc32(data) if self.contents else 0)
        self._records.append(record)
        self._unhashed.append(record)
        if len(self._unhashed) >= _CHUNK:
            self._hash_pending()

    def digest(self) -> str:
        """Return the digest of everything so far: 32 hexadecimal digits, equal for equal traces."""
        self._hash_pending()
        return self._hash.hexdigest()

    def _hash_pending(self) -> None:
        for record in self._unhashed:
            self._hash.update(repr(record).encode())
        self._unhashed.clear()
