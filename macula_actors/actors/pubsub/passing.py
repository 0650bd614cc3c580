"""A gateway tells its sessions what others have subscribed to: they have connections to it, and not to each other."""

from typing import Final

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.pubsub.neighbours import MAX_TOPICS, Neighbours
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.wire.messages import SubscriptionsChanged
from macula_actors.messages.names import GATEWAY_PUBSUB
from supervisors import System, whereis

__all__ = ["PassOn", "Passing"]

INTERVAL: Final = 0.1  # seconds, at least, between two messages to a session, however much changes meanwhile


class PassOn:
    """Time for `Passing.due`."""


class Passing:
    """What is to be passed on: the first change at once, and what follows soon all together.

    What a gateway has passed on, nobody passes on again. Beyond one message's worth at a time nothing is: a publisher
    finds it in the DHT when what it has cached is stale.

    Args:
        neighbours: of this node.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours: Final = neighbours
        self._system: Final = System.current()
        self._patterns: Final[dict[str, None]] = {}
        self._node_ids: Final[dict[NodeId, None]] = {}
        self._next_at = 0.0
        self._alarm: Final = Alarm(PassOn())

    def note(self, node_ids: tuple[NodeId, ...], patterns: tuple[str, ...]) -> None:
        """Pass on that ``node_ids`` have begun or ended to want what matches ``patterns``, if this is a gateway."""
        if not patterns or whereis(GATEWAY_PUBSUB) is None:
            return
        self._patterns.update(dict.fromkeys(patterns[: MAX_TOPICS - len(self._patterns)]))
        self._node_ids.update(dict.fromkeys(node_ids[: MAX_TOPICS - len(self._node_ids)]))
        now = self._system.now()
        if now >= self._next_at:
            self._pass_on(now)
        else:
            self._alarm.set(self._next_at, now)

    def due(self) -> None:
        """Pass on what waits, at `PassOn`."""
        self._alarm.rang()
        self._pass_on(self._system.now())

    def _pass_on(self, now: float) -> None:
        self._neighbours.pass_on(
            SubscriptionsChanged(topics=tuple(self._patterns), node_ids=tuple(self._node_ids), hop_count=1)
        )
        self._patterns.clear()
        self._node_ids.clear()
        self._next_at = now + INTERVAL
