"""What the DHT keeps: a value that its owner has signed, under a key, until it expires.

Erlang: the maps in macula_routing_server, which anybody could replace, and which never expired (D-50).

On the wire a record is a map. What v0.8 reads in it is where v0.8 reads it::

    node_id, ttl                                   the owner; seconds, as signed
    endpoint, metadata, ..                         the payload, if it is a map without names of this list
    value                                          the payload, if it is anything else
    deleted                                        true, of a tombstone
    sequence, expires_at, public_key, signature    ours; v0.8 keeps them as it keeps everything

The key is not among them; it is that of the message, and signed with the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Final, Self, TypeAlias

from macula_actors.core.kademlia.canonical import canonical
from macula_actors.core.kademlia.keys import key_from
from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from macula_actors.core.wire.fields import AnyValue, Boolean, Integer, Octets, read, write
from macula_actors.core.wire.values import Value, as_bin, unpack
from macula_actors.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "CLOCK_SKEW_MS",
    "DEFAULT_TTL",
    "MAX_PAYLOAD_BYTES",
    "MAX_SEQUENCE",
    "MAX_TTL",
    "MAX_V08_PAYLOAD_BYTES",
    "MIN_TTL",
    "RECORD_OVERHEAD_BYTES",
    "Record",
    "Row",
    "Version",
    "for_v08",
    "next_sequence",
]

MIN_TTL: Final = 1  # seconds
MAX_TTL: Final = 86_400  # seconds; paper, section 2.3: 24 hours
DEFAULT_TTL: Final = 300  # seconds; macula_service_registry
MAX_SEQUENCE: Final = 2**63 - 1
MAX_PAYLOAD_BYTES: Final = 8192 - 256  # with what is around it, a record has at most 8 KiB
RECORD_OVERHEAD_BYTES: Final = 256  # at most, around the payload on the wire; 214 to 225 are usual
MAX_V08_PAYLOAD_BYTES: Final = 768  # spec/wire.md: v0.8 takes STOREs of 1,100 bytes, of which 76 are around the record
CLOCK_SKEW_MS: Final = 300_000  # by which the clocks of two nodes may differ

_MS: Final = 1000  # in a second
_LABEL: Final = b"macula DHT record 1"

_Instant: TypeAlias = Annotated[int, Integer(0, 2**63 - 1)]

Version: TypeAlias = tuple[bool, int, int, bytes]
Row: TypeAlias = tuple[bytes, bytes, bytes, int, int, int, bytes, bytes]
_ROW_TYPES: Final = (bytes, bytes, bytes, int, int, int, bytes, bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    """What a signed record has on the wire besides a payload's own fields."""

    node_id: Annotated[bytes, Octets(ID_BYTES, ID_BYTES)]
    ttl: Annotated[int, Integer(MIN_TTL, MAX_TTL)]
    sequence: Annotated[int, Integer(0, MAX_SEQUENCE)]
    expires_at: _Instant
    public_key: Annotated[bytes, Octets(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES)]
    signature: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]
    deleted: Annotated[bool | None, Boolean()] = None
    value: Annotated[Value, AnyValue()] = None


