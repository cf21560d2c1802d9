"""Shards: the columns of an Arrow IPC file, and the way between them and flat arrays.

One row is one document:

    doc_id                     source                   language               raw
    string                     dictionary<string>       dictionary<string>     large_binary
    "9f86d081884c7d65"         "json/decoder.py"        "python"               b'import re\\n...'

    neural (one struct column per compressor, named after it)                  entropy (optional)
    symbols      raw_ends     symbol_ends   window_ends                        list<float32>, bits per byte
    list<u16>    list<u32>    list<u32>     list<u32>, neural only
    [51, 904]    [6, 10]      [1, 2]        [6, 10]

`raw_ends` and `symbol_ends` are the cumulative ends of the segments, `window_ends` the raw end of every
window; all three count from the beginning of their document. No column holds nulls. What a change of any of
this asks for is written in CHANGES.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.batches import Documents, Encoding
from schemas.errors import DatasetError, FormatVersionError

FORMAT_VERSION = 1
FORMAT_VERSION_KEY = b"format_version"

DOC_ID, SOURCE, LANGUAGE, RAW, ENTROPY = "doc_id", "source", "language", "raw", "entropy"
DOCUMENT_COLUMNS = (DOC_ID, SOURCE, LANGUAGE, RAW)
DICTIONARY_COLUMNS = (SOURCE, LANGUAGE)
SYMBOLS, RAW_ENDS, SYMBOL_ENDS, WINDOW_ENDS = "symbols", "raw_ends", "symbol_ends", "window_ends"

SHARD_PATTERN = "shard-*-of-*.arrow"


def shard_name(index: int, total: int) -> str:
    """The file name of shard `index` of `total`; sorting names sorts shards."""
    assert 0 <= index < total <= 99999, (index, total)
    return f"shard-{index:05d}-of-{total:05d}.arrow"


def compressor_type(symbol_dtype: np.dtype, windows: bool) -> pa.StructType:
    """The struct type of a compressor's column; `symbol_dtype` is uint16 or uint32."""
    symbol = pa.from_numpy_dtype(symbol_dtype)
    assert symbol in (pa.uint16(), pa.uint32()), symbol
    ends = pa.list_(pa.uint32())
    fields = [(SYMBOLS, pa.list_(symbol)), (RAW_ENDS, ends), (SYMBOL_ENDS, ends)]
    return pa.struct(fields + [(WINDOW_ENDS, ends)] * windows)


def shard_schema(compressors: Mapping[str, pa.StructType], entropy: bool) -> pa.Schema:
    """The schema of a shard; compressor columns stand in the order given."""
    assert not {*DOCUMENT_COLUMNS, ENTROPY} & set(compressors), f"a compressor has a column's name: {[*compressors]}"
    label = pa.dictionary(pa.int32(), pa.string())
    fields = [(DOC_ID, pa.string()), (SOURCE, label), (LANGUAGE, label), (RAW, pa.large_binary())]
    fields += [*compressors.items()] + [(ENTROPY, pa.list_(pa.float32()))] * entropy
    return pa.schema(fields, metadata={FORMAT_VERSION_KEY: str(FORMAT_VERSION)})


def compressor_names(schema: pa.Schema) -> list[str]:
    """The names of the compressor columns of a shard's schema, in its order."""
    return [
        field.name for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index(SYMBOLS) >= 0
    ]


def open_shard(path: str | Path) -> pa.ipc.RecordBatchFileReader:
    """A memory-mapped reader of a local shard; DatasetError where `path` is not a whole shard."""
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"shard {path} does not exist: finish the dataset with the command that began it")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"shard {path} is not a whole Arrow IPC file ({reason}): write it again") from error
    missing = [name for name in DOCUMENT_COLUMNS if name not in reader.schema.names]
    if missing:
        raise DatasetError(f"{path} has no column {missing[0]!r}, so it is no shard; it has {reader.schema.names}")
    version = (reader.schema.metadata or {}).get(FORMAT_VERSION_KEY, b"none").decode(errors="replace")
    if version != str(FORMAT_VERSION):
        raise FormatVersionError(
            f"shard {path} has format version {version}, this program reads {FORMAT_VERSION}: "
            "read it with the release that wrote it, or write it again"
        )
    return reader


def read_batch(reader: pa.ipc.RecordBatchFileReader, index: int, path: str | Path) -> pa.RecordBatch:
    """Record batch `index` of a reader from `open_shard`; DatasetError that names `path` where it is damaged."""
    try:
        return reader.get_batch(index)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"shard {path} is damaged in record batch {index} ({reason}): write it again") from error


