"""Which documents make a block: a beginning of what was drawn, cut where nothing more waits or enough bytes are in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.blocks import choose


def slow_choose(drawn: list[int], sizes: list[list[int]], max_bytes: int) -> list[int]:
    """One document after the other."""
    waiting = [list(each) for each in sizes]
    chosen: list[int] = []
    total = 0
    for slot in drawn:
        total += waiting[slot].pop(0)
        chosen.append(slot)
        if not waiting[slot] or total >= max_bytes:
            break
    return chosen


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=4).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes), st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=20), st.integers(1, 40)
        )
    )
)
def test_a_block_is_what_is_drawn_one_by_one(case: tuple[list[list[int]], list[int], int]) -> None:
    sizes, drawn, max_bytes = case
    arrays = [np.array(each, np.int64) for each in sizes]
    found = choose(np.array(drawn, np.int64), arrays, max_bytes)
    assert found.tolist() == slow_choose(drawn, sizes, max_bytes)


@pytest.mark.parametrize(
    ("drawn", "sizes", "max_bytes", "expected"),
    [
        ([0], [[5]], 100, [0]),
        ([0, 0, 1], [[5, 5, 5], [5]], 100, [0, 0, 1]),
        ([1, 0, 0], [[5, 5, 5], [5]], 100, [1]),
        ([0, 1, 0, 1], [[5] * 9, [5] * 9], 10, [0, 1]),
        ([0, 1, 0, 1], [[50] * 9, [5] * 9], 10, [0]),
    ],
)
def test_where_a_block_ends(drawn: list[int], sizes: list[list[int]], max_bytes: int, expected: list[int]) -> None:
    arrays = [np.array(each, np.int64) for each in sizes]
    assert choose(np.array(drawn, np.int64), arrays, max_bytes).tolist() == expected
