"""Row ranges: the parts of shards that lanes read, and which lane reads which of them in which epoch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kernels.counter_rng import Purpose, key, permutation
from schemas.errors import SettingsError


class RowRanges:
    """A partition of the training rows. In every epoch each range belongs to one lane, by that epoch's permutation."""

    def __init__(self, rows_per_shard: list[int], *, lanes: int, interleave: int, seed: int) -> None:
        """Cut the shards; SettingsError where there are fewer documents than lanes."""
        self.lanes, self.seed = lanes, seed
        total = sum(rows_per_shard)
        if total < lanes:
            raise SettingsError(f"{lanes} lanes need {lanes} documents, the dataset has {total}: use fewer --lanes")
        parts = 1
        while sum(min(rows, parts) for rows in rows_per_shard) < min(total, lanes * interleave):
            parts += 1
        cuts = [
            (shard, rows * part // pieces, rows * (part + 1) // pieces)
            for shard, rows in enumerate(rows_per_shard)
            if (pieces := min(rows, parts))
            for part in range(pieces)
        ]
        self.ranges = np.array(cuts, np.int64)
        """int64 [ranges, 3]: shard, first row, end row."""
        self._order = lru_cache(maxsize=4)(self._permutation)

    def __len__(self) -> int:
        return len(self.ranges)

    def nth(self, lane: int, n: int) -> tuple[int, int, int, int]:
        """(epoch, shard, first row, end row) of range number n in a lane's endless sequence."""
        per_epoch = (len(self) - lane + self.lanes - 1) // self.lanes
        epoch, place = divmod(n, per_epoch)
        shard, first, end = self.ranges[self._order(epoch)[lane + self.lanes * place]].tolist()
        return epoch, shard, first, end

    def _permutation(self, epoch: int) -> np.ndarray:
        return permutation(key(self.seed, Purpose.RANGE_ORDER, epoch), len(self))
