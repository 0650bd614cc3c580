"""The mesh: nodes that find, call and tell each other without a broker."""

from loguru import logger

from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.selector import Strategy
from macula_actors.errors import (
    CallTimeoutError,
    ConfigError,
    ConnectionLostError,
    IdentityMismatchError,
    LocalProtocolError,
    MaculaError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    QuorumError,
    RealmMismatchError,
    RemoteCallError,
    RemoteProtocolError,
)
from macula_actors.node import Advertisement, Node
from macula_actors.node_config import Mode, NodeConfig

__all__ = [
    "Advertisement",
    "CallTimeoutError",
    "ConfigError",
    "ConnectionLostError",
    "IdentityMismatchError",
    "LocalProtocolError",
    "MaculaError",
    "MaxHopsExceededError",
    "Mode",
    "NoProviderError",
    "NoRouteError",
    "Node",
    "NodeConfig",
    "OverloadedError",
    "Path",
    "Provider",
    "QuorumError",
    "RealmMismatchError",
    "RemoteCallError",
    "RemoteProtocolError",
    "Strategy",
]

logger.disable(__name__)  # noqa: RUF067 -- a library is silent until the program enables it
