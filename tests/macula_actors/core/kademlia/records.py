"""Owners, keys and records for tests."""

from hashlib import sha256

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.identity import Identity

NOW = 1_760_000_000_000  # ms since 1970
OWNERS = [Identity.from_seed(sha256(bytes([n])).digest()) for n in range(6)]
KEYS = [NodeId.of(bytes([n])) for n in range(6)]
KEY = KEYS[0]
PROVIDER = {b"endpoint": b"https://192.0.2.10:9443", b"metadata": {b"version": b"1.2"}}


def sealed(owner=0, key=KEY, payload=PROVIDER, *, sequence=1, now_ms=NOW, ttl=300):
    return Record.seal(OWNERS[owner], key, payload, sequence=sequence, now_ms=now_ms, ttl=ttl)
