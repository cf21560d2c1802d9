"""Shards: the columns of an Arrow IPC file, and the way between them and flat arrays.

One row is one document:

    doc_id                     source                   language               raw
    string                     dictionary<string>       dictionary<string>     large_binary
    "9f86d081884c7d65"         "json/decoder.py"        "python"               b'import re\\n...'

    neural (one struct column per compressor, named after it)                  entropy (optional)
    symbols      window_bytes   segment_symbols                                list<float32>, bits per byte
    list<u16>    list<u8>       list<u8>
    [51, 904]    [6, 4]         [1, 1]

What a compressor's struct holds is its layout (`schemas.encodings`). No column holds nulls. Record batches are checked
when they are read (`read_batch`), so that nothing behind it meets an offset that leads astray. What a change of any of
this asks for is written in CHANGES.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.batches import Documents
from schemas.encodings import EncodingLayout, is_encoding_type, refuse_nulls
from schemas.errors import DatasetError, FormatVersionError, one_line

FORMAT_VERSION = 2
FORMAT_VERSION_KEY = b"format_version"

DOC_ID, SOURCE, LANGUAGE, RAW, ENTROPY = "doc_id", "source", "language", "raw", "entropy"
DOCUMENT_COLUMNS = (DOC_ID, SOURCE, LANGUAGE, RAW)
DICTIONARY_COLUMNS = (SOURCE, LANGUAGE)
_LABEL = pa.dictionary(pa.int32(), pa.string())
DOCUMENT_TYPES = {DOC_ID: pa.string(), SOURCE: _LABEL, LANGUAGE: _LABEL, RAW: pa.large_binary()}
ENTROPY_TYPE = pa.list_(pa.float32())

SHARD_PATTERN = "shard-*-of-*.arrow"


def shard_name(index: int, total: int) -> str:
    """The file name of shard `index` of `total`; sorting names sorts shards."""
    assert 0 <= index < total <= 99999, (index, total)
    return f"shard-{index:05d}-of-{total:05d}.arrow"


def shard_schema(layouts: Mapping[str, EncodingLayout], entropy: bool) -> pa.Schema:
    """The schema of a shard with one column for each compressor, in the order given."""
    assert not {*DOCUMENT_COLUMNS, ENTROPY} & set(layouts), f"a compressor has a column's name: {[*layouts]}"
    fields = [*DOCUMENT_TYPES.items(), *((name, layout.column_type) for name, layout in layouts.items())]
    fields += [(ENTROPY, ENTROPY_TYPE)] * entropy
    return pa.schema(fields, metadata={FORMAT_VERSION_KEY: str(FORMAT_VERSION)})


def compressor_names(schema: pa.Schema) -> list[str]:
    """The names of the compressor columns of a shard's schema, in its order."""
    return [field.name for field in schema if is_encoding_type(field.type)]


def open_shard(path: str | Path, columns: Sequence[str] | None = None) -> pa.ipc.RecordBatchFileReader:
    """A memory-mapped reader of a local shard; DatasetError where `path` is not a whole shard.

    columns: those of the shard that its batches will have; the others are not even decompressed. None: all.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"shard {path} does not exist: finish the dataset with the command that began it")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"shard {path} is not a whole Arrow IPC file ({one_line(error)}): write it again") from error
    missing = [name for name in DOCUMENT_COLUMNS if name not in reader.schema.names]
    if missing:
        raise DatasetError(f"{path} has no column {missing[0]!r}, so it is no shard; it has {reader.schema.names}")
    version = (reader.schema.metadata or {}).get(FORMAT_VERSION_KEY, b"none").decode(errors="replace")
    if version != str(FORMAT_VERSION):
        raise FormatVersionError(
            f"shard {path} has format version {version}, this program reads {FORMAT_VERSION}: "
            "read it with the release that wrote it, or write it again"
        )
    twice = [name for name in reader.schema.names if reader.schema.names.count(name) > 1]
    if twice:
        raise DatasetError(f"shard {path} has column {twice[0]!r} twice: write it again")
    for field in reader.schema:
        expected = {**DOCUMENT_TYPES, ENTROPY: ENTROPY_TYPE}.get(field.name)
        if field.type != expected if expected else not is_encoding_type(field.type):
            raise DatasetError(f"column {field.name!r} of {path} is {field.type}, which no shard holds: write it again")
    if columns is None:
        return reader
    options = pa.ipc.IpcReadOptions(included_fields=[reader.schema.names.index(name) for name in columns])
    return pa.ipc.open_file(pa.memory_map(str(path)), options=options)


def read_batch(reader: pa.ipc.RecordBatchFileReader, index: int, path: str | Path) -> pa.RecordBatch:
    """Record batch `index` of a reader from `open_shard`, checked; DatasetError that names `path` where it is damaged.

    Checked is what Arrow takes on trust: that offsets rise and stay within their values, that text is UTF-8, that
    dictionary codes have values, and that buffers are as long as they should be.
    """
    try:
        batch = reader.get_batch(index)
        batch.validate(full=True)
        return batch
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"shard {path} is damaged in record batch {index} ({one_line(error)}): write it again"
        ) from error


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
    refuse_nulls(array, RAW)
    if not len(array):
        return Documents(raw=np.empty(0, np.uint8), offsets=np.zeros(1, np.int64))
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(array) + 1, 8 * array.offset)
    size = int(offsets[-1] - offsets[0])
    raw = np.frombuffer(data, np.uint8, size, int(offsets[0])) if size else np.empty(0, np.uint8)
    return Documents(raw=raw, offsets=offsets - offsets[0] if offsets[0] else offsets)
