"""How two nodes come to know each other on a new connection: CHALLENGE, CONNECT, CONNECTED; one machine an end.

Erlang: macula_gateway (CONNECT, PONG). Verified::

    acceptor  Challenge(node_id, nonce)  ->  dialler    the certificate's key must be that of node_id
    acceptor  <-  Connect(.., signature)     dialler    signed over the certificate, the nonce and all of Connect
    acceptor  Connected(node_id, ..)     ->  dialler    or Error(code), and the connection is closed

Open, as v0.8: the dialler sends `Connect` at once, the acceptor answers `Pong`; nothing is proven. What a node of v0.8
sends to other nodes itself, DHT messages and those on their way over several hops, comes without any `Connect`.

The machines do nothing themselves: they return actions. A message to send goes on the stream of the message just
given; what `established` returns, on a stream to be opened. A deadline is kept by who drives them.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from macula_actors.core import realm
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode, at_home, code_of, refused_by_peer
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.transcript import NO_NONCE, NONCE_BYTES, Purpose, Transcript
from macula_actors.core.wire.messages import (
    Challenge,
    Connect,
    Connected,
    Disconnect,
    Error,
    FindNode,
    FindValue,
    Message,
    Ping,
    Pong,
    PubsubRoute,
    RpcRoute,
    Store,
)
from macula_actors.errors import (
    BadProofError,
    ConnectionLostError,
    IdentityMismatchError,
    MaculaError,
    ProtocolError,
    RealmMismatchError,
    RemoteProtocolError,
    SelfDialError,
    WrongRealmSecretError,
)

__all__ = [
    "MAX_POSTPONED",
    "Accepted",
    "AcceptorHandshake",
    "Action",
    "DiallerHandshake",
    "HandshakeSettings",
    "PeerInfo",
    "Postpone",
    "Refused",
    "Security",
    "Send",
    "Serve",
]

MAX_POSTPONED: Final = 64  # messages; as many as streams may be open on a connection

# spec/behaviour.md 1.1: these are not tied to a CONNECT before; macula_peer_connector sends none
_UNCONNECTED: Final = (FindNode, FindValue, Store, RpcRoute, PubsubRoute)


class Security(StrEnum):
    """What a node demands of its peers."""

    VERIFIED = "verified"  # proof of the node id, and of the realm's secret if it has one
    OPEN = "open"  # nothing: anybody can say that it is anybody


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeSettings:
    """What a node says of itself and demands of others.

    Args:
        identity: its key.
        realm: the realm's name.
        realm_secret: shared by the members of the realm. Whoever is dialled sees a MAC made with it, and can try out
            guesses: let it be 32 random bytes, not a word.
        capabilities: what it can do, at most 64 texts.
        endpoint: where others can dial it; None: nowhere.
        security: see `Security`.

    Raises:
        ValueError: the realm is no name, the secret is empty, or there is a secret but no security.
    """

    identity: Identity
    realm: str
    realm_secret: bytes | None = field(default=None, repr=False)
    capabilities: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    security: Security = Security.VERIFIED

    def __post_init__(self) -> None:
        realm.validate(self.realm)
        object.__setattr__(self, "security", Security(self.security))
        if self.realm_secret is not None and not self.realm_secret:
            raise ValueError("the realm's secret is empty; give 32 random bytes, or none")
        if self.realm_secret is not None and self.security is Security.OPEN:
            raise ValueError("a realm with a secret needs security 'verified'; 'open' lets in who doesn't know it")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """The node at the other end, by what it says, and by what it has proven if it is ``verified``."""

    node_id: NodeId | None  # None: one of v0.8 that did not say it: dialled by its address alone, or `v08.unnamed`
    public_key: bytes | None  # that of node_id, 32 bytes
    endpoint: Endpoint | None  # where to dial it: as a dialler says; where an acceptor was dialled; or `v08.unnamed`
    capabilities: tuple[str, ...]
    verified: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``message``."""

    message: Message


