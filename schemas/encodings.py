"""One compressor's column of a shard, and the way between it and flat arrays.

A struct with `symbols` and the lengths that do not follow from anything else, each a list with one item per symbol or
per segment, of the smallest unsigned type that always suffices:

    neural       symbols u16   window_bytes u8    segment_symbols u8   windows tell the bytes of their segments
    tokenizer    symbols u16   segment_bytes u8                        each segment has one symbol
    token_bytes  symbols u8    segment_bytes u8                        each segment has as many symbols as any other
    gzip         symbols u8                                            a document is one segment

Lengths, since cumulative ends hardly compress. In memory an `Encoding` has ends. Whatever is read is checked here,
before anything is indexed by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from schemas.batches import Documents, Encoding
from schemas.errors import DatasetError

SYMBOLS, WINDOW_BYTES, SEGMENT_BYTES, SEGMENT_SYMBOLS = "symbols", "window_bytes", "segment_bytes", "segment_symbols"
LENGTHS = (WINDOW_BYTES, SEGMENT_BYTES, SEGMENT_SYMBOLS)
"""Fields that a compressor's struct may have beside `symbols`, in their order."""

Unsigned = Literal["uint8", "uint16", "uint32"]
UNSIGNED_TYPES = (pa.uint8(), pa.uint16(), pa.uint32())


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodingLayout:
    """The fields of a compressor's column, by the names of their types."""

    symbols: Unsigned
    window_bytes: Unsigned | None = None
    """Raw bytes of each symbol's window; None where symbols have no bytes of their own, or a segment each."""
    segment_bytes: Unsigned | None = None
    """Raw bytes of each segment; None where windows tell, or where a document is one segment."""
    segment_symbols: Unsigned | None = None
    """Symbols of each segment; None where all have as many, or where a document is one segment."""

    @property
    def has_windows(self) -> bool:
        """Whether every symbol has raw bytes of its own within a segment."""
        return self.window_bytes is not None

    @property
    def column_type(self) -> pa.StructType:
        """The Arrow type of the column."""
        types = {SYMBOLS: self.symbols, **{name: getattr(self, name) for name in LENGTHS}}
        return pa.struct([(name, pa.list_(pa.type_for_alias(dtype))) for name, dtype in types.items() if dtype])


def unsigned_for(largest: int) -> Unsigned:
    """The smallest unsigned type that holds 0 … largest."""
    assert 0 <= largest < 1 << 32, largest
    return "uint8" if largest < 1 << 8 else "uint16" if largest < 1 << 16 else "uint32"


def is_encoding_type(column_type: pa.DataType) -> bool:
    """Whether a column of this type is a compressor's of this format version."""
    if not pa.types.is_struct(column_type) or column_type.get_field_index(SYMBOLS) != 0:
        return False
    names = [field.name for field in column_type]
    in_order = names[1:] == [name for name in LENGTHS if name in names]
    both = WINDOW_BYTES in names and (SEGMENT_BYTES in names or SEGMENT_SYMBOLS not in names)
    kinds = (field.type for field in column_type)
    return in_order and not both and all(pa.types.is_list(t) and t.value_type in UNSIGNED_TYPES for t in kinds)


def list_array(values: np.ndarray, offsets: np.ndarray) -> pa.ListArray:
    """list [n] of values[offsets[i]:offsets[i + 1]], over the same values; offsets are int64 [n + 1]."""
    assert offsets[-1] - offsets[0] < 1 << 31, "a record batch holds fewer than 2**31 list items"
    own = np.ascontiguousarray(values[offsets[0] : offsets[-1]])
    items = pa.Array.from_buffers(pa.from_numpy_dtype(own.dtype), len(own), [None, pa.py_buffer(own)])
    return pa.ListArray.from_arrays(pa.array((offsets - offsets[0]).astype(np.int32)), items)


