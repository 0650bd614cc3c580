"""Which provider a call tries by which path, and for how long, until one answers or none is left.

Erlang: macula_rpc_handler, whose fail-over crashed it (D-35) and left no time for a second attempt (D-36).
"""

from collections import deque
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.failure import ELSEWHERE, Code
from macula_actors.core.rpc.provider import Provider
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    LocalProtocolError,
    MaculaError,
    MaxHopsExceededError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    RemoteCallError,
)

__all__ = [
    "MAX_BARRED",
    "Attempt",
    "CallPlan",
    "GiveUp",
    "Path",
    "Step",
    "first_attempt",
    "is_barred",
    "is_disowned",
    "is_final",
    "validate_paths",
]


class Path(StrEnum):
    """How a call gets to a provider, in the order in which they are tried."""

    DIRECT = "direct"  # over a connection, live or dialled
    ROUTED = "routed"  # hop by hop, as RpcRoute
    RELAY = "relay"  # by a gateway that the provider keeps a session with


class Attempt(NamedTuple):
    """Call ``provider`` by ``path``, and wait ``timeout`` seconds at most. If it fails, tell `CallPlan.failed`."""

    provider: Provider
    path: Path
    timeout: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise ``error`` at the caller."""

    error: Exception


Step: TypeAlias = Attempt | GiveUp

MAX_BARRED: Final = 8  # paths that lead nowhere, of which an error tells

_PATHS: Final = tuple(Path)
_ALLOWED: Final = f"allowed is a list of at least one of {', '.join(Path)}"
_BARRIERS: Final = {
    Path.DIRECT: "it tells nobody where to dial it, and is not connected",
    Path.RELAY: "it names no gateway that can reach it",
}


class CallPlan:
    """The attempts of one call: each path of the first provider until it takes too long, then each of the next one.

    Until one succeeds, the owner does what `next` says and tells `failed`. Instants are of the owner's clock.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        *,
        procedure: str,
        now: float,
        deadline: float,
        paths: Collection[Path] = tuple(Path),
        connected: Container[NodeId] = frozenset(),
        max_attempts: int = 3,
    ) -> None:
        """Plan a call.

        Args:
            providers: in the order in which they are to be tried.
            procedure: what is called.
            now: when the call begins.
            deadline: when it ends.
            paths: those allowed, in any order.
            connected: the nodes that there is a live connection to: they need no endpoint for DIRECT.
            max_attempts: providers that are tried at most.
        """
        found = _once_each(providers)
        chosen: list[Provider] = []
        barred: list[tuple[str, Exception]] = []
        waiting: deque[tuple[Provider, Path]] = deque()
        for each in found:
            its_paths = _ways(each, paths, connected) if len(chosen) < max_attempts else ()
            if its_paths:
                chosen.append(each)
                waiting += [(each, path) for path in its_paths]
            elif not chosen and len(barred) < MAX_BARRED:
                barred += _barriers(each, paths)
        self._began_at: Final = now
        self._deadline: Final = deadline
        self._connected: Final = connected
        self._whom: Final = chosen[0] if len(chosen) == 1 else procedure
        self._barred: Final = barred
        self._waiting: Final = waiting
        self._tried: Final[list[tuple[str, Exception]]] = []
        self._end: GiveUp | None = None if found else GiveUp(NoProviderError(procedure))

    def next(self, now: float) -> Step:
        """Return what to do now."""
        if self._end is not None:
            return self._end
        if now >= self._deadline:
            return self._give_up(self._timed_out())
        if not self._waiting:
            return self._give_up(self._exhausted())
        provider, path = self._waiting.popleft()
        return Attempt(provider, path, self._share(provider, path, self._deadline - now))

    def failed(self, attempt: Attempt, error: Exception, now: float) -> None:
        """Take note that ``attempt`` failed with ``error`` at ``now``: what `next` says takes it into account."""
        if self._end is not None:
            return
        self._tried.append((f"{attempt.path} {attempt.provider.contact}", error))
        if _is_told_there(attempt, error):
            self._skip(attempt.provider)
        elif isinstance(error, CallTimeoutError):
            self._put_off(attempt.provider)
        if is_final(error):
            self._give_up(error)
        elif now >= self._deadline:
            self._give_up(self._timed_out())
        elif not self._waiting:
            self._give_up(self._exhausted())

    @property
    def _peer(self) -> str:
        return str(self._whom.contact) if isinstance(self._whom, Provider) else self._whom

    def _share(self, provider: Provider, path: Path, left: float) -> float:
        """Return how long to wait: each attempt leaves half to those that follow, the last one nothing (D-36)."""
        has_others = bool(self._waiting) and self._waiting[-1][0] is not provider
        # Over a live connection nothing is lost on the way, only the handler takes its time: it would on any path.
        is_live = path is Path.DIRECT and provider.node_id in self._connected
        return left / 2 if has_others or (self._waiting and not is_live) else left

    def _give_up(self, error: Exception) -> GiveUp:
        self._end = GiveUp(error)
        return self._end

    def _skip(self, provider: Provider) -> None:
        while self._waiting and self._waiting[0][0] is provider:
            self._waiting.popleft()

    def _put_off(self, provider: Provider) -> None:
        """Try the other paths of who is too slow after all other providers: the work may be under way there."""
        for _ in range(len(self._waiting)):
            if self._waiting[0][0] is not provider:
                return
            self._waiting.rotate(-1)

    def _timed_out(self) -> MaculaError:
        error = CallTimeoutError(self._peer, max(self._deadline - self._began_at, 0.0))
        error.__cause__ = self._tried[-1][1] if self._tried else None
        return error

    def _exhausted(self) -> Exception:
        match self._tried:
            case []:
                return NoRouteError(self._peer, tuple(self._barred))
            case [(_, error)]:
                return error
            case [*_, (_, CallTimeoutError())]:
                # it had all that was left
                return self._timed_out()
            case _:
                return self._most_telling() or NoRouteError(self._peer, tuple(self._tried))

    def _most_telling(self) -> Exception | None:
        """Return the error that says more than that no path led there, if there is one."""
        on_the_way = (NoRouteError, ConnectionLostError)
        told = [error for _, error in self._tried if not isinstance(error, on_the_way)]
        if told and all(isinstance(error, OverloadedError) for error in told):
            return told[-1]
        return told[0] if len(told) == 1 and isinstance(told[0], MaxHopsExceededError) else None


