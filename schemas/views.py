"""Views of a shard: the same buffers, other rows.

    raw_view      one row per document   doc_id  source  language  raw
    comp_view     one row per document   doc_id  symbols  raw_ends  symbol_ends  [window_ends]    ends are computed
    paired_view   one row per segment    doc_id  segment  raw  symbols
    window_view   one row per window     doc_id  segment  window  raw  symbol

Text and symbols are never copied: the documents of a batch lie end to end, and so do their segments and
windows, so a row is two offsets into the shard's own buffers. Collisions in pandas:

    pairs = paired_view(pa.ipc.open_file(path).read_all(), "neural").to_pandas()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa

from schemas.batches import Documents, Encoding
from schemas.encodings import SYMBOLS, WINDOW_BYTES, encoding_of, list_array
from schemas.errors import DatasetError
from schemas.shards import DOC_ID, DOCUMENT_COLUMNS, RAW, compressor_names, documents_array, documents_from_array

SEGMENT, WINDOW, SYMBOL = "segment", "window", "symbol"
RAW_ENDS, SYMBOL_ENDS, WINDOW_ENDS = "raw_ends", "symbol_ends", "window_ends"
REPEATED_DOC_ID = pa.dictionary(pa.int32(), pa.string())
ENDS = pa.list_(pa.uint32())

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def raw_view(rows: Rows) -> Rows:
    """The documents and where they came from, as the kind of `rows`: a table or a record batch."""
    for name in DOCUMENT_COLUMNS:
        _refuse_missing(rows.schema, name)
    return rows.select(list(DOCUMENT_COLUMNS))


def comp_view(rows: Rows, compressor: str) -> Rows:
    """The documents in the encoding of `compressor`: symbols, and where segments and windows end.

    `raw_ends` and `symbol_ends` are the cumulative ends of the segments in raw bytes and in symbols, `window_ends`, for
    compressors with windows, those of the symbols in raw bytes. All count from the beginning of their document.
    """
    struct = _compressor_field(rows.schema, compressor).type
    names: list[str] = [RAW_ENDS, SYMBOL_ENDS] + [WINDOW_ENDS] * _has_windows(struct)
    fields = [(DOC_ID, pa.string()), (SYMBOLS, struct.field(SYMBOLS).type), *((name, ENDS) for name in names)]
    schema = pa.schema(fields)

    def view(batch: pa.RecordBatch) -> pa.RecordBatch:
        encoding = encoding_of(batch, compressor, documents_from_array(batch.column(RAW)))
        ends: list[tuple[np.ndarray, np.ndarray]] = [
            (encoding.raw_ends, encoding.segment_offsets),
            (encoding.symbol_ends, encoding.segment_offsets),
        ]
        if encoding.window_ends is not None:
            ends.append((encoding.window_ends, encoding.symbol_offsets))
        columns = [batch.column(DOC_ID), batch.column(compressor).field(SYMBOLS), *(list_array(*each) for each in ends)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    return view(rows) if isinstance(rows, pa.RecordBatch) else _per_batch(rows, schema, view)


def paired_view(rows: pa.Table | pa.RecordBatch, compressor: str) -> pa.Table:
    """One row per segment: its document, its index there (uint32), its bytes and its symbols."""
    symbols = _compressor_field(rows.schema, compressor).type.field(SYMBOLS).type
    schema = pa.schema(
        [(DOC_ID, REPEATED_DOC_ID), (SEGMENT, pa.uint32()), (RAW, pa.large_binary()), (SYMBOLS, symbols)]
    )

    def view(batch: pa.RecordBatch) -> pa.RecordBatch:
        documents = documents_from_array(batch.column(RAW))
        encoding = encoding_of(batch, compressor, documents)
        counts = np.diff(encoding.segment_offsets)
        columns = [
            _repeated(batch.column(DOC_ID), counts),
            pa.array(_indices_within(counts).astype(np.uint32)),
            _pieces(documents, encoding.raw_ends, encoding.segment_offsets),
            list_array(encoding.symbols, _symbol_bounds(encoding)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    return _per_batch(rows, schema, view)


def window_view(rows: pa.Table | pa.RecordBatch, compressor: str = "neural") -> pa.Table:
    """One row per window: document, segment in it, index in the segment (uint32), bytes, symbol."""
    struct = _compressor_field(rows.schema, compressor).type
    if not _has_windows(struct):
        present = windowed_names(rows.schema)
        raise DatasetError(f"compressor {compressor!r} has no windows; those of this shard that have: {present}")
    symbol = struct.field(SYMBOLS).type.value_type
    uint32 = pa.uint32()
    schema = pa.schema(
        [(DOC_ID, REPEATED_DOC_ID), (SEGMENT, uint32), (WINDOW, uint32), (RAW, pa.large_binary()), (SYMBOL, symbol)]
    )

    def view(batch: pa.RecordBatch) -> pa.RecordBatch:
        documents = documents_from_array(batch.column(RAW))
        encoding = encoding_of(batch, compressor, documents)
        assert encoding.window_ends is not None, compressor
        windows = np.diff(_symbol_bounds(encoding))
        segments = _indices_within(np.diff(encoding.segment_offsets)).astype(np.uint32)
        columns = [
            _repeated(batch.column(DOC_ID), np.diff(encoding.symbol_offsets)),
            pa.array(np.repeat(segments, windows)),
            pa.array(_indices_within(windows).astype(np.uint32)),
            _pieces(documents, encoding.window_ends, encoding.symbol_offsets),
            pa.array(encoding.symbols),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    return _per_batch(rows, schema, view)


def windowed_names(schema: pa.Schema) -> list[str]:
    """The names of the compressors of a shard whose symbols are windows."""
    return [name for name in compressor_names(schema) if _has_windows(schema.field(name).type)]


def _has_windows(column_type: pa.StructType) -> bool:
    return column_type.get_field_index(WINDOW_BYTES) >= 0


def _per_batch(
    rows: pa.Table | pa.RecordBatch, schema: pa.Schema, view: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> pa.Table:
    batches = [rows] if isinstance(rows, pa.RecordBatch) else rows.to_batches()
    return pa.Table.from_batches([view(batch) for batch in batches], schema=schema)


def _refuse_missing(schema: pa.Schema, name: str) -> None:
    if name not in schema.names:
        raise DatasetError(f"these rows have no column {name!r}, only {schema.names}: read all columns of a shard")


def _compressor_field(schema: pa.Schema, compressor: str) -> pa.Field:
    """The field of `compressor`; DatasetError that names those present."""
    _refuse_missing(schema, DOC_ID)
    _refuse_missing(schema, RAW)
    present = compressor_names(schema)
    if compressor not in present:
        has_struct = compressor in schema.names and pa.types.is_struct(schema.field(compressor).type)
        if has_struct and schema.field(compressor).type.get_field_index(SYMBOLS) >= 0:
            kind = schema.field(compressor).type
            raise DatasetError(f"column {compressor!r} is {kind}, which no shard holds: read it as it was written")
        raise DatasetError(f"no compressor {compressor!r} in this shard: choose one of {present}")
    return schema.field(compressor)


def _repeated(doc_ids: pa.StringArray, counts: np.ndarray) -> pa.DictionaryArray:
    """doc_ids[i], counts[i] times; the strings stay where they are."""
    indices = np.repeat(np.arange(len(doc_ids), dtype=np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(indices), doc_ids)


def _indices_within(counts: np.ndarray) -> np.ndarray:
    """0 .. counts[0] - 1, 0 .. counts[1] - 1, and so on: int64 [sum of counts]."""
    starts = np.cumsum(counts) - counts
    return np.arange(counts.sum()) - np.repeat(starts, counts)


def _bounds(outer: np.ndarray, ends: np.ndarray, end_offsets: np.ndarray) -> np.ndarray:
    """int64 [n_pieces + 1] bounds in the flat run, from ends that count within each document.

    outer int64 [n + 1]: the bounds of the documents; ends [n_pieces], of which document i has
    end_offsets[i]:end_offsets[i + 1] and is filled by them, as `encoding_of` has checked.
    """
    counts = np.diff(end_offsets)
    bounds = np.empty(len(ends) + 1, np.int64)
    bounds[0] = outer[0]
    np.add(np.repeat(outer[:-1], counts), ends, out=bounds[1:])
    return bounds


def _symbol_bounds(encoding: Encoding) -> np.ndarray:
    """int64 [n_segments + 1]: bounds of the segments in the flat run of symbols."""
    return _bounds(encoding.symbol_offsets, encoding.symbol_ends, encoding.segment_offsets)


def _pieces(documents: Documents, ends: np.ndarray, end_offsets: np.ndarray) -> pa.LargeBinaryArray:
    """The bytes of every segment or window, over the memory of the documents."""
    return documents_array(Documents(raw=documents.raw, offsets=_bounds(documents.offsets, ends, end_offsets)))
