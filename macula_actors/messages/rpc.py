"""What RpcHandler is asked and answers with; `messages.calling` makes calls.

Erlang: macula_rpc_handler.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.arguments import MAX_BYTES
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.wire.messages import Call, Cancel, Message, RpcRoute
from macula_actors.core.wire.values import Value
from macula_actors.messages.names import RPC_HANDLER
from supervisors import Server, System
from supervisors import call as ask

__all__ = [
    "LOCAL",
    "ROUTES",
    "CallOptions",
    "GetStats",
    "GivenUp",
    "LocalCall",
    "Locate",
    "Located",
    "PathCounts",
    "PathStats",
    "RouteOut",
    "RpcStats",
    "Traced",
    "counts",
    "left_ms",
    "stats",
]

MAX_MS: Final = 2**32 - 1  # that the wire carries

_COUNTS: Final["WeakKeyDictionary[System, PathCounts]"] = WeakKeyDictionary()

LOCAL: Final = "local"
"""The path, in `RpcStats`, of calls of this node's own handlers."""

# For PeerConfig.routes: which messages of peers are RpcHandler's.
ROUTES: Final[dict[type[Message], str]] = dict.fromkeys((Call, RpcRoute, Cancel), RPC_HANDLER)


class CallOptions(NamedTuple):
    """How calls are made. Given by name.

    Args:
        json: whether arguments and results are JSON, as in an open mesh, where peers may be v0.8's.
        max_attempts: providers that a call tries at most.
        max_hops: that a routed call may take.
        max_bytes: of the arguments, and of the result.
        paths: those that a call may use which names none.
    """

    json: bool = False
    max_attempts: int = 3
    max_hops: int = 10
    max_bytes: int = MAX_BYTES
    paths: Collection[Path] = tuple(Path)


class LocalCall(NamedTuple):
    """Have this node's handler of ``call`` run, until ``deadline``. Answered with the `Reply`, failed or not.

    ``json``: how arguments and result are encoded.
    """

    call: Call
    deadline: float
    json: bool


class RouteOut(NamedTuple):
    """Send ``call`` to the node ``destination`` as an `RpcRoute`. Answered with the `Reply`, failed or not.

    ``via``: the gateway that is to relay it; None: the next hop is chosen as for a call that came from another node.
    """

    destination: NodeId
    call: Call
    deadline: float
    json: bool
    max_hops: int
    via: Contact | None = None


class Locate(NamedTuple):
    """Answered with `Located`: which of ``node_ids`` there is a connection to."""

    node_ids: tuple[NodeId, ...]


class Located(NamedTuple):
    """``local`` is this node; ``connected`` are those asked for that there is a connection to."""

    local: NodeId
    connected: frozenset[NodeId]


class GivenUp(NamedTuple):
    """A cast: nobody waits for the answer to this node's own call ``call_id`` any more."""

    call_id: bytes


class PathCounts:
    """What attempts of calls came to, by path. The callers count, in the loop's thread: it costs them no message."""

    __slots__ = ("carried", "failed")

    def __init__(self) -> None:
        self.carried: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def add(self, path: str, is_carried: bool) -> None:  # noqa: FBT001 -- `run_in_loop` passes no keywords
        """Count an attempt that took ``path``, which has carried it to an answer, or has not."""
        (self.carried if is_carried else self.failed)[path] += 1


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `RpcStats`."""


class PathStats(NamedTuple):
    """How many attempts of calls a path has ``carried`` to a result or a handler's error, and how many it has not."""

    carried: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcStats:
    """What RpcHandler counts. Numbers of the past are since it started last."""

    paths: Mapping[str, PathStats]  # of own calls: LOCAL, and the values of `Path`, as far as they were used
    idle: int  # workers
    busy: int  # workers
    queued: int  # calls that wait for a worker
    forwarded: int  # calls of others, to others
    refused: int  # for want of room
    cancelled: int
    late: int  # calls that were ended because they did not end at their deadline


class Traced(NamedTuple):
    """What a call returned, and how: by which ``path``, through which ``nodes``, the provider last."""

    result: Value
    path: str
    nodes: tuple[NodeId, ...]


async def stats(server: Server) -> RpcStats:
    """Return RpcHandler's counts."""
    found: RpcStats = await ask(server, GetStats())
    return found


def counts(system: System, *, anew: bool = False) -> PathCounts:
    """Return where the attempts of the node ``system`` are counted, since a RpcHandler asked for it ``anew``."""
    found = None if anew else _COUNTS.get(system)
    if found is None:
        found = _COUNTS[system] = PathCounts()
    return found


def left_ms(deadline: float, now: float) -> int:
    """Return how many milliseconds are left until ``deadline``, as `Call.timeout` has it."""
    return int(min(max((deadline - now) * 1000, 0), MAX_MS))
