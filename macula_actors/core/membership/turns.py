"""Each in turn, in a new order each time. Paper: SWIM, section 4.3 (round-robin probe target selection)."""

from collections.abc import Iterable
from random import Random
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["Turns"]


class Turns:
    """Who has not had a turn yet. Who is left out in one turn comes in the next; who came since, too."""

    def __init__(self, rng: Random) -> None:
        self._rng: Final = rng
        self._left: list[NodeId] = []

    def take(self, most: int, everybody: Iterable[NodeId]) -> list[NodeId]:
        """Return up to ``most`` whose turn it is; they may be gone meanwhile. ``everybody`` is who has the next one."""
        if not self._left:
            self._left = list(everybody)
            self._rng.shuffle(self._left)
        taken = self._left[:most]
        del self._left[:most]
        return taken
