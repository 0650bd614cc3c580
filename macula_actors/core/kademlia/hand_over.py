"""Which records a node gives to one that has joined: those whose closest nodes the newcomer is now one of.

Erlang: none at v0.8.0; later versions replicate to joiners. Paper: section 2.5 (who is closest to the key sends, so
that not all holders do).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId

__all__ = ["HandOver"]


class HandOver:
    """What the node ``own_id`` gives to ``newcomer``.

    Args:
        newcomer: the node that joined.
        own_id: the holder.
        contacts: the closest nodes that the holder knows, to itself and to the newcomer; both may be among them.
        k: how many nodes keep a record.
        senders: how many holders give it, the closest to its key. Some that are taken for closer may be gone.
    """

    def __init__(
        self, newcomer: NodeId, own_id: NodeId, contacts: Iterable[NodeId], *, k: int = 20, senders: int = 4
    ) -> None:
        others = frozenset(contacts) - {newcomer, own_id}
        self._newcomer: Final = int.from_bytes(newcomer)
        self._own: Final = int.from_bytes(own_id)
        self._beyond_newcomer: Final = _differences(newcomer, {*others, own_id} - {newcomer})
        self._beyond_own: Final = _differences(own_id, others)
        self._k: Final = k
        self._senders: Final = senders if newcomer != own_id else 0

    def includes(self, key: NodeId) -> bool:
        """Tell whether what is under ``key`` is to be given."""
        number = int.from_bytes(key)
        return (
            _nearer(number ^ self._own, self._beyond_own) < self._senders
            and _nearer(number ^ self._newcomer, self._beyond_newcomer) < self._k
        )

    def batches(self, keys: Iterable[NodeId], size: int = 64) -> Iterator[tuple[NodeId, ...]]:
        """Yield those of ``keys`` that are to be given, up to ``size`` at once; lazily, about 3 us a key."""
        batch: list[NodeId] = []
        for key in filter(self.includes, keys):
            batch.append(key)
            if len(batch) == size:
                yield tuple(batch)
                batch.clear()
        if batch:
            yield tuple(batch)


def _differences(node: NodeId, others: Iterable[NodeId]) -> tuple[tuple[int, int], ...]:
    """Return the bits at which others first differ from ``node``, and how many do there; the most frequent first.

    Another one is nearer to a key than ``node`` exactly if the key has at that bit what the other has: the distance
    between key and ``node`` has a one there.
    """
    counts: dict[int, int] = {}
    for other in others:
        bit = 1 << (node.distance(other).bit_length() - 1)
        counts[bit] = counts.get(bit, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: -item[1]))


def _nearer(distance: int, differences: tuple[tuple[int, int], ...]) -> int:
    """Return how many of the others are nearer to a key at ``distance``."""
    return sum(count for bit, count in differences if distance & bit)
