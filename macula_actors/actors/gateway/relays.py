"""The messages that are being relayed, and whether there is room for one more. Ours: the original had no bound."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from macula_actors.config import GatewayConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.errors import OverloadedError
from supervisors import From

__all__ = ["Relays"]

SHARE: Final = 4  # a client may have one in so many of all the bytes that are being relayed


@dataclass(frozen=True, slots=True, eq=False)
class _Relayed:
    from_: From
    sender: NodeId
    length: int
    deadline: float

    def is_wanted(self, now: float) -> bool:
        return self.from_.is_waiting and now < self.deadline


class Relays:
    """Counts the messages whose senders wait for an answer, each with its bytes, in all and for each sender.

    The answers go from the connections to who asked: that one is over is seen when somebody asks for the room, or for
    the counts. So it costs nothing as long as there is room.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._max_relayed = config.max_relayed
        self._max_per_client = config.max_relayed_per_client
        self._max_bytes = config.max_relayed_bytes
        self._max_bytes_per_client = max(config.max_relayed_bytes // SHARE, 1)
        self._relayed: dict[NodeId, list[_Relayed]] = {}
        self._bytes_of: Counter[NodeId] = Counter()
        self._count = 0
        self._bytes = 0

    def check(self, sender: NodeId, length: int, now: float) -> OverloadedError | None:
        """Return why there is no room for a message of ``length`` bytes; None if there is."""
        if self._excess_of(sender, length) is not None:
            self._sweep((sender,), now)
        if self._excess(length) is not None:
            self._sweep(tuple(self._relayed), now)
        return self._excess_of(sender, length) or self._excess(length)

    def add(self, from_: From, sender: NodeId, length: int, deadline: float) -> None:
        """Count a message in until ``from_`` has its answer or has given up, at the latest at ``deadline``."""
        self._relayed.setdefault(sender, []).append(_Relayed(from_, sender, length, deadline))
        self._bytes_of[sender] += length
        self._bytes += length
        self._count += 1

    def counts(self, now: float) -> tuple[int, int]:
        """Return how many messages are being relayed, and their bytes."""
        self._sweep(tuple(self._relayed), now)
        return self._count, self._bytes

    def _excess_of(self, sender: NodeId, length: int) -> OverloadedError | None:
        if len(self._relayed.get(sender, ())) >= self._max_per_client:
            return OverloadedError("messages being relayed for one client", self._max_per_client)
        if self._bytes_of[sender] + length > self._max_bytes_per_client:
            return OverloadedError("bytes being relayed for one client", self._max_bytes_per_client)
        return None

    def _excess(self, length: int) -> OverloadedError | None:
        if self._count >= self._max_relayed:
            return OverloadedError("messages being relayed", self._max_relayed)
        if self._bytes + length > self._max_bytes:
            return OverloadedError("bytes being relayed", self._max_bytes)
        return None

    def _sweep(self, senders: Iterable[NodeId], now: float) -> None:
        """Forget what is over of ``senders``."""
        for sender in senders:
            before = self._relayed.pop(sender, [])
            left = [relayed for relayed in before if relayed.is_wanted(now)]
            length = sum(relayed.length for relayed in left)
            self._count -= len(before) - len(left)
            self._bytes -= self._bytes_of.pop(sender, 0) - length
            if left:
                self._relayed[sender] = left
                self._bytes_of[sender] = length
