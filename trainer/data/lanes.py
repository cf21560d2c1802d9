"""Virtual lanes: the order of the documents, and sequences packed from them, as a function of the seed alone.

    shards ── row ranges ── permutation(seed, epoch) ──► lane l has places l, l + lanes, l + 2 lanes, …
    lane   ── `interleave` ranges open at once ── seeded draws ──► blocks of documents ── pack_sequence ──► sequences

There are at least lanes × interleave ranges where the dataset has so many documents; a shard is cut into several if
need be. A lane reads its ranges' rows in order, and which of its open ranges gives the next document is drawn by (seed,
lane, number of the draw), so a corpus that is sorted by repository or language comes mixed. A range that ends is
replaced at once, at the end of an epoch by the first one of the next: every epoch holds every document once, and no
epoch ends on a poor mix. How far a lane has come is one small `LanePosition`, whatever the size of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.counter_rng import Purpose, draws, key
from kernels.packing import REPRESENTATIONS, Choice, Cursor, PackedDocuments, PackedSequences, pack_sequence
from schemas.errors import DatasetError, SettingsError
from trainer.data.blocks import Provenance, build, choose
from trainer.data.dataset import Dataset
from trainer.data.row_ranges import RowRanges
from trainer.data.slots import DAMAGED, ENDED, Slot

BLOCK_BYTES = 1 << 19
BLOCK_DOCUMENTS = 1024
"""A block ends with the document that reaches either limit. The order does not depend on them: draws are numbered, and
only a slot that has no more documents, which ends a block as well, opens a range."""
MAX_BLOCK_DOCUMENTS = 1 << 20
"""No release had larger blocks."""
MAX_COUNT = 1 << 53
"""Nothing is counted further."""
EMPTY_EPOCHS = 64
"""So many epochs' worth of ranges without a training document mean that there is none left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanePosition:
    """How far a lane has come: enough to make all further sequences."""

    opened: int
    """Ranges opened since the beginning of training, when the block was begun."""
    open: tuple[tuple[int, int], ...]
    """The ranges open at that time: number in the lane's own sequence, and next row. An ended one has ENDED."""
    drawn: int
    """Documents drawn by the time that the block was begun."""
    document: int
    """Documents of the block that are completely in sequences already."""
    representation: int
    """How that document is encoded, if it was begun."""
    offset: int
    """Ids of that document that are in earlier sequences."""

    def to_json(self) -> list[Any]:
        """The position as nested lists of integers."""
        ranges = [list(pair) for pair in self.open]
        return [self.opened, ranges, self.drawn, self.document, self.representation, self.offset]

    @classmethod
    def from_json(cls, value: Any) -> LanePosition:
        """The inverse of `to_json`; ValueError or TypeError for anything else, also for what no lane can come to."""
        opened, ranges, drawn, document, representation, offset = value
        pairs = tuple((number, row) for number, row in ranges)
        for name, number, end in (
            ("ranges opened", opened, MAX_COUNT),
            ("documents drawn", drawn, MAX_COUNT),
            ("document", document, MAX_BLOCK_DOCUMENTS + 1),
            ("representation", representation, len(REPRESENTATIONS)),
            ("offset", offset, MAX_COUNT),
            *(("number of a range", number, opened) for number, _ in pairs if number != ENDED),
            *(("row", row, MAX_COUNT) for _, row in pairs),
        ):
            if type(number) is not int or not 0 <= number < end:
                raise ValueError(f"{name} is {number!r}, not a number from 0 to {end - 1}")
        return cls(
            opened=opened, open=pairs, drawn=drawn, document=document, representation=representation, offset=offset
        )


