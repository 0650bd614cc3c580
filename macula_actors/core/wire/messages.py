"""The messages, one frozen class a type. Erlang: macula_protocol_types; spec/behaviour.md 1.2.

Lengths are in bytes, instants in milliseconds of the sender's clock, durations in milliseconds. What the original
leaves open is bounded here. What is called ours is ignored by the original and missing in what it sends.

Rules between fields hold when a message is made; each field by itself is checked by `encode` and `decode`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from macula_actors.core.wire.fields import AnyValue, Boolean, Choice, Integer, ListOf, Octets, Record, Text
from macula_actors.core.wire.types import MessageType
from macula_actors.core.wire.values import Value
from macula_actors.errors import LocalProtocolError

__all__ = [
    "CLASSES",
    "MAX_EVENTS",
    "Call",
    "Cancel",
    "Cast",
    "Challenge",
    "Connect",
    "Connected",
    "Disconnect",
    "Error",
    "Failure",
    "FindNode",
    "FindNodeReply",
    "FindValue",
    "FindValueReply",
    "Message",
    "NodeInfo",
    "Ping",
    "Pong",
    "Puback",
    "PubackBatch",
    "Publish",
    "PublishBatch",
    "PubsubRoute",
    "Reply",
    "RpcRoute",
    "Store",
    "StoreReply",
    "Subscribe",
    "SubscriptionsChanged",
    "SwimAck",
    "SwimPing",
    "SwimPingReq",
    "SwimUpdate",
    "Unregister",
    "Unsubscribe",
]

MAX_EVENTS: Final = 256  # of one `PublishBatch`

# The original takes node ids of any length and hashes those that are not of 32 bytes; a verified peer's has 32.
_NodeId: TypeAlias = Annotated[bytes, Octets(1, 255)]
_Key: TypeAlias = Annotated[bytes, Octets(1, 1024)]  # of a DHT record; as node ids
_MessageId: TypeAlias = Annotated[bytes, Octets(16, 16)]
_Instant: TypeAlias = Annotated[int, Integer()]  # the original's clock may be negative
_Count: TypeAlias = Annotated[int, Integer(0, 2**32 - 1)]
_Hops: TypeAlias = Annotated[int, Integer(0, 255)]
_Qos: TypeAlias = Annotated[int, Integer(0, 2)]
_Name: TypeAlias = Annotated[str, Text(1, 1024)]  # a topic, a pattern, a procedure
_Names: TypeAlias = Annotated[tuple[str, ...], ListOf(Text(1, 1024), 1024)]
_Capabilities: TypeAlias = Annotated[tuple[str, ...], ListOf(Text(1, 64), 64)]
_Realm: TypeAlias = Annotated[str, Text(1, 255)]
_Code: TypeAlias = Annotated[str, Text(1, 255)]
_Explanation: TypeAlias = Annotated[str, Text(0, 4096)]
_Payload: TypeAlias = Annotated[bytes, Octets(0, 2**32 - 1)]  # JSON in the original; the frame bounds it

_OptionalId: TypeAlias = Annotated[bytes | None, Octets(16, 16)]
_OptionalNodeId: TypeAlias = Annotated[bytes | None, Octets(1, 255)]
_OptionalEndpoint: TypeAlias = Annotated[str | None, Text(1, 1024)]  # in any of the original's three forms
_OptionalCount: TypeAlias = Annotated[int | None, Integer(0, 2**32 - 1)]
_OptionalInstant: TypeAlias = Annotated[int | None, Integer()]
_OptionalNumber: TypeAlias = Annotated[int | None, Integer(low=0)]

_SwimStatus: TypeAlias = Literal["alive", "suspect", "dead"]
_SWIM_STATUS: Final = Choice("alive", "suspect", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A contact. The original writes either ``address`` or ``endpoint``, or the text "undefined" (D-09)."""

    node_id: _NodeId
    address: _OptionalEndpoint = None
    endpoint: _OptionalEndpoint = None
    last_seen: _OptionalInstant = None
    public_key: Annotated[bytes | None, Octets(0, 1024)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed. ``path``, ours, are the nodes that the call went through, in order."""

    code: _Code
    message: _Explanation
    path: Annotated[tuple[bytes, ...] | None, ListOf(Octets(1, 255), 255)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimUpdate:
    """What a member says of another. Paper: SWIM, section 4.1."""

    node_id: _NodeId
    status: Annotated[_SwimStatus, _SWIM_STATUS]
    incarnation: Annotated[int, Integer(low=0)]


_OptionalGossip: TypeAlias = Annotated[tuple[SwimUpdate, ...] | None, ListOf(Record(SwimUpdate), 64)]
_OptionalNodes: TypeAlias = Annotated[tuple[NodeInfo, ...] | None, ListOf(Record(NodeInfo), 128)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """The first message of who dials. ``realm_id`` is the realm's name.

    Ours: ``public_key`` and ``signature`` (Ed25519) prove the node id to the acceptor that sent a `Challenge`,
    ``realm_mac`` (SHA-256) membership of a realm with a secret.
    """

    node_id: _NodeId
    realm_id: _Realm
    capabilities: _Capabilities
    version: Annotated[str, Text(1, 16)] = "1.0"
    endpoint: _OptionalEndpoint = None
    public_key: Annotated[bytes | None, Octets(32, 32)] = None
    signature: Annotated[bytes | None, Octets(64, 64)] = None
    realm_mac: Annotated[bytes | None, Octets(32, 32)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The last message of a connection. The original neither sends nor handles it."""

    reason: _Code
    message: _Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Asks for a `Pong` that echoes ``timestamp``, or has the answerer's own time where there is none."""

    timestamp: _OptionalInstant = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """Answers `Ping`, and in the original `Connect`."""

    timestamp: _Instant
    server_time: _Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """An event for the subscribers of ``topic``.

    Ours: ``publisher`` is the node that published it; ``epoch``, ``sequence`` and ``pending_from`` are its
    `macula_actors.core.pubsub.ordering.Stamp`, of which a part is none; ``retained``: it was published before the
    receiver subscribed; ``published_at``: when, if it is to be kept; ``origin``: by whom, if ``publisher`` hands it on.
    """

    topic: _Name
    payload: _Payload
    message_id: _MessageId
    qos: _Qos = 0
    retain: Annotated[bool, Boolean()] = False
    publisher: _OptionalNodeId = None
    epoch: _OptionalNumber = None
    sequence: _OptionalNumber = None
    pending_from: _OptionalNumber = None
    retained: Annotated[bool | None, Boolean()] = None
    published_at: _OptionalNumber = None
    origin: _OptionalNodeId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Asks for the events of topics that match the patterns ``topics``."""

    topics: _Names
    qos: _Qos = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Ends what `Subscribe` began for the same ``topics``."""

    topics: _Names


@dataclass(frozen=True, slots=True, kw_only=True)
class PubsubRoute:
    """An event on its way, over several hops, to the node ``destination_node_id``."""

    destination_node_id: _NodeId
    source_node_id: _NodeId
    topic: _Name
    payload: Annotated[Publish, Record(Publish)]
    hop_count: _Hops = 0
    max_hops: _Hops = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Asks for a `Reply` with the same ``call_id``, within ``timeout`` from when this is read."""

    procedure: _Name
    args: _Payload
    call_id: _MessageId
    timeout: _OptionalCount = None
    realm: Annotated[str | None, Text(1, 255)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answers `Call`: with ``error`` if it failed, else ``result``. A nil result of the original is None.

    ``path``, ours, are the nodes that a routed call went through, in order; of a failed one `Failure` has them.
    """

    call_id: _MessageId
    result: Annotated[bytes | None, Octets(0, 2**32 - 1)] = None
    error: Annotated[Failure | None, Record(Failure)] = None
    path: Annotated[tuple[bytes, ...] | None, ListOf(Octets(1, 255), 255)] = None

    def __post_init__(self) -> None:
        if self.result is not None and self.error is not None:
            raise LocalProtocolError("bad_field", "Reply has both result and error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A call that is not answered. The original neither sends nor handles it."""

    procedure: _Name
    args: _Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcRoute:
    """A call or reply on its way, over several hops, to the node ``destination_node_id``."""

    destination_node_id: _NodeId
    source_node_id: _NodeId
    payload_type: Annotated[Literal["call", "reply"], Choice("call", "reply")]
    payload: Annotated[Call | Reply, Record(Call, Reply)]
    hop_count: _Hops = 0
    max_hops: _Hops = 10

    def __post_init__(self) -> None:
        if type(self.payload).__name__.lower() != self.payload_type:
            raise LocalProtocolError("bad_field", f"RpcRoute.payload is no {self.payload_type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimPing:
    """Asks a member whether it is alive. No field of SWIM's is fixed by the original (D-51)."""

    seq: _Count
    node_id: _OptionalNodeId = None
    gossip: _OptionalGossip = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimAck:
    """Answers `SwimPing` and `SwimPingReq` with the same ``seq``."""

    seq: _Count
    node_id: _OptionalNodeId = None
    incarnation: Annotated[int | None, Integer(low=0)] = None
    status: Annotated[_SwimStatus | None, _SWIM_STATUS] = None
    gossip: _OptionalGossip = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimPingReq:
    """Asks a member to ping ``target`` for the sender. ``timeout`` bounds that."""

    seq: _Count
    target: _NodeId
    source: _OptionalNodeId = None
    k: _OptionalCount = None
    timeout: _OptionalCount = None
    gossip: _OptionalGossip = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindNode:
    """Asks for the contacts closest to ``target``. ``request_id``, ours here and below, is that of the reply."""

    target: _NodeId
    type: Annotated[Literal["find_node"], Choice("find_node")] = "find_node"
    request_id: _OptionalId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindNodeReply:
    """Answers `FindNode`, nearest contact first; the original sends at most 20.

    ``node_id``, ours, is who answers: for one that knew only where to ask.
    """

    nodes: Annotated[tuple[NodeInfo, ...], ListOf(Record(NodeInfo), 128)]
    type: Annotated[Literal["find_node_reply"], Choice("find_node_reply")] = "find_node_reply"
    request_id: _OptionalId = None
    node_id: _OptionalNodeId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Asks to keep ``value`` under ``key``. Ours: it is answered by `StoreReply`."""

    key: _Key
    value: Annotated[Value, AnyValue()]
    type: Annotated[Literal["store"], Choice("store")] = "store"
    request_id: _OptionalId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindValue:
    """Asks for the values under ``key``, or the contacts closest to it."""

    key: _Key
    type: Annotated[Literal["find_value"], Choice("find_value")] = "find_value"
    request_id: _OptionalId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindValueReply:
    """Answers `FindValue`: ``result`` names the field that has the answer."""

    result: Annotated[Literal["value", "nodes"], Choice("value", "nodes")]
    value: Annotated[tuple[Value, ...] | None, ListOf(AnyValue(), 1024)] = None
    nodes: _OptionalNodes = None
    type: Annotated[Literal["find_value_reply"], Choice("find_value_reply")] = "find_value_reply"
    request_id: _OptionalId = None

    def __post_init__(self) -> None:
        if self.result in {"value", "nodes"} and getattr(self, self.result) is None:
            raise LocalProtocolError("missing_field", f"FindValueReply.{self.result} is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Ours: the acceptor's first message, with the ``nonce`` that a `Connect` must sign."""

    node_id: _NodeId
    nonce: Annotated[bytes, Octets(32, 32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """Ours: the `Connect` was accepted, by the node ``node_id`` that can do ``capabilities``.

    ``realm_mac`` proves that it is a member of a realm with a secret.
    """

    node_id: _NodeId
    capabilities: _Capabilities
    realm_mac: Annotated[bytes | None, Octets(32, 32)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Ours: what was asked on this stream, or with ``request_id``, was refused."""

    code: _Code
    message: _Explanation
    request_id: _OptionalId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Puback:
    """Ours: the `Publish` of qos 1 with the same ``message_id`` has arrived (D-44)."""

    message_id: _MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishBatch:
    """Ours: events of one ``publisher`` that waited together, in order; only for a node that says it takes them.

    Each is what it would be alone, less ``publisher`` and ``epoch``, which are the same for all. `PubackBatch` answers.
    """

    publisher: _NodeId
    epoch: Annotated[int, Integer(low=0)]
    events: Annotated[tuple[Publish, ...], ListOf(Record(Publish), MAX_EVENTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PubackBatch:
    """Ours: those events of the `PublishBatch` on whose stream it comes have arrived, of qos 0 and 1; no others."""

    message_ids: Annotated[tuple[bytes, ...], ListOf(Octets(16, 16), MAX_EVENTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionsChanged:
    """Ours: ``node_ids`` have begun or ended to want what matches ``topics``; only for a node that takes these.

    What they want is in the DHT. ``hop_count``: 0 from the node itself, 1 from its gateway. In an open mesh the first
    is answered with one without topics.
    """

    topics: _Names
    node_ids: Annotated[tuple[bytes, ...], ListOf(Octets(1, 255), 1024)]
    hop_count: _Hops = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReply:
    """Ours: the `Store` on whose stream it comes, or with the same ``request_id``, was carried out."""

    request_id: _OptionalId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Ours: the sender provides ``procedure`` no more (D-07)."""

    procedure: _Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Ours: nobody waits for the `Reply` to the call ``call_id`` any more."""

    call_id: _MessageId


Message: TypeAlias = (
    Connect
    | Disconnect
    | Ping
    | Pong
    | Publish
    | Subscribe
    | Unsubscribe
    | PubsubRoute
    | Call
    | Reply
    | Cast
    | RpcRoute
    | SwimPing
    | SwimAck
    | SwimPingReq
    | FindNode
    | FindNodeReply
    | Store
    | FindValue
    | FindValueReply
    | Challenge
    | Connected
    | Error
    | Puback
    | StoreReply
    | Unregister
    | Cancel
    | PublishBatch
    | PubackBatch
    | SubscriptionsChanged
)

CLASSES: Final[Mapping[int, type[Message]]] = MappingProxyType({
    MessageType.CONNECT: Connect,
    MessageType.DISCONNECT: Disconnect,
    MessageType.PING: Ping,
    MessageType.PONG: Pong,
    MessageType.PUBLISH: Publish,
    MessageType.SUBSCRIBE: Subscribe,
    MessageType.UNSUBSCRIBE: Unsubscribe,
    MessageType.PUBSUB_ROUTE: PubsubRoute,
    MessageType.CALL: Call,
    MessageType.REPLY: Reply,
    MessageType.CAST: Cast,
    MessageType.RPC_ROUTE: RpcRoute,
    MessageType.SWIM_PING: SwimPing,
    MessageType.SWIM_ACK: SwimAck,
    MessageType.SWIM_PING_REQ: SwimPingReq,
    MessageType.FIND_NODE: FindNode,
    MessageType.FIND_NODE_REPLY: FindNodeReply,
    MessageType.STORE: Store,
    MessageType.FIND_VALUE: FindValue,
    MessageType.FIND_VALUE_REPLY: FindValueReply,
    MessageType.CHALLENGE: Challenge,
    MessageType.CONNECTED: Connected,
    MessageType.ERROR: Error,
    MessageType.PUBACK: Puback,
    MessageType.STORE_REPLY: StoreReply,
    MessageType.UNREGISTER: Unregister,
    MessageType.CANCEL: Cancel,
    MessageType.PUBLISH_BATCH: PublishBatch,
    MessageType.PUBACK_BATCH: PubackBatch,
    MessageType.SUBSCRIPTIONS_CHANGED: SubscriptionsChanged,
})
