"""Bytes on disk for each raw byte, column by column, as shards hold them now and as format 1 would hold them.

    python -m tests.bench columns --dataset DIR

format 2   the dataset's own columns: lengths in the smallest unsigned types
format 1   the same encodings with ends in each document as uint32, and symbols of gzip and token_bytes as uint16

Both are compressed batch by batch as the writer does it. Any finished dataset will do, whatever its compressors are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.dataset.shard_writer import ZSTD_LEVEL
from schemas.encodings import encoding_of, list_array
from schemas.manifest import read_manifest
from schemas.shard_files import open_shards
from schemas.shards import RAW, documents_from_array
from tests.bench.common import dataset

OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=ZSTD_LEVEL))
WIDENED = ("gzip", "token_bytes")
"""Compressors whose symbols were uint16 in format 1."""


def main() -> None:
    """Print a row per column of either format, and the sums."""
    directory = dataset()
    manifest = read_manifest(directory)
    names = sorted(manifest.compressors)
    before: Counter[str] = Counter()
    now: Counter[str] = Counter()
    for batch in open_shards(directory):
        raw = stored_bytes(batch[RAW])
        before[RAW], now[RAW] = before[RAW] + raw, now[RAW] + raw
        for name in names:
            now.update({f"{name} {field}": stored_bytes(values) for field, values in fields(batch, name)})
            before.update({f"{name} {field}": stored_bytes(values) for field, values in fields_of_1(batch, name)})
    raw_bytes = manifest.totals.raw_bytes
    file_bytes = sum(shard.file_bytes for shard in manifest.shards)
    others = file_bytes - sum(now.values())
    print(f"{raw_bytes:,} raw bytes in {len(manifest.shards)} shards; bytes on disk for each\n")
    print(f"{'column':28} {'format 1':>9} {'format 2':>9}")
    for column in sorted({*before, *now}):
        sizes = (f"{table[column] / raw_bytes:9.4f}" if column in table else " " * 9 for table in (before, now))
        print(f"{column:28} {' '.join(sizes)}")
    print(f"{'all others, metadata':28} {others / raw_bytes:9.4f} {others / raw_bytes:9.4f}")
    print(f"{'together':28} {(sum(before.values()) + others) / raw_bytes:9.4f} {file_bytes / raw_bytes:9.4f}")


def fields(batch: pa.RecordBatch, name: str) -> Iterator[tuple[str, pa.Array]]:
    """The lists of a compressor's column by name, as they are."""
    column = batch[name]
    return ((field.name, column.field(field.name)) for field in column.type)


def fields_of_1(batch: pa.RecordBatch, name: str) -> Iterator[tuple[str, pa.Array]]:
    """The lists that format 1 had for the same encoding."""
    found = encoding_of(batch, name, documents_from_array(batch[RAW]))
    symbols = found.symbols.astype(np.uint16) if name in WIDENED else found.symbols
    yield "symbols", list_array(symbols, found.symbol_offsets)
    yield "raw_ends", list_array(found.raw_ends, found.segment_offsets)
    yield "symbol_ends", list_array(found.symbol_ends, found.segment_offsets)
    if found.window_ends is not None:
        yield "window_ends", list_array(found.window_ends, found.symbol_offsets)


def stored_bytes(values: pa.Array) -> int:
    """What a column of one record batch takes in a file, with the few hundred bytes that describe it."""
    schema = pa.schema([("column", values.type)])
    sizes = []
    for batches in ([], [pa.record_batch([values], schema)]):
        sink = pa.MockOutputStream()
        with pa.ipc.new_stream(sink, schema, options=OPTIONS) as writer:
            for batch in batches:
                writer.write_batch(batch)
        sizes.append(sink.size())
    return sizes[1] - sizes[0]


if __name__ == "__main__":
    main()
