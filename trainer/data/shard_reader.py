"""One shard through a memory map, a record batch and a few columns at a time.

A shard without buffer compression is never copied: its batches lie in the memory map. Of a zstd shard only the columns
asked for are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.errors import DatasetError
from schemas.manifest import MANIFEST_NAME, ShardEntry
from schemas.shards import DOC_ID, open_shard, read_batch


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class DecodedBatch:
    """A record batch as flat arrays. An encoding that was not asked for is there with no bytes."""

    first_row: int
    """The batch's first row in its shard."""
    raw: np.ndarray
    """uint8 [n_bytes]: the texts, end to end."""
    raw_offsets: np.ndarray
    """int64 [n + 1]: text i is raw[raw_offsets[i]:raw_offsets[i + 1]]."""
    symbols: np.ndarray
    """uint8, uint16 or uint32 [n_symbols]: the compressed encodings, end to end; int32 with `trainer.data.literals`."""
    symbol_offsets: np.ndarray
    """int64 [n + 1]: encoding i is symbols[symbol_offsets[i]:symbol_offsets[i + 1]]."""
    hashes: np.ndarray
    """uint64 [n]: a hash of each doc_id."""
    held_out: np.ndarray
    """bool [n]: whether a document is held out by its doc_id."""

    @property
    def end_row(self) -> int:
        """The first row after the batch, in its shard."""
        return self.first_row + len(self.hashes)

    @property
    def size_bytes(self) -> int:
        """Bytes of text and symbols."""
        return self.raw.nbytes + self.symbols.nbytes


class Reader:
    """One shard, memory-mapped."""

    def __init__(self, path: Path, entry: ShardEntry, starts: np.ndarray | None) -> None:
        self.path = path
        self.names = open_shard(path).schema.names
        self._readers: dict[tuple[str, ...], pa.ipc.RecordBatchFileReader] = {}
        self.starts = self._count() if starts is None else starts
        """int64 [batches + 1]: the first row of every record batch, and the number of rows."""
        if self.starts[-1] != entry.rows:
            raise DatasetError(
                f"shard {path} has {self.starts[-1]} rows, {MANIFEST_NAME} says {entry.rows}: write it again"
            )

    def columns(self, names: list[str], index: int) -> pa.RecordBatch:
        """Some columns of a record batch; the others are not decoded."""
        return read_batch(self._reader(tuple(names)), index, self.path)

    def _count(self) -> np.ndarray:
        """The file's footer does not say how many rows a batch has, so the smallest column is read once."""
        reader = self._reader((DOC_ID,))
        rows = [read_batch(reader, index, self.path).num_rows for index in range(reader.num_record_batches)]
        return np.concatenate(([0], np.cumsum(rows, dtype=np.int64))).astype(np.int64)

    def _reader(self, names: tuple[str, ...]) -> pa.ipc.RecordBatchFileReader:
        if names not in self._readers:
            self._readers[names] = open_shard(self.path, names)
        return self._readers[names]
