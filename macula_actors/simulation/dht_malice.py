"""Nodes that join as others do, and then do harm: each kind is a variant of a node's handler."""

from enum import StrEnum
from random import Random
from typing import Any, Final

from typing_extensions import override

from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.wire.messages import (
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    NodeInfo,
    Store,
    StoreReply,
)
from macula_actors.core.wire.values import Value
from macula_actors.simulation.dht_node import DhtNode
from macula_actors.simulation.message_network import Exchange

__all__ = ["Malice", "MaliciousNode"]

_NEAR_BYTES: Final = 16  # that a made-up id has in common with the target: nearer than any node


class Malice(StrEnum):
    """What a malicious node does with a request. None of them keeps what is stored at it."""

    SILENCE = "silence"  # nothing
    RUBBISH = "rubbish"  # tells of nodes that are not there, nearer to the target than any that is
    FALSE_ADDRESSES = "false addresses"  # tells of real nodes, each at the address of another
    WRONG_VALUES = "wrong values"  # has a record for each key that its owner has not signed, and one of its own


class MaliciousNode(DhtNode):
    """A node that is ``malice``; it asks and joins as an honest one."""

    def __init__(self, *args: Any, malice: Malice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._malice: Final = malice
        self._chance = Random(int.from_bytes(self.node_id))

    @override
    def handle(self, exchange: Exchange) -> None:
        match exchange.message:
            case _ if self._malice is Malice.SILENCE:
                return
            case FindNode(target=target):
                exchange.answer(FindNodeReply(nodes=self._nodes(target, exchange)))
            case FindValue(key=key) if self._malice is Malice.WRONG_VALUES:
                values = self._wrong_values(NodeId.normalize(key))
                nodes = self._nodes(key, exchange)
                exchange.answer(FindValueReply(result="value", value=values, nodes=nodes))
            case FindValue(key=key):
                exchange.answer(FindValueReply(result="nodes", nodes=self._nodes(key, exchange)))
            case Store():
                exchange.answer(StoreReply(request_id=bytes(16)))

    def _nodes(self, target: bytes, exchange: Exchange) -> tuple[NodeInfo, ...]:
        honest = self.closest(target, exchange.sender)
        if self._malice is Malice.RUBBISH:
            return tuple(self._made_up(target) for _ in honest)
        if self._malice is Malice.FALSE_ADDRESSES:
            moved = zip(honest, (*honest[1:], *honest[:1]), strict=True)
            return tuple(NodeInfo(node_id=each.node_id, endpoint=other.endpoint) for each, other in moved)
        return honest

    def _made_up(self, target: bytes) -> NodeInfo:
        node_id = target[:_NEAR_BYTES] + self._chance.randbytes(ID_BYTES - _NEAR_BYTES)
        address = ".".join(str(byte) for byte in (172, 16, *self._chance.randbytes(2)))
        return NodeInfo(node_id=node_id, endpoint=f"{address}:9443")

    def _wrong_values(self, key: NodeId) -> tuple[Value, ...]:
        now_ms = self.now_ms()
        record = Record.seal(self.identity, key, {b"wrong": True}, sequence=now_ms, now_ms=now_ms)
        own = record.to_value()
        return {**own, b"wrong": False}, own
