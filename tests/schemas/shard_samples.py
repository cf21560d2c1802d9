"""Spelled texts as plain lists, the slow twin of flat arrays, and shards made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from pipeline.dataset.shard_writer import ShardSummary, ShardWriter
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout
from schemas.files import atomic_file
from schemas.shards import shard_schema

Window = tuple[bytes, int]
Text = list[list[Window]]
"""A document: segments of windows, each a few bytes and their symbol."""

WINDOWS = st.tuples(st.binary(max_size=4), st.integers(0, 65535))
TEXTS = st.lists(st.lists(WINDOWS, min_size=1, max_size=3), max_size=4)
CORPORA = st.lists(TEXTS, max_size=7)

SMALL: list[Text] = [
    [[(b"im", 7), (b"port", 65535)], [(b" os\n", 0)]],
    [],
    [[("é日本".encode(), 9)], [(b"\x00\xff", 1)], [(b"'\\t'\t", 300)]],
]
WINDOWED = EncodingLayout(symbols="uint16", window_bytes="uint8", segment_symbols="uint8")
SEGMENTED = EncodingLayout(symbols="uint32", segment_bytes="uint16", segment_symbols="uint8")
TOKENS = EncodingLayout(symbols="uint16", segment_bytes="uint8")
WHOLE = EncodingLayout(symbols="uint8")
LONG_WINDOWS = EncodingLayout(symbols="uint16", window_bytes="uint16", segment_symbols="uint8")
SCHEMA = shard_schema({"neural": LONG_WINDOWS, "tokenizer": SEGMENTED}, entropy=False)


def raw_of(text: Text) -> bytes:
    return b"".join(raw for segment in text for raw, _ in segment)


def documents_of(texts: list[Text]) -> Documents:
    return Documents.from_bytes([raw_of(text) for text in texts])


def encoding_of(texts: list[Text], dtype: type = np.uint16, windows: bool = True) -> Encoding:
    symbols, raw_ends, symbol_ends, window_ends = [], [], [], []
    symbol_offsets, segment_offsets = [0], [0]
    for text in texts:
        raw_bytes = 0
        for segment in text:
            for raw, symbol in segment:
                raw_bytes += len(raw)
                symbols.append(symbol)
                window_ends.append(raw_bytes)
            raw_ends.append(raw_bytes)
            symbol_ends.append(len(symbols) - symbol_offsets[-1])
        symbol_offsets.append(len(symbols))
        segment_offsets.append(len(raw_ends))
    return Encoding(
        symbols=np.array(symbols, dtype),
        symbol_offsets=np.array(symbol_offsets, np.int64),
        raw_ends=np.array(raw_ends, np.uint32),
        symbol_ends=np.array(symbol_ends, np.uint32),
        segment_offsets=np.array(segment_offsets, np.int64),
        window_ends=np.array(window_ends, np.uint32) if windows else None,
    )


def encodings_of(texts: list[Text]) -> dict[str, Encoding]:
    neural = encoding_of(texts)
    return {"neural": neural, "tokenizer": replace(neural, symbols=neural.symbols.astype(np.uint32), window_ends=None)}


def write_texts(writer: ShardWriter, texts: list[Text], first: int = 0) -> None:
    """Documents d0, d1, …; every third has a new source, and the language changes late."""
    numbers = range(first, first + len(texts))
    writer.write(
        [f"d{i}" for i in numbers],
        [f"src/{i // 3}.py" for i in numbers],
        ["python" if i < 5 else "markdown" for i in numbers],
        documents_of(texts),
        encodings_of(texts),
    )


def write_shard(path: Path, texts: list[Text], compression: str = "zstd") -> ShardSummary:
    with atomic_file(path) as file, ShardWriter(file, SCHEMA, compression) as writer:
        write_texts(writer, texts)
    return writer.close()


def read_table(path: Path) -> pa.Table:
    return pa.ipc.open_file(path).read_all()


def same_encoding(left: Encoding, right: Encoding) -> bool:
    for name in ("symbols", "symbol_offsets", "raw_ends", "symbol_ends", "segment_offsets", "window_ends"):
        ours, theirs = getattr(left, name), getattr(right, name)
        if (ours is None) != (theirs is None) or (
            ours is not None and not (ours.dtype == theirs.dtype and np.array_equal(ours, theirs))
        ):
            return False
    return True
