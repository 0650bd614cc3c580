"""Why a connection was closed: the mesh's application error codes, and the errors they stand for at both ends.

RFC: 9000, 20.2. v0.8 closes with 0 only. In an `Error` message a code goes by its `CloseCode.label`.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from macula_actors.errors import (
    BadProofError,
    ConnectionLostError,
    IdentityMismatchError,
    MaculaError,
    OverloadedError,
    RealmMismatchError,
    RefusedError,
    RemoteProtocolError,
    SelfDialError,
    WrongRealmSecretError,
)

__all__ = [
    "CloseCode",
    "at_home",
    "closed_by_peer",
    "code_of",
    "message_refused",
    "refused_by_peer",
    "stream_refused",
]


class CloseCode(IntEnum):
    """The code in a connection's CONNECTION_CLOSE. The numbers are the wire's: never given out anew."""

    NORMAL = 0  # all is done
    PROTOCOL_VIOLATION = 1  # the peer sent what no message may be
    REALM_MISMATCH = 2
    WRONG_REALM_SECRET = 3
    IDENTITY_MISMATCH = 4  # another node was dialled
    BAD_PROOF = 5
    NOT_CONNECTED = 6  # the peer wanted something else before its CONNECT was accepted
    HANDSHAKE_TIMEOUT = 7  # no CONNECT, or no answer to it, in time
    OVERLOADED = 8  # no room for one more connection, or the peer sends faster than it may
    IDLE = 9  # not used for long
    SHUTDOWN = 10  # the node stops
    EVICTED = 11  # made room for another connection
    REPLACED = 12  # there is another connection between the same two nodes
    INTERNAL = 13  # the process of the connection crashed
    UNRESPONSIVE = 14  # pings were not answered
    SELF_DIAL = 15

    @property
    def label(self) -> str:
        """The name in lower case: ``"realm_mismatch"``."""
        return self.name.lower()


_ERRORS: Final[Mapping[CloseCode, type[MaculaError]]] = MappingProxyType({
    CloseCode.REALM_MISMATCH: RealmMismatchError,
    CloseCode.WRONG_REALM_SECRET: WrongRealmSecretError,
    CloseCode.IDENTITY_MISMATCH: IdentityMismatchError,
    CloseCode.SELF_DIAL: SelfDialError,
})
_CODES: Final = {error: code for code, error in _ERRORS.items()} | {
    BadProofError: CloseCode.BAD_PROOF,
    OverloadedError: CloseCode.OVERLOADED,
}
# RFC 9000, 20.1: NO_ERROR, INTERNAL_ERROR, CONNECTION_REFUSED; all others say that the peer found a fault with us.
_OF_QUIC: Final = {0x0: CloseCode.NORMAL, 0x1: CloseCode.INTERNAL, 0x2: CloseCode.OVERLOADED}
_VALUES: Final = frozenset(CloseCode)
_LABELS: Final = {code.label: code for code in CloseCode}


def code_of(error: MaculaError) -> CloseCode:
    """Return the code to close a connection with because of ``error``: INTERNAL if that is our own fault."""
    match error:
        case ConnectionLostError() if error.code in _VALUES:
            return CloseCode(error.code)
        case RemoteProtocolError():
            is_early = error.code == CloseCode.NOT_CONNECTED.label
            return CloseCode.NOT_CONNECTED if is_early else CloseCode.PROTOCOL_VIOLATION
        case _:
            return _CODES.get(type(error), CloseCode.INTERNAL)


def closed_by_peer(code: int, reason: str, *, application: bool = True) -> MaculaError:
    """Return what a caller here sees when the peer closed the connection, or a stream: the error that the peer saw.

    Args:
        code: any; a later version may have more than we know.
        reason: the text that came with it.
        application: whether ``code`` is the mesh's, and not QUIC's own.
    """
    if not application:
        known = _OF_QUIC.get(code, CloseCode.PROTOCOL_VIOLATION)
        return ConnectionLostError("peer", known, f"QUIC error {code:#x}: {reason}")
    if code == CloseCode.BAD_PROOF:
        return BadProofError(reason)
    if code in _VALUES and (error := _ERRORS.get(CloseCode(code))) is not None:
        return error()
    return ConnectionLostError("peer", code, reason)


def refused_by_peer(label: str, message: str) -> MaculaError:
    """Return `closed_by_peer` the peer's `Error` with code ``label``; one we don't know is kept in the reason."""
    code = _LABELS.get(label)
    if code is None:
        return ConnectionLostError("peer", CloseCode.PROTOCOL_VIOLATION, f"{label}: {message}")
    return closed_by_peer(code, message)


def at_home(error: MaculaError, realm: str) -> MaculaError:
    """Return ``error``, which the peer told of, with this node's ``realm`` where it is about realms."""
    return type(error)(realm) if isinstance(error, RealmMismatchError) and error.ours is None else error


def message_refused(label: str, detail: str) -> MaculaError:
    """Return what a caller here sees when the peer answered its message with an `Error` with code ``label``."""
    return OverloadedError(detail) if label == CloseCode.OVERLOADED.label else RefusedError(label, detail)


def stream_refused(code: int) -> MaculaError:
    """Return what a caller here sees when the peer cut the stream of its message with ``code``."""
    label = CloseCode(code).label if code in _VALUES else str(code)
    return message_refused(label, "the stream was cut")
