"""Symbols a second of the loader in one process, beside loops that read, sample and pack the same documents.

    python -m tests.bench.loader [DATASET]

Three loaders on the dataset's own documents, and on pieces of about 500 bytes of them: ours; a loop over documents in
plain Python; and the same loop with NumPy for the symbols. The loops have one order, no resume and no interleaving.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.dataset.shard_writer import ShardWriter
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout, encoding_of
from schemas.files import atomic_file
from schemas.manifest import Manifest, ShardEntry, Totals, read_manifest, write_manifest_atomically
from schemas.shard_files import open_shards
from schemas.shards import (
    RAW,
    documents_from_array,
    open_shard,
    read_batch,
    shard_schema,
)
from schemas.vocabulary import BOS, COMP_BASE, COMP_CLOSE, COMP_OPEN, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
from trainer.data.dataset import Dataset
from trainer.data.loader import Loader, LoaderSettings
from trainer.data.mixing import Mixing

COMPRESSOR = "neural"
ROW_SYMBOLS = 16_384
BATCH_SYMBOLS = 1 << 19
SECONDS = 4.0
PIECE_BYTES = 500
COMP_SHARE = 0.9


def main() -> None:
    """Print one line per loader and corpus."""
    directory = sys.argv[1] if len(sys.argv) > 1 else "data/stdlib"
    if not Path(directory, "manifest.json").exists():
        sys.exit(f"no dataset at {directory}; make it with `make preprocess`")
    with tempfile.TemporaryDirectory() as short:
        cut_short(directory, short)
        for name, place in (("documents as they are", directory), (f"pieces of {PIECE_BYTES} bytes", short)):
            totals = read_manifest(place).totals
            mean = totals.raw_bytes / totals.written
            print(f"{name}: {totals.written:,}, {mean:,.0f} bytes each, zstd shards, r = {COMP_SHARE}")
            ours = rate(loader(place))
            print(f"  loader, prefetch 2        {ours / 1e6:8.1f} M symbols/s", flush=True)
            for label, work in (("plain Python loop", plain), ("loop with NumPy", with_numpy)):
                other = rate(rows(place, work))
                print(f"  {label:25} {other / 1e6:8.1f} M symbols/s   ratio {ours / other:.1f}", flush=True)


def rate(batches: Iterator[int]) -> float:
    """Symbols a second of an endless iterator over numbers of symbols, after its first one."""
    next(batches)
    begin, symbols = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        symbols += next(batches)
    return symbols / (time.perf_counter() - begin)


def loader(directory: str) -> Iterator[int]:
    """The loader's batches."""
    mixing = Mixing(mode="sentinel", compressed_fraction=COMP_SHARE, warmup_steps=0)
    settings = LoaderSettings(
        sequence_length=ROW_SYMBOLS, global_batch_size=BATCH_SYMBOLS // ROW_SYMBOLS, mixing=mixing
    )
    with Loader(Dataset(directory, compressor=COMPRESSOR), settings) as batches:
        for batch in batches:
            yield batch.symbols


def rows(directory: str, spell: Callable[[bytes, np.ndarray, bool], list[int] | np.ndarray]) -> Iterator[int]:
    """Rows cut by a loop: ids, and a number of the document for each."""
    rng = random.Random(0)
    while True:
        for batch in open_shards(directory):
            ids, documents = [], []
            symbols = batch[COMPRESSOR].field("symbols")
            for number, (raw, codes) in enumerate(zip(batch[RAW].to_pylist(), symbols, strict=True)):
                spelled = spell(raw, codes.values.to_numpy(), rng.random() < COMP_SHARE)
                ids.append(spelled)
                documents.append(np.full(len(spelled), number, np.int32))
            stream = np.concatenate([np.asarray(part, np.int32) for part in ids])
            numbers = np.concatenate(documents)
            for start in range(0, len(stream) - ROW_SYMBOLS + 1, ROW_SYMBOLS):
                row = stream[start : start + ROW_SYMBOLS].copy(), numbers[start : start + ROW_SYMBOLS].copy()
                yield len(row[0])


