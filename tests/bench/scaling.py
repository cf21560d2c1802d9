"""Start-up, memory and cost per gigabyte of preprocessing, over 10 MB, 100 MB and 1 GB of JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from tests.bench.common import dataset
from tests.bench.corpora import corpus, write_lines

WORKERS = {10_000_000: (1, 2), 100_000_000: (1, 2), 1_000_000_000: (2,)}
"""By size in bytes."""
SAMPLE_BYTES = 8 << 20
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one run took."""

    first_shard_seconds: float
    """From the start of the process to the first commit record."""
    wall_seconds: float
    peak_bytes: int
    """Largest resident size of the process."""
    report: dict[str, object]


def preprocess(lines: Path, output: Path, directory: str, *, workers: int, more: tuple[str, ...] = ()) -> Run:
    """Run the pipeline as a user does, with the dataset's models."""
    models = Path(directory, COMPRESSORS_DIRECTORY)
    command = [sys.executable, "-m", "pipeline", "preprocess", "--input", str(lines), "--output", str(output)]
    command += ["--lm", str(models / "neural"), "--tokenizer", str(models / "tokenizer" / "tokenizer.model")]
    command += ["--workers", str(workers), "--sample-bytes", str(SAMPLE_BYTES), *more]
    begin, first = time.monotonic(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = output / "_work" / "done"
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if not first and (pid or (done.is_dir() and any(done.glob("*.json")))):
            first = time.monotonic() - begin
        if pid:
            break
        time.sleep(POLL_SECONDS)
    if status:
        assert process.stdout is not None
        sys.exit(f"{' '.join(command)} failed:\n{process.stdout.read()}")
    return Run(
        first_shard_seconds=first,
        wall_seconds=time.monotonic() - begin,
        peak_bytes=usage.ru_maxrss * 1024,
        report=json.loads((output / "report.json").read_bytes()),
    )


def main() -> None:
    """Print a row per size and number of workers, and what a gigabyte more costs."""
    directory, location = dataset(), corpus()
    before: dict[int, tuple[int, float]] = {}
    print("corpus MB  workers  first shard s  all s  peak GB  seconds per GB more")
    with tempfile.TemporaryDirectory() as scratch:
        for size_bytes, counts in WORKERS.items():
            lines = Path(scratch, f"{size_bytes}.jsonl")
            text_bytes = write_lines(lines, directory, location, size_bytes)
            for workers in counts:
                run = preprocess(lines, Path(scratch, f"out-{size_bytes}-{workers}"), directory, workers=workers)
                more = ""
                if workers in before:
                    less_bytes, less_seconds = before[workers]
                    more = f"{(run.wall_seconds - less_seconds) / (text_bytes - less_bytes) * 1e9:.0f}"
                before[workers] = text_bytes, run.wall_seconds
                print(
                    f"{text_bytes / 1e6:9.1f} {workers:8} {run.first_shard_seconds:14.1f} {run.wall_seconds:6.1f} "
                    f"{run.peak_bytes / 1e9:8.2f} {more:>20}   {run.report.get('stage_seconds')}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