def list_parts(array: pa.ListArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `list_array`: values over the same memory, and int64 offsets that begin at 0. Slices included."""
    refuse_nulls(array, name)
    offsets = np.asarray(array.offsets).astype(np.int64) if len(array) else np.zeros(1, np.int64)
    values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    refuse_nulls(values, name)
    return values.to_numpy(zero_copy_only=True), offsets - offsets[0]


def encoding_array(encoding: Encoding, column_type: pa.StructType) -> pa.StructArray:
    """The encoding of n documents as a struct [n] of a layout's type; symbols stay in the same memory."""
    symbol_offsets, segment_offsets = encoding.symbol_offsets, encoding.segment_offsets
    columns = []
    for field in column_type:
        values, offsets = encoding.symbols, symbol_offsets
        if field.name != SYMBOLS:
            ends = {
                WINDOW_BYTES: encoding.window_ends, SEGMENT_BYTES: encoding.raw_ends,
                SEGMENT_SYMBOLS: encoding.symbol_ends,
            }[field.name]  # fmt: skip
            assert ends is not None, "a layout with windows needs an encoding with windows"
            offsets = symbol_offsets if field.name == WINDOW_BYTES else segment_offsets
            ends, offsets = ends[offsets[0] : offsets[-1]], offsets - offsets[0]
            values = _lengths(ends, offsets, np.dtype(str(field.type.value_type)), field.name)
        assert pa.from_numpy_dtype(values.dtype) == field.type.value_type, (values.dtype, field)
        columns.append(list_array(values, offsets))
    return pa.StructArray.from_arrays(columns, fields=[*column_type])


def symbols_of(batch: pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of compressor `name`, over the batch's memory, and their offsets int64 [documents + 1]."""
    return list_parts(_column(batch, name).field(SYMBOLS), f"{name}.{SYMBOLS}")


def encoding_of(batch: pa.RecordBatch, name: str, documents: Documents) -> Encoding:
    """The encoding of a batch's documents by compressor `name`; slices of a batch included.

    documents: of the same batch, by `documents_from_array`. DatasetError, which names the column and a document, where
    lengths do not add up to the documents or to their symbols.
    """
    column = _column(batch, name)
    symbols, symbol_offsets = list_parts(column.field(SYMBOLS), f"{name}.{SYMBOLS}")
    lengths = {field.name: list_parts(column.field(field.name), f"{name}.{field.name}") for field in [*column.type][1:]}
    reading = _Reading(batch=batch, name=name, symbol_offsets=symbol_offsets, raw_offsets=documents.offsets)
    window_ends = None
    if WINDOW_BYTES in lengths:
        segment_symbols, segment_offsets = lengths[SEGMENT_SYMBOLS]
        symbol_ends = reading.ends(SEGMENT_SYMBOLS, segment_symbols, segment_offsets, symbol_offsets)
        window_ends = reading.window_ends(*lengths[WINDOW_BYTES])
        last = np.repeat(symbol_offsets[:-1], np.diff(segment_offsets)) + symbol_ends - 1
        raw_ends = window_ends[last]
    elif SEGMENT_BYTES in lengths:
        segment_bytes, segment_offsets = lengths[SEGMENT_BYTES]
        raw_ends = reading.ends(SEGMENT_BYTES, segment_bytes, segment_offsets, documents.offsets, least=0)
        if SEGMENT_SYMBOLS in lengths:
            segment_symbols, own_offsets = lengths[SEGMENT_SYMBOLS]
            reading.refuse(
                np.diff(segment_offsets) != np.diff(own_offsets),
                f"{SEGMENT_SYMBOLS} and {SEGMENT_BYTES} differ in number",
            )
        else:
            segment_symbols = reading.equal_segments(segment_offsets)
        symbol_ends = reading.ends(SEGMENT_SYMBOLS, segment_symbols, segment_offsets, symbol_offsets)
    else:
        segment_offsets = np.arange(len(documents) + 1, dtype=np.int64)
        raw_ends = np.diff(documents.offsets).astype(np.uint32)
        symbol_ends = np.diff(symbol_offsets).astype(np.uint32)
    return Encoding(
        symbols=symbols,
        symbol_offsets=symbol_offsets,
        raw_ends=raw_ends,
        symbol_ends=symbol_ends,
        segment_offsets=segment_offsets,
        window_ends=window_ends,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """One column while it is read: what its lengths must add up to, and whom to name where they do not."""

    batch: pa.RecordBatch
    name: str
    symbol_offsets: np.ndarray
    raw_offsets: np.ndarray

    def refuse(self, wrong: np.ndarray, problem: str) -> None:
        """DatasetError where anything is wrong: bool [documents]."""
        if wrong.any():
            document = int(np.flatnonzero(wrong)[0])
            where = f"document {self.batch['doc_id'][document]}: " if "doc_id" in self.batch.schema.names else ""
            raise DatasetError(f"{where}column {self.name!r}: {problem}: the shard is damaged, write it again")

    def ends(
        self, field: str, lengths: np.ndarray, offsets: np.ndarray, outer: np.ndarray, *, least: int = 1
    ) -> np.ndarray:
        """Ends uint32 within each document of lengths at `offsets`, which must be ≥ `least` and fill it exactly.

        outer: int64 [documents + 1], what they must add up to.
        """
        if lengths.size and int(lengths.min()) < least:
            raise DatasetError(
                f"column {self.name!r}: {field} holds {int(lengths.min())}, the smallest is {least}: "
                "the shard is damaged, write it again"
            )
        bounds = np.zeros(lengths.size + 1, np.int64)
        np.cumsum(lengths, out=bounds[1:])
        sums = bounds[offsets]
        self.refuse(np.diff(sums) != np.diff(outer), f"{field} do not add up to the document")
        return (bounds[1:] - np.repeat(sums[:-1], np.diff(offsets))).astype(np.uint32)

    def window_ends(self, window_bytes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Ends uint32 [symbols] of the windows within each document."""
        self.refuse(np.diff(offsets) != np.diff(self.symbol_offsets), f"{SYMBOLS} and {WINDOW_BYTES} differ in number")
        return self.ends(WINDOW_BYTES, window_bytes, offsets, self.raw_offsets, least=0)

    def equal_segments(self, segment_offsets: np.ndarray) -> np.ndarray:
        """Symbols of each segment, int64 [segments], where all have as many."""
        segments, symbols = int(segment_offsets[-1]), int(self.symbol_offsets[-1])
        each = symbols // max(1, segments)
        self.refuse(
            np.diff(segment_offsets) * each != np.diff(self.symbol_offsets),
            f"{SYMBOLS} are not {each} for each segment",
        )
        return np.full(segments, each, np.int64)


def refuse_nulls(array: pa.Array, name: str) -> None:
    """DatasetError that names a column which holds nulls."""
    if array.null_count:
        raise DatasetError(f"column {name!r} holds {array.null_count} nulls, a shard holds none: write it again")


def _column(batch: pa.RecordBatch, name: str) -> pa.StructArray:
    if name not in batch.schema.names:
        raise DatasetError(f"no column {name!r} among {batch.schema.names}: the shard is damaged, write it again")
    column = batch[name]
    if not is_encoding_type(column.type):
        raise DatasetError(f"column {name!r} is {column.type}, which no shard holds: read it as it was written")
    refuse_nulls(column, name)
    return column


def _lengths(ends: np.ndarray, offsets: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Lengths from ends, uint32, that count within each document, in the type of their column, which holds them.

    In unsigned arithmetic, so an end below the one before it is a length that no column holds.
    """
    lengths = ends.copy()
    lengths[1:] -= ends[:-1]
    heads = offsets[:-1][np.diff(offsets) > 0]
    lengths[heads] = ends[heads]
    assert lengths.max(initial=0) <= np.iinfo(dtype).max, (name, lengths.max())
    return lengths.astype(dtype)