class Lane:
    """One lane: an endless stream of sequences."""

    def __init__(
        self, dataset: Dataset, ranges: RowRanges, *, lane: int, interleave: int, position: LanePosition | None = None
    ) -> None:
        self._dataset, self._ranges = dataset, ranges
        self._draw_key = key(ranges.seed, Purpose.INTERLEAVE, lane)
        self._slots = [Slot(dataset, ranges, lane) for _ in range(interleave)]
        self._opened = self._drawn = 0
        self._cursor = Cursor()
        if position is not None:
            self._opened, self._drawn = position.opened, position.drawn
            self._cursor = Cursor(position.document, position.representation, position.offset)
            if len(position.open) != interleave:
                raise SettingsError(f"lane {lane} has {len(position.open)} open ranges, not {interleave}: {DAMAGED}")
            for slot, (number, row) in zip(self._slots, position.open, strict=True):
                if number != ENDED:
                    slot.open(number, row)
        self._block: PackedDocuments | None = None
        self._provenance: Provenance | None = None
        self._mark_block()

    @property
    def position(self) -> LanePosition:
        """How far the lane has come with the last sequence."""
        opened, ranges, drawn = self._block_start
        document, representation, offset = self._cursor
        return LanePosition(
            opened=opened, open=ranges, drawn=drawn, document=document, representation=representation, offset=offset
        )

    def fill(self, sequences: PackedSequences, index: int, choice: Choice, listing: np.ndarray) -> np.ndarray:
        """Fill one sequence, with documents that begin in it encoded by `choice`.

        `listing` is room for `pack_sequence`. Returns int64 [documents in the sequence, 4]: epoch, shard, row in the
        shard and representation of each.
        """
        column = number = 0
        pieces = []
        while column < sequences.ids.shape[1]:
            if self._block is None:
                self._block, self._provenance = self._next_block()
            block, provenance = self._block, self._provenance
            assert provenance is not None
            try:
                self._cursor, column, number, count = pack_sequence(
                    block, self._cursor, choice, sequences, index=index, column=column, number=number, listing=listing
                )
            except ValueError as error:  # Only the position of a checkpoint can lead there.
                raise SettingsError(f"{error}: {DAMAGED}") from error
            documents, representations = listing[:count, 0], listing[:count, 1].copy()
            places = (provenance.epochs[documents], provenance.shards[documents], provenance.rows[documents])
            pieces.append(np.stack((*places, representations), 1))
            # A position from a run with larger blocks may lie in a later one, hence not simply document 0.
            if self._cursor.document >= block.size:
                self._cursor = self._cursor._replace(document=self._cursor.document - block.size)
                self._block = None
                self._mark_block()
        return np.concatenate(pieces)

    def _mark_block(self) -> None:
        """Note the state in which the next block is begun."""
        self._block_start = (self._opened, tuple((slot.number, slot.row) for slot in self._slots), self._drawn)

    def _next_block(self) -> tuple[PackedDocuments, Provenance]:
        """The next documents: up to the limits, and until a slot must read more."""
        for slot in self._slots:
            self._refill(slot)
        numbers = np.arange(self._drawn, self._drawn + BLOCK_DOCUMENTS, dtype=np.uint64)
        drawn = (draws(self._draw_key, numbers) % np.uint64(len(self._slots))).astype(np.int64)
        counts = np.bincount(drawn, minlength=len(self._slots)).tolist()
        # One more than is drawn shows whether the slot has a further document.
        waiting = [slot.peek(count + 1) for slot, count in zip(self._slots, counts, strict=True)]
        chosen = choose(drawn, [documents.raw_bytes + documents.symbols for documents in waiting], BLOCK_BYTES)
        counts = np.bincount(chosen, minlength=len(self._slots)).tolist()
        taken = [slot.take(count) for slot, count in zip(self._slots, counts, strict=True)]
        self._drawn += len(chosen)
        return build(chosen, taken, self._ranges.seed)

    def _refill(self, slot: Slot) -> None:
        """Read until the slot has a document to give; DatasetError where no range has one."""
        first_opened = self._opened
        while not slot.waiting:
            if slot.number == ENDED:
                if self._opened - first_opened > EMPTY_EPOCHS * len(self._ranges):
                    raise DatasetError(
                        f"{self._dataset.location} has no document left to train on: hold out a smaller share"
                    )
                slot.open(self._opened)
                self._opened += 1
            slot.read()
