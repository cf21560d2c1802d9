"""Rows of Arrow record batches as plain dicts, a few MiB at a time. Parquet and Arrow files share this."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pat

from pipeline.storage.open import BrokenInputError

SLICE_BYTES = 8 << 20
MAX_SLICE_ROWS = 4096


DAMAGE = (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, struct.error)
"""What pyarrow, and our own look at Arrow's headers, raise for damaged files: names that are not UTF-8 among it."""


class Row(NamedTuple):
    """One row, or the end of what can be read of a row group, batch or file."""

    position: int
    """Row index in the file."""
    fields: dict[str, Any]
    """The wanted columns; strings and binary as bytes, the rest as Python values."""
    names: Sequence[str]
    """All columns of the file."""
    broken: BrokenInputError | None = None


def slice_rows(rows: int, size_bytes: int) -> int:
    """How many rows make about SLICE_BYTES, if `rows` of them are `size_bytes`."""
    return max(1, min(MAX_SLICE_ROWS, SLICE_BYTES * rows // max(size_bytes, 1)))


def batch_rows(batch: pa.RecordBatch, position: int, wanted: Sequence[str], names: Sequence[str]) -> Iterator[Row]:
    """The rows of `batch`, whose first one is row `position` of the file. One of DAMAGE on broken buffers."""
    present = batch.schema.names
    columns = {name: _as_binary(batch.column(present.index(name))) for name in wanted}
    step = slice_rows(batch.num_rows, sum(column.nbytes for column in columns.values()))
    for start in range(0, batch.num_rows, step):
        values = [_values(column.slice(start, step)) for column in columns.values()]
        rows = zip(*values, strict=True) if values else iter([()] * min(step, batch.num_rows - start))
        for i, row in enumerate(rows, position + start):
            yield Row(i, dict(zip(columns, row, strict=True)), names)


def _as_binary(column: pa.Array) -> pa.Array:
    """String columns as binary ones over the same buffers, for their bytes need not be UTF-8; then checked whole."""
    if pat.is_dictionary(column.type):
        values = _as_binary(column.dictionary)
        column = pa.DictionaryArray.from_arrays(column.indices, values)
    elif pat.is_string(column.type):
        column = column.cast(pa.binary())
    elif pat.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    elif pat.is_string_view(column.type):
        column = column.cast(pa.binary_view())
    column.validate(full=True)
    return column


def _values(column: pa.Array) -> list[Any]:
    """Python values of strings, binary, numbers and nulls; anything else as scalars of Arrow's own, for to_pylist fails
    on times that Python cannot hold."""
    column = column.dictionary_decode() if pat.is_dictionary(column.type) else column
    kinds = (pat.is_null, pat.is_boolean, pat.is_integer, pat.is_floating, pat.is_binary, pat.is_large_binary)
    plain = any(is_kind(column.type) for is_kind in (*kinds, pat.is_binary_view))
    return column.to_pylist() if plain else list(column)
