"""Under which key of the DHT a name is found: its hash, so that the keys of all names spread over all nodes alike.

Erlang: macula_service_registry, macula_pubsub_dht (SHA-256 of the bare text, in all realms and for all purposes).
"""

from enum import StrEnum
from typing import Final

from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.errors import BadArgumentError

__all__ = ["KeyKind", "key_from", "key_of", "open_key", "scoped_key"]

_LABEL: Final = b"macula DHT key 1"
_LENGTH_BYTES: Final = 4


class KeyKind(StrEnum):
    """What is found under a key. A name has another key for each."""

    PROCEDURE = "procedure"  # its providers
    TOPIC = "topic"  # its subscribers
    PATTERN = "pattern"  # the subscribers of patterns that begin so
    GATEWAY = "gateway"  # nodes that relay
    VALUE = "value"  # what a program stored


def key_of(kind: KeyKind, name: str | bytes, *, realm: str, security: Security) -> NodeId:
    """Return the key of ``name`` in a mesh of this ``realm`` and ``security``; a str is its UTF-8.

    Raises:
        BadArgumentError: ``bad_key``: ``name`` is neither bytes nor text that can be written as UTF-8.
    """
    return open_key(name) if security is Security.OPEN else scoped_key(kind, name, realm=realm)


def key_from(key: object) -> NodeId:
    """Return ``key``, a `NodeId` or its bytes.

    Raises:
        BadArgumentError: ``bad_key``: it is anything else.
    """
    match key:
        case NodeId():
            return key
        case bytes() if len(key) == ID_BYTES:
            return NodeId(key)
        case _:
            shown = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise BadArgumentError("bad_key", f"a key or node id is a NodeId, or its {ID_BYTES} bytes, not {shown}")


def scoped_key(kind: KeyKind, name: str | bytes, *, realm: str) -> NodeId:
    """Return the key of ``name``, which no other kind, realm or name has."""
    return NodeId.of(b"".join(map(_field, (_LABEL, _octets(kind.value), _octets(realm), _octets(name)))))


def open_key(name: str | bytes) -> NodeId:
    """Return the key that v0.8 has for ``name``: the same in all realms and for all kinds."""
    return NodeId.of(_octets(name))


def _octets(text: str | bytes) -> bytes:
    match text:
        case bytes():
            return text
        case str():
            try:
                return text.encode()
            except UnicodeEncodeError as error:
                raise BadArgumentError("bad_key", f"a name that UTF-8 can't write: {error.reason}") from error
        case _:
            raise BadArgumentError("bad_key", f"a name is text or bytes, not {type(text).__name__}")


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES) + data
