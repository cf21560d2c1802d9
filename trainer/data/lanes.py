"""Virtual lanes: the order of the documents, and rows packed from them, as a function of the seed alone.

    shards ── units: row ranges ── permutation(seed, epoch) ──► lane l has places l, l + lanes, l + 2 lanes, …
    lane   ── `interleave` units open at once ── seeded draws ──► blocks of documents ── pack_row ──► rows

There are at least lanes × interleave units where the dataset has so many documents; a shard is cut into several if need
be. A lane reads its units' rows in order, and which of its open units gives the next document is drawn by (seed, lane,
number of the draw), so a corpus that is sorted by repository or language comes mixed. A unit that ends is replaced at
once, at the end of an epoch by the first one of the next: every epoch holds every document once, and no epoch ends on a
poor mix. How far a lane has come is one small `LanePosition`, whatever the size of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kernels.counter_rng import draws, key
from kernels.packing import Block, Choice, Cursor, Rows, gather, pack_row
from schemas.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.data.row_ranges import Units
from trainer.data.shard_reader import DecodedBatch, Reader

INTERLEAVE, MIX = 2, 3
"""What a key is for, beside `trainer.data.row_ranges.ORDER`."""
BLOCK_BYTES = 1 << 19
BLOCK_DOCUMENTS = 1024
"""A block ends with the document that reaches either limit. The order does not depend on them: draws are numbered, and
only a slot that runs dry, which ends a block as well, opens a unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanePosition:
    """Where a lane stands: enough to make all further rows."""

    opened: int
    """Units opened since the beginning of training, when the block was begun."""
    open: tuple[tuple[int, int], ...]
    """Then open: number of the unit in the lane's own sequence, and its next row. An ended one has -1."""
    drawn: int
    """Documents drawn by then."""
    document: int
    """Documents from there to the next one."""
    representation: int
    """Of that document, if it was begun."""
    offset: int
    """Its symbols already given."""

    def to_json(self) -> list[Any]:
        """As nested lists of integers."""
        units = [list(pair) for pair in self.open]
        return [self.opened, units, self.drawn, self.document, self.representation, self.offset]

    @classmethod
    def from_json(cls, value: Any) -> LanePosition:
        """The inverse; ValueError or TypeError for anything else."""
        opened, units, drawn, document, representation, offset = value
        pairs = tuple((int(unit), int(row)) for unit, row in units)
        return cls(
            opened=int(opened),
            open=pairs,
            drawn=int(drawn),
            document=int(document),
            representation=int(representation),
            offset=int(offset),
        )