@dataclass(frozen=True, slots=True)
class Accepted:
    """The last action: the connection is open for everything. Give the machine nothing more."""

    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class Refused:
    """The last action: close the connection with ``close_code``; who waits for it gets ``error``."""

    error: MaculaError
    close_code: CloseCode


@dataclass(frozen=True, slots=True)
class Postpone:
    """Keep the message just given until `Accepted`. Its stream was faster than that of the acceptor's answer."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Handle the message just given, though its sender is `v08.unnamed`; go on: CONNECT may still come."""


Action: TypeAlias = Send | Accepted | Refused | Postpone | Serve


class AcceptorHandshake:
    """The end that was dialled.

    Args:
        settings: of this node.
        fingerprint: SHA-256 of this node's certificate, DER.
        nonce: 32 bytes of the operating system's randomness, for this connection only.

    Raises:
        ValueError: the nonce has another length.
    """

    def __init__(self, settings: HandshakeSettings, *, fingerprint: bytes, nonce: bytes) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes, this one {len(nonce)}")
        self._settings = settings
        self._fingerprint = fingerprint
        # A dialler of v0.8 might not bear a stream that the acceptor opens: it is sent no challenge.
        self._nonce = nonce if settings.security is Security.VERIFIED else NO_NONCE
        self._is_over = False

    def established(self) -> list[Action]:
        """Begin: the QUIC handshake is done."""
        if self._settings.security is Security.OPEN:
            return []
        return [Send(Challenge(node_id=self._settings.identity.node_id, nonce=self._nonce))]

    def received(self, message: Message, clock_ms: int) -> list[Action]:
        """Take a message of the dialler's; after the last action, none has an effect.

        Args:
            message: on any stream.
            clock_ms: this node's time for the answers, milliseconds since 1970.
        """
        if self._is_over:
            return []
        if isinstance(message, Ping):
            return [Send(_pong(message, clock_ms))]
        if isinstance(message, _UNCONNECTED) and self._settings.security is Security.OPEN:
            return [Serve()]
        self._is_over = True
        try:
            return self._accept(message, clock_ms)
        except MaculaError as error:
            refusal = Error(code=code_of(error).label, message=_explanation(error))
            return [Send(refusal), Refused(error, code_of(error))]

    def _accept(self, message: Message, clock_ms: int) -> list[Action]:
        match message:
            case Connect():
                transcript = self._transcript(message)
                peer = self._admit(transcript)
                return [Send(self._answer(peer, transcript, clock_ms)), Accepted(peer)]
            case Disconnect():
                return [_left(message)]
            case _:
                raise _not_connected(message)

    def _transcript(self, connect: Connect) -> Transcript:
        node_id = self._settings.identity.node_id
        return Transcript(fingerprint=self._fingerprint, acceptor=node_id, nonce=self._nonce, connect=connect)

    def _admit(self, transcript: Transcript) -> PeerInfo:
        """Return whose `Connect` it is; cheapest checks first.

        Raises:
            MaculaError: it is not let in.
        """
        connect, ours = transcript.connect, self._settings
        if connect.realm_id != ours.realm:
            raise RealmMismatchError(ours.realm, connect.realm_id)
        is_proven = self._is_proven(transcript)
        node_id = NodeId.normalize(connect.node_id)
        if node_id == ours.identity.node_id:
            raise SelfDialError
        if not transcript.is_member(ours.realm_secret, Purpose.DIALLER_MEMBERSHIP, connect.realm_mac):
            raise WrongRealmSecretError(ours.realm, connect.realm_id)
        return PeerInfo(
            node_id=node_id,
            public_key=connect.public_key if is_proven else None,
            endpoint=_endpoint_of(connect),
            capabilities=connect.capabilities,
            verified=is_proven,
        )

    def _is_proven(self, transcript: Transcript) -> bool:
        connect = transcript.connect
        if connect.public_key is None and connect.signature is None and self._settings.security is Security.OPEN:
            return False
        if connect.public_key is None or connect.signature is None:
            raise BadProofError("CONNECT lacks the public key or the signature that this node demands")
        if NodeId.of(connect.public_key) != connect.node_id:
            raise BadProofError("the node id in CONNECT is not that of its public key")
        if not transcript.is_signed():
            raise BadProofError("the signature in CONNECT is not over this connection, or not by its public key")
        return True

    def _answer(self, peer: PeerInfo, transcript: Transcript, clock_ms: int) -> Connected | Pong:
        if not peer.verified:
            return Pong(timestamp=clock_ms, server_time=clock_ms)
        return Connected(
            node_id=self._settings.identity.node_id,
            capabilities=self._settings.capabilities,
            realm_mac=transcript.realm_mac(self._settings.realm_secret, Purpose.ACCEPTOR_MEMBERSHIP),
        )


