"""Small finished datasets with texts that can be told apart, written by the pipeline's own writer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from pipeline.dataset import shard_writer
from pipeline.dataset.shard_writer import ShardWriter
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout
from schemas.files import atomic_file
from schemas.manifest import Manifest, ShardEntry, Totals, write_manifest_atomically
from schemas.shards import shard_name, shard_schema

COMPRESSOR = "neural"


@dataclass(frozen=True)
class Text:
    doc_id: str
    raw: bytes
    symbols: list[int]
    shard: int
    row: int


def make_texts(rows_per_shard: list[int], *, most_bytes: int = 60, seed: int = 0) -> list[Text]:
    """Random texts of 1 … most_bytes bytes; the codes are about a third as many."""
    rng = random.Random(seed)
    texts = []
    for shard, rows in enumerate(rows_per_shard):
        for row in range(rows):
            size = rng.randint(1, most_bytes)
            symbols = [rng.randrange(65536) for _ in range(max(1, size // 3))]
            texts.append(Text(f"s{shard}-{row}", rng.randbytes(size), symbols, shard, row))
    return texts


def write_dataset(
    directory: Path, texts: list[Text], *, compression: str = "zstd", batch_bytes: int = 600, dtype: type = np.uint16
) -> Path:
    """A dataset with a manifest; record batches of about `batch_bytes`."""
    directory.mkdir(parents=True, exist_ok=True)
    schema = shard_schema({COMPRESSOR: EncodingLayout(symbols=np.dtype(dtype).name)}, entropy=False)  # type: ignore[arg-type]
    shards = max((text.shard for text in texts), default=0) + 1
    entries = []
    for shard in range(shards):
        own = [text for text in texts if text.shard == shard]
        name = shard_name(shard, shards)
        with (
            patch.object(shard_writer, "BATCH_BYTES", batch_bytes),
            atomic_file(directory / name) as file,
            ShardWriter(file, schema, compression) as writer,  # type: ignore[arg-type]
        ):
            names = [text.doc_id for text in own]
            documents = Documents.from_bytes([text.raw for text in own])
            writer.write(names, names, ["python"] * len(own), documents, {COMPRESSOR: encoding_of(own, dtype)})
        summary = writer.close()
        entries.append(
            ShardEntry(
                name=name,
                rows=summary.rows,
                raw_bytes=summary.raw_bytes,
                symbols=summary.symbols,
                segments=summary.segments,
                rejects={},
                sha256=summary.sha256,
                file_bytes=summary.file_bytes,
            )
        )
    settings = {"digest": "d" * 64, "alphabet_size": 65536, "symbol_dtype": np.dtype(dtype).name}
    manifest = Manifest(
        shards=tuple(entries),
        compressors={COMPRESSOR: settings},
        totals=Totals.of(entries, read=len(texts), compressors=[COMPRESSOR]),
        settings={},
        versions={},
    )
    write_manifest_atomically(directory, manifest)
    return directory


def encoding_of(texts: list[Text], dtype: type) -> Encoding:
    """Every text one segment."""
    sizes = [len(text.symbols) for text in texts]
    return Encoding(
        symbols=np.array([symbol for text in texts for symbol in text.symbols], dtype),
        symbol_offsets=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))).astype(np.int64),
        raw_ends=np.array([len(text.raw) for text in texts], np.uint32),
        symbol_ends=np.array(sizes, np.uint32),
        segment_offsets=np.arange(len(texts) + 1),
    )