@dataclass(kw_only=True, slots=True)
class _Slot:
    """One open unit: its documents that are decoded and not yet drawn are rows[at:] of `batch`."""

    unit: int = -1
    """Number in the lane's sequence; -1 for a unit that has ended."""
    epoch: int = 0
    shard: int = 0
    row: int = 0
    """Next row of the shard."""
    end_row: int = 0
    reader: Reader | None = None
    batch: DecodedBatch | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """int64: rows of the batch, counted from its first."""
    at: int = 0

    @property
    def waiting(self) -> int:
        """Documents that can be drawn before more must be read."""
        return len(self.rows) - self.at

    def next(self, count: int) -> tuple[DecodedBatch, np.ndarray]:
        """The batch, and the rows in it of the next `count` documents at most."""
        assert self.batch is not None, "a slot is filled before it is drawn from"
        return self.batch, self.rows[self.at : self.at + count]

    def skip(self, count: int) -> None:
        """Go behind the next `count` documents; a unit that ends there lets go of its shard."""
        assert self.batch is not None, "a slot is filled before it is drawn from"
        self.at += count
        if self.waiting:
            self.row = self.batch.first_row + int(self.rows[self.at])
            return
        self.row, self.batch = min(self.end_row, self.batch.end_row), None
        if self.row == self.end_row:
            self.unit, self.row, self.reader = -1, 0, None


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the documents of a block lie."""

    epochs: np.ndarray
    """int64 [n]."""
    shards: np.ndarray
    """int64 [n]."""
    rows: np.ndarray
    """int64 [n], in the shard."""


class Lane:
    """One lane: an endless stream of rows."""

    def __init__(
        self, dataset: Dataset, units: Units, *, lane: int, interleave: int, position: LanePosition | None = None
    ) -> None:
        self._dataset, self._units, self._lane = dataset, units, lane
        self._draw_key = key(units.seed, INTERLEAVE, lane)
        self._slots = [_Slot() for _ in range(interleave)]
        self._opened = self._drawn = 0
        self._cursor = Cursor()
        if position is not None:
            self._restore(position)
        self._start = (self._opened, self._open(), self._drawn)
        self._block: Block | None = None
        self._origin: Origin | None = None

    @property
    def position(self) -> LanePosition:
        """Where the lane stands after the last row."""
        opened, units, drawn = self._start
        cursor = self._cursor
        return LanePosition(
            opened=opened,
            open=units,
            drawn=drawn,
            document=cursor.document,
            representation=cursor.representation,
            offset=cursor.offset,
        )

    def fill(self, rows: Rows, row: int, choice: Choice, shown: np.ndarray) -> np.ndarray:
        """Fill one row, with documents that begin in it spelled by `choice`.

        `shown` is room for `pack_row`. Returns int64 [documents in the row, 4]: epoch, shard, row in the shard and
        representation of each.
        """
        at = number = 0
        pieces = []
        while at < rows.ids.shape[1]:
            if self._block is None:
                self._block, self._origin = self._next_block()
            block, origin = self._block, self._origin
            assert origin is not None
            self._cursor, at, number, count = pack_row(
                block, self._cursor, choice, rows, row=row, at=at, number=number, shown=shown
            )
            which = shown[:count, 0]
            pieces.append((origin.epochs[which], origin.shards[which], origin.rows[which], shown[:count, 1].copy()))
            # A position from a run with larger blocks may lie in a later one, hence not simply document 0.
            if self._cursor.document >= len(block):
                self._cursor = replace(self._cursor, document=self._cursor.document - len(block))
                self._start, self._block = (self._opened, self._open(), self._drawn), None
        return np.concatenate([np.stack(piece, 1) for piece in pieces])

    def _open(self) -> tuple[tuple[int, int], ...]:
        return tuple((slot.unit, slot.row) for slot in self._slots)

    def _restore(self, position: LanePosition) -> None:
        self._opened, self._drawn = position.opened, position.drawn
        for slot, (unit, row) in zip(self._slots, position.open, strict=True):
            if unit >= 0:
                self._enter(slot, unit)
                slot.row = row
        self._cursor = Cursor(
            document=position.document, representation=position.representation, offset=position.offset
        )

    def _enter(self, slot: _Slot, unit: int) -> None:
        slot.unit = unit
        slot.epoch, slot.shard, slot.row, slot.end_row = self._units.nth(self._lane, unit)
        slot.reader = self._dataset.reader(slot.shard)
        slot.batch, slot.rows, slot.at = None, slot.rows[:0], 0

    def _refill(self, slot: _Slot) -> None:
        """Read until the slot has a document to give."""
        first_opened = self._opened
        while not slot.waiting:
            if slot.unit < 0:
                if self._opened - first_opened > 64 * len(self._units):
                    raise DatasetError(
                        f"{self._dataset.location} has no document left to train on: hold out a smaller share"
                    )
                self._enter(slot, self._opened)
                self._opened += 1
            batch = self._dataset.batch_at(slot.shard, slot.row)
            begin, end = slot.row - batch.first_row, min(slot.end_row, batch.end_row) - batch.first_row
            slot.batch, slot.at = batch, 0
            slot.rows = np.flatnonzero(~batch.held_out[begin:end]) + begin
            if not slot.waiting:
                slot.skip(0)

    def _next_block(self) -> tuple[Block, Origin]:
        """The next documents: up to the limits, and until a slot must read more."""
        for slot in self._slots:
            if not slot.waiting:
                self._refill(slot)
        chosen = self._draw_slots()
        n = len(chosen)
        places = [np.flatnonzero(chosen == index) for index in range(len(self._slots))]
        sizes = np.zeros((2, n + 1), np.int64)
        keys, hashes = np.empty(n, np.uint64), np.empty(n, np.uint64)
        origin = Origin(epochs=np.empty(n, np.int64), shards=np.empty(n, np.int64), rows=np.empty(n, np.int64))
        taken = []
        for slot, place in zip(self._slots, places, strict=True):
            batch, rows = slot.next(len(place))
            sizes[0, place + 1], sizes[1, place + 1] = _sizes(batch, rows)
            keys[place], hashes[place] = key(self._units.seed, MIX, slot.epoch), batch.hashes[rows]
            origin.epochs[place], origin.shards[place] = slot.epoch, slot.shard
            origin.rows[place] = rows + batch.first_row
            taken.append((batch, rows, place))
            slot.skip(len(place))
        raw_offsets, symbol_offsets = np.cumsum(sizes, axis=1)
        raw = np.empty(raw_offsets[-1], np.uint8)
        symbols = np.empty(symbol_offsets[-1], taken[0][0].symbols.dtype)
        for batch, rows, place in taken:
            gather(batch.raw, batch.raw_offsets, rows, place, raw, raw_offsets)
            gather(batch.symbols, batch.symbol_offsets, rows, place, symbols, symbol_offsets)
        self._drawn += n
        block = Block(
            raw=raw,
            raw_offsets=raw_offsets,
            symbols=symbols,
            symbol_offsets=symbol_offsets,
            draws=draws(keys, hashes),
        )
        return block, origin

    def _draw_slots(self) -> np.ndarray:
        """int64 [n]: which slot each of the block's documents comes from."""
        numbers = np.arange(self._drawn, self._drawn + BLOCK_DOCUMENTS, dtype=np.uint64)
        chosen = (draws(self._draw_key, numbers) % np.uint64(len(self._slots))).astype(np.int64)
        n, sizes = len(chosen), np.zeros(len(chosen), np.int64)
        for index, slot in enumerate(self._slots):
            place = np.flatnonzero(chosen == index)[: slot.waiting]
            if len(place) == slot.waiting:
                n = min(n, int(place[-1]) + 1)
            sizes[place] = sum(_sizes(*slot.next(len(place))))
        full = int(np.searchsorted(np.cumsum(sizes[:n]), BLOCK_BYTES)) + 1
        return chosen[: min(n, full)]


def _sizes(batch: DecodedBatch, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw bytes and symbols of some rows of a batch, int64 [n] each."""
    raw = batch.raw_offsets[rows + 1] - batch.raw_offsets[rows]
    return raw, batch.symbol_offsets[rows + 1] - batch.symbol_offsets[rows]
