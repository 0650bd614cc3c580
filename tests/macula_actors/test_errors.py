from pathlib import Path

import pytest

from macula_actors import errors
from macula_actors.errors import (
    BadProofError,
    CallTimeoutError,
    ConnectionLostError,
    IdentityMismatchError,
    KeyStoreError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RealmMismatchError,
    RefusedError,
    SelfDialError,
    WrongRealmSecretError,
)

LONG = "x" * 10_000


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_one_of_the_package(name):
    assert issubclass(getattr(errors, name), MaculaError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionLostError("peer", 10, "bye\n"), r"connection ended by the peer, code 10, 'bye\n'"),
        (ConnectionLostError("local", 0), "connection ended by this node, code 0, ''"),
        (ConnectionLostError("network", 0), "connection ended by the network, code 0, ''"),
        (IdentityMismatchError(b"\x01", b"\x02"), "node 01 was dialled, node 02 answered"),
        (IdentityMismatchError(), "node (unknown) was dialled, node (unknown) answered"),
        (SelfDialError(), "the node at the other end has the key of this one"),
        (RealmMismatchError("a", "b"), "the realms differ: 'a' here, 'b' at the peer"),
        (WrongRealmSecretError("a", "a"), "the secrets of realm 'a' differ, or one of the two nodes has none"),
        (BadProofError("why"), "node id not proven: why"),
        (OverloadedError("streams", 64), "no room for more than 64: streams"),
        (OverloadedError("streams"), "the peer has no room: streams"),
        (RefusedError("unsupported", "no Cast"), "the peer refused the message: unsupported: no Cast"),
        (CallTimeoutError("me:1", 2.5), "no answer from me:1 within 2.5 s"),
        (NoRouteError("me:1"), "no route to me:1: where it is is not known"),
        (NoRouteError("me:1", (("direct", OSError("no")),)), "no route to me:1: direct: no"),
        (KeyStoreError(Path("/k"), "is broken", "mend it"), "/k is broken; mend it"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_happened(error, text):
    assert str(error) == text


@pytest.mark.parametrize("error", [ConnectionLostError("peer", 1, LONG), BadProofError(LONG)])
def test_what_a_peer_says_is_shown_in_part(error):
    assert len(str(error)) < 300


def test_who_is_told_of_one_kind_of_realm_error_is_told_of_both():
    assert issubclass(WrongRealmSecretError, RealmMismatchError)
