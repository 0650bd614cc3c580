from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.batching import batches

lengths = st.lists(st.integers(0, 20), max_size=30)
bounds = st.integers(1, 10)


def cut(items, max_items, max_bytes):
    return list(batches(items, lambda length: length, max_items=max_items, max_bytes=max_bytes))


@given(lengths, bounds, bounds)
def test_each_item_is_in_one_batch_in_order_within_the_bounds(items, max_items, max_bytes):
    found = cut(items, max_items, max_bytes)

    assert [item for batch in found for item in batch] == items
    assert all(1 <= len(batch) <= max_items and (len(batch) == 1 or sum(batch) <= max_bytes) for batch in found)


@given(lengths, bounds, bounds)
def test_no_batch_has_room_for_what_begins_the_next(items, max_items, max_bytes):
    found = cut(items, max_items, max_bytes)

    assert all(len(batch) == max_items or sum(batch) + following[0] > max_bytes for batch, following in pairwise(found))


@pytest.mark.parametrize(
    ("items", "expected"),
    [([], []), ([9], [(9,)]), ([1, 2, 3], [(1, 2), (3,)]), ([1, 9, 1], [(1,), (9,), (1,)])],
)
def test_where_it_is_cut(items, expected):
    assert cut(items, 2, 4) == expected
