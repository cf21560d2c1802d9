"""Prefetch: order, errors and a bound, and no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from trainer.data.prefetch import Prefetcher


def loader_threads() -> set[threading.Thread]:
    """Those of this process; other tests may have left some."""
    return {thread for thread in threading.enumerate() if thread.name == "loader"}


def test_items_come_in_order_and_end():
    assert list(Prefetcher(iter(range(100)), 3)) == list(range(100))
    assert list(Prefetcher(iter([]), 1)) == []


def test_never_more_than_the_depth_is_ahead():
    before = loader_threads()
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    items = Prefetcher(source(), 3)
    for i in range(50):
        assert next(items) == i
        time.sleep(0.001)
        assert len(made) <= i + 1 + 3 + 1
    items.close()
    assert loader_threads() <= before
    with pytest.raises(StopIteration):
        next(items)


def test_an_exception_comes_where_its_item_would():
    before = loader_threads()

    def source() -> Iterator[int]:
        yield 1
        raise ValueError("shard 7 is damaged")

    items = Prefetcher(source(), 5)
    assert next(items) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="shard 7"):
            next(items)
    items.close()
    assert loader_threads() <= before
