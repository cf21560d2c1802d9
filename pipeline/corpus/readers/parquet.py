"""Parquet files by row groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.readers.columns import DAMAGE, Row, batch_rows, slice_rows
from pipeline.storage.open import BrokenInputError, open_arrow, raise_if_transient
from schemas.errors import one_line

PARQUET_MAGIC = b"PAR1"
READ_BYTES = 1 << 20
"""Column chunks are read in steps of this, so that memory does not grow with the row group."""


def row_group_bytes(path: str) -> list[int]:
    """Decoded bytes of each row group; none if the file is damaged.

    The stored bytes are recorded with the columns, but pyarrow 25 ends the process when it is asked for the columns of
    a footer whose statistics are damaged.
    """
    try:
        with open_arrow(path) as source, _open(source) as file:
            return [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
    except (BrokenInputError, *DAMAGE) as error:
        raise_if_transient(error)
        return []


def parquet_rows(
    path: str, start: int, end: int | None, choose: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[Row]:
    """The rows of row groups [start, end); `choose` takes the column names and returns the wanted ones.

    A row group that breaks gives its rows before the break and then one broken row; the next ones are read.
    """
    with open_arrow(path) as source, _open(source) as file:
        names = file.schema_arrow.names
        wanted = choose(names)
        groups = range(file.num_row_groups)[start:end]
        position = sum(file.metadata.row_group(i).num_rows for i in range(groups.start))
        all_rows = sum(file.metadata.row_group(i).num_rows for i in groups)
        for group in groups:
            yield from _group_rows(file, group, position, wanted, names, all_rows)
            position += file.metadata.row_group(group).num_rows


def _open(source: Any) -> pq.ParquetFile:
    """Open a Parquet file; BrokenInputError if it is none, or has lost its end, which holds the index."""
    try:
        return pq.ParquetFile(source, buffer_size=READ_BYTES, pre_buffer=False, page_checksum_verification=True)
    except DAMAGE as error:
        raise_if_transient(error)
        source.seek(0)
        head = source.read(len(PARQUET_MAGIC))
        raise BrokenInputError("truncated" if head == PARQUET_MAGIC else "unreadable", one_line(error)) from error


def _group_rows(
    file: pq.ParquetFile, group: int, first: int, wanted: Sequence[str], names: Sequence[str], all_rows: int
) -> Iterator[Row]:
    """The rows of one row group, whose first one is row `first` of the file; `all_rows` are read with it."""
    metadata = file.metadata.row_group(group)
    done = 0
    # Rows that share a batch with a broken page are read again one by one.
    for max_rows in (slice_rows(metadata.num_rows, metadata.total_byte_size), 1):
        try:
            batches = file.iter_batches(max_rows, row_groups=[group], columns=list(wanted), use_threads=False)
            for batch in _skip_rows(batches, done):
                for row in batch_rows(batch, first + done, wanted, names):
                    yield row
                    done += 1
            return
        except DAMAGE as error:
            raise_if_transient(error)
            lost_rows = metadata.num_rows - done
            lost = f"row group {group}: {lost_rows} of {metadata.num_rows} rows lost: {one_line(error)}"
            broken = BrokenInputError("truncated", lost, lost_rows / max(all_rows, 1))
    yield Row(first + done, {}, names, broken)


def _skip_rows(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first `count` rows."""
    for batch in batches:
        if batch.num_rows > count:
            yield batch.slice(count)
        count = max(count - batch.num_rows, 0)