def record_batches(reader: pa.ipc.RecordBatchFileReader, path: str | Path) -> Iterator[pa.RecordBatch]:
    """All record batches of a reader from `open_shard`, in order; errors as `read_batch`."""
    return (read_batch(reader, index, path) for index in range(reader.num_record_batches))


def documents_array(documents: Documents) -> pa.LargeBinaryArray:
    """n documents as large_binary [n], over the same memory."""
    offsets = np.ascontiguousarray(documents.offsets, np.int64)
    raw = np.ascontiguousarray(documents.raw, np.uint8)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(documents), [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    )


def documents_from_array(array: pa.LargeBinaryArray) -> Documents:
    """The documents of a large_binary [n], slices included; raw is over the same memory."""
    _refuse_nulls(array, RAW)
    if not len(array):
        return Documents(raw=np.empty(0, np.uint8), offsets=np.zeros(1, np.int64))
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(array) + 1, 8 * array.offset)
    size = int(offsets[-1] - offsets[0])
    raw = np.frombuffer(data, np.uint8, size, int(offsets[0])) if size else np.empty(0, np.uint8)
    return Documents(raw=raw, offsets=offsets - offsets[0] if offsets[0] else offsets)


def list_array(values: np.ndarray, offsets: np.ndarray) -> pa.ListArray:
    """list [n] of values[offsets[i]:offsets[i + 1]], over the same values; offsets are int64 [n + 1]."""
    assert offsets[-1] - offsets[0] < 1 << 31, "a record batch holds fewer than 2**31 list items"
    own = np.ascontiguousarray(values[offsets[0] : offsets[-1]])
    items = pa.Array.from_buffers(pa.from_numpy_dtype(own.dtype), len(own), [None, pa.py_buffer(own)])
    return pa.ListArray.from_arrays(pa.array((offsets - offsets[0]).astype(np.int32)), items)


def list_parts(array: pa.ListArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `list_array`: values over the same memory, and int64 offsets that begin at 0. Slices included."""
    _refuse_nulls(array, name)
    offsets = np.asarray(array.offsets).astype(np.int64) if len(array) else np.zeros(1, np.int64)
    values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    _refuse_nulls(values, name)
    return values.to_numpy(zero_copy_only=True), offsets - offsets[0]


def encoding_array(encoding: Encoding) -> pa.StructArray:
    """The encoding of n documents as a struct [n] of `compressor_type`; values stay in the same memory."""
    columns = {
        SYMBOLS: list_array(encoding.symbols, encoding.symbol_offsets),
        RAW_ENDS: list_array(encoding.raw_ends, encoding.segment_offsets),
        SYMBOL_ENDS: list_array(encoding.symbol_ends, encoding.segment_offsets),
    }
    if encoding.window_ends is not None:
        columns[WINDOW_ENDS] = list_array(encoding.window_ends, encoding.symbol_offsets)
    windows = encoding.window_ends is not None
    fields = [*compressor_type(encoding.symbols.dtype, windows)]
    return pa.StructArray.from_arrays(list(columns.values()), fields=fields)


def encoding_from_array(array: pa.StructArray) -> Encoding:
    """The inverse of `encoding_array`, slices included; DatasetError where the columns contradict each other."""
    _refuse_nulls(array, "compressor")
    symbols, symbol_offsets = list_parts(array.field(SYMBOLS), SYMBOLS)
    raw_ends, segment_offsets = list_parts(array.field(RAW_ENDS), RAW_ENDS)
    symbol_ends, other_offsets = list_parts(array.field(SYMBOL_ENDS), SYMBOL_ENDS)
    _refuse_difference(segment_offsets, other_offsets, RAW_ENDS, SYMBOL_ENDS)
    window_ends = None
    if array.type.get_field_index(WINDOW_ENDS) >= 0:
        window_ends, other_offsets = list_parts(array.field(WINDOW_ENDS), WINDOW_ENDS)
        _refuse_difference(symbol_offsets, other_offsets, SYMBOLS, WINDOW_ENDS)
    return Encoding(
        symbols=symbols,
        symbol_offsets=symbol_offsets,
        raw_ends=raw_ends,
        symbol_ends=symbol_ends,
        segment_offsets=segment_offsets,
        window_ends=window_ends,
    )


def _refuse_nulls(array: pa.Array, name: str) -> None:
    if array.null_count:
        raise DatasetError(f"column {name!r} holds {array.null_count} nulls, a shard holds none: write it again")


def _refuse_difference(offsets: np.ndarray, other: np.ndarray, name: str, other_name: str) -> None:
    if not np.array_equal(offsets, other):
        raise DatasetError(f"columns {name!r} and {other_name!r} differ in length within a document: write it again")