class DiallerHandshake:
    """The end that dialled.

    Args:
        settings: of this node.
        expected: the node that was dialled, if it is known.
    """

    def __init__(self, settings: HandshakeSettings, *, expected: NodeId | None = None) -> None:
        self._settings = settings
        self._expected = expected
        self._fingerprint = b""
        self._public_key: bytes | None = None
        self._transcript: Transcript | None = None  # once CONNECT was sent
        self._postponed = 0
        self._is_over = False

    def established(self, *, fingerprint: bytes, public_key: bytes | None) -> list[Action]:
        """Begin: the QUIC handshake is done.

        Args:
            fingerprint: SHA-256 of the acceptor's certificate, DER, as it came in this handshake.
            public_key: its key; None if it has none of Ed25519, as in v0.8.
        """
        self._fingerprint, self._public_key = fingerprint, public_key
        try:
            if self._settings.security is Security.OPEN:
                return [Send(self._connect(acceptor=b"", nonce=NO_NONCE))]
            self._check_certificate()
        except MaculaError as error:
            return self._refuse(error)
        return []

    def received(self, message: Message, clock_ms: int) -> list[Action]:
        """Take a message of the acceptor's; after the last action, none has an effect.

        Args:
            message: on any stream.
            clock_ms: this node's time for the answers, milliseconds since 1970.
        """
        if self._is_over:
            return []
        try:
            return self._take(message, clock_ms)
        except MaculaError as error:
            return self._refuse(error)

    def _take(self, message: Message, clock_ms: int) -> list[Action]:
        is_open = self._settings.security is Security.OPEN
        match message:
            case Ping():
                return [Send(_pong(message, clock_ms))]
            case Challenge():
                return [Send(self._prove(message))]
            case Error():
                self._is_over = True
                refusal = refused_by_peer(message.code, message.message)
                return [Refused(at_home(refusal, self._settings.realm), CloseCode.NORMAL)]
            case Disconnect():
                self._is_over = True
                return [_left(message)]
            case Connected() if self._transcript is not None:
                return self._accept(self._peer_in(message, self._transcript))
            case Pong() if is_open and self._transcript is not None:
                return self._accept(self._unproven(self._expected, ()))
            case _:
                return self._postpone(message)

    def _check_certificate(self) -> None:
        """Check that the certificate is of the node that was dialled. TLS has shown that the acceptor owns its key.

        Raises:
            MaculaError: it is not.
        """
        if self._public_key is None:
            raise BadProofError("the acceptor's certificate has no key of Ed25519")
        actual = NodeId.of(self._public_key)
        if self._settings.identity.node_id in {actual, self._expected}:
            raise SelfDialError
        if self._expected not in {None, actual}:
            raise IdentityMismatchError(self._expected, actual)

    def _prove(self, challenge: Challenge) -> Connect:
        if self._settings.security is Security.OPEN:
            raise BadProofError("the acceptor demands a proof, and this node's security is open")
        if self._transcript is not None or self._public_key is None:
            raise RemoteProtocolError("unexpected_challenge", "there is one CHALLENGE on a connection")
        if challenge.node_id != (certified := NodeId.of(self._public_key)):
            raise IdentityMismatchError(certified, challenge.node_id)
        return self._connect(acceptor=challenge.node_id, nonce=challenge.nonce)

    def _connect(self, *, acceptor: bytes, nonce: bytes) -> Connect:
        """Return our CONNECT, with its proofs if the node is not an open one."""
        ours = self._settings
        is_open = ours.security is Security.OPEN
        connect = Connect(
            node_id=ours.identity.node_id,
            realm_id=ours.realm,
            capabilities=ours.capabilities,
            endpoint=None if ours.endpoint is None else ours.endpoint.url if is_open else str(ours.endpoint),
            public_key=None if is_open else ours.identity.public_key,
        )
        sealed = Transcript(fingerprint=self._fingerprint, acceptor=acceptor, nonce=nonce, connect=connect)
        self._transcript = sealed
        if is_open:
            return connect
        mac = sealed.realm_mac(ours.realm_secret, Purpose.DIALLER_MEMBERSHIP)
        return replace(connect, signature=sealed.signature(ours.identity), realm_mac=mac)

    def _peer_in(self, connected: Connected, transcript: Transcript) -> PeerInfo:
        ours = self._settings
        if not transcript.is_member(ours.realm_secret, Purpose.ACCEPTOR_MEMBERSHIP, connected.realm_mac):
            raise WrongRealmSecretError(ours.realm, ours.realm)
        if ours.security is Security.OPEN:
            return self._unproven(NodeId.normalize(connected.node_id), connected.capabilities)
        if connected.node_id != transcript.acceptor:
            raise IdentityMismatchError(transcript.acceptor, connected.node_id)
        return PeerInfo(
            node_id=NodeId(connected.node_id),
            public_key=self._public_key,
            endpoint=None,
            capabilities=connected.capabilities,
            verified=True,
        )

    def _unproven(self, node_id: NodeId | None, capabilities: tuple[str, ...]) -> PeerInfo:
        if self._expected not in {None, node_id}:
            raise IdentityMismatchError(self._expected, node_id)
        # TLS has shown that the acceptor owns the key; in v0.8 that has nothing to do with its id.
        is_proven = self._public_key is not None and NodeId.of(self._public_key) == node_id
        return PeerInfo(
            node_id=node_id,
            public_key=self._public_key if is_proven else None,
            endpoint=None,
            capabilities=capabilities,
            verified=is_proven,
        )

    def _accept(self, peer: PeerInfo) -> list[Action]:
        self._is_over = True
        return [Accepted(peer)]

    def _postpone(self, message: Message) -> list[Action]:
        """Bear with an acceptor that is past CONNECT already: streams do not arrive in order.

        Raises:
            RemoteProtocolError: it cannot be, as no CONNECT was sent; or there are too many.
        """
        if self._transcript is None or self._postponed == MAX_POSTPONED:
            raise _not_connected(message)
        self._postponed += 1
        return [Postpone()]

    def _refuse(self, error: MaculaError) -> list[Action]:
        self._is_over = True
        return [Refused(error, code_of(error))]


def _pong(ping: Ping, clock_ms: int) -> Pong:
    return Pong(timestamp=clock_ms if ping.timestamp is None else ping.timestamp, server_time=clock_ms)


def _left(disconnect: Disconnect) -> Refused:
    error = ConnectionLostError("peer", CloseCode.NORMAL, f"{disconnect.reason}: {disconnect.message}")
    return Refused(error, CloseCode.NORMAL)


def _not_connected(message: Message) -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.NOT_CONNECTED.label, f"{type(message).__name__} before CONNECT was accepted")


def _explanation(error: MaculaError) -> str:
    """Return what a stranger may be told: no name of a realm."""
    return error.detail if isinstance(error, ProtocolError | BadProofError) else ""


def _endpoint_of(connect: Connect) -> Endpoint | None:
    """Return where the dialler can be dialled; what is none, as a listener's port 0, is as good as not said."""
    try:
        endpoint = Endpoint.parse(connect.endpoint or "")
    except ValueError:
        return None
    return endpoint if endpoint.port else None
