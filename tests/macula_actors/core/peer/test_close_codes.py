import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.peer.close_codes import CloseCode, closed_by_peer, code_of, refused_by_peer
from macula_actors.errors import (
    BadProofError,
    ConnectionLostError,
    IdentityMismatchError,
    KeyStoreError,
    LocalProtocolError,
    MaculaError,
    OverloadedError,
    RealmMismatchError,
    RemoteProtocolError,
    SelfDialError,
    WrongRealmSecretError,
)

OF_BOTH_SIDES = {
    CloseCode.REALM_MISMATCH: RealmMismatchError("a", "b"),
    CloseCode.WRONG_REALM_SECRET: WrongRealmSecretError("a", "a"),
    CloseCode.IDENTITY_MISMATCH: IdentityMismatchError(b"a", b"b"),
    CloseCode.BAD_PROOF: BadProofError("why"),
    CloseCode.SELF_DIAL: SelfDialError(),
}
OTHERS = sorted(set(CloseCode) - set(OF_BOTH_SIDES))


def test_the_numbers_on_the_wire_stay_what_they_are():
    assert [code.name for code in sorted(CloseCode)] == [
        "NORMAL",
        "PROTOCOL_VIOLATION",
        "REALM_MISMATCH",
        "WRONG_REALM_SECRET",
        "IDENTITY_MISMATCH",
        "BAD_PROOF",
        "NOT_CONNECTED",
        "HANDSHAKE_TIMEOUT",
        "OVERLOADED",
        "IDLE",
        "SHUTDOWN",
        "EVICTED",
        "REPLACED",
        "INTERNAL",
        "UNRESPONSIVE",
        "SELF_DIAL",
    ]
    assert sorted(CloseCode) == list(range(16))


@pytest.mark.parametrize(("code", "error"), OF_BOTH_SIDES.items())
def test_both_sides_see_an_error_of_one_kind(code, error):
    assert code_of(error) is code
    assert type(closed_by_peer(code, "why")) is type(error)
    assert type(refused_by_peer(code.label, "why")) is type(error)


@pytest.mark.parametrize("code", OTHERS)
def test_any_other_code_is_a_lost_connection(code):
    for error in (closed_by_peer(code, "why"), refused_by_peer(code.label, "why")):
        assert isinstance(error, ConnectionLostError)
        assert (error.by, error.code, error.reason) == ("peer", code, "why")
        assert code_of(error) is code


@given(st.integers(0, 2**62 - 1), st.text(), st.booleans())
def test_whatever_the_code_there_is_an_error(code, reason, application):
    assert isinstance(closed_by_peer(code, reason, application=application), MaculaError)


def test_an_unknown_code_is_kept():
    error = closed_by_peer(4711, "why")

    assert isinstance(error, ConnectionLostError)
    assert error.code == 4711
    assert code_of(error) is CloseCode.INTERNAL


def test_an_unknown_label_is_kept_in_the_reason():
    error = refused_by_peer("no_such", "why")

    assert isinstance(error, ConnectionLostError)
    assert (error.code, error.reason) == (CloseCode.PROTOCOL_VIOLATION, "no_such: why")


@pytest.mark.parametrize(
    ("of_quic", "code"),
    [
        (0x0, CloseCode.NORMAL),
        (0x1, CloseCode.INTERNAL),
        (0x2, CloseCode.OVERLOADED),
        (0xA, CloseCode.PROTOCOL_VIOLATION),
        (0x178, CloseCode.PROTOCOL_VIOLATION),
    ],
)
def test_a_code_of_quic_itself_is_not_taken_for_ours(of_quic, code):
    error = closed_by_peer(of_quic, "why", application=False)

    assert isinstance(error, ConnectionLostError)
    assert (error.code, error.reason) == (code, f"QUIC error {of_quic:#x}: why")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RemoteProtocolError("bad_field", "x"), CloseCode.PROTOCOL_VIOLATION),
        (RemoteProtocolError("not_connected", "x"), CloseCode.NOT_CONNECTED),
        (OverloadedError("streams", 64), CloseCode.OVERLOADED),
        (LocalProtocolError("bad_field", "x"), CloseCode.INTERNAL),
        (KeyStoreError(None, "x", "y"), CloseCode.INTERNAL),
    ],
)
def test_an_error_of_one_side_has_a_code_too(error, code):
    assert code_of(error) is code
