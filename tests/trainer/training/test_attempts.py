"""Ranks that share a store with attempts of before agree on a name that none of these had."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import combinations

import pytest
from torch.distributed import HashStore, Store

from schemas.errors import TrainingError
from trainer.training.attempts import store_of_attempt

SOON = timedelta(seconds=20)


def attempt(store: Store, ranks: Sequence[int], size: int, *, late: int = -1) -> list[Future[Store]]:
    """Ranks that join, one of them after the others have waited."""
    pool = ThreadPoolExecutor(size)

    def join(rank: int) -> Store:
        if rank == late:
            time.sleep(0.2)
        return store_of_attempt(store, rank, size, timeout=SOON if len(ranks) == size else timedelta(seconds=0.3))

    return [pool.submit(join, rank) for rank in ranks]


def test_every_attempt_has_a_name_of_its_own_whoever_is_late() -> None:
    """Sizes change as where a node is lost or joins; each rank is the late one, rank 0 too."""
    store, kept = HashStore(), []
    for number, (size, late) in enumerate([(1, -1), (3, 0), (3, 1), (2, 1), (3, 2), (1, 0)]):
        parts = [each.result() for each in attempt(store, range(size), size, late=late)]
        parts[0].set("address", str(number))
        assert {each.get("address") for each in parts} == {str(number).encode()}
        kept.append(parts[0])
    assert [each.get("address") for each in kept] == [str(number).encode() for number in range(6)]
    assert not any(one.check(["other"]) for one in kept)
    for one, other in combinations(kept, 2):
        one.set("other", "")
        assert not other.check(["other"])
        one.delete_key("other")


def test_a_rank_that_died_while_it_joined_is_not_waited_for() -> None:
    store = HashStore()
    for ranks in ([0, 1], [1, 2], [0, 2]):
        for each in attempt(store, ranks, 3):
            with pytest.raises(TrainingError, match=r"rank \d waited 0:00:00.3\d* for the others of 3 ranks; look at"):
                each.result()
    names = {each.result().get("name") for each in _named(attempt(store, range(3), 3))}
    assert len(names) == 1


def _named(joining: list[Future[Store]]) -> list[Future[Store]]:
    joining[0].result().set("name", "same")
    return joining
