"""Which types of message there are. Erlang: macula_protocol_types."""

from enum import IntEnum
from typing import Final

__all__ = ["OWN_TYPES", "MessageType"]

# Free in the original, which ignores the types it does not know.
OWN_TYPES: Final = range(0xA0, 0xC0)


class MessageType(IntEnum):
    """The type id in a frame's header. `label` is the name the original gives it."""

    CONNECT = 0x01
    DISCONNECT = 0x02
    PING = 0x03
    PONG = 0x04
    PUBLISH = 0x10
    SUBSCRIBE = 0x11
    UNSUBSCRIBE = 0x12
    PUBSUB_ROUTE = 0x13
    CALL = 0x20
    REPLY = 0x21
    CAST = 0x22
    RPC_ROUTE = 0x23
    SWIM_PING = 0x30
    SWIM_ACK = 0x31
    SWIM_PING_REQ = 0x32
    FIND_NODE = 0x40
    FIND_NODE_REPLY = 0x41
    STORE = 0x42
    FIND_VALUE = 0x43
    FIND_VALUE_REPLY = 0x44

    # Ours. The original names most of them in its code and has no type for them (D-07, D-44).
    CHALLENGE = 0xA0
    CONNECTED = 0xA1
    ERROR = 0xA2
    PUBACK = 0xA3
    STORE_REPLY = 0xA4
    UNREGISTER = 0xA5
    CANCEL = 0xA6
    PUBLISH_BATCH = 0xA7
    PUBACK_BATCH = 0xA8
    SUBSCRIPTIONS_CHANGED = 0xA9

    @property
    def label(self) -> str:
        """The name in lower case, as DHT messages carry it in their ``type`` field: ``"find_node"``."""
        return self.name.lower()