def first_attempt(
    providers: Sequence[Provider], paths: Collection[Path], now: float, deadline: float
) -> Attempt | None:
    """Return what the first `CallPlan.next` says, where that is plain without a plan; else None.

    It is if nothing depends on who is connected: the first provider can be dialled, or is not to be called directly,
    and it is the only one, or can be called by another path, too. No provider counts as connected.
    """
    if not providers or now >= deadline:
        return None
    first = providers[0]
    ways = _ways(first, paths, ())
    has_others = len(providers) > 1
    if not ways or (ways[0] is not Path.DIRECT and Path.DIRECT in paths) or (has_others and len(ways) == 1):
        return None
    return Attempt(first, ways[0], (deadline - now) / min(len(ways), 2))


def validate_paths(paths: Collection[Path]) -> None:
    """Check that a call may be told to take no other ``paths``.

    Raises:
        ValueError: there is none, or one of them is none.
    """
    if isinstance(paths, str) or not isinstance(paths, Collection) or not paths:
        raise ValueError(f"paths is {paths!r:.80}; {_ALLOWED}")
    for path in paths:
        if path not in _PATHS:
            raise ValueError(f"paths has {path!r:.80}; {_ALLOWED}")


def is_disowned(error: Exception) -> bool:
    """Tell whether all who were called have answered that they do not provide what was called."""
    match error:
        case RemoteCallError():
            return error.code == Code.NO_HANDLER
        case NoRouteError():
            return bool(error.tried) and all(is_disowned(each) for _, each in error.tried)
        case _:
            return False


def is_barred(error: Exception) -> bool:
    """Tell whether nothing was tried, because of no provider it is known how to get there."""
    tried = error.tried if isinstance(error, NoRouteError) else ()
    return bool(tried) and all(isinstance(each, NoRouteError) and not each.tried for _, each in tried)


def is_final(error: Exception) -> bool:
    """Tell whether another attempt is of no use, or might do the work twice."""
    match error:
        case RemoteCallError():
            return error.code not in ELSEWHERE
        case LocalProtocolError():
            return True  # a bug here, whoever is called
        case _:
            return not isinstance(error, MaculaError)


def _is_told_there(attempt: Attempt, error: Exception) -> bool:
    """Tell whether the provider itself has answered that it is none, or has no room: by any path it would."""
    if isinstance(error, OverloadedError):
        return attempt.path is Path.DIRECT and error.limit is None
    return is_disowned(error)


def _once_each(providers: Iterable[Provider]) -> tuple[Provider, ...]:
    """Return the first provider of each node, in order."""
    providers = tuple(providers)
    if len(providers) == 1:
        return providers
    first: dict[NodeId, Provider] = {}
    for each in providers:
        first.setdefault(each.node_id, each)
    return tuple(first.values())


def _barriers(provider: Provider, paths: Collection[Path]) -> list[tuple[str, Exception]]:
    """Return why none of ``paths`` leads to ``provider``, by path, in order."""
    whom = str(provider.contact)
    return [
        (f"{path} {whom}", NoRouteError(whom, reason=reason)) for path, reason in _BARRIERS.items() if path in paths
    ]


def _ways(provider: Provider, paths: Collection[Path], connected: Container[NodeId]) -> tuple[Path, ...]:
    """Return those of ``paths`` that may lead to ``provider``, in order."""
    found: list[Path] = []
    if Path.DIRECT in paths and (provider.endpoint is not None or provider.node_id in connected):
        found.append(Path.DIRECT)
    if Path.ROUTED in paths:
        found.append(Path.ROUTED)
    if Path.RELAY in paths and provider.gateways:
        found.append(Path.RELAY)
    return tuple(found)
