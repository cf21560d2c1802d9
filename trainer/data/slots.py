"""A slot: one open row range of a lane, as a queue of its training documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.errors import SettingsError
from trainer.data.dataset import Dataset
from trainer.data.row_ranges import RowRanges
from trainer.data.shard_reader import DecodedBatch, Reader

ENDED = -1
"""The number of a range that has no more rows."""
DAMAGED = "the checkpoint's loader state is damaged, take an earlier one"
"""What is wrong where a lane is told to go on at a place that it cannot have come to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotDocuments:
    """Documents of one slot, all in one record batch."""

    batch: DecodedBatch
    rows: np.ndarray
    """int64 [n]: their rows in the batch."""
    epoch: int
    """How often the dataset was read through before."""
    shard: int
    """Number of their shard."""

    @property
    def raw_bytes(self) -> np.ndarray:
        """int64 [n]: the length of each text."""
        return self.batch.raw_offsets[self.rows + 1] - self.batch.raw_offsets[self.rows]

    @property
    def symbols(self) -> np.ndarray:
        """int64 [n]: the length of each compressed encoding."""
        return self.batch.symbol_offsets[self.rows + 1] - self.batch.symbol_offsets[self.rows]


class Slot:
    """One open row range of a lane: `open` it, `read` until documents wait, `peek` at and `take` them."""

    def __init__(self, dataset: Dataset, ranges: RowRanges, lane: int) -> None:
        self._dataset, self._ranges, self._lane = dataset, ranges, lane
        self.number = ENDED
        """Number of the range in the lane's sequence; ENDED before the first and after the last of its documents."""
        self.row = 0
        """Next row of the shard; 0 for an ended range."""
        self._epoch = self._shard = self._end_row = 0
        self._reader: Reader | None = None
        """Held so that the shard stays open, and in the local cache."""
        self._batch: DecodedBatch | None = None
        self._waiting = np.empty(0, np.int64)
        """int64: rows of the batch that were read and not yet taken."""

    @property
    def waiting(self) -> int:
        """Documents that can be taken before more must be read."""
        return len(self._waiting)

    def open(self, number: int, row: int | None = None) -> None:
        """Begin range `number` of the lane's sequence, at `row` of its shard or at its beginning."""
        self.number = number
        self._epoch, self._shard, first, self._end_row = self._ranges.nth(self._lane, number)
        self.row = first if row is None else row
        if not first <= self.row < self._end_row:
            raise SettingsError(f"row {row} is not in range {number} of lane {self._lane}: {DAMAGED}")
        self._reader = self._dataset.reader(self._shard)
        self._batch, self._waiting = None, self._waiting[:0]

    def read(self) -> None:
        """Decode the next record batch; a range without a further training document ends."""
        batch = self._dataset.batch_at(self._shard, self.row)
        first, end = self.row - batch.first_row, min(self._end_row, batch.end_row) - batch.first_row
        self._batch = batch
        self._waiting = np.flatnonzero(~batch.held_out[first:end]) + first
        if not self.waiting:
            self._leave_batch()

    def peek(self, count: int) -> SlotDocuments:
        """The next `count` documents at most, which stay in the queue."""
        assert self._batch is not None, "a slot is read before it is taken from"
        return SlotDocuments(batch=self._batch, rows=self._waiting[:count], epoch=self._epoch, shard=self._shard)

    def take(self, count: int) -> SlotDocuments:
        """Remove the next `count` documents at most from the queue; a range that ends there lets go of its shard."""
        taken = self.peek(count)
        self._waiting = self._waiting[count:]
        if self.waiting:
            self.row = taken.batch.first_row + int(self._waiting[0])
        else:
            self._leave_batch()
        return taken

    def _leave_batch(self) -> None:
        assert self._batch is not None
        self.row, self._batch = min(self._end_row, self._batch.end_row), None
        if self.row == self._end_row:
            self.number, self.row, self._reader = ENDED, 0, None
