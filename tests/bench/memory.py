"""Peak memory of a run over a 1 GB JSONL file, and where its time goes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile

from pipeline.loading import COMPRESSORS_DIRECTORY
from tests.bench.common import dataset, documents

GOAL_BYTES = 1_000_000_000


def main() -> None:
    """Repeat the dataset's documents, a little changed, up to 1 GB; print the peak for 1 and 2 workers."""
    directory = dataset()
    texts = [text.decode() for text in documents(directory)]
    models = os.path.join(directory, COMPRESSORS_DIRECTORY)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = os.path.join(scratch, "corpus.jsonl")
        with open(corpus, "w", encoding="utf-8") as file:
            size = copy = 0
            while size < GOAL_BYTES:
                for text in texts:
                    size += file.write(json.dumps({"text": f"# copy {copy}\n{text}"}) + "\n")
                copy += 1
        for workers in (1, 2):
            out = os.path.join(scratch, f"out-{workers}")
            command = [sys.executable, "-m", "pipeline", "preprocess", "--input", corpus, "--output", out]
            command += [
                "--lm",
                os.path.join(models, "neural"),
                "--tokenizer",
                os.path.join(models, "tokenizer", "tokenizer.model"),
            ]
            command += [
                "--workers",
                str(workers),
                "--sample-bytes",
                str(16 << 20),
                *(["--shards", "1"] if workers == 1 else []),
            ]
            finished = subprocess.run(command, check=False, capture_output=True, text=True)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            lines = [line for line in finished.stdout.splitlines() if line.startswith(("MB/s", "time:"))]
            print(
                f"{os.path.getsize(corpus) / 1e9:.2f} GB JSONL, {workers} workers: "
                f"peak {peak:.2f} GB (of the processes so far), exit status {finished.returncode}"
            )
            print("\n".join(lines) or finished.stderr, flush=True)


if __name__ == "__main__":
    main()
