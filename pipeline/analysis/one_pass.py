"""One pass over a dataset: every record batch is decoded once, for all that count something in it.

    shards ── record batch ── DecodedBatch ──┬─ add ─► statistics ─┐
                                             ├─ add ─► samples     ├─ result() each, after the last batch
                                             ├─ add ─► collisions  │
                                             └─ add ─► texts       ┘

A collector keeps what it counts and nothing of a batch, so memory is that of one batch and of the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas.batches import Documents, Encoding, lengths_within
from schemas.encodings import encoding_of
from schemas.errors import naming
from schemas.shard_files import KeptShards, open_shards
from schemas.shards import DOC_ID, LANGUAGE, RAW, documents_from_array


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """Lengths of the segments and windows of an encoding, which lie end to end over all documents of a batch."""

    segment_bytes: np.ndarray
    """int64 [n_segments]."""
    segment_symbols: np.ndarray
    """int64 [n_segments]."""
    window_bytes: np.ndarray | None
    """int64 [n_symbols]; None where the compressor has no windows."""


class DecodedBatch:
    """A record batch of a shard, each column decoded when it is first asked for, and kept until the next batch."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._encodings: dict[str, Encoding] = {}
        self._pieces: dict[str, Pieces] = {}

    @cached_property
    def documents(self) -> Documents:
        """Raw bytes of the documents."""
        return documents_from_array(self.rows[RAW])

    @cached_property
    def doc_ids(self) -> list[str]:
        """Ids of the documents."""
        return self.rows[DOC_ID].to_pylist()

    @cached_property
    def languages(self) -> list[str]:
        """Languages of the documents, empty strings where there is none."""
        return self.rows[LANGUAGE].to_pylist()

    def encoding(self, compressor: str) -> Encoding:
        """The documents as encoded by a compressor of the dataset."""
        if compressor not in self._encodings:
            self._encodings[compressor] = encoding_of(self.rows, compressor, self.documents)
        return self._encodings[compressor]

    def pieces(self, compressor: str) -> Pieces:
        """Lengths of segments and windows; DatasetError where those of a document do not add up to it."""
        if compressor not in self._pieces:
            self._pieces[compressor] = _pieces(self.encoding(compressor))
        return self._pieces[compressor]


class Collector(Protocol):
    """Something that is counted batch by batch; each has a method `result()` of its own type."""

    def add(self, batch: DecodedBatch) -> None:
        """Count a batch."""
        ...


def collect(dataset: str, collectors: Sequence[Collector], kept: KeptShards | None = None) -> None:
    """Add every record batch of a finished dataset to every collector; `kept` and DatasetError as in `open_shards`."""
    for rows in open_shards(dataset, kept):
        batch = DecodedBatch(rows)
        with naming(dataset):
            for collector in collectors:
                collector.add(batch)


def _pieces(encoding: Encoding) -> Pieces:
    windows = encoding.window_ends
    return Pieces(
        segment_bytes=lengths_within(encoding.raw_ends, encoding.segment_offsets),
        segment_symbols=lengths_within(encoding.symbol_ends, encoding.segment_offsets),
        window_bytes=None if windows is None else lengths_within(windows, encoding.symbol_offsets),
    )
