"""What the benchmarks share: the quick start's documents and models, and a clock that shows its spread."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.family import load_neural
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
from pipeline.compressors.tokenizer.family import MODEL_NAME
from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.batches import Documents
from schemas.held_out import is_held_out
from schemas.shard_files import open_shards


def dataset() -> str:
    """The dataset's directory, from the command line."""
    directory = sys.argv[1] if len(sys.argv) > 1 else "data/stdlib"
    if not Path(directory, "manifest.json").exists():
        sys.exit(f"no dataset at {directory}; make it with `make preprocess`")
    return directory


def documents(directory: str, *, held_out_only: bool = False) -> list[bytes]:
    """The documents of a dataset, in its order."""
    return [
        raw
        for batch in open_shards(directory)
        for doc_id, raw in zip(batch["doc_id"].to_pylist(), batch["raw"].to_pylist(), strict=True)
        if not held_out_only or is_held_out(doc_id, HELD_OUT_SHARE)
    ]


def head(texts: list[bytes], limit_bytes: int) -> Documents:
    """The first texts, up to a limit."""
    kept: list[bytes] = []
    size = 0
    for text in texts:
        if size + len(text) > limit_bytes and kept:
            break
        kept.append(text)
        size += len(text)
    return Documents.from_bytes(kept)


def neural(directory: str) -> NeuralCompressor:
    """The dataset's neural compressor."""
    return load_neural(os.path.join(directory, COMPRESSORS_DIRECTORY, "neural"))


def tokenizer(directory: str) -> TokenizerCompressor:
    """The dataset's tokenizer."""
    return TokenizerCompressor.load(os.path.join(directory, COMPRESSORS_DIRECTORY, "tokenizer", MODEL_NAME))


def seconds(work: Callable[[], object], *, repeats: int = 5) -> tuple[float, str]:
    """(median seconds, "±spread %") of a piece of work, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    middle = statistics.median(times)
    return middle, f"±{(max(times) - min(times)) / 2 / middle:.0%}"
