"""Which provider is called first. Erlang: macula_provider_selector, macula_rpc_router."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import inf
from random import Random
from types import MappingProxyType
from typing import Final, assert_never

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.provider import Provider

__all__ = ["MAX_PROCEDURES", "Selector", "Strategy"]

MAX_PROCEDURES: Final = 10_000  # whose turns are counted; ServiceConfig.max_cached

_UNKNOWN: Final[Mapping[NodeId, float]] = MappingProxyType({})


class Strategy(StrEnum):
    """How providers are ordered for a call."""

    FIRST = "first"  # as they were found
    RANDOM = "random"
    ROUND_ROBIN = "round_robin"  # each in its turn, by procedure
    CLOSEST = "closest"  # the shortest round trip, where it is known; then by the distance of node ids


class Selector:
    """Orders providers by one strategy. Its only state is whose turn it is."""

    def __init__(self, strategy: Strategy, node_id: NodeId, *, max_procedures: int = MAX_PROCEDURES) -> None:
        """Begin every procedure with its first provider.

        Args:
            strategy: by which to order.
            node_id: this node's; distances are from it.
            max_procedures: whose turns are counted; of one more, that asked for least recently begins anew.
        """
        self._strategy: Final = strategy
        self._node_id: Final = node_id
        self._max_procedures: Final = max_procedures
        self._turns: Final[dict[str, int]] = {}  # asked for least recently first

    def order(
        self,
        providers: Iterable[Provider],
        procedure: str,
        rng: Random,
        round_trips: Mapping[NodeId, float] = _UNKNOWN,
    ) -> tuple[Provider, ...]:
        """Return all of ``providers`` in the order in which a call should try them.

        Args:
            providers: of ``procedure``.
            procedure: what is called; with ROUND_ROBIN each order is the next one of its own.
            rng: for RANDOM.
            round_trips: to the nodes for which it is known, seconds; for CLOSEST.
        """
        found = tuple(providers)
        match self._strategy:
            case Strategy.FIRST:
                return found
            case Strategy.RANDOM:
                return tuple(rng.sample(found, len(found)))
            case Strategy.ROUND_ROBIN:
                first = self._turn(procedure) % max(len(found), 1)
                return found[first:] + found[:first]
            case Strategy.CLOSEST:
                return tuple(sorted(found, key=lambda each: self._nearness(each.node_id, round_trips)))
            case _:
                assert_never(self._strategy)

    def _turn(self, procedure: str) -> int:
        turn = self._turns.pop(procedure, 0)
        self._turns[procedure] = turn + 1
        if len(self._turns) > self._max_procedures:
            del self._turns[next(iter(self._turns))]
        return turn

    def _nearness(self, node_id: NodeId, round_trips: Mapping[NodeId, float]) -> tuple[float, int]:
        return round_trips.get(node_id, inf), self._node_id.distance(node_id)
