"""The mesh: nodes that find, call and tell each other without a broker."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from macula_actors.core.pubsub.bounded_queue import FullPolicy
    from macula_actors.core.pubsub.event import Event
    from macula_actors.core.rpc.call_plan import Path
    from macula_actors.core.rpc.provider import Provider
    from macula_actors.core.rpc.selector import Strategy
    from macula_actors.errors import (
        CallTimeoutError,
        ConfigError,
        ConnectionLostError,
        CrashedError,
        IdentityMismatchError,
        LocalProtocolError,
        MaculaError,
        MaxHopsExceededError,
        NodeStartedError,
        NoProviderError,
        NoRouteError,
        NotRunningError,
        OverloadedError,
        QuorumError,
        RealmMismatchError,
        RemoteCallError,
        RemoteProtocolError,
        UnacknowledgedError,
    )
    from macula_actors.messages.events import EventStream, Subscription
    from macula_actors.messages.handling import time_left
    from macula_actors.node import Advertisement, Node
    from macula_actors.node_config import Mode, NodeConfig

__all__ = [
    "Advertisement",
    "CallTimeoutError",
    "ConfigError",
    "ConnectionLostError",
    "CrashedError",
    "Event",
    "EventStream",
    "FullPolicy",
    "IdentityMismatchError",
    "LocalProtocolError",
    "MaculaError",
    "MaxHopsExceededError",
    "Mode",
    "NoProviderError",
    "NoRouteError",
    "Node",
    "NodeConfig",
    "NodeStartedError",
    "NotRunningError",
    "OverloadedError",
    "Path",
    "Provider",
    "QuorumError",
    "RealmMismatchError",
    "RemoteCallError",
    "RemoteProtocolError",
    "Strategy",
    "Subscription",
    "UnacknowledgedError",
    "time_left",
]

_HOMES = {  # noqa: RUF067 -- see below
    "Advertisement": "macula_actors.node",
    "Event": "macula_actors.core.pubsub.event",
    "EventStream": "macula_actors.messages.events",
    "FullPolicy": "macula_actors.core.pubsub.bounded_queue",
    "Mode": "macula_actors.node_config",
    "Node": "macula_actors.node",
    "NodeConfig": "macula_actors.node_config",
    "Path": "macula_actors.core.rpc.call_plan",
    "Provider": "macula_actors.core.rpc.provider",
    "Strategy": "macula_actors.core.rpc.selector",
    "Subscription": "macula_actors.messages.events",
    "time_left": "macula_actors.messages.handling",
}

logger.disable(__name__)  # noqa: RUF067 -- a library is silent until the program enables it


def __getattr__(name: str) -> Any:  # PEP 562: who asks a running node needs none
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "macula_actors.errors")), name)
