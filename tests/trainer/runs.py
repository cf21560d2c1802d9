"""Whole training runs in processes of their own, on a small real dataset: raw bytes and gzip, vocabulary 576."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.__main__ import main as pipeline_main

ROOT = Path(__file__).parent.parent.parent
OPTIONS = {
    "size": "pico",
    "compressor": "gzip",
    "steps": 8,
    "batch-symbols": 2048,
    "sequence-length": 128,
    "micro-batch-size": 4,
    "lanes": 8,
    "lr-warmup-steps": 2,
    "mixing-warmup-steps": 4,
    "log-steps": 1,
    "checkpoint-steps": 3,
    "device": "cpu",
}
"""16 rows a step: accumulation 4 alone, 2 on two ranks."""


def make_dataset(directory: Path) -> Path:
    """Three dozen small documents in three shards."""
    corpus = directory / "corpus"
    corpus.mkdir(parents=True)
    for number in range(36):
        lines = (f"def function_{number}_{k}(x):\n    return x * {k} + {number}\n" for k in range(10 + number))
        (corpus / f"file{number:02}.py").write_text("".join(lines))
    output = directory / "data"
    arguments = ["--input", str(corpus), "--output", str(output), "--compressors", "gzip", "--shards", "3"]
    assert pipeline_main(["preprocess", *arguments, "--workers", "1"]) == 0
    return output


def command(data: Path | str, run: Path, *, ranks: int = 1, **options: object) -> list[str]:
    """The command line of a run."""
    words = ["-m", "trainer", "train", "--data", str(data), "--out", str(run)]
    for name, value in {**OPTIONS, **{key.replace("_", "-"): value for key, value in options.items()}}.items():
        words += [f"--{name}", str(value)]
    if ranks == 1:
        return [sys.executable, *words]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *words]


def environment() -> dict[str, str]:
    """One thread per rank, so that runs compare and cores are not fought over."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def train(data: Path, run: Path, *, ranks: int = 1, **options: object) -> list[dict[str, float]]:
    """Run to the end and return the metrics."""
    words = command(data, run, ranks=ranks, **options)
    finished = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return metrics(run)


def metrics(run: Path) -> list[dict[str, float]]:
    """The whole lines of a run's metrics."""
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def losses(lines: list[dict[str, float]]) -> list[float]:
    """The loss of every step."""
    assert [line["step"] for line in lines] == list(range(len(lines)))
    return [line["loss_nats"] for line in lines]
