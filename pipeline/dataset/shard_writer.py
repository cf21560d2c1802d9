"""Writes one shard, from a stream of documents, in flat memory.

An Arrow IPC file may hold only one dictionary per column, in front of the first record batch, while the values
of `source` and `language` come with the stream (delta dictionaries exist, but polars refuses them). So:

    write()   cut ─► record batches with plain int32 codes ─► spill: memory, then an unnamed temporary file
    close()   spill ─► batch by batch, codes joined to the whole dictionaries ─► the shard, sha256 on the fly

Where a batch ends depends on the sequence of the documents alone, never on how they were grouped into write() calls,
and so do the shard's bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
import pyarrow as pa

from pipeline.dataset.spill import Spill
from schemas.batches import Documents, Encoding
from schemas.encodings import encoding_array, list_array
from schemas.errors import SettingsError
from schemas.shards import (
    DICTIONARY_COLUMNS,
    DOC_ID,
    ENTROPY,
    LANGUAGE,
    RAW,
    SOURCE,
    compressor_names,
    documents_array,
)

BATCH_BYTES = 4 << 20
BATCH_ROWS = 1 << 16
ZSTD_LEVEL = 3
COPY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSummary:
    """What a finished shard holds."""

    rows: int
    raw_bytes: int
    symbols: dict[str, int]
    """Per compressor."""
    segments: dict[str, int]
    """Per compressor."""
    sha256: str
    """Of the file, 64 hex digits."""
    file_bytes: int


class ShardWriter:
    """A context manager; leaving it well closes the shard, leaving it by an exception writes nothing.

    `file` is open for writing: `schemas.files.atomic_file` opens one at a local path, `pipeline.storage.files.create`
    one at any path. It needs no seek, gets its first byte at close(), and stays open.
    """

    def __init__(
        self,
        file: IO[bytes],
        schema: pa.Schema,
        compression: Literal["zstd", "none"] = "zstd",
        spill_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if compression not in ("zstd", "none"):
            raise SettingsError(f"shard compression {compression!r} is not known: choose zstd or none")
        codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL) if compression == "zstd" else None
        self._options = pa.ipc.IpcWriteOptions(compression=codec)
        self._file = file
        self._schema = schema
        self._names = compressor_names(schema)
        self._codes: dict[str, dict[str, int]] = {name: {} for name in DICTIONARY_COLUMNS}
        self._pieces_per_batch: list[int] = []
        self._batch_rows = self._batch_bytes = 0
        self._rows = self._raw_bytes = 0
        self._symbols = dict.fromkeys(self._names, 0)
        self._segments = dict.fromkeys(self._names, 0)
        self._summary: ShardSummary | None = None
        codes = {name: pa.int32() for name in DICTIONARY_COLUMNS}
        self._spill_schema = pa.schema([field.with_type(codes.get(field.name, field.type)) for field in schema])
        self._spill = Spill(self._spill_schema, spill_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._spill.close()

    def write(
        self,
        doc_ids: Sequence[str],
        sources: Sequence[str],
        languages: Sequence[str],
        documents: Documents,
        encodings: Mapping[str, Encoding],
        entropy: np.ndarray | None = None,
    ) -> None:
        """Add n documents. `encodings` has every compressor of the schema; `entropy` is float32 [n_bytes], in bits."""
        n = len(documents)
        assert len(doc_ids) == len(sources) == len(languages) == n, (len(doc_ids), len(sources), len(languages), n)
        assert set(encodings) == set(self._names), (set(encodings), self._names)
        assert all(len(encoding) == n for encoding in encodings.values()), "an encoding has another number of documents"
        assert (entropy is not None) == (ENTROPY in self._schema.names), "entropy is given exactly if the schema has it"
        entropy_offsets = documents.offsets - documents.offsets[0]
        assert entropy is None or len(entropy) == entropy_offsets[-1], "entropy has one value per raw byte"
        for start, stop in self._cut(documents.offsets):
            rows = slice(start, stop)
            columns: dict[str, pa.Array] = {
                DOC_ID: pa.array(doc_ids[rows], pa.string()),
                SOURCE: self._coded(SOURCE, sources[rows]),
                LANGUAGE: self._coded(LANGUAGE, languages[rows]),
                RAW: documents_array(replace(documents, offsets=documents.offsets[start : stop + 1])),
            }
            for name, encoding in encodings.items():
                columns[name] = encoding_array(_part(encoding, start, stop), self._schema.field(name).type)
                self._symbols[name] += int(encoding.symbol_offsets[stop] - encoding.symbol_offsets[start])
                self._segments[name] += int(encoding.segment_offsets[stop] - encoding.segment_offsets[start])
            if entropy is not None:
                columns[ENTROPY] = list_array(entropy, entropy_offsets[start : stop + 1])
            self._spill.append(_batch(columns, self._spill_schema))

    def close(self) -> ShardSummary:
        """Write the shard and say what it holds. A second call says it again."""
        if self._summary is None:
            digest = _DigestSink(self._file)
            with closing(self._spill), io.BufferedWriter(digest, COPY_BYTES) as sink:
                self._write_shard(sink)
            self._summary = ShardSummary(
                rows=self._rows,
                raw_bytes=self._raw_bytes,
                symbols=self._symbols,
                segments=self._segments,
                sha256=digest.sha256.hexdigest(),
                file_bytes=digest.size_bytes,
            )
        return self._summary

    def _cut(self, offsets: np.ndarray) -> Iterator[tuple[int, int]]:
        """Pieces start:stop of the documents given, counting each into its batch and beginning new batches.

        A document opens a new batch when the last one holds something and would pass `BATCH_BYTES` or
        `BATCH_ROWS` with it. This looks at the sequence of documents only.
        """
        start = 0
        while start < len(offsets) - 1:
            room_bytes, room_rows = BATCH_BYTES - self._batch_bytes, BATCH_ROWS - self._batch_rows
            stop = int(np.searchsorted(offsets, offsets[start] + room_bytes, side="right")) - 1
            stop = min(stop, start + room_rows)
            if not self._batch_rows:
                stop = max(stop, start + 1)
                self._pieces_per_batch.append(0)
            if stop <= start:
                self._batch_rows = self._batch_bytes = 0
                continue
            self._pieces_per_batch[-1] += 1
            piece_rows, piece_bytes = stop - start, int(offsets[stop] - offsets[start])
            self._batch_rows, self._batch_bytes = self._batch_rows + piece_rows, self._batch_bytes + piece_bytes
            self._rows, self._raw_bytes = self._rows + piece_rows, self._raw_bytes + piece_bytes
            yield start, stop
            start = stop

    def _coded(self, name: str, values: Sequence[str]) -> pa.Int32Array:
        """The values as int32 codes, numbered in order of first appearance."""
        codes = self._codes[name]
        return pa.array([codes.setdefault(value, len(codes)) for value in values], pa.int32())

    def _write_shard(self, sink: IO[bytes]) -> None:
        """The spilled pieces as batches with whole dictionaries."""
        dictionaries = {name: pa.array(list(codes), pa.string()) for name, codes in self._codes.items()}
        spilled = self._spill.batches()
        with pa.ipc.new_file(sink, self._schema, options=self._options) as writer:
            for pieces in self._pieces_per_batch:
                batch = pa.concat_batches(list(islice(spilled, pieces)))
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                for name, dictionary in dictionaries.items():
                    columns[name] = pa.DictionaryArray.from_arrays(columns[name], dictionary)
                writer.write_batch(_batch(columns, self._schema))


class _DigestSink(io.RawIOBase):
    """Passes bytes on to `target` and knows their sha256 and number."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        written = self._target.write(data)
        if written is not None and written != size:
            raise OSError(f"wrote {written} of {size} bytes of a shard")
        self.sha256.update(data)
        self.size_bytes += size
        return size


def _batch(columns: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _part(encoding: Encoding, start: int, stop: int) -> Encoding:
    """Documents start:stop of an encoding, over the same memory."""
    rows = slice(start, stop + 1)
    return replace(
        encoding, symbol_offsets=encoding.symbol_offsets[rows], segment_offsets=encoding.segment_offsets[rows]
    )