def plain(raw: bytes, symbols: np.ndarray, comp: bool) -> list[int]:
    """A document symbol by symbol."""
    if comp:
        return [BOS, COMP_OPEN, *(COMP_BASE + symbol for symbol in symbols.tolist()), COMP_CLOSE, EOS]
    return [BOS, RAW_OPEN, *(RAW_BASE + byte for byte in raw), RAW_CLOSE, EOS]


def with_numpy(raw: bytes, symbols: np.ndarray, comp: bool) -> np.ndarray:
    """A document as arrays."""
    values, base = (symbols, COMP_BASE) if comp else (np.frombuffer(raw, np.uint8), RAW_BASE)
    marks = (BOS, COMP_OPEN, COMP_CLOSE, EOS) if comp else (BOS, RAW_OPEN, RAW_CLOSE, EOS)
    return np.concatenate((marks[:2], values.astype(np.int32) + base, marks[2:]))


def cut_short(source: str, target: str) -> None:
    """The same dataset with its documents cut at the first window end behind every PIECE_BYTES bytes."""
    manifest = read_manifest(source)
    schema = shard_schema({COMPRESSOR: EncodingLayout(symbols="uint16")}, entropy=False)
    entries = []
    for shard in manifest.shards:
        reader = open_shard(Path(source, shard.name))
        with atomic_file(Path(target, shard.name)) as file, ShardWriter(file, schema) as writer:
            for index in range(reader.num_record_batches):
                batch = read_batch(reader, index, shard.name)
                documents = documents_from_array(batch.column(RAW))
                encoding = encoding_of(batch, COMPRESSOR, documents)
                raw_offsets, symbol_offsets = pieces(documents, encoding)
                count = len(raw_offsets) - 1
                names = [f"{shard.name[6:11]}-{index}-{i}" for i in range(count)]
                sizes, codes = np.diff(raw_offsets), np.diff(symbol_offsets)
                cut = Encoding(
                    symbols=encoding.symbols,
                    symbol_offsets=symbol_offsets,
                    raw_ends=sizes.astype(np.uint32),
                    symbol_ends=codes.astype(np.uint32),
                    segment_offsets=np.arange(count + 1),
                )
                labels = ["x"] * count
                whole = Documents(raw=documents.raw, offsets=raw_offsets)
                writer.write(names, labels, labels, whole, {COMPRESSOR: cut})
        made = writer.close()
        counted = {
            name: getattr(made, name) for name in ("rows", "raw_bytes", "symbols", "segments", "sha256", "file_bytes")
        }
        entries.append(ShardEntry(name=shard.name, rejects={}, **counted))
    compressors = {COMPRESSOR: manifest.compressors[COMPRESSOR]}
    totals = Totals.of(entries, read=sum(entry.rows for entry in entries), compressors=[COMPRESSOR])
    write_manifest_atomically(
        target, Manifest(shards=tuple(entries), compressors=compressors, totals=totals, settings={}, versions={})
    )


def pieces(documents: Documents, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Where to cut, in bytes and in symbols: int64 [pieces + 1] each."""
    assert encoding.window_ends is not None, "pieces are cut at windows"
    raw, symbols = [0], [0]
    for i in range(len(documents)):
        first, last = encoding.symbol_offsets[i : i + 2]
        ends = encoding.window_ends[first:last].astype(np.int64)
        kept = np.searchsorted(ends, np.arange(PIECE_BYTES, ends[-1], PIECE_BYTES))
        kept = np.unique(np.append(kept, len(ends) - 1))
        raw.extend((documents.offsets[i] + ends[kept]).tolist())
        symbols.extend((first + kept + 1).tolist())
    return np.array(raw, np.int64), np.array(symbols, np.int64)


if __name__ == "__main__":
    main()
