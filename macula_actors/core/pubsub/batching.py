"""What waits for one node cut into messages. Ours: the original sends each event by itself."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["batches"]

Item = TypeVar("Item")


def batches(
    items: Iterable[Item], length_of: Callable[[Item], int], *, max_items: int, max_bytes: int
) -> Iterator[tuple[Item, ...]]:
    """Yield ``items`` in order, as many together as the bounds allow, at least one.

    Args:
        items: what waits.
        length_of: how many bytes an item takes.
        max_items: of one batch, at least 1.
        max_bytes: of all items of a batch; only a lone item may be longer.
    """
    batch: list[Item] = []
    room = max_bytes
    for item in items:
        length = length_of(item)
        if batch and (len(batch) >= max_items or length > room):
            yield tuple(batch)
            batch, room = [], max_bytes
        batch.append(item)
        room -= length
    if batch:
        yield tuple(batch)