_NAMES: Final = tuple(field.name for field in fields(_Envelope))
_RESERVED: Final[Mapping[str | bytes, str]] = {form: name for name in _NAMES for form in (name, name.encode())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A value under ``key``, of ``owner``. To be made by `seal`, `tombstone` and `from_value`.

    Args:
        key: under which it is found.
        owner: the node that signed it: the SHA-256 of the public key. Only said to be that if nothing is signed.
        public_key: the owner's, 32 bytes; empty if nothing is signed.
        sequence: of the owner's records under a key, the highest counts. Of an unsigned one: when it arrived.
        ttl: for how long it was made, seconds.
        expires_at: until when it holds, in milliseconds since 1970 by the owner's clock.
        packed: the payload, as canonical MessagePack; empty in a tombstone.
        signature: the owner's, 64 bytes, over all that; empty if nothing is signed.
    """

    key: NodeId
    owner: NodeId
    public_key: bytes
    sequence: int
    ttl: int
    expires_at: int
    packed: bytes
    signature: bytes

    @classmethod
    def seal(
        cls, identity: Identity, key: NodeId, payload: Value, *, sequence: int, now_ms: int, ttl: int = DEFAULT_TTL
    ) -> Self:
        """Return a record of ``payload``, signed; of None, a tombstone.

        Where v0.8 is to read it, give `for_v08` of the payload.

        Args:
            identity: the owner.
            key: under which it is to be found.
            payload: any value, and best a map.
            sequence: above that of all records that the owner has had under this key; see `next_sequence`.
            now_ms: milliseconds since 1970.
            ttl: MIN_TTL to MAX_TTL seconds.

        Raises:
            LocalProtocolError: ``bad_key``, ``bad_value``, ``bad_ttl``, ``bad_sequence`` or ``record_too_large``.
        """
        key = key_from(key)
        if type(ttl) is not int or not MIN_TTL <= ttl <= MAX_TTL:
            detail = f"a record lives {MIN_TTL} to {MAX_TTL} whole seconds, not {ttl!r}"
            raise LocalProtocolError("bad_ttl", detail)
        if not 0 <= sequence <= MAX_SEQUENCE:
            raise LocalProtocolError("bad_sequence", f"a sequence is 0 to {MAX_SEQUENCE}, not {sequence}")
        packed = b"" if payload is None else canonical(payload)
        if len(packed) > MAX_PAYLOAD_BYTES:
            raise LocalProtocolError("record_too_large", _too_large(packed))
        expires_at = now_ms + ttl * _MS
        data = _signed_bytes(key, identity.public_key, sequence, ttl, expires_at, packed)
        return cls(
            key=key,
            owner=identity.node_id,
            public_key=identity.public_key,
            sequence=sequence,
            ttl=ttl,
            expires_at=expires_at,
            packed=packed,
            signature=identity.sign(data),
        )

    def tombstone(self, identity: Identity, *, now_ms: int) -> Self:
        """Return what deletes this record, and lives longer than it by any clock: else a late copy would bring it back.

        Raises:
            LocalProtocolError: ``bad_sequence``: there is none after this one's.
        """
        left_ms = max(self.expires_at - now_ms, 0) + 2 * CLOCK_SKEW_MS
        ttl = min(-(-left_ms // _MS), MAX_TTL)
        return self.seal(identity, self.key, None, sequence=self.sequence + 1, now_ms=now_ms, ttl=ttl)

    @classmethod
    def from_value(cls, key: NodeId, value: Value, *, security: Security, now_ms: int) -> Self:
        """Return the record that ``value``, found with or under ``key``, holds. Its signature is not checked: `verify`.

        In open mode a map without a signature is one as well, as v0.8 sends it. Its owner is the ``node_id`` in it, or
        if there is none its content, and it expires ``ttl`` seconds after ``now_ms``.

        Raises:
            RemoteProtocolError: ``bad_record``, ``unsigned_record``, ``owner_mismatch`` or ``record_too_large``.
        """
        if not isinstance(value, dict):
            raise RemoteProtocolError("bad_record", "a record is a map")
        try:
            if b"signature" in value or "signature" in value:
                return cls._from_signed(key, value)
            if security is Security.VERIFIED:
                raise RemoteProtocolError("unsigned_record", "a record has a signature here")
            return cls._from_unsigned(key, value, now_ms)
        except LocalProtocolError as error:
            raise RemoteProtocolError("bad_record", error.detail) from error

    def to_value(self) -> dict[str | bytes, Value]:
        """Return the map that `from_value` reads."""
        payload = self.payload
        if not self.is_signed:
            return payload if isinstance(payload, dict) else {}
        envelope = self._envelope()
        if self.is_tombstone:
            return {**envelope, b"deleted": True}
        if isinstance(payload, dict) and not any(key in _RESERVED for key in payload):
            return {**payload, **envelope}
        return {**envelope, b"value": payload}

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the record that `to_row` wrote. The signature is not checked: `verify`.

        Raises:
            ValueError: the key or the owner has not 32 bytes, or a field is of another type or out of range.
        """
        if tuple(map(type, row)) != _ROW_TYPES:
            raise ValueError(f"a row of {', '.join(type(each).__name__ for each in row)} is no record")
        key, owner, public_key, sequence, ttl, expires_at, packed, signature = row
        if not MIN_TTL <= ttl <= MAX_TTL or not 0 <= sequence <= MAX_SEQUENCE or not 0 <= expires_at <= MAX_SEQUENCE:
            raise ValueError(f"a ttl of {ttl}, a sequence of {sequence}, an expiry of {expires_at}: one is no record's")
        return cls(
            key=NodeId(key),
            owner=NodeId(owner),
            public_key=public_key,
            sequence=sequence,
            ttl=ttl,
            expires_at=expires_at,
            packed=packed,
            signature=signature,
        )

    def to_row(self) -> Row:
        """Return its fields in order, as bytes and numbers of at most 63 bits: what a database holds."""
        return (
            bytes(self.key),
            bytes(self.owner),
            self.public_key,
            self.sequence,
            self.ttl,
            self.expires_at,
            self.packed,
            self.signature,
        )

    @property
    def payload(self) -> Value:
        """The value, each time a new copy; None in a tombstone."""
        return unpack(self.packed) if self.packed else None

    def field(self, name: str) -> Value:
        """Return what a payload that is a map has under ``name``, as bin or str; None if it has or is none."""
        payload = self.payload
        if not isinstance(payload, dict):
            return None
        return payload.get(name.encode(), payload.get(name))

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that its owner has nothing under the key any more."""
        return not self.packed

    @property
    def is_signed(self) -> bool:
        """Whether it can be verified at all."""
        return bool(self.signature)

    @property
    def issued_at(self) -> int:
        """When it was made, in milliseconds since 1970 by the owner's clock."""
        return self.expires_at - self.ttl * _MS

    @property
    def length(self) -> int:
        """Bytes on the wire, at most."""
        return len(self.packed) + RECORD_OVERHEAD_BYTES

    @property
    def version(self) -> Version:
        """By which two records of one owner under one key compare: the greater counts.

        An owner that signs two with one sequence has them compared all the same, alike at every node.
        """
        return self.is_signed, self.sequence, self.expires_at, self.signature

    def verify(self) -> None:
        """Check that the owner has signed it, which takes about 85 us: best done last.

        Raises:
            RemoteProtocolError: ``unsigned_record``, ``owner_mismatch`` or ``bad_signature``.
        """
        if not self.is_signed:
            raise RemoteProtocolError("unsigned_record", "a record has a signature here")
        if NodeId.of(self.public_key) != self.owner:
            raise RemoteProtocolError("owner_mismatch", "the owner's public key is another one")
        if not verify(self.public_key, self.signature, self._signed()):
            raise RemoteProtocolError("bad_signature", "the owner has not signed this record")

    def _signed(self) -> bytes:
        return _signed_bytes(self.key, self.public_key, self.sequence, self.ttl, self.expires_at, self.packed)

    def _envelope(self) -> dict[str | bytes, Value]:
        return write(
            _Envelope(
                node_id=bytes(self.owner),
                ttl=self.ttl,
                sequence=self.sequence,
                expires_at=self.expires_at,
                public_key=self.public_key,
                signature=self.signature,
            )
        )

    @classmethod
    def _from_signed(cls, key: NodeId, value: Mapping[str | bytes, Value]) -> Self:
        envelope, rest = _split(value)
        if envelope.node_id != NodeId.of(envelope.public_key):
            raise RemoteProtocolError("owner_mismatch", "the node_id is not that of the public_key")
        return cls(
            key=key,
            owner=NodeId(envelope.node_id),
            public_key=envelope.public_key,
            sequence=envelope.sequence,
            ttl=envelope.ttl,
            expires_at=envelope.expires_at,
            packed=_bounded(_packed_payload(envelope, rest)),
            signature=envelope.signature,
        )

    @classmethod
    def _from_unsigned(cls, key: NodeId, value: Mapping[str | bytes, Value], now_ms: int) -> Self:
        packed = _bounded(canonical(value))
        node_id = value.get(b"node_id", value.get("node_id"))
        ttl = _unsigned_ttl(value.get(b"ttl", value.get("ttl")))
        return cls(
            key=key,
            owner=_unsigned_owner(node_id, packed),
            public_key=b"",
            sequence=now_ms,
            ttl=ttl,
            expires_at=now_ms + ttl * _MS,
            packed=packed,
            signature=b"",
        )


def next_sequence(latest: Record | None, now_ms: int) -> int:
    """Return the sequence for what replaces ``latest``: the time, so that it grows even if ``latest`` was forgotten."""
    return now_ms if latest is None else max(latest.sequence + 1, now_ms)


def for_v08(payload: Value, *, is_short: bool) -> Value:
    """Return ``payload`` with each text as bin, since v0.8 reads a str as a list of numbers.

    ``is_short``: whether one is refused that v0.8 would not keep. It says nothing to a STORE that is too long.

    Raises:
        LocalProtocolError: ``record_too_large``, or ``bad_value``.
    """
    canonical(payload)  # what can't be sent can't be gone through either
    texts = as_bin(payload)
    length = len(canonical(texts))
    if is_short and length > MAX_V08_PAYLOAD_BYTES:
        detail = f"a payload of {length} bytes; v0.8 reads {MAX_V08_PAYLOAD_BYTES}, and this mesh is open to it"
        raise LocalProtocolError("record_too_large", detail)
    return texts


def _signed_bytes(key: NodeId, public_key: bytes, sequence: int, ttl: int, expires_at: int, packed: bytes) -> bytes:
    """Return what is signed: all fields but the last of fixed length, so that no two records share it."""
    numbers = sequence.to_bytes(8) + ttl.to_bytes(4) + expires_at.to_bytes(8)
    return len(_LABEL).to_bytes(4) + _LABEL + key + public_key + numbers + packed


def _split(value: Mapping[str | bytes, Value]) -> tuple[_Envelope, dict[str | bytes, Value]]:
    """Return the envelope in ``value`` and everything else."""
    envelope: dict[str | bytes, Value] = {}
    rest: dict[str | bytes, Value] = {}
    for key, item in value.items():
        name = _RESERVED.get(key)
        if name is None:
            rest[key] = item
        elif name in envelope:
            raise RemoteProtocolError("bad_record", f"a record has {name} twice")
        else:
            envelope[name] = item
    return read(_Envelope, envelope), rest


def _packed_payload(envelope: _Envelope, rest: dict[str | bytes, Value]) -> bytes:
    """Return the payload. It is in one place: what else were there would be unsigned."""
    match envelope.deleted, envelope.value, bool(rest):
        case True, None, False:
            return b""
        case None, None, _:
            return canonical(rest)
        case None, value, False:
            return canonical(value)
        case _:
            raise RemoteProtocolError("bad_record", "a record has one payload, or is deleted")


def _bounded(packed: bytes) -> bytes:
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise RemoteProtocolError("record_too_large", _too_large(packed))
    return packed


def _too_large(packed: bytes) -> str:
    return f"a payload of {len(packed)} bytes; allowed are {MAX_PAYLOAD_BYTES}"


def _unsigned_owner(node_id: Value, packed: bytes) -> NodeId:
    """Return where v0.8 would put what it does not name: each content has an owner of its own."""
    if node_id is None:
        return NodeId.of(packed)
    if isinstance(node_id, str):
        node_id = node_id.encode()
    if not isinstance(node_id, bytes) or not node_id:
        raise RemoteProtocolError("bad_record", "a node_id is bytes")
    return NodeId.normalize(node_id)


def _unsigned_ttl(ttl: Value) -> int:
    """Return a number of seconds from what v0.8 never checks."""
    return min(max(ttl, MIN_TTL), MAX_TTL) if type(ttl) is int else DEFAULT_TTL
