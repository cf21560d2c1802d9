"""Whole runs on two cores beside a bare loop: two processes that read JSON lines, call SentencePiece, write Arrow.

bare loop       json.loads ─► SentencePiece, one call per 4 MB ─► Arrow IPC with zstd: text and ids
tokenizer only  the pipeline, --compressors tokenizer
neural only     the pipeline, --compressors neural, its codebook made from all of this text: warm
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import sentencepiece

from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from schemas.batches import Documents
from schemas.encodings import list_array
from schemas.shards import documents_array
from tests.bench.common import dataset
from tests.bench.corpora import corpus, write_lines
from tests.bench.scaling import Run, preprocess

TEXT_BYTES = int(os.environ.get("BENCH_BYTES", "550000000"))
WINDOW_BYTES = 4 << 20
PROCESSES = 2


def bare_loop(lines: Path, out: Path, model: Path, part: int) -> None:
    """Every PROCESSES-th line of a file: read, encode, write."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    schema = pa.schema([("raw", pa.large_binary()), ("ids", pa.list_(pa.uint16()))])
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=3))
    with lines.open("rb") as file, pa.ipc.new_file(str(out), schema, options=options) as writer:
        texts: list[str] = []
        held_bytes = 0
        for number, line in enumerate(file):
            if number % PROCESSES == part:
                texts.append(json.loads(line)["text"])
                held_bytes += len(line)
            if held_bytes >= WINDOW_BYTES:
                writer.write_batch(_encoded(processor, texts, schema))
                texts, held_bytes = [], 0
        writer.write_batch(_encoded(processor, texts, schema))


def _encoded(processor: sentencepiece.SentencePieceProcessor, texts: list[str], schema: pa.Schema) -> pa.RecordBatch:
    ids = processor.encode(texts, return_type="numpy", num_threads=1)
    offsets = np.concatenate(([0], np.cumsum([len(one) for one in ids]))).astype(np.int64)
    flat = np.concatenate([np.zeros(0, np.int32), *ids]).astype(np.uint16)
    raw = documents_array(Documents.from_bytes([text.encode() for text in texts]))
    return pa.record_batch([raw, list_array(flat, offsets)], schema=schema)


def main() -> None:
    """Print MB/s of raw text for each, and the ratios."""
    directory, location = dataset(), corpus()
    model = Path(directory, COMPRESSORS_DIRECTORY, "tokenizer", "tokenizer.model")
    with tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch, "corpus.jsonl")
        size = write_lines(lines, directory, location, TEXT_BYTES) / 1e6
        print(f"{size:.0f} MB of text, {PROCESSES} cores", flush=True)
        begin = time.monotonic()
        workers = [
            multiprocessing.Process(target=bare_loop, args=(lines, Path(scratch, f"bare-{part}"), model, part))
            for part in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        bare = size / (time.monotonic() - begin)
        print(f"bare loop of {PROCESSES} processes   {bare:6.1f} MB/s", flush=True)
        tokens = preprocess(lines, Path(scratch, "t"), directory, workers=2, more=("--compressors", "tokenizer"))
        _print("tokenizer only", size, tokens)
        warm = ("--compressors", "neural", "--sample-bytes", str(1 << 40))
        neural = preprocess(lines, Path(scratch, "n"), directory, workers=2, more=warm)
        _print("neural only, warm codebook", size, neural)
    shards = {"tokenizer": _shards_seconds(tokens), "neural": _shards_seconds(neural)}
    print(f"tokenizer only, whole command, over the bare loop     {size / tokens.wall_seconds / bare:.2f}")
    print(f"neural, shards, over the bare loop                    {size / shards['neural'] / bare:.2f}")
    print(f"neural over tokenizer, shards                         {shards['tokenizer'] / shards['neural']:.2f}")
    stages: dict[str, float] = neural.report["stage_seconds"]  # type: ignore[assignment]
    outside = sum(stages.values()) - stages.get("byte_lm", 0.0)
    print(f"neural, one core, outside the model                   {size / outside:.1f} MB/s")


def _shards_seconds(run: Run) -> float:
    seconds = run.report["shards_wall_seconds"]
    assert isinstance(seconds, float)
    return seconds


def _print(name: str, size: float, run: Run) -> None:
    print(
        f"{name:28} {size / run.wall_seconds:6.1f} MB/s whole command, {size / _shards_seconds(run):6.1f} MB/s shards, "
        f"first shard after {run.first_shard_seconds:.1f} s, peak {run.peak_bytes / 1e9:.2f} GB; "
        f"seconds of a worker by stage {run.report['stage_seconds']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
